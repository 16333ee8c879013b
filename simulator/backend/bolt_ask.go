package backend

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Find gives references in the order of time.
func (b *Bolt) Find(ctx context.Context, w Window) ([]Ref, error) {
	var refs []Ref
	err := b.db.View(func(tx *bbolt.Tx) error {
		venue := tx.Bucket(venuesBucket).Get([]byte("v" + w.Venue))
		if venue == nil {
			return nil
		}
		c, end := tx.Bucket(presentBucket).Cursor(), timeKey(venue, w.To)
		for k, _ := c.Seek(timeKey(venue, w.From)); k != nil && bytes.Compare(k, end) < 0; k, _ = c.Next() {
			if len(k) != len(end)+8 {
				return errors.New("the index by venue and time is damaged")
			}
			refs = append(refs, Ref(binary.BigEndian.Uint64(k[len(end):])))
		}
		return ctx.Err()
	})
	return refs, err
}

// fetched is how many records one transaction reads: a long one would keep the
// writer from growing the file.
const fetched = 500

// Fetch reads records by reference.
func (b *Bolt) Fetch(ctx context.Context, refs []Ref, yield func(checkin.Record) error) error {
	damaged := 0
	for some := range slices.Chunk(refs, fetched) {
		records, err := b.fetch(some)
		if err := firstError(err, ctx.Err()); err != nil {
			return err
		}
		damaged += len(some) - len(records)
		for _, r := range records {
			if err := yield(r); err != nil {
				return err
			}
		}
	}
	if damaged > 0 {
		return fmt.Errorf("%w: %d of %d were left out", errDamaged, damaged, len(refs))
	}
	return nil
}

func (b *Bolt) fetch(refs []Ref) ([]checkin.Record, error) {
	var list []checkin.Record
	err := b.db.View(func(tx *bbolt.Tx) error {
		box := tx.Bucket(boxesBucket).Bucket(boxName(Checkins))
		if box == nil {
			return nil
		}
		for _, ref := range refs {
			r, err := readRecord(box.Bucket(recordsBucket).Get(binary.BigEndian.AppendUint64(nil, uint64(ref))))
			if err == nil {
				list = append(list, r)
			}
		}
		return nil
	})
	return list, err
}

// Tally reads the counts of the hours.
func (b *Bolt) Tally(ctx context.Context, w Window) ([]Tally, error) {
	var list []Tally
	err := b.db.View(func(tx *bbolt.Tx) error {
		venue := tx.Bucket(venuesBucket).Get([]byte("v" + w.Venue))
		if venue == nil {
			return nil
		}
		c, end := tx.Bucket(hoursBucket).Cursor(), hourKey(venue, w.To.Add(time.Hour-1))
		for k, v := c.Seek(hourKey(venue, w.From)); k != nil && bytes.Compare(k, end) < 0; k, v = c.Next() {
			t, err := decodeTally(k, v)
			if err != nil {
				return err
			}
			list = append(list, t)
		}
		return ctx.Err()
	})
	slices.SortFunc(list, byHour)
	return list, err
}

// decodeTally reads a line of hours.
func decodeTally(k, v []byte) (Tally, error) {
	if len(k) < 9 || len(k) < 9+int(k[8]) || len(v) != 8 {
		return Tally{}, errors.New("the counts by hour are damaged")
	}
	at := time.Unix(int64(binary.BigEndian.Uint32(k[4:]))*3600, 0).UTC()
	lane, verdict := k[9:9+int(k[8])], k[9+int(k[8]):]
	return Tally{Hour: at, Lane: string(lane), Verdict: string(verdict), Visits: int(number(v))}, nil
}

// Note appends to the audit trail.
func (b *Bolt) Note(ctx context.Context, e Entry) (noted Entry, err error) {
	err = b.do(ctx, func(tx *bbolt.Tx) error {
		var err error
		noted, err = note(tx, e)
		return err
	})
	return noted, err
}

func note(tx *bbolt.Tx, e Entry) (Entry, error) {
	trail := tx.Bucket(auditBucket)
	var last Entry
	if k, raw := trail.Cursor().Last(); k != nil {
		var err error
		if last, err = decodeEntry(raw); err != nil {
			last = Entry{Hash: "damaged"} // the trail goes on, and VerifyTrail finds where it was broken
		}
		last.Seq = number(k)
	}
	e = e.after(last)
	return e, trail.Put(binary.BigEndian.AppendUint64(nil, e.Seq), e.encode())
}

// Trail gives the audit trail.
func (b *Bolt) Trail(ctx context.Context, yield func(Entry) error) error {
	for next := uint64(0); ; {
		some, err := b.trail(next)
		if err := firstError(err, ctx.Err()); err != nil || len(some) == 0 {
			return err
		}
		for _, e := range some {
			if err := yield(e); err != nil {
				return err
			}
			next = e.Seq + 1
		}
	}
}

// trail reads some entries from place next on.
func (b *Bolt) trail(next uint64) ([]Entry, error) {
	var list []Entry
	err := b.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(auditBucket).Cursor()
		for k, raw := c.Seek(binary.BigEndian.AppendUint64(nil, next)); k != nil && len(list) < fetched; k, raw = c.Next() {
			e, err := decodeEntry(raw)
			if err == nil && number(k) != e.Seq {
				err = fmt.Errorf("%w: entry %d stands at place %d", errTampered, e.Seq, number(k))
			}
			if err != nil {
				return err
			}
			list = append(list, e)
		}
		return nil
	})
	return list, err
}
