package verify_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/verify"
)

// gate is a platform whose behaviour a test changes; it counts its questions.
type gate struct {
	asked  atomic.Int64
	delay  atomic.Int64
	broken atomic.Bool
	colour checkin.Colour
}

func (g *gate) Verify(ctx context.Context, _ checkin.Credential) (checkin.Status, error) {
	g.asked.Add(1)
	t := time.NewTimer(time.Duration(g.delay.Load()))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return checkin.Status{}, ctx.Err()
	}
	if g.broken.Load() {
		return checkin.Status{}, errors.New("refused")
	}
	now := time.Now()
	return checkin.Status{Known: true, Mode: checkin.ModeOnline, Colour: g.colour, MaskedName: "张*", AsOf: now, ValidUntil: now.Add(10 * time.Minute)}, nil
}

type table map[string]checkin.Status

func (t table) Lookup(c checkin.Credential) (checkin.Status, bool) {
	s, ok := t[c.Value]
	return s, ok
}

func person(value string) checkin.Credential {
	return checkin.Credential{Kind: checkin.ResidentID, Value: value}
}

func TestBIsAskedWhenAFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &gate{}, &gate{colour: checkin.Green}
		a.broken.Store(true)
		l := &verify.Ladder{Online: a, Second: b, Why: unreachable}
		for range 10 {
			start := time.Now()
			if s, why := l.Verify(t.Context(), person("1")); !s.Known || why != "" || time.Since(start) > 0 {
				t.Fatalf("Verify() = %+v, %q after %v", s, why, time.Since(start))
			}
		}
		if a.asked.Load() != 10 {
			t.Errorf("A was asked %d times, want every time", a.asked.Load())
		}
	})
}

// A that is slow is asked beside B for one question in twenty, no more.
func TestAnOverloadedPlatformIsNotDoubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &gate{colour: checkin.Green}, &gate{colour: checkin.Green}
		a.delay.Store(int64(time.Second))
		l := &verify.Ladder{Online: a, Second: b, Why: unreachable}
		for range 400 {
			if s, why := l.Verify(t.Context(), person("1")); !s.Known {
				t.Fatalf("no answer: %q", why)
			}
		}
		if n := b.asked.Load(); n < 15 || n > 22 {
			t.Errorf("B was asked %d times for 400 questions, want about 20", n)
		}
	})
}

// Three failures shorten the attempts; none is left out, and the first answer
// is taken.
func TestTheBreakerShortensAndNeverSkips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &gate{colour: checkin.Green}
		a.delay.Store(int64(time.Minute))
		l := &verify.Ladder{Online: a, Why: unreachable}
		for i, want := range []time.Duration{verify.Limit, verify.Limit, verify.Limit, verify.Short, verify.Short} {
			start := time.Now()
			if s, _ := l.Verify(t.Context(), person("1")); s.Known || time.Since(start) != want {
				t.Errorf("question %d: known %v after %v, want an end after %v", i+1, s.Known, time.Since(start), want)
			}
		}
		a.delay.Store(int64(200 * time.Millisecond))
		if s, _ := l.Verify(t.Context(), person("1")); !s.Known {
			t.Error("the first answer after the recovery was not taken")
		}
		a.delay.Store(int64(1900 * time.Millisecond))
		if s, _ := l.Verify(t.Context(), person("1")); !s.Known {
			t.Error("attempts stay short after an answer")
		}
	})
}

// What the platform has just said is good for as long as it says, in mode
// cached and without a name; then what is below answers.
func TestWhatIsBelowAnswersWhenThePlatformDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &gate{colour: checkin.Green}
		cache := table{"1": {Known: true, Mode: checkin.ModeCached, Colour: checkin.Yellow}, "2": {Known: true, Mode: checkin.ModeCached, Colour: checkin.Red}}
		l := &verify.Ladder{Online: a, Below: []verify.Rung{table{}, cache}, Why: unreachable}
		if s, _ := l.Verify(t.Context(), person("1")); s.Mode != checkin.ModeOnline {
			t.Fatalf("mode %s", s.Mode)
		}
		a.broken.Store(true)
		for _, tt := range []struct {
			value  string
			colour checkin.Colour
			known  bool
		}{{"1", checkin.Green, true}, {"2", checkin.Red, true}, {"3", "", false}} {
			s, why := l.Verify(t.Context(), person(tt.value))
			if s.Known != tt.known || s.Colour != tt.colour || s.MaskedName != "" || tt.known && s.Mode != checkin.ModeCached {
				t.Errorf("%s: %+v, %q", tt.value, s, why)
			}
			if !tt.known && why != checkin.PlatformUnreachable {
				t.Errorf("%s: %q", tt.value, why)
			}
		}
		time.Sleep(11 * time.Minute)
		if s, _ := l.Verify(t.Context(), person("1")); s.Colour != checkin.Yellow {
			t.Errorf("after its time the old answer stays: %+v", s)
		}
	})
}

// A platform that says that nobody has this credential has answered: nothing
// below may know better.
func TestNobodyIsAnAnswer(t *testing.T) {
	nobody := errors.New("404")
	l := &verify.Ladder{
		Online: platform(func(context.Context) (checkin.Status, error) { return checkin.Status{}, nobody }),
		Second: &gate{colour: checkin.Green},
		Below:  []verify.Rung{table{"1": {Known: true, Colour: checkin.Green}}},
		Why:    func(error) checkin.Reason { return checkin.NoStatus },
	}
	if s, why := l.Verify(t.Context(), person("1")); s.Known || why != checkin.NoStatus {
		t.Errorf("Verify() = %+v, %q", s, why)
	}
}
