package queue

import (
	"context"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

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
// person. ErrFull and ErrStopped mean that nothing was written.
func (q *Queue) Put(ctx context.Context, e checkin.Event, who *checkin.Identity) (checkin.ID, error) {
	ids, err := q.PutAll(ctx, Entry{e, who})
	if err != nil {
		return checkin.ID{}, err
	}
	return ids[0], nil
}

// PutAll puts several events by one commit: after a power cut all of them are
// there or none, so that no visit stands without the incident it asks for.
func (q *Queue) PutAll(ctx context.Context, entries ...Entry) ([]checkin.ID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	records := make([]checkin.Record, len(entries))
	for i, e := range entries {
		records[i].Event = e.Event
		if e.Who == nil {
			continue
		}
		sealed, err := q.encrypt(e.Who)
		if err != nil {
			return nil, err
		}
		records[i].Identity, records[i].KeyID = sealed, q.keyID
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stats.Depth+len(records) > q.o.Max {
		return nil, fmt.Errorf("%w: %d records wait for the platform", ErrFull, q.stats.Depth)
	}
	after, woken := q.stats, []string{checkins}
	ids := make([]checkin.ID, len(records))
	err := q.update(func(tx *bbolt.Tx) error {
		for i := range records {
			var filed []string
			after, filed = q.file(after.counting(&records[i].Event), records[i].Event.Kind)
			if err := q.store(tx, &records[i], filed); err != nil {
				return err
			}
			ids[i] = records[i].Event.ID
			woken = append(woken, filed...)
		}
		return after.write(tx)
	})
	if err != nil {
		return nil, err
	}
	q.stats = after
	for _, name := range woken {
		q.boxes[name].wake()
	}
	return ids, nil
}

//

// store gives r its identity, and writes it into the box of the check-ins and
// into those of the recipients named in filed.
func (q *Queue) store(tx *bbolt.Tx, r *checkin.Record, filed []string) error {
	seq, err := tx.Bucket(recordsBucket).NextSequence()
	if err != nil {
		return err
	}
	r.Event.ID = checkin.ID{Device: q.o.Device, Epoch: q.stats.Epoch, Seq: seq}
	value, err := encode(r)
	if err != nil {
		return err
	}
	for _, name := range append([]string{checkins}, filed...) {
		records, _ := q.boxes[name].buckets(tx)
		records.FillPercent = 1 // keys only rise
		if err := records.Put(key(seq), value); err != nil {
			return err
		}
	}
	return nil
}

// encrypt seals who to the authority.
func (q *Queue) encrypt(who *checkin.Identity) ([]byte, error) {
	plain, err := json.Marshal(who)
	if err != nil {
		return nil, fmt.Errorf("sealing an identity: %v", err)
	}
	defer clear(plain)
	return sealTo(q.seal, plain)
}
