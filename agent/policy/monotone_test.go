package policy_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// worse calls f with what is worse than s in one direction, one step each.
func worse(s *situation, f func(w *situation)) {
	var w situation
	add := func(change func(w *situation)) {
		w = *s
		change(&w)
		f(&w)
	}
	switch s.colour {
	case checkin.Green:
		add(func(w *situation) { w.colour = checkin.Yellow })
	case checkin.Yellow:
		add(func(w *situation) { w.colour = checkin.Red })
	}
	switch {
	case s.nat == checkin.Negative:
		add(func(w *situation) { w.natAge += time.Minute })
		add(func(w *situation) { w.natAge += 24 * time.Hour })
		add(func(w *situation) { w.nat = checkin.NoTest })
		add(func(w *situation) { w.nat = checkin.Pending })
	case s.nat != checkin.Positive:
		add(func(w *situation) { w.nat = checkin.Positive })
	}
	if s.antigen == checkin.NoTest {
		add(func(w *situation) { w.antigen = checkin.Positive })
	}
	switch s.band {
	case checkin.Normal:
		add(func(w *situation) { w.band = checkin.Unmeasured })
		add(func(w *situation) { w.band = checkin.Fever })
	case checkin.Unmeasured:
		add(func(w *situation) { w.band = checkin.Fever })
	}
	for _, longer := range []time.Duration{time.Minute, 30 * time.Hour} {
		add(func(w *situation) { w.age += longer })
	}
	add(func(w *situation) { w.list = true })
	if s.host == checkin.HostYes {
		add(func(w *situation) { w.host = checkin.HostSilent })
		add(func(w *situation) { w.host = checkin.HostNo })
	}
	if s.answers == checkin.Passed {
		add(func(w *situation) { w.answers = checkin.Unchecked })
		add(func(w *situation) { w.answers = checkin.Failed })
	}
}

// flagged gives s with something to be put right first, for which a person
// helps, and without the person who has: that may turn a refusal into manual,
// and never into a grant.
func flagged(s *situation) []situation {
	expired, register, alone := *s, *s, *s
	expired.expired, register.register, alone.guard = true, true, false
	return []situation{expired, register, alone}
}

// Nothing worse ever gives a better verdict.
func TestMonotone(t *testing.T) {
	rank := map[checkin.Outcome]int{checkin.Granted: 2, checkin.Manual: 1, checkin.Refused: 0}
	for id, p := range shipped(t) {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			pairs, e := 0, new(checkin.Evidence)
			situations(id, func(s *situation) {
				if s.list && (s.antigen == checkin.Positive || s.expired || s.register) {
					return // stopped for one reason is stopped enough
				}
				s.fill(e)
				before := checkin.Decide(p, s.class, e)
				if before.Outcome == checkin.Granted && (s.colour == checkin.Red && s.mode != checkin.ModeNone || s.mode == checkin.ModeNone && !s.guard) {
					t.Fatalf("granted: %+v", *s)
				}
				if before.Outcome == checkin.Granted {
					s.check(t, p, before)
				}
				for _, flag := range flagged(s) {
					if after := checkin.Decide(p, flag.class, flag.evidence()); after.Outcome == checkin.Granted && before.Outcome != checkin.Granted {
						t.Fatalf("%+v is %s, and the worse %+v is granted", *s, before.Outcome, flag)
					}
				}
				worse(s, func(w *situation) {
					pairs++
					w.fill(e)
					if after := checkin.Decide(p, w.class, e); rank[after.Outcome] > rank[before.Outcome] {
						t.Fatalf("%+v is %s %s by rule %s, and the worse\n%+v is %s by rule %s",
							*s, before.Outcome, before.Reason, before.Rule, *w, after.Outcome, after.Rule)
					}
				})
			})
			t.Logf("%d pairs", pairs)
		})
	}
}

// check holds a grant to what no policy may forget.
func (s *situation) check(t *testing.T, p *checkin.Policy, v checkin.Verdict) {
	t.Helper()
	if s.mode != checkin.ModeNone && s.list {
		t.Fatalf("%s grants to somebody on the list: %+v", p.ID, *s)
	}
	if s.guard != (v.Mode == checkin.ModeAssisted) || v.Reason == checkin.Assisted && !s.guard {
		t.Fatalf("%s: %+v is granted as %+v", p.ID, *s, v)
	}
}

// What is kept of a verdict is enough to make it again, also as JSON.
func TestShippedAgainAfterJSON(t *testing.T) {
	all := shipped(t)
	ids := slices.Sorted(maps.Keys(all))
	rapid.Check(t, func(t *rapid.T) {
		p := all[rapid.SampledFrom(ids).Draw(t, "policy")]
		class, e := drawCase(t)
		e.Credential.Issuer = rapid.SampledFrom([]string{"", "jiangsu", "guangdong"}).Draw(t, "issuer")
		e.Answers = rapid.SampledFrom([]checkin.Check{"", checkin.Passed, checkin.Failed}).Draw(t, "answers")
		e.Temperature = rapid.SampledFrom(bands).Draw(t, "temperature")
		e.Status.NAT = rapid.SampledFrom([]checkin.Result{checkin.Negative, checkin.Pending, checkin.NoTest, ""}).Draw(t, "nat")
		v := checkin.Decide(p, class, e)
		if v.Outcome == checkin.Granted && e.Staff != checkin.StaffIdentity && (!e.Status.Known || e.Credential.Issuer == "guangdong") {
			t.Fatalf("granted as %+v: %+v", v, e)
		}
		text, err := checkin.EncodeRecord(&checkin.Record{Event: checkin.Event{
			Version: checkin.EventVersion, Verdict: checkin.NewDecision(v, class, e),
		}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := checkin.DecodeRecord(text)
		if err != nil {
			t.Fatal(err)
		}
		kept := r.Event.Verdict.Evidence()
		if again := checkin.Decide(p, checkin.VenueClass(r.Event.Verdict.Class), &kept); again != v {
			t.Fatalf("decided again as %+v, was %+v", again, v)
		}
	})
}
