package queue

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Outbox is how the reports to one recipient are. What he delivered, buried and
// missed survives restarts.
type Outbox struct {
	Waiting   int       `json:"waiting"`
	Delivered int       `json:"delivered"`
	Dead      int       `json:"dead"`             // refused by him for good
	Missed    int       `json:"missed,omitempty"` // not filed, because the outbox was full
	Former    bool      `json:"former,omitempty"` // not configured any more; nobody delivers what waits
	LastError string    `json:"last_error,omitempty"`
	NextTry   time.Time `json:"next_try,omitzero"` // while backing off
}

// MaxRecipients is the most that a kiosk reports to: each of them costs a copy
// of every refusal.
const MaxRecipients = 8

// box is a line of records on their way to one place: the check-ins to the
// platform, or the reports to one recipient.
type box struct {
	q     *Queue
	name  string        // of the recipient, or checkins
	woken chan struct{} // holds a token when there is something new to send
}

// checkins is the name of the box that is no recipient's.
const checkins = ""

// On the disk the outboxes are reports/NAME/records and reports/NAME/dead; the
// check-ins' two buckets stand at the top. Keys and values are the same.
var reportsBucket = []byte("reports")

// buckets finds b's records and its dead.
func (b *box) buckets(tx *bbolt.Tx) (records, grave *bbolt.Bucket) {
	if b.name == checkins {
		return tx.Bucket(recordsBucket), tx.Bucket(deadBucket)
	}
	own := tx.Bucket(reportsBucket).Bucket([]byte(b.name))
	return own.Bucket(recordsBucket), own.Bucket(deadBucket)
}

// wake tells b's drain that there is something to send.
func (b *box) wake() {
	select {
	case b.woken <- struct{}{}:
	default:
	}
}

func checkRecipients(names []string) error {
	if len(names) > MaxRecipients {
		return fmt.Errorf("reports go to at most %d recipients, not %d", MaxRecipients, len(names))
	}
	for i, name := range names {
		if name == checkins || len(name) > 64 || slices.Contains(names[:i], name) {
			return fmt.Errorf("a recipient of reports needs a name of its own of at most 64 bytes, not %q", name)
		}
	}
	return nil
}

// openOutboxes makes the outboxes that are missing, and every box. A file of a
// program that knew no reports gets its outboxes here.
func (q *Queue) openOutboxes() error {
	for _, name := range append([]string{checkins}, q.o.Recipients...) {
		b := &box{q: q, name: name, woken: make(chan struct{}, 1)}
		b.wake()
		q.boxes[name] = b
	}
	missing := func(name string) bool { _, ok := q.stats.Reports[name]; return !ok }
	if slices.ContainsFunc(q.o.Recipients, missing) {
		if err := q.update(q.makeOutboxes); err != nil {
			return fmt.Errorf("making the outboxes: %w", err)
		}
	}
	for _, name := range q.o.Recipients {
		q.stats = q.stats.changing(name, func(*Outbox) {})
	}
	q.stats.MarkFormer(q.o.Recipients)
	return nil
}

func (q *Queue) makeOutboxes(tx *bbolt.Tx) error {
	reports, err := tx.CreateBucketIfNotExists(reportsBucket)
	if err != nil {
		return err
	}
	for _, name := range q.o.Recipients {
		own, err := reports.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			return err
		}
		_, rerr := own.CreateBucketIfNotExists(recordsBucket)
		_, derr := own.CreateBucketIfNotExists(deadBucket)
		if err := errors.Join(rerr, derr); err != nil {
			return err
		}
	}
	return nil
}

// file decides who is reported an event of that kind, and counts it in s. The
// caller holds q.mu.
func (q *Queue) file(s Stats, kind checkin.EventKind) (_ Stats, filed []string) {
	if kind != checkin.KindRefusal {
		return s, nil
	}
	room := max(1, q.o.Max/MaxRecipients)
	for _, name := range q.o.Recipients {
		s = s.changing(name, func(o *Outbox) {
			if o.Waiting >= room {
				o.Missed++
				return
			}
			o.Waiting++
			filed = append(filed, name)
		})
	}
	return s, filed
}

// MarkFormer says of each outbox whether its recipient is among those that are
// configured.
func (s *Stats) MarkFormer(recipients []string) {
	for name := range s.Reports {
		*s = s.changing(name, func(o *Outbox) { o.Former = !slices.Contains(recipients, name) })
	}
}

// changing returns s with another state of one outbox; s keeps its own.
func (s Stats) changing(name string, change func(*Outbox)) Stats {
	reports := maps.Clone(s.Reports)
	if reports == nil {
		reports = map[string]Outbox{}
	}
	o := reports[name]
	change(&o)
	reports[name] = o
	s.Reports = reports
	return s
}

// removing returns s after records have left the box of that name.
func (s Stats) removing(name string, held, dead int) Stats {
	if name != checkins {
		return s.changing(name, func(o *Outbox) {
			o.Waiting -= held + dead
			o.Delivered += held
			o.Dead += dead
		})
	}
	s.Depth -= held + dead
	s.Delivered += held
	s.Dead += dead
	return s
}

// noting returns s with what became of the last attempt.
func (s Stats) noting(name, last string, next time.Time) Stats {
	if name != checkins {
		return s.changing(name, func(o *Outbox) { o.LastError, o.NextTry = last, next })
	}
	s.LastError, s.NextTry = last, next
	return s
}

// outboxCounters is the part of Outbox that is kept on disk.
type outboxCounters struct {
	Delivered int `json:"delivered"`
	Dead      int `json:"dead"`
	Missed    int `json:"missed"`
}

func (s *Stats) outboxes() map[string]outboxCounters {
	list := map[string]outboxCounters{}
	for name, o := range s.Reports {
		list[name] = outboxCounters{o.Delivered, o.Dead, o.Missed}
	}
	return list
}

// readOutboxes counts what waits in each outbox that is on the disk.
func readOutboxes(tx *bbolt.Tx, kept map[string]outboxCounters) map[string]Outbox {
	reports := tx.Bucket(reportsBucket)
	if reports == nil {
		return nil
	}
	list := map[string]Outbox{}
	_ = reports.ForEachBucket(func(name []byte) error {
		c := kept[string(name)]
		o := Outbox{Delivered: c.Delivered, Dead: c.Dead, Missed: c.Missed}
		if records := reports.Bucket(name).Bucket(recordsBucket); records != nil {
			o.Waiting = records.Stats().KeyN
		}
		list[string(name)] = o
		return nil
	})
	return list
}
