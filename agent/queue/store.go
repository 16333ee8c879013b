package queue

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// A value on disk is
//
//	version (1 byte) | CRC-32C of the rest (4, big-endian) | record as JSON
//
// The sum finds what a bad card has bent; bbolt has none for values.
const valueVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(r *checkin.Record) ([]byte, error) {
	body, err := checkin.EncodeRecord(r)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %v", err)
	}
	if len(body) > maxRecordSize {
		return nil, fmt.Errorf("a record of %d bytes is larger than %d", len(body), maxRecordSize)
	}
	value := append([]byte{valueVersion}, make([]byte, 4)...)
	binary.BigEndian.PutUint32(value[1:], crc32.Checksum(body, castagnoli))
	return append(value, body...), nil
}

// errDamaged is a value that is not what was written.
var errDamaged = errors.New("a stored record is damaged")

func decode(value []byte) (*checkin.Record, error) {
	switch {
	case len(value) < 5 || len(value) > maxRecordSize+5:
		return nil, fmt.Errorf("%w: it is %d bytes long", errDamaged, len(value))
	case value[0] != valueVersion:
		return nil, fmt.Errorf("a stored record has format %d, this program reads %d", value[0], valueVersion)
	case binary.BigEndian.Uint32(value[1:]) != crc32.Checksum(value[5:], castagnoli):
		return nil, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	return checkin.DecodeRecord(value[5:])
}

// sealTo encrypts plain to the recipient.
func sealTo(to age.Recipient, plain []byte) ([]byte, error) {
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to)
	if err != nil {
		return nil, fmt.Errorf("sealing an identity: %v", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("sealing an identity: %v", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sealing an identity: %v", err)
	}
	return sealed.Bytes(), nil
}

// Stats is how the queue is. Counters survive restarts and deliveries.
type Stats struct {
	Depth     int            `json:"depth"` // records waiting
	Dead      int            `json:"dead"`  // records that the platform refused for good
	Max       int            `json:"max"`
	Stored    map[string]int `json:"stored"` // by kind; visits also by outcome: visit, visit/granted, …
	Delivered int            `json:"delivered"`
	Epoch     string         `json:"epoch"`
	Bytes     int64          `json:"bytes"` // of the file
	LastError string         `json:"last_error,omitempty"`
	NextTry   time.Time      `json:"next_try,omitzero"` // while backing off
	// Reports are the outboxes, by recipient; former recipients' too.
	Reports map[string]Outbox `json:"reports,omitempty"`
}

// Stats tells how the queue is.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Stored, s.Reports = maps.Clone(s.Stored), maps.Clone(s.Reports)
	if fi, err := os.Stat(q.db.Path()); err == nil {
		s.Bytes = fi.Size()
	}
	return s
}

// counting returns s after e was stored.
func (s Stats) counting(e *checkin.Event) Stats {
	s.Stored = maps.Clone(s.Stored)
	s.Depth++
	s.Stored[string(e.Kind)]++
	if e.Verdict != nil {
		s.Stored[string(e.Kind)+"/"+string(e.Verdict.Outcome)]++
	}
	return s
}

// counters is the part of Stats that is kept on disk.
type counters struct {
	Stored    map[string]int `json:"stored"`
	Delivered int            `json:"delivered"`
	Dead      int            `json:"dead"`
	Epoch     string         `json:"epoch"`

	Reports map[string]outboxCounters `json:"reports,omitempty"`
}

func (s *Stats) write(tx *bbolt.Tx) error {
	b, err := json.Marshal(counters{s.Stored, s.Delivered, s.Dead, s.Epoch, s.outboxes()})
	if err != nil {
		return err
	}
	return tx.Bucket(metaBucket).Put([]byte("counters"), b)
}

// readStats checks the schema, reads the counters and counts what waits.
func readStats(db *bbolt.DB) (Stats, error) {
	var s Stats
	err := db.View(func(tx *bbolt.Tx) error {
		meta, records := tx.Bucket(metaBucket), tx.Bucket(recordsBucket)
		if meta == nil || records == nil || tx.Bucket(deadBucket) == nil {
			return errors.New("this is no queue: its buckets are missing")
		}
		if v := string(meta.Get([]byte("schema"))); v != schema {
			return fmt.Errorf("the queue has schema %q and this program knows %q: run the newer program that made it, or deliver its records with it first", v, schema)
		}
		var c counters
		if err := json.Unmarshal(meta.Get([]byte("counters")), &c); err != nil {
			return fmt.Errorf("%w: counters: %v", errDamaged, err)
		}
		s = Stats{Stored: c.Stored, Delivered: c.Delivered, Dead: c.Dead, Epoch: c.Epoch}
		if s.Stored == nil {
			s.Stored = map[string]int{}
		}
		s.Depth = records.Stats().KeyN
		s.Reports = readOutboxes(tx, c.Reports)
		return nil
	})
	return s, err
}

// Read looks into the queue in dir without an agent, changing nothing.
// ErrLocked is wrapped when an agent has it: ask that one.
func Read(dir string) (Stats, error) {
	path := filepath.Join(dir, fileName)
	db, err := bbolt.Open(path, 0o600, options(true))
	if err != nil {
		return Stats{}, openError(path, err)
	}
	defer db.Close()
	return readStats(db)
}
