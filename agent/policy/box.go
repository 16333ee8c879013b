package policy

import (
	"math"
	"slices"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// box is a set of cases: those that lie, in each direction, within it. What
// takes few values is a set of bits; times and ages are spans of minutes or
// nanoseconds, the end not included. A rule takes the cases of one box or a few.
type box struct {
	bits [directions]uint32
	span [spans]span
}

type span struct{ begin, end int64 }

// The directions of sets.
const (
	byVenue = iota
	byKind
	byMode
	byColour
	byNAT
	byAntigen
	byHost
	byRegister
	byList
	byExpired
	byBand
	byAge
	byMask
	byFace
	byAnswers
	byStaff
	byKnown // of the status
	byClock // believable
	directions
)

// The directions of spans. It is some time between the earliest and the latest;
// an age of -1 is not known.
const (
	byEarliest = iota
	byLatest
	bySampled
	byReported
	byStatusAge
	spans
)

// Values of the two-valued directions.
const (
	no  uint32 = 1
	yes uint32 = 2
)

// noAge stands beside the age groups: a code tells none.
var everyAge = append([]checkin.AgeGroup{""}, ages.all...)

// boxOf gives the cases that meet a rule's words, whatever the status's age.
func boxOf(rule *checkin.Rule) box {
	c := &rule.When
	b := box{
		bits: [directions]uint32{
			byVenue: set(classes.all, rule.Venues), byKind: set(kinds.all, c.Credentials),
			byMode: set(modes.all, c.Modes), byColour: set(colours.all, c.Colours),
			byNAT: set(results.all, c.NAT), byAntigen: set(results.all, c.Antigen),
			byHost: set(consents.all, c.Host), byBand: set(bands.all, c.Temperature),
			byRegister: demand(c.RegisterFirst), byList: demand(c.ControlList), byExpired: demand(c.CodeExpired),
			byAge: set(everyAge, c.Ages), byMask: set(checks.all, c.Mask), byFace: set(checks.all, c.Face),
			byAnswers: set(checks.all, c.Answers), byStaff: set(staffs.all, c.Staff),
			byKnown: demand(asksHealth(c) || len(c.Host) > 0 || c.RegisterFirst || c.ControlList || c.CodeExpired),
			byClock: demand(timed(rule)),
		},
		span: [spans]span{
			byEarliest: {math.MinInt64, math.MaxInt64}, byLatest: {math.MinInt64, math.MaxInt64},
			bySampled: {-1, math.MaxInt64}, byReported: {-1, math.MaxInt64}, byStatusAge: {-1, math.MaxInt64},
		},
	}
	if !rule.From.IsZero() {
		b.span[byEarliest].begin = rule.From.UnixNano()
	}
	if !rule.Until.IsZero() {
		b.span[byLatest].end = rule.Until.UnixNano()
	}
	test := &b.span[bySampled]
	if c.NATClock == checkin.ByReport {
		test = &b.span[byReported]
	}
	if c.NATOlder > 0 {
		test.begin = int64(c.NATOlder/time.Minute) + 1
	}
	if c.NATWithin > 0 {
		*test = span{max(0, test.begin), int64(c.NATWithin/time.Minute) + 1}
	}
	return b
}

// boxes gives all the cases that a rule decides, if it is reached.
func boxes(rule *checkin.Rule) []box {
	all := aged(rule, boxOf(rule))
	if rule.Outcome != checkin.Granted {
		return all
	}
	var granted []box
	for _, b := range all { // red is never granted; what is not known has no colour
		known, unknown := b, b
		known.bits[byKnown] &= yes
		known.bits[byColour] &^= set(colours.all, []checkin.Colour{checkin.Red})
		unknown.bits[byKnown] &= no
		granted = append(granted, known, unknown)
	}
	return granted
}

// aged narrows b to a status as young as the rule wants it.
func aged(rule *checkin.Rule, b box) []box {
	limited := rule.Outcome == checkin.Granted && !vouched(&rule.When) || rule.MaxAge > 0
	if !limited {
		return []box{b}
	}
	b.bits[byKnown] &= yes
	dated, undated := b, b
	dated.bits[byClock] &= yes
	dated.span[byStatusAge] = span{0, int64(rule.MaxAge/time.Minute) + 1}
	// Without a clock only an answer to our own question is young.
	undated.bits[byClock] &= no
	undated.bits[byMode] &= set(modes.all, []checkin.Mode{checkin.ModeOnline})
	return []box{dated, undated}
}

// timed reports whether a rule needs to know what time it is.
func timed(rule *checkin.Rule) bool {
	return !rule.From.IsZero() || !rule.Until.IsZero() || rule.When.NATWithin > 0 || rule.When.NATOlder > 0
}

// reachable gives the parts of b that get as far as the rules: what only a
// guard can look at comes with his word or not at all.
func reachable(b box) []box {
	machine, hand := b, b
	hands := set(kinds.all, byHand)
	machine.bits[byKind] &^= hands
	hand.bits[byKind] &= hands
	hand.bits[byStaff] &= set(staffs.all, []checkin.Staff{checkin.StaffIdentity})
	return []box{machine, hand}
}

func (b *box) empty() bool {
	for _, bits := range b.bits {
		if bits == 0 {
			return true
		}
	}
	for _, s := range b.span {
		if s.begin >= s.end {
			return true
		}
	}
	return false
}

// meets reports whether a case lies in both.
func (b *box) meets(c *box) bool {
	for d := range b.bits {
		if b.bits[d]&c.bits[d] == 0 {
			return false
		}
	}
	for d := range b.span {
		if b.span[d].begin >= c.span[d].end || c.span[d].begin >= b.span[d].end {
			return false
		}
	}
	return true
}

// set gives the bits of the words in list; of none, all of them.
func set[T comparable](all, list []T) uint32 {
	if len(list) == 0 {
		return 1<<len(all) - 1
	}
	var bits uint32
	for _, v := range list {
		if i := slices.Index(all, v); i >= 0 {
			bits |= 1 << i
		}
	}
	return bits
}

func demand(is bool) uint32 {
	if is {
		return yes
	}
	return yes | no
}
