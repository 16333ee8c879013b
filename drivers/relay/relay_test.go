package relay

import (
	"bufio"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/haltest"
)

// rig is a driver on three lines, wired as in the package comment.
type rig struct {
	*Dev
	out, passage, fire *line
}

func open(t *testing.T, opts Opts) rig {
	t.Helper()
	r := rig{out: newLine("OUT", gpio.Level(opts.ActiveLow)), passage: newLine("PASSAGE", !opts.PassageActive), fire: newLine("FIRE", opts.FireClosed)}
	if opts.Rest == 0 {
		opts.Rest = Locked
	}
	d, err := New(Pins{r.out, r.passage, r.fire}, opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Dev = d
	t.Cleanup(func() { _ = d.Halt() })
	return r
}

func TestContract(t *testing.T) {
	for name, inputs := range map[string]bool{"with inputs": true, "without inputs": false} {
		t.Run(name, func(t *testing.T) {
			haltest.TestGate(t, func(t *testing.T) haltest.Rig {
				out, passage, fire := newLine("OUT", gpio.Low), newLine("PASSAGE", gpio.High), newLine("FIRE", gpio.Low)
				pins := Pins{Unlock: out}
				if inputs {
					pins.Passage, pins.Fire = passage, fire
				}
				d, err := New(pins, Opts{Rest: Locked})
				if err != nil {
					t.Fatal(err)
				}
				return haltest.Rig{
					Dev:    d,
					Unplug: func() { out.unplug(); passage.unplug(); fire.unplug() },
					AtRest: func() bool { return out.Read() == gpio.Low },
					Close:  func() {},
				}
			})
		})
	}
}

// step is one line of the levels file.
type step struct {
	at   time.Duration
	what string
}

// levels reads the file of levels with times.
func levels(t *testing.T) map[string][]step {
	t.Helper()
	f, err := os.Open("testdata/gate.levels")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, name := map[string][]step{}, ""
	for scan := bufio.NewScanner(f); scan.Scan(); {
		text := strings.TrimSpace(scan.Text())
		if n, ok := strings.CutPrefix(text, "== "); ok {
			name = n
		} else if text != "" && text[0] != '#' {
			at, what, _ := strings.Cut(text, " ")
			d, err := time.ParseDuration(at)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = append(all[name], step{d, what})
		}
	}
	return all
}

func TestLevels(t *testing.T) {
	all := levels(t)
	if len(all) < 7 {
		t.Fatalf("%d stories, want at least 7", len(all))
	}
	for name, steps := range all {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := open(t, Opts{})
				start := time.Now()
				var want []move
				bodies := 0
				for _, s := range steps {
					time.Sleep(time.Until(start.Add(s.at)))
					switch v, ok := strings.CutPrefix(s.what, "out="); {
					case ok:
						want = append(want, move{s.at, v == "1"})
					case s.what == "passage=0":
						bodies++
						r.passage.set(gpio.Low)
					case s.what == "passage=1":
						r.passage.set(gpio.High)
					case strings.HasPrefix(s.what, "fire="):
						r.fire.set(s.what == "fire=1")
						hasFire(t, r.Dev, s.what == "fire=1")
					default:
						r.do(t, s.what)
					}
				}
				time.Sleep(10 * time.Second)
				if !slices.Equal(r.out.moved(), want) {
					t.Errorf("out moved %v, want %v", r.out.moved(), want)
				}
				passages(t, r.Dev, bodies)
			})
		})
	}
}

func (r rig) do(t *testing.T, what string) {
	t.Helper()
	var err error
	switch words := strings.Fields(what); words[1] {
	case "release":
		d, perr := time.ParseDuration(words[2])
		err = errors.Join(perr, r.Release(t.Context(), d))
	case "lock":
		err = r.Lock(t.Context())
	case "halt":
		err = r.Halt()
	case "walk", "tear", "mend": // shows itself on the inputs
	default:
		t.Errorf("%q is no step", what)
	}
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// hasFire requires that the driver tells the state of the loop within 100 ms.
func hasFire(t *testing.T, d *Dev, want bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if got, err := d.WaitFire(ctx, !want); err != nil || got != want {
		t.Errorf("WaitFire() = %v, %v, want %v", got, err, want)
	}
}

// passages requires that exactly n bodies are reported.
func passages(t *testing.T, d *Dev, n int) {
	t.Helper()
	for i := range n + 1 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := d.WaitPassage(ctx)
		cancel()
		if i < n && err != nil {
			t.Errorf("body %d of %d: WaitPassage() = %v", i+1, n, err)
		}
		if i == n && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitPassage() = %v after all %d bodies, want context.DeadlineExceeded", err, n)
		}
	}
}

func TestOptsAreChecked(t *testing.T) {
	for name, o := range map[string]Opts{
		"no resting position":    {},
		"unknown rest":           {Rest: 3},
		"negative pulse":         {Rest: Locked, MinPulse: -1},
		"debounce of an hour":    {Rest: Locked, Debounce: time.Hour},
		"shortest pulse of 1min": {Rest: Locked, MinPulse: time.Minute},
	} {
		out := newLine("OUT", gpio.Low)
		if _, err := New(Pins{Unlock: out}, o); err == nil || len(out.moved()) > 0 {
			t.Errorf("%s: New() = %v after %v, want an error and no level", name, err, out.moved())
		}
	}
	if _, err := New(Pins{}, Opts{Rest: Locked}); err == nil {
		t.Error("New() without a line = nil, want an error")
	}
}

func TestRestAndPolarity(t *testing.T) {
	tests := []struct {
		name           string
		opts           Opts
		rest, released gpio.Level
	}{
		{"locked", Opts{Rest: Locked}, gpio.Low, gpio.High},
		{"locked, active low", Opts{Rest: Locked, ActiveLow: true}, gpio.High, gpio.Low},
		{"open", Opts{Rest: Open}, gpio.High, gpio.High},
		{"open, active low", Opts{Rest: Open, ActiveLow: true}, gpio.Low, gpio.Low},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := open(t, tt.opts)
				if got := r.out.Read(); got != tt.rest || len(r.out.moved()) != 1 {
					t.Errorf("after New the line is %v (%d levels given), want %v", got, len(r.out.moved()), tt.rest)
				}
				if err := r.Release(t.Context(), time.Second); err != nil {
					t.Fatal(err)
				}
				if got := r.out.Read(); got != tt.released {
					t.Errorf("released the line is %v, want %v", got, tt.released)
				}
				if err := r.Release(t.Context(), time.Second); err != hal.ErrBusy {
					t.Errorf("second Release() = %v, want hal.ErrBusy itself", err)
				}
				time.Sleep(2 * time.Second)
				if got := r.out.Read(); got != tt.rest {
					t.Errorf("afterwards the line is %v, want %v", got, tt.rest)
				}
			})
		})
	}
}

func TestATornWireReadsAsItShould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		low := open(t, Opts{})
		if low.passage.pull != gpio.PullUp || low.fire.pull != gpio.PullUp {
			t.Errorf("pulls %v and %v, want both up", low.passage.pull, low.fire.pull)
		}
		high := open(t, Opts{PassageActive: gpio.High, FireClosed: gpio.High})
		if high.passage.pull != gpio.PullDown || high.fire.pull != gpio.PullDown {
			t.Errorf("pulls %v and %v, want both down", high.passage.pull, high.fire.pull)
		}
	})
}

func TestASpikeIsNeitherABodyNorAFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Opts{})
		for range 10 {
			r.passage.set(gpio.Low)
			r.fire.set(gpio.High)
			time.Sleep(5 * time.Millisecond)
			r.passage.set(gpio.High)
			r.fire.set(gpio.Low)
			time.Sleep(time.Second)
		}
		passages(t, r.Dev, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := r.WaitFire(ctx, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitFire() = %v, %v, want to wait in vain", got, err)
		}
	})
}

func TestAContactThatChattersIsOneBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Opts{})
		for i := range 9 {
			r.passage.set(i%2 == 1)
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		r.passage.set(gpio.High)
		time.Sleep(100 * time.Millisecond)
		passages(t, r.Dev, 1)
	})
}

func TestAMissedEdgeIsSeenAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Opts{})
		r.fire.mu.Lock()
		r.fire.level = gpio.High // no edge
		r.fire.mu.Unlock()
		hasFire(t, r.Dev, true)
	})
}

func TestSixteenBodiesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Opts{})
		for range 20 {
			r.passage.set(gpio.Low)
			time.Sleep(100 * time.Millisecond)
			r.passage.set(gpio.High)
			time.Sleep(100 * time.Millisecond)
		}
		passages(t, r.Dev, 16)
	})
}

func TestAFireThatBurnsAlreadyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, fire := newLine("OUT", gpio.Low), newLine("FIRE", gpio.High)
		d, err := New(Pins{Unlock: out, Fire: fire}, Opts{Rest: Locked})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := d.WaitFire(ctx, true); err == nil && !got {
			t.Error("WaitFire(true) tells of no fire, before it has looked")
		}
		hasFire(t, d, true)
		if err := d.WaitPassage(t.Context()); d.HasPassageSensor() || err == nil {
			t.Errorf("WaitPassage() without a sensor = %v, want an error", err)
		}
		if err := d.Halt(); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitsEnd(t *testing.T) {
	ends := []struct {
		name string
		do   func(r rig, cancel func())
		want func(error) bool
	}{
		{"by halt", func(r rig, _ func()) { _ = r.Halt() }, func(err error) bool { return errors.Is(err, errHalted) }},
		{"by the context", func(_ rig, cancel func()) { cancel() }, func(err error) bool { return err == context.Canceled }},
		{"when the passage pin is lost", func(r rig, _ func()) { r.passage.unplug() }, isGone},
		{"when the fire pin is lost", func(r rig, _ func()) { r.fire.unplug() }, isGone},
	}
	for _, tt := range ends {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := open(t, Opts{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := make(chan error, 2)
				go func() { done <- r.WaitPassage(ctx) }()
				go func() { _, err := r.WaitFire(ctx, false); done <- err }()
				time.Sleep(time.Second)
				tt.do(r, cancel)
				start := time.Now()
				for range 2 {
					if err := <-done; !tt.want(err) {
						t.Errorf("the wait ended with %v", err)
					}
				}
				if d := time.Since(start); d > 200*time.Millisecond {
					t.Errorf("the waits ended after %v", d)
				}
			})
		})
	}
}

func isGone(err error) bool { return errors.Is(err, hal.ErrGone) }

func TestALostPinMakesTheGateGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Opts{})
		r.fire.unplug()
		time.Sleep(100 * time.Millisecond)
		for range 2 {
			if err := r.Release(t.Context(), time.Second); !isGone(err) {
				t.Errorf("Release() = %v, want hal.ErrGone", err)
			}
		}
		if err := r.Probe(t.Context()); !isGone(err) {
			t.Errorf("Probe() = %v, want hal.ErrGone", err)
		}
		if len(r.out.moved()) != 1 {
			t.Errorf("the line moved %v, want only the resting level", r.out.moved())
		}
	})
}

func TestALostLineDoesNotPulseWhenItComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Opts{})
		r.out.unplug()
		if err := r.Release(t.Context(), time.Second); !isGone(err) {
			t.Errorf("Release() = %v, want hal.ErrGone", err)
		}
		r.out.mu.Lock()
		r.out.gone = nil
		r.out.mu.Unlock()
		if err := r.Release(t.Context(), time.Second); !isGone(err) {
			t.Errorf("Release() = %v on a gate that was lost, want hal.ErrGone", err)
		}
		time.Sleep(time.Minute)
		if len(r.out.moved()) != 1 {
			t.Errorf("the line moved %v, want only the resting level", r.out.moved())
		}
	})
}

func TestTheWatchBeginsAgainAfterHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Opts{})
		r.passage.set(gpio.Low)
		time.Sleep(time.Second)
		if err := r.Halt(); err != nil {
			t.Fatal(err)
		}
		r.passage.set(gpio.High)
		passages(t, r.Dev, 0) // what was seen before the halt is no news
		r.passage.set(gpio.Low)
		time.Sleep(time.Second)
		passages(t, r.Dev, 1)
	})
}

func TestADeafPinDoesNotHangHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wake := make(chan struct{})
		d, err := New(Pins{Unlock: newLine("OUT", gpio.Low), Fire: deaf{newLine("FIRE", gpio.Low), wake}}, Opts{Rest: Locked})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		if err := d.Halt(); err != nil || time.Since(start) > time.Second {
			t.Errorf("Halt() = %v after %v, want nil within 1s", err, time.Since(start))
		}
		close(wake)
	})
}

func ExampleNew() {
	var unlock gpio.PinOut // from the machine
	gate, err := New(Pins{Unlock: unlock}, Opts{Rest: Locked, ActiveLow: true})
	if err != nil {
		return
	}
	defer gate.Halt()
	_ = gate.Release(context.Background(), 3*time.Second)
}
