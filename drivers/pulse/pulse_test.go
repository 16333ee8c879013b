package pulse_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/drivers/pulse"
	"github.com/digital-sentinel/sentinel/hal"
)

// wire notes every level with its time, and fails when told to.
type wire struct {
	mu    sync.Mutex
	start time.Time
	moves []move
	fail  []error       // of the next calls, nil for one that works
	slow  time.Duration // of every call that unlocks
}

type move struct {
	at       time.Duration
	unlocked bool
}

func newWire() *wire { return &wire{start: time.Now()} }

func (w *wire) drive(ctx context.Context, unlocked bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if unlocked && w.slow > 0 {
		select {
		case <-time.After(w.slow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if len(w.fail) > 0 {
		err := w.fail[0]
		w.fail = w.fail[1:]
		if err != nil {
			return err
		}
	}
	w.moves = append(w.moves, move{time.Since(w.start), unlocked})
	return nil
}

func (w *wire) want(t *testing.T, want ...move) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.moves, want) {
		t.Errorf("the wire moved %v, want %v", w.moves, want)
	}
}

func open(t *testing.T, w *wire, rest pulse.Rest) *pulse.Gate {
	t.Helper()
	g, err := pulse.New(t.Context(), w.drive, pulse.Opts{Rest: rest, Least: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestARestingPositionMustBeGiven(t *testing.T) {
	w := newWire()
	for _, rest := range []pulse.Rest{0, 3} {
		if _, err := pulse.New(t.Context(), w.drive, pulse.Opts{Rest: rest}); err == nil {
			t.Errorf("New(rest %d) = nil, want an error", rest)
		}
	}
	w.want(t)
}

func TestReleases(t *testing.T) {
	const s = time.Second
	off := func(at time.Duration) move { return move{at, false} }
	on := func(at time.Duration) move { return move{at, true} }
	tests := []struct {
		name string
		rest pulse.Rest
		do   func(t *testing.T, g *pulse.Gate)
		want []move
	}{
		{"locks when the time is up", pulse.Locked, func(t *testing.T, g *pulse.Gate) {
			ok(t, g.Release(t.Context(), 3*s))
			time.Sleep(10 * s)
		}, []move{off(0), on(0), off(3 * s)}},
		{"locks early when told", pulse.Locked, func(t *testing.T, g *pulse.Gate) {
			ok(t, g.Release(t.Context(), 3*s))
			time.Sleep(s)
			ok(t, g.Lock(t.Context()))
			time.Sleep(10 * s)
		}, []move{off(0), on(0), off(s)}},
		{"a lock at rest moves nothing", pulse.Locked, func(t *testing.T, g *pulse.Gate) {
			ok(t, g.Lock(t.Context()))
		}, []move{off(0)}},
		{"the timer of a release that ended early spares the next", pulse.Locked, func(t *testing.T, g *pulse.Gate) {
			ok(t, g.Release(t.Context(), 3*s))
			time.Sleep(2 * s)
			ok(t, g.Lock(t.Context()))
			ok(t, g.Release(t.Context(), 3*s))
			time.Sleep(10 * s)
		}, []move{off(0), on(0), off(2 * s), on(2 * s), off(5 * s)}},
		{"a second release extends nothing", pulse.Locked, func(t *testing.T, g *pulse.Gate) {
			ok(t, g.Release(t.Context(), 3*s))
			time.Sleep(2 * s)
			if err := g.Release(t.Context(), 3*s); !errors.Is(err, hal.ErrBusy) {
				t.Errorf("second Release() = %v, want hal.ErrBusy", err)
			}
			time.Sleep(10 * s)
		}, []move{off(0), on(0), off(3 * s)}},
		{"halt ends a release, and the gate may be used again", pulse.Locked, func(t *testing.T, g *pulse.Gate) {
			ok(t, g.Release(t.Context(), 3*s))
			time.Sleep(s)
			ok(t, g.Halt())
			time.Sleep(s)
			ok(t, g.Release(t.Context(), s))
			time.Sleep(10 * s)
		}, []move{off(0), on(0), off(s), on(2 * s), off(3 * s)}},
		{"a gate that rests open stays open", pulse.Open, func(t *testing.T, g *pulse.Gate) {
			ok(t, g.Release(t.Context(), 3*s))
			if err := g.Release(t.Context(), s); !errors.Is(err, hal.ErrBusy) {
				t.Errorf("second Release() = %v, want hal.ErrBusy", err)
			}
			time.Sleep(4 * s)
			ok(t, g.Halt())
		}, []move{on(0), on(0), on(3 * s), on(4 * s)}},
		{"too short a release is refused", pulse.Locked, func(t *testing.T, g *pulse.Gate) {
			for _, d := range []time.Duration{-s, 0, 99 * time.Millisecond} {
				if err := g.Release(t.Context(), d); err == nil {
					t.Errorf("Release(%v) = nil, want an error", d)
				}
			}
		}, []move{off(0)}},
		{"a probe repeats the resting position, and lets a release alone", pulse.Locked, func(t *testing.T, g *pulse.Gate) {
			time.Sleep(s)
			ok(t, g.Probe(t.Context()))
			ok(t, g.Release(t.Context(), 3*s))
			time.Sleep(s)
			ok(t, g.Probe(t.Context()))
			time.Sleep(10 * s)
		}, []move{off(0), off(s), on(s), off(4 * s)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire()
				tt.do(t, open(t, w, tt.rest))
				w.want(t, tt.want...)
			})
		})
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("error %v, want none", err)
	}
}

var errWire = errors.New("input/output error")

func TestALostGateIsNeverReleasedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := open(t, w, pulse.Locked)
		w.fail = []error{hal.Gone(errWire), hal.Gone(errWire)} // unlocking, then locking
		for range 2 {
			if err := g.Release(t.Context(), time.Second); !errors.Is(err, hal.ErrGone) {
				t.Errorf("Release() = %v, want hal.ErrGone", err)
			}
		}
		time.Sleep(10 * time.Second)
		w.want(t, move{0, false})
	})
}

func TestAGateThatCannotBeLockedIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := open(t, w, pulse.Locked)
		w.fail = []error{nil, errWire, errWire, errWire}
		ok(t, g.Release(t.Context(), time.Second))
		time.Sleep(2 * time.Second)
		for what, err := range map[string]error{
			"Release": g.Release(t.Context(), time.Second), "Lock": g.Lock(t.Context()), "Probe": g.Probe(t.Context()),
		} {
			if !errors.Is(err, hal.ErrGone) || !errors.Is(err, errWire) {
				t.Errorf("%s() = %v, want hal.ErrGone and its cause", what, err)
			}
		}
		ok(t, g.Halt()) // the wire works again: rest is still tried
		w.want(t, move{0, false}, move{0, true}, move{2 * time.Second, false})
	})
}

func TestALockThatFailsOnceIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := open(t, w, pulse.Locked)
		w.fail = []error{nil, errWire}
		ok(t, g.Release(t.Context(), time.Second))
		time.Sleep(2 * time.Second)
		ok(t, g.Release(t.Context(), time.Second))
		ok(t, g.Halt())
		w.want(t, move{0, false}, move{0, true}, move{time.Second, false}, move{2 * time.Second, true}, move{2 * time.Second, false})
	})
}

func TestAFailedReleaseGoesBackToRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := open(t, w, pulse.Locked)
		w.fail = []error{errWire}
		if err := g.Release(t.Context(), time.Second); !errors.Is(err, errWire) || errors.Is(err, hal.ErrGone) {
			t.Errorf("Release() = %v, want the wire's error and not gone", err)
		}
		time.Sleep(10 * time.Second)
		w.want(t, move{0, false}, move{0, false})
	})
}

func TestASlowWireCountsFromTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := open(t, w, pulse.Locked)
		w.slow = 900 * time.Millisecond
		ok(t, g.Release(t.Context(), time.Second))
		time.Sleep(10 * time.Second)
		w.want(t, move{0, false}, move{900 * time.Millisecond, true}, move{time.Second, false})
	})
}

func TestHaltEndsAReleaseThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := open(t, w, pulse.Locked)
		w.slow = time.Hour
		done := make(chan error, 2)
		for range 2 { // one at the wire, one behind it
			go func() { done <- g.Release(t.Context(), time.Second) }()
		}
		synctest.Wait()
		ok(t, g.Halt())
		for range 2 {
			if err := <-done; !errors.Is(err, pulse.ErrHalted) {
				t.Errorf("Release() = %v, want ErrHalted", err)
			}
		}
		time.Sleep(10 * time.Second)
		for _, m := range w.moves {
			if m.unlocked {
				t.Errorf("the gate was unlocked at %v, after Halt", m.at)
			}
		}
	})
}
