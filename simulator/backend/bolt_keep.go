package backend

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// A box is a bucket of four:
//
//	sources  length of device, device, epoch → number (4 bytes)
//	ids      source (4), seq (8)             → sum (8), arrival (8)
//	records  arrival (8)                     → value
//	meta     again, conflicts                → number (8)
//
// Beside the boxes, for the check-ins only:
//
//	venues   venue                           → number (4)
//	present  venue (4), time (8), arrival (8) → nothing
//	hours    venue (4), hour (4), length of lane, lane, verdict → number (8)
//
// All numbers are big-endian. ids is the index that never forgets: what is one
// day removed from records is still known there.
var (
	sourcesBucket = []byte("sources")
	idsBucket     = []byte("ids")
	recordsBucket = []byte("records")
	againKey      = []byte("again")
	conflictsKey  = []byte("conflicts")
)

// Keep takes a batch in one synced transaction, which other batches may share.
func (b *Bolt) Keep(ctx context.Context, batch Batch) ([]Outcome, error) {
	items, err := batch.prepare()
	if err != nil || len(items) == 0 {
		return nil, err
	}
	outcomes := make([]Outcome, len(items))
	err = b.do(ctx, func(tx *bbolt.Tx) error { return keepBatch(tx, &batch, items, outcomes) })
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// Count counts what a box holds.
func (b *Bolt) Count(ctx context.Context, name string) (c Counts, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		box := tx.Bucket(boxesBucket).Bucket(boxName(name))
		if box == nil {
			return nil
		}
		meta := box.Bucket(metaBucket)
		n := newCounter(int(number(meta.Get(againKey))), int(number(meta.Get(conflictsKey))))
		err := box.Bucket(recordsBucket).ForEach(func(_, raw []byte) error {
			v, err := decodeValue(raw)
			if err == nil {
				n.add(v.visit, v.mark)
			}
			return firstError(err, ctx.Err())
		})
		c = n.Counts
		return err
	})
	return c, err
}

// Records gives what a box holds.
func (b *Bolt) Records(ctx context.Context, name string, yield func(checkin.Record) error) error {
	return b.db.View(func(tx *bbolt.Tx) error {
		box := tx.Bucket(boxesBucket).Bucket(boxName(name))
		if box == nil {
			return nil
		}
		return box.Bucket(recordsBucket).ForEach(func(_, raw []byte) error {
			r, err := readRecord(raw)
			if err := firstError(err, ctx.Err()); err != nil {
				return err
			}
			return yield(r)
		})
	})
}

//

func readRecord(raw []byte) (checkin.Record, error) {
	v, err := decodeValue(raw)
	if err != nil {
		return checkin.Record{}, err
	}
	return v.record()
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func boxName(name string) []byte { return []byte("r" + name) }

// keeping is one batch in one transaction.
type keeping struct {
	tx                    *bbolt.Tx
	batch                 *Batch
	sources, ids, records *bbolt.Bucket
	source                map[checkin.ID][]byte // by device and epoch
	venue                 map[string][]byte
	hours                 map[string]uint64
}

func keepBatch(tx *bbolt.Tx, batch *Batch, items []item, outcomes []Outcome) error {
	box, err := openBox(tx, batch.Box)
	if err != nil {
		return err
	}
	k := &keeping{
		tx: tx, batch: batch, sources: box.Bucket(sourcesBucket), ids: box.Bucket(idsBucket), records: box.Bucket(recordsBucket),
		source: map[checkin.ID][]byte{}, venue: map[string][]byte{}, hours: map[string]uint64{},
	}
	// Arrivals only rise; seqs of a source nearly do.
	k.records.FillPercent, k.ids.FillPercent = 1, 0.9
	again := uint64(0)
	for i := range items {
		if outcomes[i], err = k.keep(&items[i]); err != nil {
			return err
		}
		if outcomes[i] == Repeated || outcomes[i] == Altered {
			again++
		}
	}
	for key, n := range k.hours {
		if err := add(tx.Bucket(hoursBucket), []byte(key), n); err != nil {
			return err
		}
	}
	if err := add(box.Bucket(metaBucket), againKey, again); err != nil {
		return err
	}
	e, ok := conflicts(*batch, outcomes)
	if !ok {
		return nil
	}
	if err := add(box.Bucket(metaBucket), conflictsKey, uint64(e.Rows)); err != nil {
		return err
	}
	_, err = note(tx, e)
	return err
}

func openBox(tx *bbolt.Tx, name string) (*bbolt.Bucket, error) {
	boxes := tx.Bucket(boxesBucket)
	if box := boxes.Bucket(boxName(name)); box != nil {
		return box, nil
	}
	box, err := boxes.CreateBucket(boxName(name))
	if err != nil {
		return nil, fmt.Errorf("making a box: %v", err)
	}
	for _, part := range [][]byte{sourcesBucket, idsBucket, recordsBucket, metaBucket} {
		if _, err := box.CreateBucket(part); err != nil {
			return nil, fmt.Errorf("making a box: %v", err)
		}
	}
	return box, nil
}

// keep takes one record, or finds that it is there.
func (k *keeping) keep(x *item) (Outcome, error) {
	source, err := k.sourceOf(x.id)
	if err != nil {
		return 0, err
	}
	key := binary.BigEndian.AppendUint64(bytes.Clone(source), x.id.Seq)
	if held := k.ids.Get(key); held != nil {
		return k.again(x, held), nil
	}
	arrival, err := k.records.NextSequence()
	if err != nil {
		return 0, err
	}
	v := value{received: k.batch.Received.UnixMilli(), visit: x.visit, mark: x.mark, body: x.body}
	at := binary.BigEndian.AppendUint64(nil, arrival)
	if err := k.records.Put(at, v.encode()); err != nil {
		return 0, err
	}
	if err := k.ids.Put(key, append(x.sum[:], at...)); err != nil {
		return 0, err
	}
	return Kept, k.index(x, at)
}

// again tells what a record is whose identity is known; held is its entry in
// ids. Where the record that is held cannot be read, nothing says that it is of
// another event.
func (k *keeping) again(x *item, held []byte) Outcome {
	if bytes.HasPrefix(held, x.sum[:]) {
		return Repeated
	}
	v, err := decodeValue(k.records.Get(held[len(x.sum):]))
	if err == nil && v.mark != x.mark {
		return Conflict
	}
	return Altered
}

// index files a new check-in by venue and time.
func (k *keeping) index(x *item, at []byte) error {
	if k.batch.Box != Checkins || !x.present && x.verdict == "" {
		return nil
	}
	venue, ok := k.venue[x.venue]
	if !ok {
		var err error
		if venue, err = intern(k.tx.Bucket(venuesBucket), []byte("v"+x.venue)); err != nil {
			return err
		}
		k.venue[x.venue] = venue
	}
	if x.verdict != "" {
		key := append(hourKey(venue, x.when), byte(len(x.lane)))
		k.hours[string(key)+x.lane+x.verdict]++
	}
	if !x.present {
		return nil
	}
	return k.tx.Bucket(presentBucket).Put(append(timeKey(venue, x.when), at...), nil)
}

// sourceOf is the number of a device's epoch.
func (k *keeping) sourceOf(id checkin.ID) ([]byte, error) {
	id.Seq = 0
	if source, ok := k.source[id]; ok {
		return source, nil
	}
	key := binary.AppendUvarint(nil, uint64(len(id.Device)))
	source, err := intern(k.sources, append(append(key, id.Device...), id.Epoch...))
	k.source[id] = source
	return source, err
}

// intern gives the number of a name, and a new one to a new name.
func intern(names *bbolt.Bucket, name []byte) ([]byte, error) {
	if known := names.Get(name); known != nil {
		return bytes.Clone(known), nil
	}
	n, err := names.NextSequence()
	if err == nil && n > math.MaxUint32 {
		err = fmt.Errorf("there are more than %d names", uint32(math.MaxUint32))
	}
	if err != nil {
		return nil, err
	}
	number := binary.BigEndian.AppendUint32(nil, uint32(n))
	return number, names.Put(name, number)
}

// timeKey begins the keys of a venue's moment; their order is that of time.
func timeKey(venue []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(venue), uint64(t.UnixMilli())^1<<63)
}

// hourKey begins the keys of a venue's hour. Hours before 1970, or that do not
// fit, are the first or the last.
func hourKey(venue []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(venue), uint32(min(max(0, t.Unix()/3600), math.MaxUint32)))
}

// add adds n to a number.
func add(b *bbolt.Bucket, key []byte, n uint64) error {
	if n == 0 {
		return nil
	}
	return b.Put(key, binary.BigEndian.AppendUint64(nil, number(b.Get(key))+n))
}

// number reads a number; what is not there is 0.
func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
