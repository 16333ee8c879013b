package simulator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Fact is something that was seen from outside the agent: at a far end, at the
// platform, or on the control socket.
type Fact struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // verdict, release, gate, spoken, screen, alarm, device, record, report, note, passage, agent, stimulus
	Name    string    `json:"name,omitempty"`
	State   string    `json:"state,omitempty"`
	Outcome string    `json:"outcome,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Mode    string    `json:"mode,omitempty"`
	Text    string    `json:"text,omitempty"`
	Took    int64     `json:"took_us,omitempty"`
}

// facts is the bench's log, in the order in which things were seen.
type facts struct {
	mu    sync.Mutex
	list  []Fact
	woken chan struct{}
}

func newFacts() *facts { return &facts{woken: make(chan struct{})} }

func (f *facts) add(x Fact) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x.At = time.Now()
	f.list = append(f.list, x)
	close(f.woken)
	f.woken = make(chan struct{})
}

// mark returns a place to look from.
func (f *facts) mark() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.list)
}

// after returns the facts since mark and a channel that is closed when there
// are more.
func (f *facts) after(mark int) ([]Fact, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list[min(mark, len(f.list)):]), f.woken
}

// errUnseen is what wait gives when nothing of the kind was seen in time.
var errUnseen = errors.New("it was not seen")

// wait looks for a fact since mark until deadline. A ctx that ends first is
// told by its cause: then nobody knows whether the fact would have come.
func (f *facts) wait(ctx context.Context, mark int, deadline time.Time, is func(Fact) bool) (Fact, error) {
	limit := time.NewTimer(time.Until(deadline))
	defer limit.Stop()
	for {
		list, more := f.after(mark)
		if i := slices.IndexFunc(list, is); i >= 0 {
			return list[i], nil
		}
		select {
		case <-more:
		case <-limit.C:
			return Fact{}, errUnseen
		case <-ctx.Done():
			return Fact{}, context.Cause(ctx)
		}
	}
}

// Mark is the present end of the log, for Follow.
func (b *Bench) Mark() int { return b.facts.mark() }

// Follow calls f with every fact since mark, until ctx ends.
func (b *Bench) Follow(ctx context.Context, mark int, f func(Fact)) {
	seen := mark
	for {
		list, more := b.facts.after(seen)
		seen += len(list)
		for _, x := range list {
			f(x)
		}
		select {
		case <-ctx.Done():
			return
		case <-more:
		}
	}
}
