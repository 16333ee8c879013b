package agent_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// inReportingLane is a lane whose rule against red says report.
func inReportingLane(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.policy.Rules[0].Report = true
		r.start()
		f(r)
		r.stop()
	})
}

// TestARefusalThatIsReported: the visit and the incident are on the disk, each
// with an identity, before the visitor hears of anything.
func TestARefusalThatIsReported(t *testing.T) {
	inReportingLane(t, func(r *rig) {
		r.show(zhao)
		time.Sleep(100 * time.Millisecond)
		r.want("recorded visit refused code-red with identity", "recorded refusal refused code-red with identity", "said code-red")

		visit, incident := r.queue.kept[0], r.queue.kept[1]
		if r.queue.commits != 1 {
			t.Errorf("written by %d commits, want one: a kill between two would lose the report", r.queue.commits)
		}
		if incident.Visit != visit.UUID || incident.UUID == visit.UUID || incident.UUID == "" {
			t.Errorf("the incident %q is of visit %q, want an event of its own of %q", incident.UUID, incident.Visit, visit.UUID)
		}
		if incident.Verdict == nil || *incident.Verdict != *visit.Verdict || incident.Venue != "v1" || incident.Lane != "1" {
			t.Errorf("the incident is %+v, want the visit's own verdict and place", incident)
		}
	})
}

// TestNobodyElseIsReported: not who is let in, not who is refused by another
// rule, not who held up the wrong thing.
func TestNobodyElseIsReported(t *testing.T) {
	inReportingLane(t, func(r *rig) {
		r.thermo.set(36.6, 22)
		r.show(wang)
		time.Sleep(time.Second)
		r.want("recorded visit refused fever with identity", "said fever")
		r.thermo.set(33.5, 22)
		r.show(li)
		time.Sleep(5 * time.Second)
		r.want("recorded visit granted ok with identity", "released for 3s", "said ok", "locked", "recorded passage not-taken")
		r.show("hello")
		time.Sleep(100 * time.Millisecond)
		r.want("recorded wrong refused unknown-credential", "said unknown-credential")
	})
}

// TestAnIncidentsIdentityIsItsOwn: sealed to the incident, so that nobody can
// put it with another event.
func TestAnIncidentsIdentityIsItsOwn(t *testing.T) {
	inReportingLane(t, func(r *rig) {
		r.show(zhao)
		if len(r.queue.who) != 2 {
			t.Fatalf("%d identities, want the visit's and the incident's", len(r.queue.who))
		}
		for i, who := range r.queue.who {
			want := checkin.Identity{UUID: r.queue.kept[i].UUID, Kind: checkin.PersonalCode, Value: zhao}
			if *who != want {
				t.Errorf("identity %d is of event %s, a %s; want that of event %s", i, who.UUID, who, want.UUID)
			}
		}
	})
}

// TestARefusalThatCannotBeWritten is for a person, with neither of its records.
func TestARefusalThatCannotBeWritten(t *testing.T) {
	inReportingLane(t, func(r *rig) {
		r.queue.fail(errors.New("disk"), false)
		r.show(zhao)
		time.Sleep(100 * time.Millisecond)
		r.want("said queue-full")
	})
}

// TestEveryRecipientHasALoop, beside the platform's; all of them end with the
// agent, and one that fails takes nobody along.
func TestEveryRecipientHasALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var mu sync.Mutex
		var begun, ended []string
		loop := func(name string, err error) func(context.Context) error {
			return func(ctx context.Context) error {
				mu.Lock()
				begun = append(begun, name)
				mu.Unlock()
				if err == nil {
					<-ctx.Done()
				}
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, name)
				return err
			}
		}
		o := r.opts()
		o.Drain = loop("platform", nil)
		o.Reports = map[string]func(context.Context) error{
			"cdc": loop("cdc", nil), "broken": loop("broken", queue.ErrStopped), "trade": loop("trade", nil),
		}
		r.startWith(o)
		mu.Lock()
		slices.Sort(begun)
		if !slices.Equal(begun, []string{"broken", "cdc", "platform", "trade"}) || !slices.Equal(ended, []string{"broken"}) {
			t.Errorf("begun %v, ended %v, want all four begun and one ended", begun, ended)
		}
		mu.Unlock()
		r.show(zhao)
		r.want("recorded visit refused code-red with identity", "said code-red")
		r.stop()
		if len(ended) != 4 {
			t.Errorf("ended %v, want all four", ended)
		}
	})
}
