package queue

import (
	"bytes"
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// EventLog keeps events, without identities, for longer than their delivery. It
// returns once they are on the disk, and may be given an event twice.
type EventLog func(events ...checkin.Event) error

// burial is a record that is refused for good, and why.
type burial struct {
	parcel
	why string
}

const maxReason = 500

// answered is what the far end said of the records of a batch.
type answered struct {
	held  []parcel // it has them
	dead  []burial // it never will
	taken []parcel // it has other events under their identities
}

func (a *answered) len() int { return len(a.held) + len(a.dead) + len(a.taken) }

// settle takes records of one box out of the queue: those that are held by the
// far end, and those that are dead. Their events are in the log before. Those
// whose identity is taken get another one, and wait on; settle says whether a
// new epoch was begun for it.
func (q *Queue) settle(ctx context.Context, box string, a answered) (bool, error) {
	if err := q.keepEvents(box, a.held, a.dead); err != nil {
		return false, err
	}
	s := shelf{box: box}
	var began bool
	epoch := newEpoch() // one, also if the commit fails and may be on the disk all the same
	err := q.do(ctx, &op{frees: true, records: len(a.taken), apply: func(t *turn) error {
		for _, p := range a.held {
			if err := t.take(s, p.at, p.size); err != nil {
				return err
			}
		}
		for _, d := range a.dead {
			if err := t.bury(s, d); err != nil {
				return err
			}
		}
		for _, p := range a.taken {
			if err := t.renumber(s, p, epoch); err != nil {
				return err
			}
		}
		began = t.state.Epoch == epoch
		t.state.Counters = t.state.Counters.delivering(box, len(a.held))
		t.after = append(t.after, func() { poke(q.tidying) })
		return nil
	}})
	return err == nil && began, err
}

// keepEvents writes the events of what leaves the queue into the log. Reports
// are the events of check-ins, too.
func (q *Queue) keepEvents(box string, held []parcel, dead []burial) error {
	if q.o.Log == nil || box != checkins {
		return nil
	}
	var events []checkin.Event
	for i := range held {
		events = append(events, held[i].record.Event)
	}
	for i := range dead {
		if dead[i].record.Event.UUID != "" {
			events = append(events, dead[i].record.Event)
		}
	}
	if len(events) == 0 {
		return nil
	}
	if err := q.o.Log(events...); err != nil {
		return fmt.Errorf("keeping the events of delivered records: %w", err)
	}
	return nil
}

// take removes one record from a shelf: deletes it in the newest file, writes
// down that it is gone from an older one. One that is not there any more is no
// error: it was delivered twice.
func (t *turn) take(s shelf, at place, size int) error {
	if at.file == t.f.n {
		return t.delete(s, at.key)
	}
	f := t.q.generation(at.file)
	if f == nil || f.gone[s].has(at.key) {
		return nil
	}
	gone, err := s.goneIn(t.tx, at.file)
	if err != nil {
		return err
	}
	if err := gone.Put(key(at.key), nil); err != nil {
		return err
	}
	t.after = append(t.after, func() { f.mark(s, at.key, size) })
	return nil
}

// carry takes what stands at a place, size bytes long, off a shelf, and puts
// value at the end of another in the newest file.
func (t *turn) carry(from shelf, at place, size int, to shelf, value []byte) error {
	if err := t.append(to, value); err != nil {
		return err
	}
	return t.take(from, at, size)
}

func (t *turn) delete(s shelf, k uint64) error {
	b := s.of(t.tx)
	if b == nil {
		return nil
	}
	value := b.Get(key(k))
	if value == nil {
		return nil
	}
	f, size := t.f, int64(len(value))
	if err := b.Delete(key(k)); err != nil {
		return err
	}
	t.after = append(t.after, func() {
		f.count[s]--
		if !s.dead {
			f.bytes = max(0, f.bytes-size)
		}
	})
	return nil
}

// bury moves one record to the dead of its box: its reason, a zero byte, the
// value.
func (t *turn) bury(s shelf, d burial) error {
	value := t.q.value(t.tx, t.f, s, d.at)
	if value == nil {
		return nil
	}
	if err := t.carry(s, d.at, d.size, shelf{box: s.box, dead: true}, tombstone(d.why, value)); err != nil {
		return fmt.Errorf("keeping a refused record: %w", err)
	}
	return nil
}

// renumber gives one record another identity, because another event has its
// own. So may all that are still to be given in that epoch: the first of them
// ends it, and the one of that name begins.
func (t *turn) renumber(s shelf, p parcel, epoch string) error {
	if t.q.value(t.tx, t.f, s, p.at) == nil {
		return nil
	}
	r := p.record
	if r.Event.ID.Epoch == t.state.Epoch {
		t.state.Epoch = epoch
	}
	r.Event.ID = t.identify()
	value, err := encode(s.box, &r)
	if err != nil { // longer by a digit, and that is too long
		return t.bury(s, burial{p, err.Error()})
	}
	t.state.Counters.Renumbered++
	return t.carry(s, p.at, p.size, s, value)
}

func tombstone(why string, value []byte) []byte {
	if len(why) > maxReason {
		why = why[:maxReason]
	}
	return append(append([]byte(why), 0), value...)
}

// epitaph reads what tombstone wrote: the reason, and the value.
func epitaph(stone []byte) (why string, value []byte, ok bool) {
	reason, _, ok := bytes.Cut(stone[:min(len(stone), maxReason+1)], []byte{0})
	if !ok {
		return "", nil, false
	}
	return string(reason), stone[len(reason)+1:], true
}

// value reads one value, where it is still there. The caller is the writer.
func (q *Queue) value(tx *bbolt.Tx, newest *file, s shelf, at place) (value []byte) {
	if at.file == newest.n {
		if b := s.of(tx); b != nil {
			return b.Get(key(at.key))
		}
		return nil
	}
	f := q.generation(at.file)
	if f == nil || f.gone[s].has(at.key) {
		return nil
	}
	_ = f.view(func(tx *bbolt.Tx) error {
		if b := s.of(tx); b != nil {
			value = append(value, b.Get(key(at.key))...)
		}
		return nil
	})
	return value
}

// view reads f. One that could not be opened again has nothing.
func (f *file) view(read func(*bbolt.Tx) error) error {
	if f.db == nil {
		return nil
	}
	return f.db.View(read)
}

// generation finds a file by its number; nil: it is gone. The caller is the
// writer, or holds q.mu.
func (q *Queue) generation(n uint64) *file {
	for _, f := range q.files {
		if f.n == n {
			return f
		}
	}
	return nil
}
