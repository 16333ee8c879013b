package checkin_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	. "github.com/digital-sentinel/sentinel/agent/checkin"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// strict is a policy with the shape of the shipped public-place one.
func strict() *Policy {
	return &Policy{
		ID: "strict", Version: 3, Temperature: TemperatureRequired,
		Rules: []Rule{
			{ID: "list", When: Condition{ControlList: true}, Outcome: Refused, Reason: DeniedByList},
			{ID: "red", When: Condition{Colours: []Colour{Red}}, Outcome: Refused, Reason: CodeRed},
			{ID: "fever", When: Condition{Temperature: []Band{Fever}}, Outcome: Refused, Reason: HasFever},
			{ID: "old-nat", When: Condition{
				Modes: []Mode{ModeOnline}, Colours: []Colour{Green}, NATOlder: 48 * time.Hour,
			}, Outcome: Refused, Reason: NATExpired},
			{ID: "unmeasured", When: Condition{
				Colours: []Colour{Green}, Temperature: []Band{Unmeasured},
			}, MaxAge: 4 * time.Hour, Outcome: Manual, Reason: TemperatureUnmeasured},
			{ID: "pass", When: Condition{
				Colours: []Colour{Green}, NAT: []Result{Negative}, NATWithin: 48 * time.Hour,
				Temperature: []Band{Normal},
			}, MaxAge: 4 * time.Hour, Outcome: Granted, Reason: OK},
		},
	}
}

// healthy is evidence that strict grants.
func healthy() *Evidence {
	return &Evidence{
		Credential: Credential{Kind: PersonalCode, Value: "token"},
		Status: Status{
			Known: true, Colour: Green, NAT: Negative, Sampled: noon.Add(-12 * time.Hour),
			Mode: ModeOnline, AsOf: noon,
		},
		Temperature: Normal, Now: noon, ClockOK: true,
	}
}

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*Evidence)
		outcome Outcome
		reason  Reason
	}{
		{"green, tested, cool", func(*Evidence) {}, Granted, OK},
		{"red", func(e *Evidence) { e.Status.Colour = Red }, Refused, CodeRed},
		{"an old red offline", func(e *Evidence) {
			e.Status.Colour, e.Status.Mode, e.Status.AsOf = Red, ModeCached, noon.AddDate(0, -1, 0)
		}, Refused, CodeRed},
		{"green on the list", func(e *Evidence) { e.Status.ControlList = true }, Refused, DeniedByList},
		{"fever", func(e *Evidence) { e.Temperature = Fever }, Refused, HasFever},
		{"not measured", func(e *Evidence) { e.Temperature = Unmeasured }, Manual, TemperatureUnmeasured},
		{"no word on the temperature is not measured", func(e *Evidence) { e.Temperature = "" }, Manual, TemperatureUnmeasured},
		{"stale and not measured is stale first", func(e *Evidence) {
			e.Temperature, e.Status.Mode, e.Status.AsOf = Unmeasured, ModeCached, noon.Add(-5*time.Hour)
		}, Manual, StatusStale},
		{"status of 4:00", func(e *Evidence) { e.Status.Mode, e.Status.AsOf = ModeCached, noon.Add(-4*time.Hour) }, Granted, OK},
		{"status of 4:00:59", func(e *Evidence) {
			e.Status.Mode, e.Status.AsOf = ModeCached, noon.Add(-4*time.Hour-59*time.Second)
		}, Granted, OK},
		{"status of 4:01", func(e *Evidence) {
			e.Status.Mode, e.Status.AsOf = ModeCached, noon.Add(-4*time.Hour-time.Minute)
		}, Manual, StatusStale},
		{"status without a time", func(e *Evidence) { e.Status.AsOf = time.Time{} }, Manual, StatusStale},
		{"status five minutes ahead", func(e *Evidence) { e.Status.AsOf = noon.Add(5 * time.Minute) }, Granted, OK},
		{"status further ahead", func(e *Evidence) { e.Status.AsOf = noon.Add(6 * time.Minute) }, Manual, StatusStale},
		{"NAT of 47:59", nat(47*time.Hour + 59*time.Minute), Granted, OK},
		{"NAT of 48:00", nat(48 * time.Hour), Granted, OK},
		{"NAT of 48:00:59", nat(48*time.Hour + 59*time.Second), Granted, OK},
		{"NAT of 48:01", nat(48*time.Hour + time.Minute), Refused, NATExpired},
		{"NAT of 48:01 offline", func(e *Evidence) {
			nat(48*time.Hour + time.Minute)(e)
			e.Status.Mode = ModeCached
		}, Manual, NotCovered},
		{"NAT without a time", func(e *Evidence) { e.Status.Sampled = time.Time{} }, Manual, NotCovered},
		{"NAT of tomorrow", nat(-24 * time.Hour), Manual, NotCovered},
		{"NAT pending", func(e *Evidence) { e.Status.NAT = Pending }, Manual, NotCovered},
		{"colour left out", func(e *Evidence) { e.Status.Colour = "" }, Manual, NotCovered},
		{"nothing known", func(e *Evidence) { e.Status = Status{} }, Manual, NoStatus},
		{"platform away", func(e *Evidence) { e.Status, e.Why = Status{}, PlatformUnreachable }, Manual, PlatformUnreachable},
		{"a status that is not known is not used", func(e *Evidence) { e.Status.Known = false }, Manual, NoStatus},
		{"clock unset", func(e *Evidence) { e.ClockOK, e.Now = false, time.Unix(0, 0) }, Manual, ClockUnknown},
		{"clock unset, red all the same", func(e *Evidence) {
			e.ClockOK, e.Status.Colour = false, Red
		}, Refused, CodeRed},
		{"venue code", kind(VenueCode), Refused, IsVenueCode},
		{"unknown text", kind(UnknownText), Refused, UnknownCredential},
		{"no kind at all", kind(""), Refused, UnknownCredential},
		{"a kind from nowhere", kind("open-sesame"), Refused, UnknownCredential},
		{"paper code", kind(PaperCode), Manual, IsPaperCode},
		{"a card past its date", func(e *Evidence) {
			e.Credential = Credential{Kind: ResidentID, Fault: CredentialExpired}
		}, Refused, CredentialExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := healthy()
			tt.change(e)
			got := Decide(strict(), "commerce", e)
			if got.Outcome != tt.outcome || got.Reason != tt.reason {
				t.Errorf("got %s %s by rule %q, want %s %s", got.Outcome, got.Reason, got.Rule, tt.outcome, tt.reason)
			}
			if got.Policy != "strict" || got.Version != 3 || got.Mode == "" {
				t.Errorf("verdict does not say where it comes from: %+v", got)
			}
		})
	}
}

func nat(age time.Duration) func(*Evidence) {
	return func(e *Evidence) { e.Status.Sampled = noon.Add(-age) }
}

func kind(k Kind) func(*Evidence) {
	return func(e *Evidence) { e.Credential.Kind = k }
}

func TestReportClock(t *testing.T) {
	p := strict()
	p.Rules[5].When.NATClock, p.Rules[3].When.NATClock = ByReport, ByReport
	e := healthy()
	e.Status.Sampled, e.Status.Reported = noon.Add(-60*time.Hour), noon.Add(-40*time.Hour)
	if got := Decide(p, "other", e); got.Outcome != Granted {
		t.Errorf("got %s %s for a report of 40 h, want granted", got.Outcome, got.Reason)
	}
}

func TestRuleDates(t *testing.T) {
	grant := Rule{ID: "g", When: Condition{Colours: []Colour{Green}}, MaxAge: time.Hour, Outcome: Granted, Reason: OK}
	dated := grant
	dated.From, dated.Until = noon, noon.Add(time.Hour)
	ban := Rule{ID: "ban", From: noon, When: Condition{Credentials: []Kind{PersonalCode}}, Outcome: Manual, Reason: NotCovered}
	housing := grant
	housing.Venues = []VenueClass{"housing"}
	for _, tt := range []struct {
		name  string
		rules []Rule
		now   time.Time
		clock bool
		want  Outcome
		why   Reason
	}{
		{"a moment before", []Rule{dated}, noon.Add(-1), true, Manual, NotCovered},
		{"from is inclusive", []Rule{dated}, noon, true, Granted, OK},
		{"until is exclusive", []Rule{dated}, noon.Add(time.Hour), true, Manual, NotCovered},
		{"another venue's rule", []Rule{housing}, noon, true, Manual, NotCovered},
		{"an undated rule needs no clock for a fresh answer", []Rule{grant}, time.Unix(0, 0), false, Granted, OK},
		{"a dated rule does", []Rule{dated}, noon, false, Manual, ClockUnknown},
		{"a ban that may be in force bars the rules below it", []Rule{ban, grant}, time.Unix(0, 0), false, Manual, ClockUnknown},
		{"a grant that may be in force bars nothing", []Rule{dated, grant}, time.Unix(0, 0), false, Granted, OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := healthy()
			e.Now, e.ClockOK = tt.now, tt.clock
			if !tt.clock {
				e.Status.AsOf = noon
			} else {
				e.Status.AsOf = tt.now
			}
			got := Decide(&Policy{Rules: tt.rules}, "office", e)
			if got.Outcome != tt.want || got.Reason != tt.why {
				t.Errorf("got %s %s, want %s %s", got.Outcome, got.Reason, tt.want, tt.why)
			}
		})
	}
}

// A cached status is never used for a grant while the clock is not believable.
func TestCachedNeedsClock(t *testing.T) {
	p := &Policy{Rules: []Rule{{When: Condition{Colours: []Colour{Green}}, MaxAge: time.Hour, Outcome: Granted, Reason: OK}}}
	e := healthy()
	e.ClockOK, e.Status.Mode = false, ModeCached
	if got := Decide(p, "other", e); got.Outcome != Manual || got.Reason != ClockUnknown {
		t.Errorf("got %s %s, want manual clock-unknown", got.Outcome, got.Reason)
	}
}

// Whatever the table says, Decide grants nothing on what is red or no
// credential, and on what is unknown nothing but on a guard's word.
func TestNeverGranted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, e := drawPolicy(t), drawEvidence(t)
		v := Decide(p, "office", e)
		if !slices.Contains([]Outcome{Granted, Refused, Manual}, v.Outcome) || v.Reason == "" {
			t.Fatalf("no verdict: %+v", v)
		}
		if v.Report && v.Outcome != Refused {
			t.Fatalf("reported though not refused: %+v", v)
		}
		if v.Outcome != Granted {
			return
		}
		vouched, byHand := e.Staff == StaffIdentity, []Kind{PaperCode, Passport, OtherPaper}
		switch {
		case e.Status.Known && e.Status.Colour == Red:
			t.Fatal("granted on red")
		case e.Staff == StaffRefuses:
			t.Fatal("granted against a guard's word")
		case slices.Contains([]Kind{VenueCode, UnknownText, "", "else"}, e.Credential.Kind):
			t.Fatalf("granted on %q", e.Credential.Kind)
		case vouched != (v.Mode == ModeAssisted):
			t.Fatalf("granted with mode %s, and vouched for is %t", v.Mode, vouched)
		case vouched:
		case !e.Status.Known:
			t.Fatal("granted on nothing")
		case slices.Contains(byHand, e.Credential.Kind):
			t.Fatalf("granted on %q without a guard", e.Credential.Kind)
		case e.Credential.Issuer != "" && !slices.Contains(p.Issuers, e.Credential.Issuer):
			t.Fatalf("granted on a code of %s", e.Credential.Issuer)
		case e.Credential.Fault != "":
			t.Fatal("granted on a faulty credential")
		case !e.ClockOK && e.Status.Mode != ModeOnline:
			t.Fatal("granted offline without a clock")
		}
	})
}

// What is written down is enough to decide again, also after JSON.
func TestRedecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, e := drawPolicy(t), drawEvidence(t)
		want := Decide(p, "office", e)
		text, err := json.Marshal(NewDecision(want, "office", e))
		if err != nil {
			t.Fatal(err)
		}
		var kept Decision
		if err := json.Unmarshal(text, &kept); err != nil {
			t.Fatal(err)
		}
		again := kept.Evidence()
		got := Decide(p, VenueClass(kept.Class), &again)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("decided again (-then +now):\n%s", diff)
		}
	})
}

func TestWorst(t *testing.T) {
	p := strict()
	p.Rules = append(p.Rules, Rule{Outcome: Refused, MaxAge: 99 * time.Hour})
	if got, want := p.Worst(), 4*time.Hour; got != want {
		t.Errorf("got %v, want %v: only grants count", got, want)
	}
}

func FuzzDecide(f *testing.F) {
	f.Add("personal-code", "", "green", "negative", "online", "normal", int64(-3600), int64(0), int64(48), uint8(7))
	f.Add("venue-code", "fever", "red", "", "", "", int64(1<<62), int64(-1<<62), int64(-1), uint8(255))
	f.Fuzz(func(t *testing.T, kind, fault, colour, nat, mode, band string, sampled, asOf, hours int64, bits uint8) {
		e := &Evidence{
			Credential: Credential{Kind: Kind(kind), Fault: Reason(fault)},
			Status: Status{
				Known: bits&1 != 0, Colour: Colour(colour), NAT: Result(nat), Mode: Mode(mode),
				Sampled: time.Unix(sampled, 0), AsOf: time.Unix(asOf, 0),
				ControlList: bits&8 != 0, CodeExpired: bits&16 != 0, RegisterFirst: bits&32 != 0,
			},
			Temperature: Band(band), Now: noon, ClockOK: bits&2 != 0,
		}
		p := strict()
		p.Rules[5].MaxAge = time.Duration(hours) * time.Hour
		p.Rules[5].When.NATWithin = time.Duration(hours) * time.Hour
		v := Decide(p, VenueClass(mode), e)
		if v.Outcome == Granted && (!e.Status.Known || colour != "green") {
			t.Errorf("granted: %+v", e)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	p, e := strict(), healthy()
	b.ReportAllocs()
	for b.Loop() {
		if Decide(p, "commerce", e).Outcome != Granted {
			b.Fatal("not granted")
		}
	}
}

// A rule that changes while nobody knows the time to the minute: what may be
// forbidden by then is not granted.
func TestARuleMustBeInForceOverTheWholeInterval(t *testing.T) {
	p := strict()
	for i := range p.Rules {
		if p.Rules[i].Outcome == Granted {
			p.Rules[i].Until = noon.Add(time.Hour)
		}
	}
	for _, tt := range []struct {
		name    string
		lo, hi  time.Duration
		outcome Outcome
		reason  Reason
	}{
		{"wholly before the change", -time.Minute, 0, Granted, OK},
		{"across the change", 59 * time.Minute, 61 * time.Minute, Manual, StatusStale},
		{"wholly after it", 61 * time.Minute, 62 * time.Minute, Manual, NotCovered},
	} {
		e := healthy()
		e.Earliest, e.Now = noon.Add(tt.lo), noon.Add(tt.hi)
		e.Status.AsOf = e.Now
		if v := Decide(p, "commerce", e); v.Outcome != tt.outcome || v.Reason != tt.reason {
			t.Errorf("%s: %s %s, want %s %s", tt.name, v.Outcome, v.Reason, tt.outcome, tt.reason)
		}
	}
}
