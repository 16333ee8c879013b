package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// shadows refuses a rule that can never decide because those before it take
// all its cases. Rules that are wrong in themselves are left out: what they
// would take is not known.
func (r *reader) shadows(p *checkin.Policy, f *file) {
	bad := func(i int) bool { return f.Rules[i].bad }
	for i, by := range shadowed(p.Rules, bad) {
		if len(by) > 0 {
			r.wrong(f.Rules[i].line, r.shadow(p, f, i, by))
		}
	}
}

// shadowed gives for every rule those before it that leave it no case, if any.
func shadowed(rules []checkin.Rule, leaveOut func(i int) bool) [][]int {
	by := make([][]int, len(rules))
	var before []cover
	banned := false // a rule before may forbid, and nobody knows, for want of a clock
	pieces := maxPieces
	for i := range rules {
		if leaveOut(i) {
			continue
		}
		rule := &rules[i]
		var cases []box
		for _, b := range boxes(rule) {
			for _, part := range reachable(b) {
				if !part.empty() {
					cases = append(cases, part)
				}
			}
		}
		grants := rule.Outcome == checkin.Granted
		reached := before
		if !grants { // what bars a grant before it lets this rule decide
			reached = slices.DeleteFunc(slices.Clone(before), func(c cover) bool { return c.barred })
		}
		by[i] = takers(cases, reached, &pieces)
		for _, b := range boxes(rule) {
			if !b.empty() {
				before = append(before, cover{b, i, grants && banned})
			}
		}
		banned = banned || !grants && timed(rule)
	}
	return by
}

// cover is one box of a rule that comes before.
type cover struct {
	box
	rule   int
	barred bool // now and then: it grants, and one before it may forbid
}

// takers names the rules of before that take all the cases: one alone if there
// is one, or else those that do it together; none if a case is left.
func takers(cases []box, before []cover, pieces *int) []int {
	for i := 0; i < len(before); {
		end := i + 1
		for end < len(before) && before[end].rule == before[i].rule {
			end++
		}
		few := maxPieces
		if s := (search{pieces: &few}); s.all(cases, before[i:end]) {
			return s.used
		}
		i = end
	}
	if s := (search{pieces: pieces}); s.all(cases, before) {
		return s.used
	}
	return nil
}

// maxPieces bounds into how many pieces a file's rules are cut up to see
// whether others take all of one together. A table so tangled is let pass: the
// lint only helps.
const maxPieces = 20_000

// search looks for a case that no rule takes.
type search struct {
	pieces *int // that may still be cut
	used   []int
}

func (s *search) all(cases []box, by []cover) bool {
	for i := range cases {
		if !s.taken(cases[i], by) {
			return false
		}
	}
	return true
}

// taken reports whether the boxes of by hold all of b. What sticks out of the
// first box that b meets, in one direction after the other, must be held by
// the boxes after it; the rest lies in that box.
func (s *search) taken(b box, by []cover) bool {
	if *s.pieces--; *s.pieces < 0 {
		return false
	}
	i := slices.IndexFunc(by, func(c cover) bool { return b.meets(&c.box) })
	if i < 0 {
		return false
	}
	c, rest := &by[i], by[i+1:]
	for d := range b.bits {
		out := b
		out.bits[d] &^= c.bits[d]
		if out.bits[d] != 0 && !s.taken(out, rest) {
			return false
		}
		b.bits[d] &= c.bits[d]
	}
	for d := range b.span {
		early, late := b, b
		early.span[d].end = min(b.span[d].end, c.span[d].begin)
		late.span[d].begin = max(b.span[d].begin, c.span[d].end)
		if !early.empty() && !s.taken(early, rest) || !late.empty() && !s.taken(late, rest) {
			return false
		}
		b.span[d] = span{max(b.span[d].begin, c.span[d].begin), min(b.span[d].end, c.span[d].end)}
	}
	if !slices.Contains(s.used, c.rule) {
		s.used = append(s.used, c.rule)
	}
	return true
}

// shadow says that the rules of by leave nothing to rule i.
func (r *reader) shadow(p *checkin.Policy, f *file, i int, by []int) string {
	slices.Sort(by)
	rule, first := &p.Rules[i], &p.Rules[by[0]]
	if len(by) > 1 {
		var names []string
		for _, j := range by {
			names = append(names, p.Rules[j].ID)
		}
		return fmt.Sprintf("rule %s can never decide: rules %s before it take all its cases together",
			rule.ID, strings.Join(names, ", "))
	}
	line := f.Rules[by[0]].line
	same := rule.Outcome == first.Outcome
	pieces := maxPieces
	back := search{pieces: &pieces}
	switch mutual := back.all(boxes(first), coversOf(rule)); {
	case mutual && !same:
		return fmt.Sprintf("rules %s (line %d) and %s say opposite things of the very same cases, %s and %s: the first decides, the second never can",
			first.ID, line, rule.ID, first.Outcome, rule.Outcome)
	case same:
		return fmt.Sprintf("rule %s can never decide: rule %s (line %d) before it takes all its cases", rule.ID, first.ID, line)
	}
	return fmt.Sprintf("rule %s can never decide: rule %s (line %d) before it takes all its cases, and says %s where this says %s",
		rule.ID, first.ID, line, first.Outcome, rule.Outcome)
}

func coversOf(rule *checkin.Rule) []cover {
	var all []cover
	for _, b := range boxes(rule) {
		all = append(all, cover{box: b})
	}
	return all
}
