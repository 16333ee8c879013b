package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/policy"
	"github.com/digital-sentinel/sentinel/configs/policies"
)

// head is a policy up to its rules, 6 lines.
const head = `id: test
version: 2
title: {zh: 试验, en: Test}
temperature: advisory
guard: remote
rules:
`

// good is one rule that may stand, 1 line.
const good = "- {id: pass, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}\n"

func TestParse(t *testing.T) {
	got, err := policy.Parse([]byte(`id: test-1
version: 7
title: {zh: 试验, en: Test}
temperature: required
fever: 37.5C
guard: none
phone: 021-12345678
rules:
- id: a
  from: 2026-06-01
  until: 2026-07-01T08:00:00+08:00
  venues: [medical, care]
  when:
    credentials: [resident-id]
    modes: [online, cached]
    colours: [green]
    nat: [negative]
    nat-within: 48h
    nat-clock: reported
    antigen: [negative, none]
    hosts: [yes, no]
    temperature: [normal]
  max-age: 90m
  outcome: granted
  reason: ok
- {id: b, from: 2026-07-01T00:00:00Z, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: exempt}
- {id: c, when: {nat-older: 72h, control-list: yes, register-first: true, code-expired: yes}, outcome: refused, reason: nat-expired}
`), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	east := time.FixedZone("", 8*60*60)
	want := &checkin.Policy{
		ID: "test-1", Version: 7, Temperature: checkin.TemperatureRequired,
		Fever: physic.ZeroCelsius + 37500*physic.MilliKelvin,
		Guard: checkin.GuardNone, GuardPhone: "021-12345678", Overrides: []string{"emergency"},
		Rules: []checkin.Rule{
			{
				ID: "a", From: time.Date(2026, 6, 1, 0, 0, 0, 0, east), Until: time.Date(2026, 7, 1, 8, 0, 0, 0, east),
				Venues: []checkin.VenueClass{"medical", "care"},
				When: checkin.Condition{
					Credentials: []checkin.Kind{checkin.ResidentID},
					Modes:       []checkin.Mode{checkin.ModeOnline, checkin.ModeCached},
					Colours:     []checkin.Colour{checkin.Green},
					NAT:         []checkin.Result{checkin.Negative}, NATWithin: 48 * time.Hour, NATClock: checkin.ByReport,
					Antigen: []checkin.Result{checkin.Negative, checkin.NoTest},
					Host:    []checkin.Consent{checkin.HostYes, checkin.HostNo}, Temperature: []checkin.Band{checkin.Normal},
				},
				MaxAge: 90 * time.Minute, Outcome: checkin.Granted, Reason: checkin.OK,
			},
			{
				ID: "b", From: time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC),
				When:   checkin.Condition{Colours: []checkin.Colour{checkin.Green}},
				MaxAge: 4 * time.Hour, Outcome: checkin.Granted, Reason: checkin.Exempt,
			},
			{
				ID: "c", When: checkin.Condition{NATOlder: 72 * time.Hour, ControlList: true, RegisterFirst: true, CodeExpired: true},
				Outcome: checkin.Refused, Reason: checkin.NATExpired,
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	p, err := policy.Parse([]byte(head+good), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if p.Fever != checkin.DefaultFever || p.GuardPhone != "" {
		t.Errorf("got fever %v and phone %q", p.Fever, p.GuardPhone)
	}
}

// Each row is a file with one thing wrong, and the error's line and words.
func TestRefused(t *testing.T) {
	rule := func(text string) string { return head + good + text + "\n" }
	grant := func(when string) string {
		return rule("- {id: more, max-age: 4h, outcome: granted, reason: ok, when: {" + when + "}}")
	}
	dated := func(rules ...string) string { return head + strings.Join(rules, "\n") + "\n" }
	example := func(text string) string { return rule("examples:\n- {" + text + "}") }
	for _, tt := range []struct {
		name, file string
		line       int
		want       string
	}{
		{"nothing", "", 1, "empty"},
		{"not YAML", "id: [", 1, "did not find"},
		{"a list", "- a\n", 1, "keys are wanted"},
		{"two documents", head + good + "---\nid: b\n", 8, "second document"},
		{"an unknown key", "colour: green\n" + head + good, 1, `no key "colour"`},
		{"a mistyped key", rule("- {id: b, when: {colurs: [red]}, outcome: refused, reason: code-red}"), 8, `is it "colours"?`},
		{"a key twice", "id: a\n" + head + good, 2, "already defined"},
		{"no version", strings.Replace(head, "version: 2\n", "", 1) + good, 1, "version"},
		{"version nought", strings.Replace(head, "version: 2", "version: 0", 1) + good, 2, "version"},
		{"capitals in the id", strings.Replace(head, "id: test", "id: Test", 1) + good, 1, "small letters"},
		{"half a title", strings.Replace(head, ", en: Test", "", 1) + good, 3, "zh and en"},
		{"an unknown temperature mode", strings.Replace(head, "advisory", "advisery", 1) + good, 4, "is it advisory?"},
		{"no guard", strings.Replace(head, "guard: remote\n", "", 1) + good, 1, "guard is missing"},
		{"a fever in the wrong unit", "fever: 99.1\n" + head + good, 1, "37.3C"},
		{"a fever of the dead", "fever: 30C\n" + head + good, 1, "35C to 42C"},
		{"letters for a telephone", "phone: <b>110</b>\n" + head + good, 1, "telephone"},
		{"no rules", head, 1, "no rules"},
		{"a rule id twice", rule("- {id: pass, when: {colours: [red]}, outcome: refused, reason: code-red}"), 8, "line 7 already"},
		{"a rule without id", rule("- {when: {colours: [red]}, outcome: refused, reason: code-red}"), 8, "a rule's id"},
		{"a rule without outcome", rule("- {id: b, reason: code-red}"), 8, "outcome is missing"},
		{"an unknown outcome", rule("- {id: b, outcome: allowed, reason: ok}"), 8, "granted, refused, manual"},
		{"an unknown reason", rule("- {id: b, outcome: refused, reason: code-rad}"), 8, "is it code-red?"},
		{"an unknown venue class", rule("- {id: b, venues: [hospital], outcome: refused, reason: code-red}"), 8, "medical"},
		{"an unknown colour", rule("- {id: b, when: {colours: [blue]}, outcome: refused, reason: code-red}"), 8, `colour "blue"`},
		{"a colour twice", rule("- {id: b, when: {colours: [red, red]}, outcome: refused, reason: code-red}"), 8, "twice"},
		{"one colour without a list", rule("- {id: b, when: {colours: red}, outcome: refused, reason: code-red}"), 8, "list is wanted"},
		{"an empty list", rule("- {id: b, when: {colours: []}, outcome: refused, reason: code-red}"), 8, "empty list"},
		{"a list for one value", rule("- {id: [b], outcome: refused, reason: code-red}"), 8, "one value"},
		{"a venue code in a rule", rule("- {id: b, when: {credentials: [venue-code]}, outcome: manual, reason: venue-code}"), 8, "credential"},
		{"a flag that is no", rule("- {id: b, when: {control-list: no}, outcome: refused, reason: denied-by-list}"), 8, "only yes"},
		{"a time without unit", rule("- {id: b, when: {nat-older: 48}, outcome: refused, reason: nat-expired}"), 8, "whole minutes"},
		{"a time in seconds", rule("- {id: b, when: {nat-older: 90s}, outcome: refused, reason: nat-expired}"), 8, "whole minutes"},
		{"a time below nothing", rule("- {id: b, when: {nat-older: -48h}, outcome: refused, reason: nat-expired}"), 8, "whole minutes"},
		{"no such day", rule("- {id: b, from: 2026-02-30, outcome: refused, reason: code-red}"), 8, "is not a date"},
		{"until before from", rule("- {id: b, from: 2026-02-02, until: 2026-02-01, outcome: refused, reason: code-red}"), 8, "not after from"},
		{"a clock for no test", rule("- {id: b, when: {nat-clock: sampled}, outcome: refused, reason: code-red}"), 8, "says nothing"},
		{"older and within at once", rule("- {id: b, when: {nat-older: 48h, nat-within: 48h}, outcome: refused, reason: nat-expired}"), 8, "no test is"},
		{"a temperature where it is off", strings.Replace(head, "advisory", "off", 1) + good +
			"- {id: b, when: {temperature: [fever]}, outcome: refused, reason: fever}\n", 8, "temperature is off"},
		{"a refusal with reason ok", rule("- {id: b, outcome: refused, reason: ok}"), 8, "reasons to grant"},

		{"a grant without max-age", rule("- {id: b, when: {colours: [green]}, outcome: granted, reason: ok}"), 8, "without max-age"},
		{"a grant on red", grant("colours: [green, red]"), 8, "grants on red"},
		{"a grant on red with the host's yes", grant("colours: [red], hosts: [yes]"), 8, "grants on red"},
		{"a grant on yellow", grant("colours: [yellow]"), 8, "grants on yellow"},
		{"a grant on no colour", grant("colours: [green, none]"), 8, "without proof"},
		{"a grant on nothing", grant(""), 8, "without proof"},
		{"a grant on a cool forehead", grant("temperature: [normal]"), 8, "without proof"},
		{"a grant on a silent host", grant("hosts: [yes, silent]"), 8, "without proof"},
		{"a grant on a pass or a code", grant("credentials: [visitor-pass, personal-code]"), 8, "without proof"},
		{"a grant on a test's age alone", grant("colours: [green], nat-within: 48h"), 8, "age alone"},
		{"a grant on a pending test's age", grant("colours: [green], nat: [negative, pending], nat-within: 48h"), 8, "age alone"},
		{"a grant on a positive test", grant("colours: [green], nat: [positive]"), 8, "positive"},
		{"a grant on a positive antigen test", grant("colours: [green], antigen: [positive]"), 8, "positive"},
		{"a grant on a fever", grant("colours: [green], temperature: [normal, fever]"), 8, "fever"},
		{"a grant to those on the list", grant("colours: [green], control-list: yes"), 8, "wants stopped"},
		{"a grant for another reason", rule("- {id: b, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: fever}"), 8, "not ok, exempt or assisted"},

		{"a hole between two grants", dated(
			"- {id: a, until: 2026-06-01, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}",
			"- {id: b, from: 2026-06-02, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}"),
			7, "no rule grants from 2026-06-01T00:00:00+08:00 to 2026-06-02"},
		{"an end without a successor", dated(
			"- {id: a, from: 2026-05-01, until: 2026-06-01, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}"),
			7, "has no until"},
		{"a hole for one venue class", head + good[:len(good)-2] + ", venues: [housing]}\n" +
			"- {id: c, until: 2026-06-01, venues: [care], when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}\n",
			8, "rule c: no rule grants"},

		{"an end that a guard's word hides", dated(
			"- {id: g, when: {staff: [identity]}, outcome: granted, reason: assisted}",
			"- {id: a, until: 2026-06-01, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}"),
			8, "has no until"},

		{"an example that comes out otherwise", example("name: x, colour: red, expect: granted, reason: ok"), 9, "comes out as manual not-covered"},
		{"an example with another reason", example("name: x, colour: green, expect: granted, reason: exempt"), 9, "(rule pass), expected granted exempt"},
		{"an example by another rule", example("name: x, colour: green, expect: granted, rule: other"), 9, "rule pass"},
		{"an example without a name", example("colour: green, expect: granted"), 9, "needs a name"},
		{"an example that expects nothing", example("name: x, colour: green"), 9, "is missing"},
		{"an example with a mistyped key", example("name: x, color: green, expect: granted"), 9, `is it "colour"?`},
		{"an example of a rule with dates that has none", dated(
			"- {id: a, from: 2026-06-01, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}",
			"examples:", "- {name: x, colour: green, expect: granted}"), 9, "say when: at"},
		{"too large", strings.Repeat("#", policy.MaxSize+1), 1, "at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := policy.Parse([]byte(tt.file), "test.yaml")
			if err == nil {
				t.Fatalf("accepted as %+v", p)
			}
			at := fmt.Sprintf("test.yaml:%d: ", tt.line)
			if !strings.HasPrefix(err.Error(), at) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error\n%v\nwant one at %s with %q", err, at, tt.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("one thing is wrong, and the error has several lines:\n%v", err)
			}
		})
	}
}

// Everything wrong is told at once, in the order of the lines.
func TestAllAtOnce(t *testing.T) {
	_, err := policy.Parse([]byte(`id: BAD
version: one
title: {zh: 试验, en: Test}
temperature: advisory
guard: remote
colour: green
rules:
- {id: a, when: {colours: [green, red]}, outcome: granted, reason: ok}
- {id: a, outcome: refused, reason: nothing}
`), "p.yaml")
	if err == nil {
		t.Fatal("accepted")
	}
	var got []string
	for line := range strings.Lines(err.Error()) {
		got = append(got, line[:len("p.yaml:1:")])
	}
	want := []string{"p.yaml:1:", "p.yaml:2:", "p.yaml:6:", "p.yaml:8:", "p.yaml:8:", "p.yaml:9:", "p.yaml:9:"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s\n%v", diff, err)
	}
}

func TestDatedRulesThatMeet(t *testing.T) {
	_, err := policy.Parse([]byte(head+`- {id: a, from: 2026-05-01, until: 2026-06-01, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}
- {id: b, from: 2026-06-01, until: 2026-06-15, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}
- {id: long, from: 2026-05-15, until: 2026-08-01, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}
- {id: c, from: 2026-08-01, when: {colours: [green]}, max-age: 4h, outcome: granted, reason: ok}
- {id: d, from: 2026-06-01, until: 2026-06-02, venues: [medical], when: {colours: [red]}, outcome: refused, reason: code-red}
examples:
- {name: within, at: 2026-05-20, colour: green, expect: granted, rule: a}
- {name: too early, at: 2026-04-30T23:59:59+08:00, colour: green, expect: manual, reason: not-covered}
`), "test.yaml")
	if err != nil {
		t.Errorf("rules that meet are refused:\n%v", err)
	}
}

func shipped(t testing.TB) map[string]*checkin.Policy {
	t.Helper()
	files, err := filepath.Glob("../../configs/policies/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no shipped policies (error %v)", err)
	}
	all := map[string]*checkin.Policy{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse(data, name)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimSuffix(filepath.Base(name), ".yaml"); p.ID != want {
			t.Errorf("%s has id %s", name, p.ID)
		}
		if got := strings.Count(string(data), "\n- {name: "); got < 8 {
			t.Errorf("%s has %d examples, want 8 or more", name, got)
		}
		all[p.ID] = p
	}
	return all
}

// sane holds any policy that is accepted to what none may do.
func sane(t *testing.T, p *checkin.Policy, s *situation) {
	t.Helper()
	v := checkin.Decide(p, "office", s.evidence())
	if v.Outcome != checkin.Granted {
		return
	}
	i := slices.IndexFunc(p.Rules, func(r checkin.Rule) bool { return r.ID == v.Rule })
	proof := p.Rules[i].Unchecked || s.colour == checkin.Green || s.host == checkin.HostYes
	if s.mode == checkin.ModeNone || s.colour == checkin.Red || !proof {
		t.Fatalf("rule %s grants %+v", v.Rule, *s)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + good))
	f.Add([]byte("rules: &a [*a]"))
	f.Add([]byte("H\n\nH"))
	f.Add([]byte("? [a]\n: {b: !!binary x}\n"))
	f.Add([]byte("<<: {id: a}\nrules: [~, {when: ~}]\nexamples: [~]"))
	f.Add([]byte(whole))
	for _, id := range policies.Names() {
		data, err := os.ReadFile("../../configs/policies/" + id + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := policy.Parse(data, "f.yaml")
		if (p == nil) == (err == nil) {
			t.Fatalf("policy %v and error %v", p, err)
		}
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "f.yaml:") {
					t.Fatalf("line %q has no place", line)
				}
			}
			return
		}
		for _, r := range p.Rules {
			vouched := len(r.When.Staff) == 1 && r.When.Staff[0] == checkin.StaffIdentity
			if r.Outcome == checkin.Granted && r.MaxAge <= 0 && !vouched {
				t.Fatalf("rule %s grants without max-age", r.ID)
			}
			if r.Outcome == checkin.Granted && slices.Contains(r.When.Colours, checkin.Red) {
				t.Fatalf("rule %s grants on red", r.ID)
			}
		}
		for _, colour := range colours {
			for _, host := range []checkin.Consent{checkin.HostYes, checkin.HostNone} {
				for _, rung := range ladder {
					sane(t, p, &situation{
						colour: colour, host: host, nat: checkin.Negative, natAge: time.Hour, clock: true,
						mode: rung.mode, age: rung.age, band: checkin.Normal,
					})
				}
			}
		}
	})
}
