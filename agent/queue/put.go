package queue

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Entry is an event on its way into the queue. Who is nil for one without a
// person.
type Entry struct {
	Event checkin.Event
	Who   *checkin.Identity
}

// Put seals who, gives e its identity, and returns once both are on the disk; a
// refusal is in the outboxes then, too. who is nil for an event without a
// person. ErrFull and ErrStopped mean that the event may not be acted on; one
// that was given back because ctx ended may still be written.
func (q *Queue) Put(ctx context.Context, e checkin.Event, who *checkin.Identity) (checkin.ID, error) {
	ids, err := q.PutAll(ctx, Entry{e, who})
	if err != nil {
		return checkin.ID{}, err
	}
	return ids[0], nil
}

// PutAll puts several events, at most 512, by one commit: after a power cut all
// of them are there or none, so that no visit stands without the incident it
// asks for.
func (q *Queue) PutAll(ctx context.Context, entries ...Entry) ([]checkin.ID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(entries) > groupRecords {
		return nil, fmt.Errorf("%d events at once are more than %d", len(entries), groupRecords)
	}
	records := make([]checkin.Record, len(entries))
	for i, e := range entries {
		records[i].Event = e.Event
		if e.Who != nil {
			sealed, err := q.encrypt(e.Who)
			if err != nil {
				return nil, err
			}
			records[i].Identity, records[i].KeyID = sealed, q.keyID
		}
	}
	var over error // not the file's fault: nobody else's record is spoilt by it
	err := q.do(ctx, &op{records: len(records), apply: func(t *turn) (err error) {
		if over = t.room(len(records)); over == nil {
			over, err = t.put(records)
		}
		return err
	}})
	switch {
	case err != nil:
		return nil, err
	case over != nil:
		return nil, over
	}
	ids := make([]checkin.ID, len(records))
	for i := range records {
		ids[i] = records[i].Event.ID
	}
	return ids, nil
}

//

// room refuses the newest when the queue is full: check-ins are evidence, and
// the oldest is never dropped for it.
func (t *turn) room(records int) error {
	if n := t.q.waiting(checkins) + t.filing[checkins]; n+records > t.q.o.Max {
		return fmt.Errorf("%w: %d records wait for the platform", ErrFull, n)
	}
	if n := t.q.bytes(); n > t.q.o.MaxBytes {
		return fmt.Errorf("%w: %d bytes wait for the platform", ErrFull, n)
	}
	return nil
}

// put writes records into the box of the check-ins, and refusals into those of
// the recipients. over is why not, before anything was written.
func (t *turn) put(records []checkin.Record) (over, err error) {
	values := make([][]byte, len(records))
	next := t.next
	for i := range records {
		records[i].Event.ID = t.identify()
		if values[i], over = encode(checkins, &records[i]); over != nil {
			t.next = next
			return over, nil
		}
	}
	for i := range records {
		kind := records[i].Event.Kind
		counters, filed := t.q.file(t.state.Counters.counting(&records[i].Event), t.filing, kind)
		t.state.Counters = counters
		t.filing[checkins]++
		if err := t.append(shelf{box: checkins}, values[i]); err != nil {
			return nil, err
		}
		for _, name := range filed {
			value, err := encode(name, &records[i])
			if err != nil {
				return nil, err
			}
			if err := t.append(shelf{box: name}, value); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// append puts a value at the end of a shelf of the newest file.
func (t *turn) append(s shelf, value []byte) error {
	b, err := s.in(t.tx)
	if err != nil {
		return err
	}
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	if err := b.Put(key(n), value); err != nil {
		return err
	}
	f := t.f
	t.after = append(t.after, func() {
		f.count[s]++
		f.touched = true
		if !s.dead {
			f.bytes += int64(len(value))
			if b := t.q.boxes[s.box]; b != nil {
				b.wake()
			}
		}
	})
	return nil
}

// bytes is how much waits. The caller is the writer, or holds q.mu.
func (q *Queue) bytes() (n int64) {
	for _, f := range q.files {
		n += f.bytes
	}
	return n
}

// encrypt seals who to the authority.
func (q *Queue) encrypt(who *checkin.Identity) ([]byte, error) {
	plain, err := json.Marshal(who)
	if err != nil {
		return nil, fmt.Errorf("sealing an identity: %v", err)
	}
	defer clear(plain)
	return sealTo(q.to, plain)
}
