package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/policy"
)

// whole says everything that can be said of persons, guards and later devices.
const whole = `id: whole
version: 1
title: {zh: 全部, en: Whole}
temperature: advisory
guard: present
issuers: [jiangsu, zhejiang, anhui]
overrides: [emergency, fire-drill]
questions:
- {id: cough, zh: 您咳嗽吗？, en: "Do you have a cough?", good: no}
- {id: vaccinated, zh: 您接种过疫苗吗？, en: "Have you been vaccinated?", good: yes}
rules:
- {id: red, when: {colours: [red]}, report: yes, outcome: refused, reason: code-red}
- {id: no-mask, when: {mask: [failed], face: [failed, unchecked]}, report: no, outcome: refused, reason: not-covered}
- {id: guard, when: {staff: [identity], answers: [passed]}, outcome: granted, reason: assisted}
- {id: children, when: {ages: [minor, elder], colours: [green]}, max-age: 4h, outcome: granted, reason: exempt}
- {id: open, unchecked: yes, when: {credentials: [resident-id], staff: [none]}, max-age: 24h, outcome: granted, reason: ok}
examples:
- {name: red, colour: red, expect: refused, reason: code-red, report: yes}
- {name: no mask, colour: green, mask: failed, face: unchecked, expect: refused, rule: no-mask, report: no}
- {name: passport, credential: passport, mode: none, staff: identity, answers: passed, expect: granted, reason: assisted}
- {name: other paper, credential: other-paper, mode: none, staff: identity, answers: failed, expect: manual, reason: no-status}
- {name: paper code, credential: paper-code, mode: none, expect: manual, reason: paper-code}
- {name: an elder, credential: resident-id, age-group: elder, colour: green, expect: granted, rule: children}
- {name: a grown-up, credential: resident-id, age-group: adult, colour: yellow, expect: granted, rule: open}
- {name: a code of Jiangsu, issuer: jiangsu, age-group: minor, colour: green, expect: granted, rule: children}
- {name: a code of Guangdong, issuer: guangdong, age-group: minor, colour: green, expect: manual, reason: not-covered}
`

func TestWholeLanguage(t *testing.T) {
	s, err := policy.Read([]byte(whole), "whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := &checkin.Policy{
		ID: "whole", Version: 1, Temperature: checkin.TemperatureAdvisory, Fever: checkin.DefaultFever,
		Guard: checkin.GuardPresent, Issuers: []string{"jiangsu", "zhejiang", "anhui"},
		Overrides: []string{"emergency", "fire-drill"},
		Questions: []checkin.Question{
			{ID: "cough", Zh: "您咳嗽吗？", En: "Do you have a cough?"},
			{ID: "vaccinated", Zh: "您接种过疫苗吗？", En: "Have you been vaccinated?", Good: true},
		},
		Rules: []checkin.Rule{
			{ID: "red", When: checkin.Condition{Colours: []checkin.Colour{checkin.Red}}, Report: true,
				Outcome: checkin.Refused, Reason: checkin.CodeRed},
			{ID: "no-mask", When: checkin.Condition{
				Mask: []checkin.Check{checkin.Failed}, Face: []checkin.Check{checkin.Failed, checkin.Unchecked},
			}, Outcome: checkin.Refused, Reason: checkin.NotCovered},
			{ID: "guard", When: checkin.Condition{
				Staff: []checkin.Staff{checkin.StaffIdentity}, Answers: []checkin.Check{checkin.Passed},
			}, Outcome: checkin.Granted, Reason: checkin.Assisted},
			{ID: "children", When: checkin.Condition{
				Ages: []checkin.AgeGroup{checkin.Minor, checkin.Elder}, Colours: []checkin.Colour{checkin.Green},
			}, MaxAge: 4 * time.Hour, Outcome: checkin.Granted, Reason: checkin.Exempt},
			{ID: "open", When: checkin.Condition{
				Credentials: []checkin.Kind{checkin.ResidentID}, Staff: []checkin.Staff{checkin.StaffNone},
			}, Unchecked: true, MaxAge: 24 * time.Hour, Outcome: checkin.Granted, Reason: checkin.OK},
		},
	}
	if diff := cmp.Diff(want, s.Policy); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if s.Zh != "全部" || s.En != "Whole" || len(s.Cases) != 9 {
		t.Errorf("got title %q %q and %d cases", s.Zh, s.En, len(s.Cases))
	}
	if got := s.Cases[0].Verdict; got.Rule != "red" || !got.Report {
		t.Errorf("the first case comes out as %+v", got)
	}
	warned := []string{
		"whole.yaml:13: rule no-mask: nothing looks at masks today: every mask is unchecked",
		"whole.yaml:13: rule no-mask: nothing compares faces today: every face is unchecked",
	}
	if diff := cmp.Diff(warned, s.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// Each row is whole with one thing changed, and what is said of it.
func TestWholeRefused(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"an issuer twice", "[jiangsu, zhejiang, anhui]", "[jiangsu, jiangsu]", "whole.yaml:6: issuer jiangsu stands twice"},
		{"an issuer in capitals", "[jiangsu, zhejiang, anhui]", "[jiangsu, Zhejiang]", `whole.yaml:6: issuer "Zhejiang" is not`},
		{"too many issuers", "[jiangsu, zhejiang, anhui]", "[jiangsu" + numbered(40) + "]", "whole.yaml:6: there are 41 issuers, at most 40"},
		{"no override at all", "[emergency, fire-drill]", "[]", "empty list of overrides"},
		{"too many overrides", "[emergency, fire-drill]", "[emergency" + numbered(16) + "]", "whole.yaml:7: there are 17 overrides, at most 16"},
		{"a question without a good answer", ", good: no}", "}", "whole.yaml:9: question cough: good is missing"},
		{"a question whose good answer is maybe", "good: no}", "good: maybe}", `whole.yaml:9: value "maybe"`},
		{"a question in one language", "zh: 您咳嗽吗？, ", "", "whole.yaml:9: a question has zh and en"},
		{"a question that is too long", "您咳嗽吗？", strings.Repeat("咳", 201), "1 to 200 letters"},
		{"a question twice", "id: vaccinated", "id: cough", "whole.yaml:10: question cough stands twice"},
		{"too many questions", "- {id: vaccinated", manyQuestions(19) + "- {id: vaccinated", "there are 21 questions, at most 20"},
		{"a mistyped key of a question", "good: no", "god: no", `is it "good"?`},
		{"an unknown age group", "[minor, elder]", "[child]", "minor, adult, elder"},
		{"an unknown check", "mask: [failed]", "mask: [off]", "passed, failed, unchecked"},
		{"an unknown word of a guard", "staff: [identity]", "staff: [friend]", "identity, none"},
		{"answers without questions", questionsOf(whole), "", "rule guard: asks for answers"},
		{"a report on a grant", "outcome: granted, reason: assisted", "report: yes, outcome: granted, reason: assisted", "report is for a rule that refuses"},
		{"a guard's grant for fever", "reason: assisted}\n- {id: children", "reason: fever}\n- {id: children", "not ok, exempt or assisted"},
		{"a guard's grant on red", "staff: [identity], answers", "staff: [identity], colours: [red], answers", "grants on red"},
		{"a guard's grant on failed answers", "answers: [passed]}", "answers: [failed]}", "a check that has failed"},
		{"a grant on a guard's word or none", "staff: [identity], answers", "staff: [identity, none], answers", "without proof"},
		{"assisted without a guard", "outcome: granted, reason: exempt", "outcome: granted, reason: assisted", "a guard's word"},
		{"assisted as a refusal", "outcome: refused, reason: not-covered", "outcome: refused, reason: assisted", "reasons to grant"},
		{"unchecked with a colour", "{credentials: [resident-id], staff", "{colours: [green], staff", "and it asks for one"},
		{"unchecked with a test", "{credentials: [resident-id], staff", "{nat: [negative], staff", "and it asks for one"},
		{"unchecked with an antigen test", "{credentials: [resident-id], staff", "{antigen: [negative], staff", "and it asks for one"},
		{"unchecked without max-age", "max-age: 24h, ", "", "without max-age"},
		{"unchecked on a refusal", "report: yes,", "unchecked: yes,", "a rule that grants"},
		{"unchecked for those on the list", "{credentials: [resident-id], staff", "{control-list: yes, staff", "wants stopped"},
		{"a passport without a guard", "credentials: [resident-id]", "credentials: [passport, paper-code]", "staff: [identity] only"},
		{"a verdict's mode", "{credentials: [resident-id]", "{modes: [assisted], credentials: [resident-id]", `mode "assisted" is not`},
		{"a report that is none", "reason: code-red, report: yes", "reason: code-red, report: no", "report comes out as true"},
		{"a report that is maybe", "reason: code-red, report: yes", "reason: code-red, report: maybe", `value "maybe"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(whole, tt.from) {
				t.Fatalf("there is no %q to change", tt.from)
			}
			_, err := policy.Parse([]byte(strings.Replace(whole, tt.from, tt.to, 1)), "whole.yaml")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error\n%v\nwant one with %q", err, tt.want)
			}
		})
	}
}

// questionsOf is the paragraph of the questions.
func questionsOf(file string) string {
	_, rest, _ := strings.Cut(file, "questions:\n")
	list, _, _ := strings.Cut(rest, "rules:\n")
	return "questions:\n" + list
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", x%d", i)
	}
	return b.String()
}

func manyQuestions(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "- {id: q%d, zh: 是吗？, en: Is it so, good: yes}\n", i)
	}
	return b.String()
}

// JSON is YAML: what a policy says in JSON is the same policy, and what is
// wrong with it is found in its line.
func TestJSON(t *testing.T) {
	want, err := policy.Read([]byte(whole), "whole")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(whole), &doc); err != nil {
		t.Fatal(err)
	}
	compact := asJSON(t, doc.Content[0])
	var indented strings.Builder
	encode(t, &indented, compact)
	for name, text := range map[string]string{"on one line": compact, "indented": indented.String()} {
		t.Run(name, func(t *testing.T) {
			if !json.Valid([]byte(text)) {
				t.Fatalf("this is no JSON:\n%s", text)
			}
			got, err := policy.Read([]byte(text), "whole")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Policy, got.Policy); diff != "" {
				t.Errorf("policy (-YAML +JSON):\n%s", diff)
			}
			if diff := cmp.Diff(want.Cases, got.Cases); diff != "" {
				t.Errorf("cases (-YAML +JSON):\n%s", diff)
			}
		})
	}
	wrong := strings.Replace(indented.String(), `"red"`, `"rad"`, 1) // an id, which may be so
	wrong = strings.Replace(wrong, `"colours": [`, `"colors": [`, 1)
	if _, err := policy.Read([]byte(wrong), "p.json"); err == nil || !strings.Contains(err.Error(), `there is no key "colors" here; is it "colours"?`) {
		t.Errorf("got error %v for a mistyped key", err)
	}
}

// JSON has no bare yes, so that a host's yes may come as true.
func TestHostsInJSON(t *testing.T) {
	p, err := policy.Parse([]byte(head+`- {"id": "a", "when": {"hosts": [true]}, "max-age": "4h", "outcome": "granted", "reason": "ok"}`), "p.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Rules[0].When.Host; len(got) != 1 || got[0] != checkin.HostYes {
		t.Errorf("got %v, want yes", got)
	}
}

// encode writes JSON with indentation.
func encode(t *testing.T, to *strings.Builder, compact string) {
	t.Helper()
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(json.RawMessage(compact)); err != nil {
		t.Fatal(err)
	}
}

// asJSON writes a YAML node as JSON, with numbers and truth values as such.
func asJSON(t *testing.T, n *yaml.Node) string {
	t.Helper()
	var parts []string
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			parts = append(parts, quote(t, n.Content[i].Value)+":"+asJSON(t, n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case yaml.SequenceNode:
		for _, item := range n.Content {
			parts = append(parts, asJSON(t, item))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	switch n.Value {
	case "yes":
		return "true"
	case "no":
		return "false"
	}
	if n.ShortTag() == "!!int" {
		return n.Value
	}
	return quote(t, n.Value)
}

func quote(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
