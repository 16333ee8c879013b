package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// Result is how a scenario ended.
type Result int

// The results; they are sentinel-sim's exit codes.
const (
	Held         Result = 0 // every expect held
	Failed       Result = 1 // one did not, or something broke
	NotAvailable Result = 3 // a verb cannot be carried out here: never a pass
)

// errNotAvailable is a verb that this front or this version cannot carry out.
type errNotAvailable struct{ why string }

func (e *errNotAvailable) Error() string { return "not available: " + e.why }

// Play plays s on a fresh bench, tells the story on out, and ends the bench.
func Play(ctx context.Context, s *Scenario, o Opts, out io.Writer) Result {
	start := time.Now()
	fmt.Fprintf(out, "── %s (front %s)\n", s.Name, o.Front)
	o.Card = o.Card || s.needsCard()
	p := &player{s: s, o: o, out: out, start: start, passes: map[string]string{}}
	err := p.play(ctx)
	if p.bench != nil {
		if cerr := p.bench.Close(); err == nil {
			err = cerr
		}
	}
	took := time.Since(start).Round(time.Millisecond)
	var unavailable *errNotAvailable
	switch {
	case err == nil:
		fmt.Fprintf(out, "── held: %s in %v\n", s.Name, took)
		return Held
	case errors.As(err, &unavailable):
		fmt.Fprintf(out, "── NOT AVAILABLE: %s: %v\n", s.Name, err)
		return NotAvailable
	}
	fmt.Fprintf(out, "── FAILED: %s: %v\n", s.Name, err)
	return Failed
}

// player walks through one scenario.
type player struct {
	s     *Scenario
	o     Opts
	out   io.Writer
	start time.Time
	bench *Bench

	mark int       // the log's end at the last stimulus
	at   time.Time // of the last stimulus
	told int       // how much of the log has been told

	people []backend.Person  // made before the bench was
	group  string            // of the last car
	passes map[string]string // handed out, by person
}

func (p *player) play(ctx context.Context) error {
	for i := range p.s.Steps {
		step := &p.s.Steps[i]
		if err := p.step(ctx, step); err != nil {
			p.tell()
			return fmt.Errorf("line %d: %s: %w", step.Line, step.Text, err)
		}
		p.tell()
	}
	return nil
}

// reaction is how long a person takes at least from what he sees to what he
// does.
const reaction = 20 * time.Millisecond

func (p *player) step(ctx context.Context, s *Step) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if setup, ok := setups[s.Verb]; ok {
		return setup(p, s)
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	if s.stimulus() {
		// Nobody is quicker than this, and a lane that has just told a verdict is
		// still busy for a moment.
		if err := sleep(ctx, reaction); err != nil {
			return err
		}
		p.mark, p.at = p.bench.facts.mark(), time.Now()
		p.say("▶ " + s.Text)
	}
	do, ok := acts[s.Verb]
	if !ok {
		return &errNotAvailable{s.Verb + " comes with a later part of the product"}
	}
	return do(ctx, p, s)
}

// open starts the bench at the first line that needs it.
func (p *player) open(ctx context.Context) error {
	if p.bench != nil {
		return nil
	}
	b, err := New(p.o)
	if err != nil {
		return err
	}
	p.bench = b
	for _, person := range p.people {
		b.platform.SetPerson(person)
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	if err := b.publish(ctx); err != nil {
		return err
	}
	p.mark, p.at = b.facts.mark(), time.Now()
	p.told = p.mark
	return nil
}

// tell prints what has been seen since the last line.
func (p *player) tell() {
	if p.bench == nil {
		return
	}
	list, _ := p.bench.facts.after(p.told)
	p.told += len(list)
	for _, f := range list {
		p.sayAt(f.At, "    "+f.String())
	}
}

func (p *player) say(text string) { p.sayAt(time.Now(), text) }

func (p *player) sayAt(t time.Time, text string) {
	fmt.Fprintf(p.out, "%8.3fs  %s\n", t.Sub(p.start).Seconds(), text)
}

// String tells a fact in words.
func (f Fact) String() string {
	parts := []string{f.Kind}
	for _, s := range []string{f.Name, f.State, f.Outcome, f.Reason} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if f.Mode != "" {
		parts = append(parts, "mode="+f.Mode)
	}
	if f.Text != "" {
		parts = append(parts, fmt.Sprintf("%q", f.Text))
	}
	if f.Took > 0 {
		parts = append(parts, (time.Duration(f.Took) * time.Microsecond).String())
	}
	return strings.Join(parts, " ")
}
