package checkin

import (
	"slices"
	"time"
)

// Verdict is a decision and how it came about.
type Verdict struct {
	Outcome Outcome
	Reason  Reason
	Rule    string // id of the rule that matched; empty if none did
	Policy  string
	Version int
	Mode    Mode
	Report  bool // the refusal is reported to the configured recipients
}

// Decide appraises e under p for a venue of class v. It is total: every input
// gives a verdict. What is not known is never granted but on a guard's word,
// and red is not granted at all, whatever the rules say.
func Decide(p *Policy, v VenueClass, e *Evidence) Verdict { return decide(p, v, e, nil) }

// decide is Decide, and tells see, if there is one, of every step.
func decide(p *Policy, v VenueClass, e *Evidence, see func(Step)) Verdict {
	verdict := Verdict{Policy: p.ID, Version: p.Version, Mode: or(e.Status.Mode, ModeNone)}
	if verdict.Mode == ModeAssisted { // no status is: only a guard's word makes it so
		verdict.Mode = ModeNone
	}
	if or(e.Staff, StaffNone) != StaffNone {
		verdict.Mode = ModeAssisted
	}
	if outcome, reason, ok := p.byCredential(e); ok {
		if see != nil {
			see(Step{How: ByCredential})
		}
		verdict.Outcome, verdict.Reason = outcome, reason
		return verdict
	}
	j := judge{class: v, e: e, never: e.Status.Known && e.Status.Colour == Red}
	for i := range p.Rules {
		r := &p.Rules[i]
		how, key := j.try(r)
		if see != nil {
			see(Step{Rule: r.ID, How: how, Key: key})
		}
		if how == Decided {
			verdict.Outcome, verdict.Reason, verdict.Rule = r.Outcome, r.Reason, r.ID
			verdict.Report = r.Report && r.Outcome == Refused
			if e.Staff == StaffIdentity && verdict.Reason == OK {
				verdict.Reason = Assisted // whatever else held, a person was asked
			}
			return verdict
		}
	}
	if see != nil {
		see(Step{How: ByNone})
	}
	verdict.Outcome, verdict.Reason = Manual, unmatched(e, j.stale)
	return verdict
}

// byCredential answers what no rule can change. A guard who has compared the
// person with a document takes the place of the credential's own proof.
func (p *Policy) byCredential(e *Evidence) (Outcome, Reason, bool) {
	c := &e.Credential
	if e.Staff == StaffRefuses {
		return Refused, StaffRefused, true
	}
	switch c.Kind {
	case PersonalCode, RelativeCode, ResidentID, HKMOTWPermit, ForeignerCard,
		SignedCode, VisitorPass, PaperCode, Passport, OtherPaper:
	case VenueCode:
		return Refused, IsVenueCode, true
	default:
		return Refused, UnknownCredential, true
	}
	vouched := e.Staff == StaffIdentity
	switch {
	case vouched:
	case c.Fault != "":
		return Refused, c.Fault, true
	case c.Kind == PaperCode:
		return Manual, IsPaperCode, true
	case c.Kind == Passport, c.Kind == OtherPaper:
		return Manual, NotCovered, true
	}
	if c.Issuer != "" && !vouched && !slices.Contains(p.Issuers, c.Issuer) {
		return Manual, NotCovered, true
	}
	return "", "", false
}

// judge tries rules one after the other, and remembers what the earlier ones
// mean for the later.
type judge struct {
	class VenueClass
	e     *Evidence
	never bool // no rule may grant any more
	stale bool // a younger status might have been decided on
}

// try says how r takes the evidence, and if it does not decide, by which key
// of it.
func (j *judge) try(r *Rule) (How, string) {
	e := j.e
	if len(r.Venues) > 0 && !among(r.Venues, j.class, "") {
		return Unfit, "venues"
	}
	if key := r.When.miss(e); key != "" {
		return Unfit, key
	}
	grants := r.Outcome == Granted
	if r.timed() {
		switch {
		case !e.ClockOK:
			// This rule may have forbidden what a later one grants.
			j.stale, j.never = true, j.never || !grants
			return Unsure, "clock"
		case !r.inForce(e.Now, e.earliest()):
			if r.partly(e.Now, e.earliest()) {
				j.stale, j.never = true, j.never || !grants
				return Unsure, "clock"
			}
			return Unfit, "from"
		case !r.When.natHolds(e):
			return Unfit, r.When.natKey()
		}
	}
	if (grants || r.MaxAge > 0) && !fresh(r, e) {
		j.stale = true
		return TooOld, "max-age"
	}
	if grants && j.never {
		return Barred, "colours"
	}
	return Decided, ""
}

// timed reports whether r depends on the time of day it is.
func (r *Rule) timed() bool {
	return r.When.natTimed() || !r.From.IsZero() || !r.Until.IsZero()
}

// inForce reports whether r applies over the whole time that it can be now.
func (r *Rule) inForce(latest, earliest time.Time) bool {
	return (r.From.IsZero() || !earliest.Before(r.From)) && (r.Until.IsZero() || latest.Before(r.Until))
}

// partly reports whether r applies at some of the times that it can be now.
func (r *Rule) partly(latest, earliest time.Time) bool {
	return (r.From.IsZero() || !latest.Before(r.From)) && (r.Until.IsZero() || earliest.Before(r.Until))
}

// earliest is the earliest time that it can be.
func (e *Evidence) earliest() time.Time {
	if e.Earliest.IsZero() {
		return e.Now
	}
	return e.Earliest
}

// fresh reports whether the status is young enough for r. Without a believable
// clock no age is known; the platform's nonce-bound answer counts as fresh all
// the same, because a replay could not carry our nonce.
// A rule on a guard's word asks for no status at all: what is known to be bad
// has refused before it, and of what is not known he takes the answer on him.
func fresh(r *Rule, e *Evidence) bool {
	if r.When.vouched() && r.MaxAge == 0 {
		return true
	}
	if !e.Status.Known {
		return false
	}
	if !e.ClockOK {
		return e.Status.Mode == ModeOnline
	}
	age, ok := e.Status.Age(e.Now)
	return ok && age <= r.MaxAge
}

// unmatched names the reason when no rule decided.
func unmatched(e *Evidence, stale bool) Reason {
	switch {
	case !e.Status.Known && e.Why != "":
		return e.Why
	case !e.Status.Known:
		return NoStatus
	case stale && !e.ClockOK:
		return ClockUnknown
	case stale:
		return StatusStale
	}
	return NotCovered
}

// Worst is the longest a status may be old for any rule of p to grant on it.
func (p *Policy) Worst() time.Duration {
	var worst time.Duration
	for _, r := range p.Rules {
		if r.Outcome == Granted {
			worst = max(worst, r.MaxAge)
		}
	}
	return worst
}
