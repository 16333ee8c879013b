package queue

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

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

const maxBoxName = 64

// checkins is the name of the box that is no recipient's.
const checkins = ""

// box is a line of records on their way to one place: the check-ins to the
// platform, or the reports to one recipient.
type box struct {
	q     *Queue
	name  string                            // of the recipient, or checkins
	woken map[checkin.Traffic]chan struct{} // holds a token when there is something new to send
	back  map[checkin.Traffic]chan struct{} // holds a token when the far end has been heard of
	held  atomic.Int64                      // the backlog rests until then, in Unix nanoseconds
}

func newBox(q *Queue, name string) *box {
	b := &box{q: q, name: name, woken: map[checkin.Traffic]chan struct{}{}, back: map[checkin.Traffic]chan struct{}{}}
	for _, t := range []checkin.Traffic{checkin.Live, checkin.Backlog} {
		b.woken[t], b.back[t] = make(chan struct{}, 1), make(chan struct{}, 1)
	}
	b.wake()
	return b
}

// wake tells b's couriers that there is something to send.
func (b *box) wake() {
	for _, c := range b.woken {
		poke(c)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func checkRecipients(names []string) error {
	if len(names) > MaxRecipients {
		return fmt.Errorf("reports go to at most %d recipients, not %d", MaxRecipients, len(names))
	}
	for i, name := range names {
		if name == checkins || len(name) > maxBoxName || slices.Contains(names[:i], name) {
			return fmt.Errorf("a recipient of reports needs a name of its own of at most %d bytes, not %q", maxBoxName, name)
		}
	}
	return nil
}

// file decides who is reported an event of that kind, and counts in c who had
// no room. The caller is the writer.
func (q *Queue) file(c counters, filing map[string]int, kind checkin.EventKind) (_ counters, filed []string) {
	if kind != checkin.KindRefusal {
		return c, nil
	}
	room := max(1, q.o.Max/MaxRecipients)
	for _, name := range q.o.Recipients {
		if q.waiting(name)+filing[name] >= room {
			c = c.changing(name, func(o *outboxCounters) { o.Missed++ })
			continue
		}
		filing[name]++
		filed = append(filed, name)
	}
	return c, filed
}

// waiting counts what waits in one box. The caller is the writer, or holds q.mu.
func (q *Queue) waiting(box string) int {
	n := 0
	for _, f := range q.files {
		n += f.count[shelf{box: box}]
	}
	return n
}

// outboxes tells how each outbox is. The caller holds q.mu.
func (q *Queue) outboxes() map[string]Outbox {
	list := map[string]Outbox{}
	for _, name := range q.o.Recipients {
		list[name] = Outbox{}
	}
	for name, c := range q.state.Counters.Reports {
		list[name] = Outbox{Delivered: c.Delivered, Missed: c.Missed}
	}
	for _, f := range q.files {
		for s, n := range f.count {
			if s.box == checkins {
				continue
			}
			o := list[s.box]
			if s.dead {
				o.Dead += n
			} else {
				o.Waiting += n
			}
			list[s.box] = o
		}
	}
	for name, o := range list {
		o.LastError, o.NextTry = q.notes[name].last, q.notes[name].next
		o.Former = !slices.Contains(q.o.Recipients, name)
		list[name] = o
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

// MarkFormer says of each outbox whether its recipient is among those that are
// configured, and adds those for whom nothing was filed yet.
func (s *Stats) MarkFormer(recipients []string) {
	if s.Reports == nil && len(recipients) > 0 {
		s.Reports = map[string]Outbox{}
	}
	for _, name := range recipients {
		if _, ok := s.Reports[name]; !ok {
			s.Reports[name] = Outbox{}
		}
	}
	for name, o := range s.Reports {
		o.Former = !slices.Contains(recipients, name)
		s.Reports[name] = o
	}
}
