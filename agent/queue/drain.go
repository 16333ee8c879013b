package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Sender brings records to the platform and returns its answer for each. An
// error may say more by its methods:
//
//	Permanent() bool             the batch as a whole will never be taken
//	RetryAfter() time.Duration   not before so long
//	MaxBatch() int               at most so many at a time
type Sender func(ctx context.Context, records []checkin.Record) ([]checkin.Ack, error)

// A batch is small enough that a fresh record never waits long behind the
// deletion of one (measured: 200 costs 2 ms, 10,000 cost 60).
const (
	batchRecords = 200
	batchBytes   = 256 << 10
	firstRetry   = time.Second
	lastRetry    = 5 * time.Minute
	longestAsked = 30 * time.Minute
)

// Drain delivers records, oldest first, until ctx ends. Only what the platform
// names as stored or as a duplicate leaves the queue; what it refuses for good
// goes to the dead with the reason; everything else is tried again for ever,
// with full jitter from one second to five minutes.
func (q *Queue) Drain(ctx context.Context, send Sender) error {
	return q.boxes[checkins].drain(ctx, send)
}

// DrainReports delivers the reports to one recipient as Drain delivers the
// check-ins: same order, same patience, and rejected ones to dead of their own.
func (q *Queue) DrainReports(ctx context.Context, recipient string, send Sender) error {
	b, ok := q.boxes[recipient]
	if !ok || recipient == checkins {
		return fmt.Errorf("no recipient %q is configured", recipient)
	}
	return b.drain(ctx, send)
}

//

func (b *box) drain(ctx context.Context, send Sender) error {
	wait := newBackoff()
	limit := batchRecords
	for ctx.Err() == nil {
		batch, err := b.batch(limit)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
			case <-b.woken:
			}
			continue
		}
		acks, err := send(ctx, batch)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			progress, err := b.settle(batch, acks)
			if err != nil {
				return err
			}
			if progress {
				wait, limit = newBackoff(), batchRecords
				b.note(nil, time.Time{})
				continue
			}
			b.rest(ctx, errors.New("the platform answered for none of the records"), wait)
		case permanent(err) && len(batch) == 1:
			if _, err := b.settle(batch, refuse(batch[0], err)); err != nil {
				return err
			}
		case permanent(err):
			limit = (len(batch) + 1) / 2 // the bad one is found by halving
		default:
			if n, ok := asks[interface{ MaxBatch() int }](err); ok && n.MaxBatch() > 0 {
				limit = min(limit, n.MaxBatch())
			}
			b.rest(ctx, err, wait)
		}
	}
	return nil
}

func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = firstRetry, lastRetry
	b.Multiplier, b.RandomizationFactor = 2, 0 // the jitter is full, and ours
	return b
}

// rest waits before the next attempt. A new record does not cut a wait short:
// a platform in trouble must not be asked more often by a busy lane. The first
// steps are short, so that after a blip nobody waits long.
func (b *box) rest(ctx context.Context, why error, wait *backoff.ExponentialBackOff) {
	d := rand.N(wait.NextBackOff()) + 50*time.Millisecond
	if r, ok := asks[interface{ RetryAfter() time.Duration }](why); ok && r.RetryAfter() > 0 {
		asked := min(max(r.RetryAfter(), time.Second), longestAsked)
		d = asked/2 + rand.N(asked)
	}
	b.note(why, time.Now().Add(d))
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (b *box) note(err error, next time.Time) {
	last := ""
	if err != nil {
		last = err.Error()
	}
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	b.q.stats = b.q.stats.noting(b.name, last, next)
}

// batch copies the oldest records out; no transaction is open while they are
// on their way. A damaged one is put among the dead: it must never stop the
// next.
func (b *box) batch(limit int) ([]checkin.Record, error) {
	var batch []checkin.Record
	bad := map[uint64]error{}
	err := b.q.db.View(func(tx *bbolt.Tx) error {
		size := 0
		records, _ := b.buckets(tx)
		c := records.Cursor()
		for k, v := c.First(); k != nil && len(batch) < limit && size < batchBytes; k, v = c.Next() {
			r, err := decode(v)
			if err != nil {
				bad[sequence(k)] = err
				continue
			}
			batch = append(batch, *r)
			size += len(v)
		}
		return nil
	})
	if err != nil || len(bad) == 0 {
		return batch, err
	}
	return batch, b.bury(bad)
}

// settle takes what was answered for out of the queue, in one transaction. It
// reports whether there was anything. An answer for a record that was not sent
// is ignored.
func (b *box) settle(sent []checkin.Record, acks []checkin.Ack) (bool, error) {
	inBatch := map[checkin.ID]bool{}
	for i := range sent {
		inBatch[sent[i].Event.ID] = true
	}
	var held []uint64
	dead := map[uint64]error{}
	for _, a := range acks {
		if !inBatch[a.ID] {
			continue
		}
		switch a.Status {
		case checkin.Stored, checkin.Duplicate:
			held = append(held, a.ID.Seq)
		case checkin.Rejected:
			dead[a.ID.Seq] = errors.New(a.Reason)
		default:
			continue
		}
		delete(inBatch, a.ID) // one answer each
	}
	if len(held)+len(dead) == 0 {
		return false, nil
	}
	return true, b.remove(held, dead)
}

func (b *box) bury(bad map[uint64]error) error { return b.remove(nil, bad) }

// remove deletes what is held and moves what is dead, with its reason.
func (b *box) remove(held []uint64, dead map[uint64]error) error {
	q := b.q
	q.mu.Lock()
	defer q.mu.Unlock()
	after := q.stats.removing(b.name, len(held), len(dead))
	err := q.update(func(tx *bbolt.Tx) error {
		records, grave := b.buckets(tx)
		for _, seq := range held {
			if err := records.Delete(key(seq)); err != nil {
				return err
			}
		}
		for seq, why := range dead {
			if err := inter(records, grave, seq, why); err != nil {
				return err
			}
		}
		return after.write(tx)
	})
	if err == nil {
		q.stats = after
	}
	return err
}

// inter moves one record to the dead: its reason, a zero byte, the value.
func inter(records, grave *bbolt.Bucket, seq uint64, why error) error {
	reason := why.Error()
	if len(reason) > 500 {
		reason = reason[:500]
	}
	value := append([]byte(reason), 0)
	value = append(value, records.Get(key(seq))...)
	if err := grave.Put(key(seq), value); err != nil {
		return fmt.Errorf("keeping a refused record: %w", err)
	}
	return records.Delete(key(seq))
}

func refuse(r checkin.Record, why error) []checkin.Ack {
	return []checkin.Ack{{ID: r.Event.ID, Status: checkin.Rejected, Reason: why.Error()}}
}

func permanent(err error) bool {
	p, ok := asks[interface{ Permanent() bool }](err)
	return ok && p.Permanent()
}

// asks finds what an error can say beyond its text.
func asks[T any](err error) (T, bool) {
	var t T
	ok := errors.As(err, &t)
	return t, ok
}

func sequence(k []byte) uint64 {
	var n uint64
	for _, b := range k {
		n = n<<8 | uint64(b)
	}
	return n
}
