package simulator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Recipients are those to whom every bench's kiosk reports refusals: the
// disease control centre, and the trade's authority of the venue.
func Recipients() []string { return []string{"cdc", "venue-trade"} }

// seeReport writes down that a report has arrived.
func (b *Bench) seeReport(recipient string, _ checkin.Record, again bool) {
	state := "stored"
	if again {
		state = "again"
	}
	b.facts.add(Fact{Kind: "report", Name: recipient, State: state})
}

// expectReport looks for a report at a recipient, or makes sure that there is
// none.
func (p *player) expectReport(ctx context.Context, s *Step, deadline time.Time) error {
	recipient := s.Named["recipient"]
	if recipient != "" && !slices.Contains(Recipients(), recipient) {
		return fmt.Errorf("%q is no recipient; there are %s", recipient, strings.Join(Recipients(), ", "))
	}
	switch {
	case s.word(1) == "none":
		return p.expectNoReport(ctx, recipient)
	case s.word(1) != "delivered":
		return fmt.Errorf("a report is delivered, or there is none, not %q", s.word(1))
	case recipient == "":
		return fmt.Errorf("a report is delivered to a recipient: write recipient=%s", strings.Join(Recipients(), " or "))
	}
	return p.expectDelivered(ctx, recipient, deadline)
}

// expectDelivered waits for an arrival: a report that comes again because the
// reply was lost is one that is delivered now. No visit is reported twice.
func (p *player) expectDelivered(ctx context.Context, recipient string, deadline time.Time) error {
	if err := p.find(ctx, deadline, "report", func(f Fact) bool { return f.Name == recipient }); err != nil {
		return err
	}
	held, err := p.bench.platform.Store().Count(ctx, recipient)
	if err == nil && held.Duplicate > 0 {
		err = fmt.Errorf("%s holds %d reports of visits that it held already", recipient, held.Duplicate)
	}
	return err
}

// expectNoReport waits until the lane is idle again, and requires that nothing
// has arrived since the last stimulus and nothing more is on its way. An empty
// recipient stands for all.
func (p *player) expectNoReport(ctx context.Context, recipient string) error {
	ours := func(name string) bool { return recipient == "" || recipient == name }
	if err := p.untilIdle(ctx); err != nil {
		return err
	}
	list, _ := p.bench.facts.after(p.mark)
	if i := slices.IndexFunc(list, func(f Fact) bool { return f.Kind == "report" && ours(f.Name) }); i >= 0 {
		return fmt.Errorf("a report came to %s", list[i].Name)
	}
	status, err := p.bench.seen.status(ctx)
	if err != nil {
		return err
	}
	for name, o := range status.Queue.Reports {
		if ours(name) && o.Waiting > 0 {
			return fmt.Errorf("%d reports to %s are on their way", o.Waiting, name)
		}
	}
	return nil
}

// untilIdle waits until the last stimulus has been answered and the lane serves
// nobody, and a little longer.
func (p *player) untilIdle(ctx context.Context) error {
	for time.Since(p.at) < 2*expectWithin {
		list, _ := p.bench.facts.after(p.mark)
		answered := slices.ContainsFunc(list, func(f Fact) bool { return f.Kind == "verdict" || f.Kind == "note" })
		if (answered || time.Since(p.at) > expectWithin) && p.bench.idle(ctx) {
			break
		}
		if err := sleep(ctx, settle); err != nil {
			return err
		}
	}
	return sleep(ctx, settle)
}
