package policy_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/configs/policies"
)

// situation is one cell of the table: all that a shipped policy can look at.
type situation struct {
	class           checkin.VenueClass
	colour          checkin.Colour
	nat             checkin.Result
	natAge          time.Duration
	antigen         checkin.Result
	host            checkin.Consent
	list, expired   bool
	register, clock bool
	mode            checkin.Mode
	age             time.Duration
	band            checkin.Band
	guard           bool // has vouched for the visitor
	answers         checkin.Check
}

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func (s *situation) evidence() *checkin.Evidence {
	e := new(checkin.Evidence)
	s.fill(e)
	return e
}

// fill is evidence in place, for there are millions of them.
func (s *situation) fill(e *checkin.Evidence) {
	*e = checkin.Evidence{
		Credential: checkin.Credential{Kind: checkin.PersonalCode}, Why: checkin.PlatformUnreachable,
		Temperature: s.band, Answers: s.answers, Now: now, ClockOK: s.clock,
	}
	if s.guard {
		e.Staff = checkin.StaffIdentity
	}
	if s.mode == checkin.ModeNone {
		return
	}
	e.Why = ""
	e.Status = checkin.Status{
		Known: true, Colour: s.colour, NAT: s.nat, Antigen: s.antigen, Host: s.host,
		ControlList: s.list, CodeExpired: s.expired, RegisterFirst: s.register,
		Mode: s.mode, AsOf: now.Add(-s.age),
	}
	if s.nat == checkin.Negative || s.nat == checkin.Positive {
		e.Status.Sampled, e.Status.Reported = now.Add(-s.natAge), now.Add(-s.natAge)
	}
}

// The steps of each direction, in the order from good to bad where there is
// one. Three modes stand for the whole ladder: an answer just now, a cache of
// one hour, a cache of thirty.
var (
	ladder = []situation{
		{mode: checkin.ModeOnline}, {mode: checkin.ModeCached, age: time.Hour},
		{mode: checkin.ModeCached, age: 30 * time.Hour}, {mode: checkin.ModeNone},
	}
	tests = []situation{
		{nat: checkin.Negative, natAge: 47*time.Hour + 59*time.Minute}, {nat: checkin.Negative, natAge: 48 * time.Hour},
		{nat: checkin.Negative, natAge: 48*time.Hour + time.Minute}, {nat: checkin.Pending}, {nat: checkin.NoTest},
		{nat: checkin.Positive, natAge: time.Hour},
	}
	colours = []checkin.Colour{checkin.Green, checkin.Yellow, checkin.Red, checkin.NoColour}
	bands   = []checkin.Band{checkin.Normal, checkin.Unmeasured, checkin.Fever}
	helped  = []situation{
		{}, {guard: true}, {guard: true, answers: checkin.Passed}, {guard: true, answers: checkin.Failed},
	}
)

// asks says what else than health a shipped policy looks at.
func asks(id string) (hosts []checkin.Consent, venues []checkin.VenueClass, help []situation) {
	hosts, venues, help = []checkin.Consent{checkin.HostNone}, []checkin.VenueClass{"commerce"}, helped[:2]
	switch id {
	case "office", "visitor":
		hosts = []checkin.Consent{checkin.HostYes, checkin.HostNo, checkin.HostSilent, checkin.HostNone}
	case "hospital":
		help = helped
	case "shanghai-2022-05", "shanghai-2022-08":
		venues = []checkin.VenueClass{"commerce", "housing"}
	case "shanghai-2022-12":
		venues = []checkin.VenueClass{"commerce", "medical"}
	}
	return hosts, venues, help
}

// situations calls f for every cell of a policy. What nobody knows of the status
// has one cell, not many alike.
func situations(id string, f func(s *situation)) {
	hosts, venues, help := asks(id)
	tests := tests
	if slices.Contains([]string{"residential", "office", "hospital", "visitor"}, id) {
		tests = []situation{tests[0], tests[4], tests[5]} // how old a test is does not matter there
	}
	both := []bool{false, true}
	for _, rung := range ladder {
		for _, test := range tests {
			for _, colour := range colours {
				for _, band := range bands {
					for _, host := range hosts {
						for _, class := range venues {
							for _, h := range help {
								for bits := range 32 {
									if rung.mode == checkin.ModeNone && (test != tests[0] || colour != colours[0] || host != hosts[0] || bits&^8 != 0) {
										continue
									}
									f(&situation{
										class: class, colour: colour, nat: test.nat, natAge: test.natAge, host: host,
										antigen: []checkin.Result{checkin.NoTest, checkin.Positive}[bits>>4&1],
										list:    both[bits&1], expired: both[bits>>1&1], register: both[bits>>2&1], clock: both[bits>>3&1],
										mode: rung.mode, age: rung.age, band: band, guard: h.guard, answers: h.answers,
									})
								}
							}
						}
					}
				}
			}
		}
	}
}

// Every cell of status × temperature × guard × shipped policy comes out as the
// design has it, and comes out so again from what is kept of it.
func TestEveryCell(t *testing.T) {
	for id, p := range shipped(t) {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			want, ok := intended[id]
			if !ok {
				t.Fatalf("no intention is written down for %s", id)
			}
			cells, wrong := 0, 0
			situations(id, func(s *situation) {
				cells++
				e := s.evidence()
				v := checkin.Decide(p, s.class, e)
				want := want(s)
				if s.guard && want == granted {
					want = assisted // whatever else held, a person was asked
				}
				if got := (answer{v.Outcome, v.Reason}); got != want && wrong < 10 {
					wrong++
					t.Errorf("%+v: got %v by rule %q, want %v", *s, got, v.Rule, want)
				}
				kept := checkin.NewDecision(v, s.class, e).Evidence()
				if again := checkin.Decide(p, s.class, &kept); again != v {
					t.Fatalf("%+v: decided again as %+v, was %+v", *s, again, v)
				}
			})
			t.Logf("%d cells", cells)
		})
	}
}

// Every reason that Decide can give for a visitor is given somewhere in the
// shipped policies, and no other.
func TestEveryReasonReached(t *testing.T) {
	got, e := map[checkin.Reason]bool{}, new(checkin.Evidence)
	for id, p := range shipped(t) {
		situations(id, func(s *situation) {
			s.fill(e)
			got[checkin.Decide(p, s.class, e).Reason] = true
		})
		got[checkin.Decide(p, "other", &checkin.Evidence{Credential: e.Credential, Now: now, ClockOK: true}).Reason] = true
		for _, c := range []checkin.Credential{
			{Kind: checkin.VenueCode}, {Kind: checkin.PaperCode}, {Kind: checkin.UnknownText},
			{Kind: checkin.ResidentID, Fault: checkin.CredentialInvalid},
			{Kind: checkin.ResidentID, Fault: checkin.CredentialExpired},
		} {
			got[checkin.Decide(p, "other", &checkin.Evidence{Credential: c, Now: now, ClockOK: true}).Reason] = true
		}
	}
	// These come from elsewhere: the lane, the guard, and later parts; a grant
	// with exempt is for whoever writes his own policy.
	elsewhere := []checkin.Reason{
		checkin.QueueFull, checkin.OutOfService, checkin.Exempt, checkin.StaffRefused,
		checkin.CredentialRevoked, checkin.CredentialReplayed,
	}
	for _, r := range checkin.Reasons() {
		if want := !slices.Contains(elsewhere, r); got[r] != want {
			t.Errorf("reason %s: reached is %v, want %v", r, got[r], want)
		}
		delete(got, r)
	}
	if len(got) > 0 {
		t.Errorf("reasons that are not listed: %v", slices.Collect(maps.Keys(got)))
	}
}

// The policies are what the design's table says of them.
func TestShipped(t *testing.T) {
	all := shipped(t)
	for _, tt := range []struct {
		id          string
		temperature checkin.TemperatureMode
		guard       checkin.GuardMode
		age         time.Duration
		overrides   []string
	}{
		{"public-place", checkin.TemperatureRequired, checkin.GuardPresent, 4 * time.Hour, []string{"emergency"}},
		{"residential", checkin.TemperatureAdvisory, checkin.GuardPresent, 24 * time.Hour, []string{"emergency"}},
		{"office", checkin.TemperatureRequired, checkin.GuardRemote, 8 * time.Hour, []string{"emergency"}},
		{"hospital", checkin.TemperatureRequired, checkin.GuardPresent, 4 * time.Hour, []string{"emergency", "fever-clinic"}},
		{"transport", checkin.TemperatureAdvisory, checkin.GuardRemote, 4 * time.Hour, []string{"emergency"}},
		{"visitor", checkin.TemperatureOff, checkin.GuardPresent, 24 * time.Hour, []string{"emergency"}},
		{"shanghai-2022-05", checkin.TemperatureRequired, checkin.GuardPresent, 24 * time.Hour, []string{"emergency"}},
		{"shanghai-2022-08", checkin.TemperatureRequired, checkin.GuardPresent, 24 * time.Hour, []string{"emergency"}},
		{"shanghai-2022-12", checkin.TemperatureAdvisory, checkin.GuardPresent, 24 * time.Hour, []string{"emergency"}},
	} {
		p := all[tt.id]
		delete(all, tt.id)
		if p == nil {
			t.Errorf("%s is not shipped", tt.id)
			continue
		}
		if p.Temperature != tt.temperature || p.Guard != tt.guard || p.Worst() != tt.age || !slices.Equal(p.Overrides, tt.overrides) {
			t.Errorf("%s: temperature %s, guard %s, status up to %v, overrides %v; want %v", tt.id, p.Temperature, p.Guard, p.Worst(), p.Overrides, tt)
		}
		if !slices.Equal(p.Issuers, []string{"jiangsu", "zhejiang", "anhui"}) {
			t.Errorf("%s: codes of %v count", tt.id, p.Issuers)
		}
		if got, want := reported(p), []string{"denied-by-list"}; tt.id == "visitor" && !slices.Equal(got, want) {
			t.Errorf("%s reports %v, want %v", tt.id, got, want)
		}
	}
	for id := range all {
		t.Errorf("%s is in no table", id)
	}
}

// reported lists the rules whose refusals are reported.
func reported(p *checkin.Policy) []string {
	var ids []string
	for _, r := range p.Rules {
		if r.Report {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// Every class of venue begins with a policy that is shipped.
func TestForClass(t *testing.T) {
	names := policies.Names()
	for _, class := range checkin.VenueClasses() {
		if id := policies.ForClass(string(class)); !slices.Contains(names, id) {
			t.Errorf("%s begins with %q, which is not shipped", class, id)
		}
	}
	for class, want := range map[string]string{
		"housing": "residential", "office": "office", "medical": "hospital", "transport": "transport",
		"commerce": "public-place", "": "", "Housing": "", "hospital": "",
	} {
		if got := policies.ForClass(class); got != want {
			t.Errorf("%q begins with %q, want %q", class, got, want)
		}
	}
}

// A verdict costs no memory, whatever it is.
func TestDecideAllocatesNothing(t *testing.T) {
	for id, p := range shipped(t) {
		for _, colour := range colours {
			s := situation{colour: colour, nat: checkin.Negative, natAge: time.Hour, clock: true, mode: checkin.ModeOnline, band: checkin.Normal}
			e := s.evidence()
			if n := testing.AllocsPerRun(10, func() { checkin.Decide(p, "other", e) }); n > 0 {
				t.Errorf("%s, %s: %v allocations", id, colour, n)
			}
		}
	}
}

func BenchmarkDecideShipped(b *testing.B) {
	for id, p := range shipped(b) {
		b.Run(id, func(b *testing.B) {
			s := situation{colour: checkin.Green, nat: checkin.Negative, natAge: time.Hour, host: checkin.HostYes, clock: true, mode: checkin.ModeOnline, band: checkin.Normal}
			e := s.evidence()
			b.ReportAllocs()
			for b.Loop() {
				if checkin.Decide(p, "other", e).Outcome != checkin.Granted {
					b.Fatal("not granted")
				}
			}
		})
	}
}
