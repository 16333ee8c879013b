package simulator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/screen"
)

// expectWithin is how long a positive expect waits, from the last stimulus.
const expectWithin = 5 * time.Second

// expect judges one expect line.
func expect(ctx context.Context, p *player, s *Step) error {
	within, err := s.duration("within", expectWithin)
	if err != nil {
		return err
	}
	deadline := p.at.Add(within)
	switch s.Words[0] {
	case "verdict":
		return p.expectVerdict(ctx, s, deadline)
	case "gate":
		return p.expectGate(ctx, s, deadline)
	case "said":
		return p.expectNamed(ctx, s, deadline, "spoken", catalogue.IDs())
	case "screen":
		return p.expectNamed(ctx, s, deadline, "screen", stateNames())
	case "alarm":
		return p.expectAlarm(ctx, s, deadline)
	case "device":
		return p.expectDevice(ctx, s, deadline)
	case "call":
		return p.expectCall(ctx, s, deadline)
	case "car":
		return p.expectCar(ctx, s, deadline)
	case "records":
		return p.expectRecords(ctx, s, deadline)
	case "report":
		return p.expectReport(ctx, s, deadline)
	}
	return fmt.Errorf("nothing can be expected of %q", s.Words[0])
}

// Alarms lists the alarms of the language.
func Alarms() []string {
	return []string{
		"fire", "tailgating", "device-gone", "queue-50", "queue-80", "queue-95", "queue-damaged", "identity-expired",
		"cache-stale", "cache-tampered", "clock", "moved", "guard-unanswered", "unrecorded", "policy-refused",
	}
}

// find waits for a fact, and says in the error what was seen instead.
func (p *player) find(ctx context.Context, deadline time.Time, kind string, is func(Fact) bool) error {
	_, err := p.bench.facts.wait(ctx, p.mark, deadline, func(f Fact) bool { return f.Kind == kind && is(f) })
	if err != errUnseen {
		return err
	}
	list, _ := p.bench.facts.after(p.mark)
	var seen []string
	for _, f := range list {
		if f.Kind == kind {
			seen = append(seen, f.String())
		}
	}
	if len(seen) == 0 {
		return fmt.Errorf("no %s was seen since the last stimulus", kind)
	}
	return fmt.Errorf("seen instead: %s", strings.Join(seen, "; "))
}

func (p *player) expectVerdict(ctx context.Context, s *Step, deadline time.Time) error {
	outcome := s.word(1)
	if !slices.Contains([]string{"granted", "refused", "manual"}, outcome) {
		return fmt.Errorf("a verdict is granted, refused or manual, not %q", outcome)
	}
	reason, mode := s.Named["reason"], s.Named["mode"]
	if reason != "" && !slices.Contains(checkin.Reasons(), checkin.Reason(reason)) {
		return fmt.Errorf("%q is no reason", reason)
	}
	return p.find(ctx, deadline, "verdict", func(f Fact) bool {
		return f.Outcome == outcome && (reason == "" || f.Reason == reason) && (mode == "" || f.Mode == mode)
	})
}

// expectNamed looks for a fact of kind whose name is the second word.
func (p *player) expectNamed(ctx context.Context, s *Step, deadline time.Time, kind string, known []string) error {
	name := s.word(1)
	if !slices.Contains(known, name) {
		return fmt.Errorf("%q is not known; there are %s", name, strings.Join(known, ", "))
	}
	return p.find(ctx, deadline, kind, func(f Fact) bool { return f.Name == name })
}

// expectAlarm looks for an alarm that goes up, or down.
func (p *player) expectAlarm(ctx context.Context, s *Step, deadline time.Time) error {
	name, state := s.word(1), or(s.word(2), "up")
	switch {
	case !slices.Contains(Alarms(), name):
		return fmt.Errorf("%q is not known; there are %s", name, strings.Join(Alarms(), ", "))
	case state != "up" && state != "down":
		return fmt.Errorf("an alarm is up or down, not %q", state)
	}
	return p.find(ctx, deadline, "alarm", func(f Fact) bool { return f.Name == name && f.State == state })
}

func stateNames() []string {
	var names []string
	for _, s := range screen.States() {
		names = append(names, string(s))
	}
	return names
}

func (p *player) expectDevice(ctx context.Context, s *Step, deadline time.Time) error {
	name, state := s.word(1), s.word(2)
	if state != "gone" && state != "ready" {
		return fmt.Errorf("a device is gone or ready, not %q", state)
	}
	if err := p.bench.has(name); err != nil {
		return err
	}
	return p.find(ctx, deadline, "device", func(f Fact) bool { return f.Name == name && f.State == state })
}

// settle is how long the lane must be idle before a negative is believed.
const settle = 200 * time.Millisecond

func (p *player) expectGate(ctx context.Context, s *Step, deadline time.Time) error {
	switch s.word(1) {
	case "released":
		return p.find(ctx, deadline, "gate", func(f Fact) bool { return f.State == "unlocked" })
	case "shut":
		return p.expectShut(ctx)
	}
	return fmt.Errorf("a gate is released or shut, not %q", s.word(1))
}

// expectShut waits until the stimulus has been answered and the lane is idle
// again, and requires that nothing was released and the gate is at rest.
func (p *player) expectShut(ctx context.Context) error {
	b := p.bench
	limit := time.Now().Add(2 * expectWithin)
	for time.Now().Before(limit) {
		list, _ := b.facts.after(p.mark)
		if i := slices.IndexFunc(list, func(f Fact) bool { return f.Kind == "gate" && f.State == "unlocked" }); i >= 0 {
			return fmt.Errorf("the gate was released %v after the stimulus", list[i].At.Sub(p.at).Round(time.Millisecond))
		}
		answered := slices.ContainsFunc(list, func(f Fact) bool {
			return f.Kind == "verdict" || f.Kind == "note" || f.Kind == "screen"
		})
		if (answered || time.Since(p.at) > expectWithin) && b.idle(ctx) {
			break
		}
		if err := sleep(ctx, settle); err != nil {
			return err
		}
	}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	if b.gateOpen() {
		return fmt.Errorf("the gate is not at rest")
	}
	list, _ := b.facts.after(p.mark)
	if slices.ContainsFunc(list, func(f Fact) bool { return f.Kind == "gate" && f.State == "unlocked" }) {
		return fmt.Errorf("the gate was released")
	}
	return nil
}

func (p *player) expectRecords(ctx context.Context, s *Step, deadline time.Time) error {
	for {
		err := p.recordsAre(ctx, s)
		if err == nil || !time.Now().Before(deadline) {
			return err
		}
		if serr := sleep(ctx, 50*time.Millisecond); serr != nil {
			return err
		}
	}
}

func (p *player) recordsAre(ctx context.Context, s *Step) error {
	got, err := p.bench.records(ctx)
	if err != nil {
		return err
	}
	for _, want := range []struct {
		name string
		got  int
	}{{"stored", got.stored}, {"delivered", got.delivered}, {"duplicate", got.duplicate}} {
		n, err := s.number(want.name, want.got)
		if err != nil {
			return err
		}
		if n != want.got {
			return fmt.Errorf("stored=%d delivered=%d duplicate=%d", got.stored, got.delivered, got.duplicate)
		}
	}
	return nil
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
