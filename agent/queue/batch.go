package queue

import (
	"bytes"
	"context"
	"math"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// allHasWaited gives everything that waits to the backlog.
func (q *Queue) allHasWaited() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mark = place{q.newest().n, math.MaxUint64}
	f := q.newest()
	_ = f.view(func(tx *bbolt.Tx) error {
		if b := (shelf{box: checkins}).of(tx); b != nil {
			q.mark.key = b.Sequence() + 1
			return nil
		}
		q.mark.key = 1
		return nil
	})
}

// batch copies records out; no transaction is open while they are on their way.
// A damaged one is put among the dead: it must never stop the next.
func (c *courier) batch() ([]parcel, error) {
	raw := c.box.q.look(c)
	var batch []parcel
	var bad []burial
	for _, r := range raw {
		_, record, err := decode(r.value)
		if err != nil {
			bad = append(bad, burial{parcel{at: r.at, size: len(r.value)}, err.Error()})
			continue
		}
		batch = append(batch, parcel{r.at, len(r.value), *record})
	}
	if len(bad) == 0 {
		return batch, nil
	}
	_, err := c.box.q.settle(context.Background(), c.box.name, answered{dead: bad})
	return batch, err
}

// raw is a value and where it stands.
type raw struct {
	at    place
	value []byte
}

// look finds the next values for c, all in one file.
func (q *Queue) look(c *courier) []raw {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := shelf{box: c.box.name}
	if c.traffic == checkin.Live {
		for _, f := range slices.Backward(q.files) {
			if f.n < q.mark.file {
				break
			}
			if list := f.last(s, q.from(f), c.limit); len(list) > 0 {
				return list
			}
		}
		return nil
	}
	for _, f := range q.files {
		from, until := uint64(0), uint64(math.MaxUint64)
		switch {
		case f.n < c.from.file:
			continue
		case f.n == c.from.file:
			from = c.from.key
		}
		if s.box == checkins {
			if f.n > q.mark.file {
				break
			}
			if f.n == q.mark.file {
				until = q.mark.key
			}
		}
		if list := f.first(s, from, until, c.limit); len(list) > 0 {
			return list
		}
	}
	return nil
}

// from is the first key of f that is live.
func (q *Queue) from(f *file) uint64 {
	if f.n == q.mark.file {
		return q.mark.key
	}
	return 0
}

// first copies values out of a shelf, in order, with keys in [from, until).
func (f *file) first(s shelf, from, until uint64, limit int) []raw {
	return f.walk(s, limit, func(c *bbolt.Cursor, take func(k, v []byte) bool) {
		for k, v := c.Seek(key(max(from, f.gone[s].start()))); k != nil && number(k) < until && take(k, v); k, v = c.Next() {
		}
	})
}

// last copies the last values out of a shelf, down to key from; the oldest of
// them first.
func (f *file) last(s shelf, from uint64, limit int) []raw {
	list := f.walk(s, limit, func(c *bbolt.Cursor, take func(k, v []byte) bool) {
		for k, v := c.Last(); k != nil && number(k) >= from && take(k, v); k, v = c.Prev() {
		}
	})
	slices.Reverse(list)
	return list
}

// walk copies those values out of a shelf that step comes by and that have not
// left, until there are limit of them or batchBytes.
func (f *file) walk(s shelf, limit int, step func(c *bbolt.Cursor, take func(k, v []byte) bool)) (list []raw) {
	if f.count[s] == 0 {
		return nil
	}
	size := 0
	_ = f.view(func(tx *bbolt.Tx) error {
		b := s.of(tx)
		if b == nil {
			return nil
		}
		step(b.Cursor(), func(k, v []byte) bool {
			if n := number(k); !f.gone[s].has(n) {
				list = append(list, raw{place{f.n, n}, bytes.Clone(v)})
				size += len(v)
			}
			return len(list) < limit && size < batchBytes
		})
		return nil
	})
	return list
}
