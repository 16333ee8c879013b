package policy

import (
	"fmt"
	"slices"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// faults gathers what is wrong with a rule.
type faults []string

func (f *faults) refuse(is bool, text string) {
	if is {
		*f = append(*f, text)
	}
}

// lint refuses what a rule must not say.
func (r *reader) lint(p *checkin.Policy, rule *checkin.Rule, line int) {
	var f faults
	f.contradictions(p, rule)
	if rule.Outcome == checkin.Granted {
		f.grant(rule)
	} else if rule.Outcome != "" {
		friendly := slices.Contains([]checkin.Reason{checkin.OK, checkin.Exempt, checkin.Assisted}, rule.Reason)
		f.refuse(friendly, "ok, exempt and assisted are reasons to grant")
		f.refuse(rule.Unchecked, "unchecked is for a rule that grants")
	}
	f.refuse(rule.Report && rule.Outcome != checkin.Refused, "report is for a rule that refuses: nobody else is reported")
	for _, text := range f {
		r.wrong(line, fmt.Sprintf("rule %s: %s", rule.ID, text))
	}
}

// contradictions finds a rule that nothing can ever meet.
func (f *faults) contradictions(p *checkin.Policy, rule *checkin.Rule) {
	c := &rule.When
	f.refuse(!rule.From.IsZero() && !rule.Until.IsZero() && !rule.From.Before(rule.Until), "until is not after from")
	f.refuse(p.Temperature == checkin.TemperatureOff && len(c.Temperature) > 0,
		"asks for a temperature, but temperature is off")
	f.refuse(len(c.Answers) > 0 && len(p.Questions) == 0, "asks for answers, but the policy has no questions")
	f.refuse(c.NATWithin > 0 && c.NATOlder >= c.NATWithin, "no test is older than nat-older and within nat-within")
	natTimed := c.NATWithin > 0 || c.NATOlder > 0
	f.refuse(c.NATClock != "" && !natTimed, "nat-clock without nat-within or nat-older says nothing")
	ageless := []checkin.Result{checkin.NoTest}
	if c.NATClock == checkin.ByReport {
		ageless = append(ageless, checkin.Pending) // no report yet
	}
	f.refuse(natTimed && within(c.NAT, ageless), "wants the age of a test that is not there")
	blind := within(c.Modes, []checkin.Mode{checkin.ModeNone})
	f.refuse(blind && (asksHealth(c) || len(c.Host) > 0 || c.RegisterFirst || c.ControlList || c.CodeExpired || rule.MaxAge > 0),
		"modes: [none] means that nothing is known, and it asks for something that must be")
	unvouched := within(c.Staff, []checkin.Staff{checkin.StaffNone})
	f.refuse(unvouched && within(c.Credentials, byHand),
		"a paper code, a passport and other papers get as far as the rules with staff: [identity] only")
}

// byHand are the credentials that only a guard can look at.
var byHand = []checkin.Kind{checkin.PaperCode, checkin.Passport, checkin.OtherPaper}

// within reports whether set demands something, and nothing outside of only.
func within[T comparable](set, only []T) bool {
	return len(set) > 0 && !slices.ContainsFunc(set, func(v T) bool { return !slices.Contains(only, v) })
}

// asksHealth reports whether c looks at a code's colour or at a test.
func asksHealth(c *checkin.Condition) bool {
	return len(c.Colours)+len(c.NAT)+len(c.Antigen) > 0 || c.NATWithin > 0 || c.NATOlder > 0
}

// grant lists why a rule must not grant.
func (f *faults) grant(rule *checkin.Rule) {
	c, vouched := &rule.When, vouched(&rule.When)
	f.refuse(rule.Reason == checkin.Assisted && !vouched, "assisted is the reason of a guard's word: staff: [identity]")
	f.refuse(!slices.Contains([]checkin.Reason{checkin.OK, checkin.Exempt, checkin.Assisted, ""}, rule.Reason),
		"grants with a reason that is not ok, exempt or assisted")
	f.refuse(rule.MaxAge == 0 && !vouched, "grants without max-age: say how old the status may be")
	red, yellow := slices.Contains(c.Colours, checkin.Red), slices.Contains(c.Colours, checkin.Yellow)
	f.refuse(red, "grants on red")
	f.refuse(yellow, "grants on yellow")
	f.refuse(rule.Unchecked && asksHealth(c), "unchecked means that no code and no test is looked at, and it asks for one")
	f.refuse(!red && !yellow && !rule.Unchecked && !proves(c),
		"grants without proof: it needs colours: [green], or hosts: [yes], or credentials: [visitor-pass], or staff: [identity], or unchecked: yes")
	f.refuse(c.NATWithin > 0 && !slices.Equal(c.NAT, []checkin.Result{checkin.Negative}),
		"grants on a test's age alone: nat-within needs nat: [negative]")
	f.refuse(slices.Contains(c.NAT, checkin.Positive) || slices.Contains(c.Antigen, checkin.Positive),
		"grants on a positive test")
	f.refuse(slices.Contains(c.Temperature, checkin.Fever) && rule.Reason != checkin.Exempt,
		"grants on a fever: only a rule with reason exempt may")
	f.refuse(c.ControlList || c.RegisterFirst || c.CodeExpired,
		"grants to somebody whom the platform wants stopped")
	failed := slices.Contains(c.Mask, checkin.Failed) || slices.Contains(c.Face, checkin.Failed) || slices.Contains(c.Answers, checkin.Failed)
	f.refuse(failed, "grants on a check that has failed")
}

// proves reports whether c asks for something that is reason enough: a green
// code, the host's yes, a visitor pass, or a guard's word.
func proves(c *checkin.Condition) bool {
	return slices.Equal(c.Colours, []checkin.Colour{checkin.Green}) ||
		slices.Equal(c.Host, []checkin.Consent{checkin.HostYes}) ||
		slices.Equal(c.Credentials, []checkin.Kind{checkin.VisitorPass}) ||
		vouched(c)
}

// vouched reports whether c asks for a guard's word on who somebody is.
func vouched(c *checkin.Condition) bool {
	return slices.Equal(c.Staff, []checkin.Staff{checkin.StaffIdentity})
}

// warnings tell what stands, and is not what the writer may think.
func warnings(p *checkin.Policy, name string, f *file) []string {
	var all []string
	for i := range p.Rules {
		c := &p.Rules[i].When
		warn := func(is bool, text string) {
			if is {
				all = append(all, fmt.Sprintf("%s:%d: rule %s: %s", name, f.Rules[i].line, p.Rules[i].ID, text))
			}
		}
		warn(len(c.Mask) > 0, "nothing looks at masks today: every mask is unchecked")
		warn(len(c.Face) > 0, "nothing compares faces today: every face is unchecked")
		warn(len(c.Ages) > 0 && within(c.Credentials, codes), "a code tells nothing of its holder's age: only cards do")
	}
	return all
}

// codes are the credentials without a birth date.
var codes = []checkin.Kind{
	checkin.PersonalCode, checkin.RelativeCode, checkin.SignedCode, checkin.VisitorPass, checkin.PaperCode,
}
