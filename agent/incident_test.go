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
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.policy.Rules[0].Report = true
		o := r.opts()
		kept := &identities{store: r.queue}
		o.Queue = kept
		r.startWith(o)
		r.show(zhao)
		r.stop()
		if len(kept.who) != 2 {
			t.Fatalf("%d identities, want the visit's and the incident's", len(kept.who))
		}
		for i, who := range kept.who {
			want := checkin.Identity{UUID: r.queue.kept[i].UUID, Kind: checkin.PersonalCode, Value: zhao}
			if *who != want {
				t.Errorf("identity %d is of event %s, a %s; want that of event %s", i, who.UUID, who, want.UUID)
			}
		}
	})
}

// identities notes who is named in each event.
type identities struct {
	*store
	who []*checkin.Identity
}

func (q *identities) Put(ctx context.Context, e checkin.Event, who *checkin.Identity) (checkin.ID, error) {
	q.who = append(q.who, who)
	return q.store.Put(ctx, e, who)
}

// brokenForIncidents writes everything but incidents.
type brokenForIncidents struct{ *store }

func (q brokenForIncidents) Put(ctx context.Context, e checkin.Event, who *checkin.Identity) (checkin.ID, error) {
	if e.Kind == checkin.KindRefusal {
		return checkin.ID{}, errors.New("disk")
	}
	return q.store.Put(ctx, e, who)
}

// TestAnIncidentThatCannotBeWritten changes nothing for the visitor, and opens
// nothing.
func TestAnIncidentThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.policy.Rules[0].Report = true
		o := r.opts()
		o.Queue = brokenForIncidents{r.queue}
		r.startWith(o)
		r.show(zhao)
		time.Sleep(time.Second)
		r.want("recorded visit refused code-red with identity", "said code-red")
		r.stop()
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
