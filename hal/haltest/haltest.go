// Package haltest is the contract of hal as tests: give it a way to open your
// driver against a far end, it tells you whether the driver keeps its word.
//
// Every check runs in its own testing/synctest bubble, so waiting costs
// nothing. Open is called inside the bubble; the rig's Close must end every
// goroutine the far end started.
package haltest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3"

	"github.com/digital-sentinel/sentinel/hal"
)

// prompt is how soon a cancelled or halted call must return.
const prompt = time.Second

// Rig is one opened driver and what happens at its far end.
type Rig struct {
	// Dev is the driver under test; it implements the role.
	Dev conn.Resource
	// Present makes the far end do what the role waits for: show the code
	// "HALTEST-1", lay a readable card. Nil for roles that only obey.
	Present func()
	// Unplug makes the line die.
	Unplug func()
	// AtRest reports, for a gate, whether the far end is in the resting
	// position.
	AtRest func() bool
	// Close ends the far end and closes the line. It is called after Halt.
	Close func()
}

// Open builds a fresh rig.
type Open func(t *testing.T) Rig

// run runs one check in a bubble.
func run(t *testing.T, name string, open Open, check func(t *testing.T, r Rig)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := open(t)
			defer r.Close()
			defer func() { _ = r.Dev.Halt() }()
			check(t, r)
		})
	})
}

// call is one blocking call of the role under test.
type call func(ctx context.Context, dev conn.Resource) error

// resource checks what all roles promise. blocks says that the call waits for
// something the rig does not do by itself.
func resource(t *testing.T, open Open, c call, blocks bool) {
	run(t, "names itself", open, func(t *testing.T, r Rig) {
		if s := r.Dev.String(); s == "" || strings.ContainsAny(s, "\n\r") {
			t.Errorf("String() = %q, want one line with a name", s)
		}
	})
	run(t, "halts before use and twice", open, func(t *testing.T, r Rig) {
		for range 2 {
			if err := r.Dev.Halt(); err != nil {
				t.Errorf("Halt() = %v, want nil", err)
			}
		}
	})
	run(t, "a cancelled context returns at once", open, func(t *testing.T, r Rig) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		if err := c(ctx, r.Dev); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want context.Canceled", err)
		}
		if d := time.Since(start); d > prompt {
			t.Errorf("returned after %v, want at most %v", d, prompt)
		}
	})
	run(t, "an unplugged device is gone", open, func(t *testing.T, r Rig) {
		r.Unplug()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c(ctx, r.Dev); !errors.Is(err, hal.ErrGone) {
			t.Errorf("error = %v, want one that wraps hal.ErrGone", err)
		}
	})
	run(t, "a probe tells whether it is there", open, func(t *testing.T, r Rig) {
		p, ok := r.Dev.(hal.Prober)
		if !ok {
			return // an optional ability
		}
		if err := p.Probe(t.Context()); err != nil {
			t.Errorf("Probe() = %v, want nil", err)
		}
		r.Unplug()
		if err := p.Probe(t.Context()); !errors.Is(err, hal.ErrGone) {
			t.Errorf("Probe() = %v after unplugging, want one that wraps hal.ErrGone", err)
		}
	})
	if !blocks {
		return
	}
	run(t, "a deadline ends a blocked call with its error", open, func(t *testing.T, r Rig) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := c(ctx, r.Dev); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want context.DeadlineExceeded", err)
		}
		if d := time.Since(start); d > 10*time.Second+prompt {
			t.Errorf("returned after %v, want 10s", d)
		}
	})
	run(t, "unplugging ends a blocked call", open, func(t *testing.T, r Rig) {
		time.AfterFunc(3*time.Second, r.Unplug)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c(ctx, r.Dev); !errors.Is(err, hal.ErrGone) {
			t.Errorf("error = %v, want one that wraps hal.ErrGone", err)
		}
	})
	run(t, "Halt ends a blocked call", open, func(t *testing.T, r Rig) {
		done := make(chan error, 1)
		go func() { done <- c(t.Context(), r.Dev) }()
		time.Sleep(2 * time.Second)
		if err := r.Dev.Halt(); err != nil {
			t.Errorf("Halt() = %v, want nil", err)
		}
		select {
		case err := <-done:
			if err == nil {
				t.Error("the halted call returned no error")
			}
		case <-time.After(prompt):
			t.Fatal("the call still blocks after Halt")
		}
	})
}

// TestScanner checks a Scanner. Present shows the code HALTEST-1.
func TestScanner(t *testing.T, open Open) {
	scan := func(ctx context.Context, dev conn.Resource) error {
		_, err := dev.(hal.Scanner).Scan(ctx)
		return err
	}
	resource(t, open, scan, true)
	run(t, "a code shown while nobody asks is dropped", open, func(t *testing.T, r Rig) {
		r.Present()
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := scan(ctx, r.Dev); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want context.DeadlineExceeded: the old code was handed up", err)
		}
	})
	run(t, "a code shown while asking is handed up whole", open, func(t *testing.T, r Rig) {
		for range 3 {
			time.AfterFunc(2*time.Second, r.Present)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			code, err := r.Dev.(hal.Scanner).Scan(ctx)
			cancel()
			if err != nil || string(code.Data) != "HALTEST-1" {
				t.Fatalf("Scan() = %d bytes, %v, want HALTEST-1", len(code.Data), err)
			}
			time.Sleep(5 * time.Second)
		}
	})
}

// TestCardReader checks a CardReader. Present lays a readable card, and lifts
// it again after three seconds.
func TestCardReader(t *testing.T, open Open) {
	read := func(ctx context.Context, dev conn.Resource) error {
		_, err := dev.(hal.CardReader).ReadCard(ctx)
		return err
	}
	resource(t, open, read, true)
	run(t, "a card laid down is read whole", open, func(t *testing.T, r Rig) {
		time.AfterFunc(2*time.Second, r.Present)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		card, err := r.Dev.(hal.CardReader).ReadCard(ctx)
		if err != nil || card.Number == "" {
			t.Errorf("ReadCard() = %v, %v, want a card with its number", card, err)
		}
	})
}

// TestThermometer checks a Thermometer whose far end shows about 33 °C.
func TestThermometer(t *testing.T, open Open) {
	resource(t, open, func(ctx context.Context, dev conn.Resource) error {
		_, err := dev.(hal.Thermometer).Measure(ctx)
		return err
	}, false)
	run(t, "measures", open, func(t *testing.T, r Rig) {
		got, err := r.Dev.(hal.Thermometer).Measure(t.Context())
		if c := got.Object.Celsius(); err != nil || c < 32 || c > 34 {
			t.Errorf("Measure() = %v, %v, want about 33°C", got.Object, err)
		}
	})
}

// TestSpeaker checks a Speaker.
func TestSpeaker(t *testing.T, open Open) {
	p := hal.Prompt{ID: "ok", Text: "请通行"}
	play := func(ctx context.Context, dev conn.Resource) error {
		return dev.(hal.Speaker).Play(ctx, p)
	}
	resource(t, open, play, false)
	run(t, "Halt ends a long prompt", open, func(t *testing.T, r Rig) {
		done := make(chan error, 1)
		go func() {
			done <- r.Dev.(hal.Speaker).Play(t.Context(), hal.Prompt{ID: "long", Text: strings.Repeat("请通行", 20)})
		}()
		time.Sleep(500 * time.Millisecond)
		if err := r.Dev.Halt(); err != nil {
			t.Errorf("Halt() = %v, want nil", err)
		}
		select {
		case <-done:
		case <-time.After(prompt):
			t.Error("Play still blocks after Halt")
		}
	})
	run(t, "a newer prompt cuts off the older", open, func(t *testing.T, r Rig) {
		long := hal.Prompt{ID: "long", Text: strings.Repeat("请通行", 20)}
		first := make(chan error, 1)
		go func() { first <- r.Dev.(hal.Speaker).Play(t.Context(), long) }()
		time.Sleep(500 * time.Millisecond)
		if err := play(t.Context(), r.Dev); err != nil {
			t.Errorf("second Play() = %v, want nil", err)
		}
		select {
		case err := <-first:
			if err != nil {
				t.Errorf("first Play() = %v, want nil when cut off", err)
			}
		case <-time.After(prompt):
			t.Error("the first Play still blocks after the second has ended")
		}
	})
}

// TestGate checks a Gate.
func TestGate(t *testing.T, open Open) {
	release := func(ctx context.Context, dev conn.Resource) error {
		return dev.(hal.Gate).Release(ctx, 3*time.Second)
	}
	resource(t, open, release, false)
	run(t, "locks again by itself, also after its context has ended", open, func(t *testing.T, r Rig) {
		ctx, cancel := context.WithCancel(t.Context())
		if err := release(ctx, r.Dev); err != nil {
			t.Fatalf("Release() = %v", err)
		}
		cancel()
		synctest.Wait()
		if r.AtRest() {
			t.Fatal("the gate is at rest right after Release")
		}
		time.Sleep(3*time.Second + prompt)
		if !r.AtRest() {
			t.Error("the gate is still open after its time")
		}
		if err := release(t.Context(), r.Dev); err != nil {
			t.Errorf("second Release() = %v, want nil", err)
		}
	})
	run(t, "a release during a release is refused", open, func(t *testing.T, r Rig) {
		if err := release(t.Context(), r.Dev); err != nil {
			t.Fatalf("Release() = %v", err)
		}
		time.Sleep(2 * time.Second)
		if err := release(t.Context(), r.Dev); !errors.Is(err, hal.ErrBusy) {
			t.Errorf("second Release() = %v, want hal.ErrBusy", err)
		}
		time.Sleep(time.Second + prompt)
		if !r.AtRest() {
			t.Error("the gate is still open after its first time: the second release extended it")
		}
	})
	run(t, "Halt puts it at rest", open, func(t *testing.T, r Rig) {
		if err := release(t.Context(), r.Dev); err != nil {
			t.Fatalf("Release() = %v", err)
		}
		if err := r.Dev.Halt(); err != nil {
			t.Errorf("Halt() = %v", err)
		}
		synctest.Wait()
		if !r.AtRest() {
			t.Error("the gate is open after Halt")
		}
	})
	run(t, "Lock ends a release", open, func(t *testing.T, r Rig) {
		l, ok := r.Dev.(hal.Locker)
		if !ok {
			return // an optional ability
		}
		if err := release(t.Context(), r.Dev); err != nil {
			t.Fatalf("Release() = %v", err)
		}
		if err := l.Lock(t.Context()); err != nil {
			t.Errorf("Lock() = %v", err)
		}
		synctest.Wait()
		if !r.AtRest() {
			t.Error("the gate is open after Lock")
		}
		if err := l.Lock(t.Context()); err != nil {
			t.Errorf("second Lock() = %v, want nil", err)
		}
	})
}
