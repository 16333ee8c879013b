package backend

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Memory is a Store that lasts as long as the program.
type Memory struct {
	mu    sync.Mutex
	boxes map[string]*memoryBox
	trail []Entry
}

// memoryBox is what is held in the order in which it came, and where in it an
// identity is.
type memoryBox struct {
	held             []memoryItem
	ids              map[checkin.ID]int
	again, conflicts int
}

type memoryItem struct {
	item
	record checkin.Record
}

// NewMemory makes an empty store.
func NewMemory() *Memory { return &Memory{boxes: map[string]*memoryBox{}} }

// Keep takes a batch.
func (m *Memory) Keep(_ context.Context, b Batch) ([]Outcome, error) {
	items, err := b.prepare()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	box := m.boxes[b.Box]
	if box == nil {
		box = &memoryBox{ids: map[checkin.ID]int{}}
		m.boxes[b.Box] = box
	}
	outcomes := make([]Outcome, len(items))
	for i := range items {
		outcomes[i] = box.keep(memoryItem{items[i], b.Records[i]})
	}
	if e, ok := conflicts(b, outcomes); ok {
		m.note(e)
	}
	return outcomes, nil
}

func (b *memoryBox) keep(x memoryItem) Outcome {
	at, there := b.ids[x.id]
	switch {
	case !there:
		b.ids[x.id] = len(b.held)
		b.held = append(b.held, x)
		return Kept
	case b.held[at].mark != x.mark:
		b.conflicts++
		return Conflict
	case b.held[at].sum != x.sum:
		b.conflicts++
		b.again++
		return Altered
	}
	b.again++
	return Repeated
}

// Count counts what a box holds.
func (m *Memory) Count(_ context.Context, name string) (Counts, error) {
	box := m.box(name)
	n := newCounter(box.again, box.conflicts)
	for i := range box.held {
		n.add(box.held[i].visit, box.held[i].mark)
	}
	return n.Counts, nil
}

// Records gives what a box holds.
func (m *Memory) Records(_ context.Context, name string, yield func(checkin.Record) error) error {
	box := m.box(name)
	for i := range box.held {
		if err := yield(box.held[i].record); err != nil {
			return err
		}
	}
	return nil
}

// Find gives references, which are places in the box of the check-ins.
func (m *Memory) Find(_ context.Context, w Window) ([]Ref, error) {
	held := m.box(Checkins).held
	var refs []Ref
	for i := range held {
		if held[i].present && w.covers(&held[i].item) {
			refs = append(refs, Ref(i))
		}
	}
	slices.SortStableFunc(refs, func(a, b Ref) int { return held[a].when.Compare(held[b].when) })
	return refs, nil
}

func (w Window) covers(x *item) bool {
	return x.venue == w.Venue && !x.when.Before(w.From) && x.when.Before(w.To)
}

// Fetch reads records by reference.
func (m *Memory) Fetch(_ context.Context, refs []Ref, yield func(checkin.Record) error) error {
	held := m.box(Checkins).held
	for _, ref := range refs {
		if err := yield(held[ref].record); err != nil {
			return err
		}
	}
	return nil
}

// Tally counts visits by hour, verdict and lane.
func (m *Memory) Tally(_ context.Context, w Window) ([]Tally, error) {
	w.From, w.To = hour(w.From), hour(w.To.Add(time.Hour-1))
	held := m.box(Checkins).held
	found := map[Tally]int{}
	for i := range held {
		if x := &held[i].item; x.verdict != "" && w.covers(x) {
			found[Tally{Hour: hour(x.when), Verdict: x.verdict, Lane: x.lane}]++
		}
	}
	var list []Tally
	for t, n := range found {
		t.Visits = n
		list = append(list, t)
	}
	slices.SortFunc(list, byHour)
	return list, nil
}

func byHour(a, b Tally) int {
	return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Verdict, b.Verdict))
}

// Note appends to the audit trail.
func (m *Memory) Note(_ context.Context, e Entry) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.note(e), nil
}

func (m *Memory) note(e Entry) Entry {
	var last Entry
	if n := len(m.trail); n > 0 {
		last = m.trail[n-1]
	}
	m.trail = append(m.trail, e.after(last))
	return m.trail[len(m.trail)-1]
}

// Trail gives the audit trail.
func (m *Memory) Trail(_ context.Context, yield func(Entry) error) error {
	m.mu.Lock()
	trail := m.trail
	m.mu.Unlock()
	for _, e := range trail {
		if err := yield(e); err != nil {
			return err
		}
	}
	return nil
}

// Close forgets nothing: the store ends with the program.
func (m *Memory) Close() error { return nil }

//

// box gives a box as it is now: what is held is only added to.
func (m *Memory) box(name string) memoryBox {
	m.mu.Lock()
	defer m.mu.Unlock()
	if box := m.boxes[name]; box != nil {
		return *box
	}
	return memoryBox{}
}

// counter counts records one by one.
type counter struct {
	Counts
	seen map[[16]byte]bool
}

func newCounter(again, conflicts int) *counter {
	return &counter{Counts{Again: again, Conflicts: conflicts}, map[[16]byte]bool{}}
}

func (c *counter) add(visit bool, mark [16]byte) {
	c.Records++
	switch {
	case !visit:
	case c.seen[mark]:
		c.Duplicate++
	default:
		c.seen[mark] = true
		c.Visits++
	}
}

var _ Store = (*Memory)(nil)
