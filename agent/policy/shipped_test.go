package policy_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// situation is one cell of the table: all that a shipped policy can look at.
type situation struct {
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
}

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func (s *situation) evidence() *checkin.Evidence {
	e := &checkin.Evidence{
		Credential: checkin.Credential{Kind: checkin.PersonalCode}, Why: checkin.PlatformUnreachable,
		Temperature: s.band, Now: now, ClockOK: s.clock,
	}
	if s.mode == checkin.ModeNone {
		return e
	}
	e.Why = ""
	e.Status = checkin.Status{
		Known: true, Colour: s.colour, NAT: s.nat, Antigen: s.antigen, Host: s.host,
		ControlList: s.list, CodeExpired: s.expired, RegisterFirst: s.register,
		Mode: s.mode, AsOf: now.Add(-s.age),
	}
	if s.nat == checkin.Negative || s.nat == checkin.Positive {
		e.Status.Sampled = now.Add(-s.natAge)
	}
	return e
}

// situations calls f for every cell. Three modes stand for the whole ladder:
// an answer just now, a cache of one hour, a cache of thirty.
func situations(f func(s *situation)) {
	both := []bool{false, true}
	for _, m := range []struct {
		mode checkin.Mode
		age  time.Duration
	}{{checkin.ModeOnline, 0}, {checkin.ModeCached, time.Hour}, {checkin.ModeCached, 30 * time.Hour}, {checkin.ModeNone, 0}} {
		for _, n := range []struct {
			nat checkin.Result
			age time.Duration
		}{
			{checkin.Negative, 47*time.Hour + 59*time.Minute}, {checkin.Negative, 48 * time.Hour},
			{checkin.Negative, 48*time.Hour + time.Minute}, {checkin.Positive, time.Hour}, {checkin.Pending, 0}, {checkin.NoTest, 0},
		} {
			for _, colour := range []checkin.Colour{checkin.Green, checkin.Yellow, checkin.Red, checkin.NoColour} {
				for _, band := range []checkin.Band{checkin.Normal, checkin.Unmeasured, checkin.Fever} {
					for _, antigen := range []checkin.Result{checkin.NoTest, checkin.Positive} {
						for _, host := range []checkin.Consent{checkin.HostYes, checkin.HostNo, checkin.HostSilent, checkin.HostNone} {
							for bits := range 16 {
								f(&situation{
									colour: colour, nat: n.nat, natAge: n.age, antigen: antigen, host: host,
									list: both[bits&1], expired: both[bits>>1&1], register: both[bits>>2&1], clock: both[bits>>3&1],
									mode: m.mode, age: m.age, band: band,
								})
							}
						}
					}
				}
			}
		}
	}
}

type answer struct {
	outcome checkin.Outcome
	reason  checkin.Reason
}

func refused(r checkin.Reason) answer { return answer{checkin.Refused, r} }
func manual(r checkin.Reason) answer  { return answer{checkin.Manual, r} }

// usable says whether a status may be used for a grant, told by the design and
// not by the code: young enough, or an answer to our own nonce.
func (s *situation) usable(limit time.Duration) (checkin.Reason, bool) {
	switch {
	case s.mode == checkin.ModeOnline:
		return "", true
	case !s.clock:
		return checkin.ClockUnknown, false
	case s.age > limit:
		return checkin.StatusStale, false
	}
	return "", true
}

// bad is what both health policies refuse.
func (s *situation) bad() (answer, bool) {
	switch {
	case s.mode == checkin.ModeNone:
		return answer{}, false
	case s.list:
		return refused(checkin.DeniedByList), true
	case s.colour == checkin.Red:
		return refused(checkin.CodeRed), true
	case s.colour == checkin.Yellow:
		return refused(checkin.CodeYellow), true
	case s.nat == checkin.Positive:
		return refused(checkin.NATPositive), true
	case s.antigen == checkin.Positive:
		return refused(checkin.AntigenPositive), true
	}
	return answer{}, false
}

// first is what has to be put right first.
func (s *situation) first() (answer, bool) {
	switch {
	case s.mode == checkin.ModeNone:
		return manual(checkin.PlatformUnreachable), true
	case s.expired:
		return manual(checkin.CodeExpired), true
	case s.register:
		return manual(checkin.NotRegistered), true
	case s.colour == checkin.NoColour:
		return manual(checkin.NotCovered), true
	}
	return answer{}, false
}

func publicPlace(s *situation) answer {
	if a, ok := s.bad(); ok {
		return a
	}
	if s.band == checkin.Fever {
		return refused(checkin.HasFever)
	}
	if a, ok := s.first(); ok {
		return a
	}
	why, usable := s.usable(4 * time.Hour)
	online := s.mode == checkin.ModeOnline
	missing := s.nat != checkin.Negative
	old := s.natAge > 48*time.Hour
	switch {
	case missing && online:
		return refused(checkin.NATMissing)
	case !s.clock:
		return manual(checkin.ClockUnknown)
	case !usable:
		return manual(why)
	case missing:
		return manual(checkin.NATMissing)
	case old && online:
		return refused(checkin.NATExpired)
	case old:
		return manual(checkin.NATExpired)
	case s.band == checkin.Unmeasured:
		return manual(checkin.TemperatureUnmeasured)
	}
	return answer{checkin.Granted, checkin.OK}
}

func residential(s *situation) answer {
	if a, ok := s.bad(); ok {
		return a
	}
	if a, ok := s.first(); ok {
		return a
	}
	if why, usable := s.usable(24 * time.Hour); !usable {
		return manual(why)
	}
	return answer{checkin.Granted, checkin.OK}
}

func visitor(s *situation) answer {
	why, usable := s.usable(24 * time.Hour)
	switch {
	case s.mode == checkin.ModeNone:
		return manual(checkin.PlatformUnreachable)
	case s.list:
		return refused(checkin.DeniedByList)
	case s.host == checkin.HostNo:
		return refused(checkin.HostRefused)
	case s.expired:
		return manual(checkin.CodeExpired)
	case s.host != checkin.HostYes:
		return manual(checkin.NeedsHost)
	case !usable:
		return manual(why)
	case s.colour == checkin.Red:
		return manual(checkin.NotCovered)
	}
	return answer{checkin.Granted, checkin.OK}
}

var intended = map[string]func(*situation) answer{
	"public-place": publicPlace, "residential": residential, "visitor": visitor,
}

// Every cell of status × temperature × shipped policy comes out as the design
// has it, in every class of venue, and comes out so again from what is kept of
// it.
func TestEveryCell(t *testing.T) {
	for id, p := range shipped(t) {
		t.Run(id, func(t *testing.T) {
			want, ok := intended[id]
			if !ok {
				t.Fatalf("no intention is written down for %s", id)
			}
			cells, wrong, classes := 0, 0, checkin.VenueClasses()
			situations(func(s *situation) {
				cells++
				e := s.evidence()
				class := classes[cells%len(classes)]
				v := checkin.Decide(p, class, e)
				if got := (answer{v.Outcome, v.Reason}); got != want(s) && wrong < 10 {
					wrong++
					t.Errorf("%+v: got %v by rule %q, want %v", *s, got, v.Rule, want(s))
				}
				kept := checkin.NewDecision(v, class, e).Evidence()
				if again := checkin.Decide(p, class, &kept); again != v {
					t.Fatalf("%+v: decided again as %+v, was %+v", *s, again, v)
				}
			})
			t.Logf("%d cells", cells)
		})
	}
}

// A worse temperature never gives a better verdict.
func TestTemperatureOrder(t *testing.T) {
	rank := map[checkin.Outcome]int{checkin.Granted: 2, checkin.Manual: 1, checkin.Refused: 0}
	for id, p := range shipped(t) {
		situations(func(s *situation) {
			if s.band != checkin.Normal {
				return
			}
			last := 2
			for _, band := range []checkin.Band{checkin.Normal, checkin.Unmeasured, checkin.Fever} {
				s.band = band
				v := checkin.Decide(p, "other", s.evidence())
				if rank[v.Outcome] > last {
					t.Fatalf("%s: %+v is better than with a better temperature", id, *s)
				}
				last = rank[v.Outcome]
			}
		})
	}
}

// Every reason that Decide can give for a visitor is given somewhere in the
// shipped policies, and no other.
func TestEveryReasonReached(t *testing.T) {
	got := map[checkin.Reason]bool{}
	for _, p := range shipped(t) {
		situations(func(s *situation) {
			e := s.evidence()
			got[checkin.Decide(p, "other", e).Reason] = true
			e.Why = ""
			got[checkin.Decide(p, "other", e).Reason] = true
		})
		for _, c := range []checkin.Credential{
			{Kind: checkin.VenueCode}, {Kind: checkin.PaperCode}, {Kind: checkin.UnknownText},
			{Kind: checkin.ResidentID, Fault: checkin.CredentialInvalid},
			{Kind: checkin.ResidentID, Fault: checkin.CredentialExpired},
		} {
			got[checkin.Decide(p, "other", &checkin.Evidence{Credential: c, Now: now, ClockOK: true}).Reason] = true
		}
	}
	// These come from elsewhere: the lane, the guard, and later parts.
	elsewhere := []checkin.Reason{
		checkin.QueueFull, checkin.OutOfService, checkin.Assisted, checkin.Exempt, checkin.StaffRefused,
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

// The three policies are what the design's table says of them.
func TestShipped(t *testing.T) {
	all := shipped(t)
	for _, tt := range []struct {
		id          string
		temperature checkin.TemperatureMode
		age         time.Duration
	}{
		{"public-place", checkin.TemperatureRequired, 4 * time.Hour},
		{"residential", checkin.TemperatureAdvisory, 24 * time.Hour},
		{"visitor", checkin.TemperatureOff, 24 * time.Hour},
	} {
		p := all[tt.id]
		if p == nil {
			t.Errorf("%s is not shipped", tt.id)
			continue
		}
		if p.Temperature != tt.temperature || p.Worst() != tt.age {
			t.Errorf("%s: temperature %s, status up to %v; want %s, %v", tt.id, p.Temperature, p.Worst(), tt.temperature, tt.age)
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
