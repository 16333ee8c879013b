package simulator_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// kills is how often TestKilledAnywhere kills the agent.
const kills = 30

// played starts a bench with the real program, and gives what plays a line on it.
func played(t *testing.T) (_ *simulator.Bench, do func(line string)) {
	t.Helper()
	b, err := simulator.New(simulator.Opts{Front: simulator.PTY, Sentinel: sentinel(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	panel := simulator.NewPanel(b)
	return b, func(line string) {
		t.Helper()
		if err := panel.Do(t.Context(), line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

// TestKilledAnywhere kills the real program with SIGKILL while a visitor is
// served, at a random moment or at the very moment at which the gate opens.
// However it falls: no gate opens without a record that reaches the platform,
// and the platform holds no record twice.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	b, do := played(t)
	opened := watchGate(t, b)
	// Two people in turn: a module does not send the same code twice within half
	// a second, whoever listens.
	people := [2]string{"wang", "chen"}
	do("person wang id=11010519491231002X name=王小明 colour=green nat=1h")
	do("person chen id=110105194912310038 name=陈奶奶 colour=green nat=1h")
	for i := range kills {
		before := opened.count.Load()
		do("scan person " + people[i%2])
		if i%3 == 0 {
			opened.after(before, time.Second)
		} else {
			time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond)
		}
		if err := b.KillAgent(); err != nil {
			t.Fatal(err)
		}
		if err := b.StartAgent(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	do("scan person " + people[kills%2]) // the last one lives, and so does the delivery of all before
	do("expect gate released within=10s")
	want := opened.count.Load()
	got := delivered(t, b, int(want))
	t.Logf("%d kills: the gate opened %d times, %d visits delivered, %d twice", kills, want, got.Visits, got.Duplicate)
	if int64(got.Visits) < want || got.Duplicate != 0 {
		t.Errorf("the gate opened %d times, the platform holds %d visits, %d of them twice", want, got.Visits, got.Duplicate)
	}
	if want < kills/4 {
		t.Errorf("the gate opened %d times in %d visits: this test looks at too few", want, kills)
	}
}

// gateWatch counts how often the gate opened, as its far end has it.
type gateWatch struct {
	count atomic.Int64
	mu    sync.Mutex
	more  chan struct{}
}

func watchGate(t *testing.T, b *simulator.Bench) *gateWatch {
	w := &gateWatch{more: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Follow(ctx, b.Mark(), func(f simulator.Fact) {
			if f.Kind == "gate" && f.State == "unlocked" {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.count.Add(1)
				close(w.more)
				w.more = make(chan struct{})
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// after returns once the gate has opened more than n times, or limit is over.
func (w *gateWatch) after(n int64, limit time.Duration) {
	over := time.After(limit)
	for {
		w.mu.Lock()
		more, now := w.more, w.count.Load()
		w.mu.Unlock()
		if now > n {
			return
		}
		select {
		case <-more:
		case <-over:
			return
		}
	}
}

// delivered waits until the platform holds want visits, or no more come.
func delivered(t *testing.T, b *simulator.Bench, want int) backend.Counts {
	t.Helper()
	var at backend.Counts
	for range 200 {
		if at = count(t, b, backend.Checkins); at.Visits >= want {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return at
}

// count counts what the platform holds for itself, or for a recipient of
// reports.
func count(t *testing.T, b *simulator.Bench, box string) backend.Counts {
	t.Helper()
	c, err := b.Platform().Store().Count(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// list gives what the platform holds for itself, or for a recipient of reports.
func list(t *testing.T, b *simulator.Bench, box string) (records []checkin.Record) {
	t.Helper()
	err := b.Platform().Store().Records(t.Context(), box, func(r checkin.Record) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}
