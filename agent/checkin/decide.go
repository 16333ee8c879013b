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
func Decide(p *Policy, v VenueClass, e *Evidence) Verdict {
	filled := e.filled()
	e = &filled
	verdict := Verdict{Policy: p.ID, Version: p.Version, Mode: e.Status.Mode}
	if e.Staff == StaffIdentity {
		verdict.Mode = ModeAssisted
	}
	if outcome, reason, ok := p.byCredential(e); ok {
		verdict.Outcome, verdict.Reason = outcome, reason
		return verdict
	}
	never := e.Status.Known && e.Status.Colour == Red
	stale := false
	for i := range p.Rules {
		r := &p.Rules[i]
		grants := r.Outcome == Granted
		switch r.fits(v, e) {
		case unfit:
			continue
		case tooOld:
			stale = true
			continue
		case unsure:
			// This rule may have forbidden what a later one grants.
			stale, never = true, never || !grants
			continue
		}
		if grants && never {
			continue
		}
		verdict.Outcome, verdict.Reason, verdict.Rule = r.Outcome, r.Reason, r.ID
		verdict.Report = r.Report && r.Outcome == Refused
		return verdict
	}
	verdict.Outcome, verdict.Reason = Manual, unmatched(e, stale)
	return verdict
}

// byCredential answers what no rule can change. A guard who has compared the
// person with a document takes the place of the credential's own proof.
func (p *Policy) byCredential(e *Evidence) (Outcome, Reason, bool) {
	c := &e.Credential
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

// fit is how well a rule fits the evidence.
type fit int

const (
	unfit  fit = iota
	fits       // it decides
	tooOld     // it would, were the status younger
	unsure     // it might, but without a believable clock nobody can tell
)

// fits judges r for a venue of class v.
func (r *Rule) fits(v VenueClass, e *Evidence) fit {
	switch {
	case !among(r.Venues, v) || !r.When.holds(e):
		return unfit
	case !e.ClockOK && r.timed():
		return unsure
	case e.ClockOK && !(r.inForce(e.Now) && r.When.natHolds(e)):
		return unfit
	case (r.Outcome == Granted || r.MaxAge > 0) && !fresh(r, e):
		return tooOld
	}
	return fits
}

// timed reports whether r depends on the time of day it is.
func (r *Rule) timed() bool {
	return !r.From.IsZero() || !r.Until.IsZero() || r.When.NATWithin > 0 || r.When.NATOlder > 0
}

// inForce reports whether r applies at now.
func (r *Rule) inForce(now time.Time) bool {
	return (r.From.IsZero() || !now.Before(r.From)) && (r.Until.IsZero() || now.Before(r.Until))
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
