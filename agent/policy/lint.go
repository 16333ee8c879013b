package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// lint refuses what a rule must not say.
func (r *reader) lint(p *checkin.Policy, rule *checkin.Rule, line int) {
	wrong := func(text string) { r.wrong(line, fmt.Sprintf("rule %s: %s", rule.ID, text)) }
	c := &rule.When
	if !rule.From.IsZero() && !rule.Until.IsZero() && !rule.From.Before(rule.Until) {
		wrong("until is not after from")
	}
	if p.Temperature == checkin.TemperatureOff && len(c.Temperature) > 0 {
		wrong("asks for a temperature, but temperature is off")
	}
	if c.NATWithin > 0 && c.NATOlder >= c.NATWithin {
		wrong("no test is older than nat-older and within nat-within")
	}
	if c.NATClock != "" && c.NATWithin == 0 && c.NATOlder == 0 {
		wrong("nat-clock without nat-within or nat-older says nothing")
	}
	friendly := rule.Reason == checkin.OK || rule.Reason == checkin.Exempt
	if rule.Outcome == checkin.Granted {
		if !friendly {
			wrong("grants with a reason that is not ok or exempt")
		}
		for _, text := range grantFaults(rule) {
			wrong(text)
		}
	} else if friendly && rule.Outcome != "" {
		wrong("ok and exempt are reasons to grant")
	}
}

// grantFaults lists why a rule must not grant.
func grantFaults(rule *checkin.Rule) []string {
	var faults []string
	refuse := func(is bool, text string) {
		if is {
			faults = append(faults, text)
		}
	}
	c := &rule.When
	refuse(rule.MaxAge == 0, "grants without max-age: say how old the status may be")
	red, yellow := slices.Contains(c.Colours, checkin.Red), slices.Contains(c.Colours, checkin.Yellow)
	refuse(red, "grants on red")
	refuse(yellow, "grants on yellow")
	refuse(!red && !yellow && !proves(c), "grants without proof: it needs colours: [green], or hosts: [yes], or credentials: [visitor-pass]")
	refuse(c.NATWithin > 0 && !slices.Equal(c.NAT, []checkin.Result{checkin.Negative}),
		"grants on a test's age alone: nat-within needs nat: [negative]")
	refuse(slices.Contains(c.NAT, checkin.Positive) || slices.Contains(c.Antigen, checkin.Positive),
		"grants on a positive test")
	refuse(slices.Contains(c.Temperature, checkin.Fever) && rule.Reason != checkin.Exempt,
		"grants on a fever: only a rule with reason exempt may")
	refuse(c.ControlList || c.RegisterFirst || c.CodeExpired,
		"grants to somebody whom the platform wants stopped")
	return faults
}

// proves reports whether c asks for something that is reason enough: a green
// code, the host's yes, or a visitor pass.
func proves(c *checkin.Condition) bool {
	return slices.Equal(c.Colours, []checkin.Colour{checkin.Green}) ||
		slices.Equal(c.Host, []checkin.Consent{checkin.HostYes}) ||
		slices.Equal(c.Credentials, []checkin.Kind{checkin.VisitorPass})
}

// gaps refuses a time at which a venue class that had a rule to grant has none
// any more. Before its first rule a policy has not begun.
func (r *reader) gaps(p *checkin.Policy, f *file) {
	seen := map[string]bool{}
	for _, class := range checkin.VenueClasses() {
		begin, end, last := gap(p.Rules, class)
		if last < 0 {
			continue
		}
		text := fmt.Sprintf("rule %s: no rule grants from %s", p.Rules[last].ID, begin.Format(time.RFC3339))
		if !end.IsZero() {
			text += " to " + end.Format(time.RFC3339)
		} else {
			text += " on: the last one has no until"
		}
		if !seen[text] {
			r.wrong(f.Rules[last].line, text)
		}
		seen[text] = true
	}
}

// gap looks for the first time without a rule that grants for class, and the
// rule that ends there; -1 is no gap. A gap without an end lasts for ever.
func gap(rules []checkin.Rule, class checkin.VenueClass) (begin, end time.Time, last int) {
	var grants []int
	for i := range rules {
		here := len(rules[i].Venues) == 0 || slices.Contains(rules[i].Venues, class)
		if rules[i].Outcome == checkin.Granted && here {
			grants = append(grants, i)
		}
	}
	if len(grants) == 0 {
		return begin, end, -1
	}
	slices.SortStableFunc(grants, func(a, b int) int { return rules[a].From.Compare(rules[b].From) })
	last = grants[0]
	for _, i := range grants {
		covered := rules[last].Until
		switch {
		case covered.IsZero():
			return begin, end, -1
		case rules[i].From.After(covered):
			return covered, rules[i].From, last
		case rules[i].Until.IsZero() || rules[i].Until.After(covered):
			last = i
		}
	}
	if rules[last].Until.IsZero() {
		return begin, end, -1
	}
	return rules[last].Until, end, last
}
