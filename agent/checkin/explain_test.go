package checkin_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	. "github.com/digital-sentinel/sentinel/agent/checkin"
)

// The story's last word is the verdict, and its steps are the rules in order.
func TestExplainTellsDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, e := drawPolicy(t), drawEvidence(t)
		want, steps := Decide(p, "office", e), Explain(p, "office", e)
		last := steps[len(steps)-1]
		if last.Verdict != want {
			t.Fatalf("the last word is %+v, the verdict %+v", last.Verdict, want)
		}
		for i, s := range steps[:len(steps)-1] {
			if s.Rule != p.Rules[i].ID || s.Verdict != (Verdict{}) {
				t.Fatalf("step %d is %+v, the rule %s", i, s, p.Rules[i].ID)
			}
			if s.How == Decided || s.How == ByCredential || s.How == ByNone || s.Key == "" {
				t.Fatalf("step %d is %+v, and others follow", i, s)
			}
		}
		switch last.How {
		case Decided:
			if last.Rule != want.Rule || p.Rules[len(steps)-1].ID != want.Rule {
				t.Fatalf("rule %s decides, the verdict is by %q", last.Rule, want.Rule)
			}
		case ByCredential:
			if len(steps) != 1 || want.Rule != "" {
				t.Fatalf("the credential decides after %d steps, by %q", len(steps), want.Rule)
			}
		case ByNone:
			if len(steps) != len(p.Rules)+1 || want.Rule != "" {
				t.Fatalf("nothing decides after %d steps, by %q", len(steps), want.Rule)
			}
		default:
			t.Fatalf("the last step is %+v", last)
		}
	})
}

// Each row is a rule that does not decide healthy evidence, and why.
func TestExplain(t *testing.T) {
	grant := func(c Condition) Rule {
		return Rule{ID: "r", When: c, MaxAge: time.Hour, Outcome: Granted, Reason: OK}
	}
	for _, tt := range []struct {
		name   string
		rule   Rule
		change func(*Evidence)
		how    How
		key    string
	}{
		{"decides", grant(Condition{}), nil, Decided, ""},
		{"another venue", Rule{ID: "r", Venues: []VenueClass{"housing"}}, nil, Unfit, "venues"},
		{"not yet", Rule{ID: "r", From: noon.Add(1)}, nil, Unfit, "from"},
		{"no longer", Rule{ID: "r", Until: noon}, nil, Unfit, "from"},
		{"without a clock", Rule{ID: "r", From: noon}, func(e *Evidence) { e.ClockOK = false }, Unsure, "clock"},
		{"no status", grant(Condition{Colours: []Colour{Green}}), func(e *Evidence) { e.Status.Known = false }, Unfit, "status"},
		{"no status to be young", grant(Condition{}), func(e *Evidence) { e.Status.Known = false }, TooOld, "max-age"},
		{"too old", grant(Condition{}), func(e *Evidence) { e.Status.AsOf = noon.Add(-2 * time.Hour) }, TooOld, "max-age"},
		{"red", grant(Condition{}), func(e *Evidence) { e.Status.Colour = Red }, Barred, "colours"},
		{"colour", grant(Condition{Colours: []Colour{Yellow}}), nil, Unfit, "colours"},
		{"test", grant(Condition{NAT: []Result{Pending}}), nil, Unfit, "nat"},
		{"test too old", grant(Condition{NATWithin: time.Hour}), nil, Unfit, "nat-within"},
		{"test too young", grant(Condition{NATOlder: 48 * time.Hour}), nil, Unfit, "nat-older"},
		{"test without a report", grant(Condition{NATWithin: time.Hour, NATClock: ByReport}), nil, Unfit, "nat-within"},
		{"antigen", grant(Condition{Antigen: []Result{Negative}}), nil, Unfit, "antigen"},
		{"temperature", grant(Condition{Temperature: []Band{Fever}}), nil, Unfit, "temperature"},
		{"mode", grant(Condition{Modes: []Mode{ModeCached}}), nil, Unfit, "modes"},
		{"credential", grant(Condition{Credentials: []Kind{ResidentID}}), nil, Unfit, "credentials"},
		{"host", grant(Condition{Host: []Consent{HostYes}}), nil, Unfit, "hosts"},
		{"register", grant(Condition{RegisterFirst: true}), nil, Unfit, "register-first"},
		{"list", grant(Condition{ControlList: true}), nil, Unfit, "control-list"},
		{"expired", grant(Condition{CodeExpired: true}), nil, Unfit, "code-expired"},
		{"age", grant(Condition{Ages: []AgeGroup{Minor}}), nil, Unfit, "ages"},
		{"mask", grant(Condition{Mask: []Check{Passed}}), nil, Unfit, "mask"},
		{"face", grant(Condition{Face: []Check{Passed}}), nil, Unfit, "face"},
		{"answers", grant(Condition{Answers: []Check{Passed}}), nil, Unfit, "answers"},
		{"guard", grant(Condition{Staff: []Staff{StaffIdentity}}), nil, Unfit, "staff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := healthy()
			if tt.change != nil {
				tt.change(e)
			}
			got := Explain(&Policy{Rules: []Rule{tt.rule}}, "office", e)[0]
			got.Verdict = Verdict{}
			if diff := cmp.Diff(Step{Rule: "r", How: tt.how, Key: tt.key}, got); diff != "" {
				t.Errorf("step (-want +got):\n%s", diff)
			}
		})
	}
}

// Before any rule: what was presented, or the guard himself.
func TestExplainByCredential(t *testing.T) {
	for name, change := range map[string]func(*Evidence){
		"venue code": kind(VenueCode), "paper": kind(PaperCode), "passport": kind(Passport),
		"refused by a guard": func(e *Evidence) { e.Staff = StaffRefuses },
		"another's code":     func(e *Evidence) { e.Credential.Issuer = "elsewhere" },
	} {
		e := healthy()
		change(e)
		steps := Explain(strict(), "office", e)
		if len(steps) != 1 || steps[0].How != ByCredential {
			t.Errorf("%s: got %+v", name, steps)
		}
	}
}

// Ages count whole minutes, over any span.
func TestAge(t *testing.T) {
	for _, tt := range []struct {
		name string
		ago  time.Duration
		want time.Duration
		ok   bool
	}{
		{"now", 0, 0, true},
		{"a nanosecond short of a minute", time.Minute - 1, 0, true},
		{"a minute", time.Minute, time.Minute, true},
		{"half a second ahead", -time.Second / 2, 0, true},
		{"five minutes ahead", -5 * time.Minute, 0, true},
		{"a nanosecond more", -5*time.Minute - 1, 0, false},
		{"290 years", 290 * 365 * 24 * time.Hour, 290 * 365 * 24 * time.Hour, true},
	} {
		s := Status{AsOf: noon.Add(-tt.ago)}
		if got, ok := s.Age(noon); got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %v, %t, want %v, %t", tt.name, got, ok, tt.want, tt.ok)
		}
	}
	s := Status{AsOf: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)}
	if got, ok := s.Age(noon); !ok || got < 290*365*24*time.Hour {
		t.Errorf("two thousand years are %v, %t", got, ok)
	}
}

func ExampleExplain() {
	e := healthy()
	e.Temperature = Unmeasured
	for _, s := range Explain(strict(), "office", e) {
		fmt.Println(s.Rule, s.How, s.Key)
	}
	// Output:
	// list unfit control-list
	// red unfit colours
	// fever unfit temperature
	// old-nat unfit nat-older
	// unmeasured decided
}
