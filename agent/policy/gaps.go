package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// gaps refuses a time at which a venue class that had a rule to grant has none
// any more. Before its first rule a policy has not begun. A rule on a guard's
// word does not count: it would hide that nobody else is let in.
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
		if rules[i].Outcome == checkin.Granted && here && !vouched(&rules[i].When) {
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
