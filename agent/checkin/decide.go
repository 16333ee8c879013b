package checkin

import "time"

// Verdict is a decision and how it came about.
type Verdict struct {
	Outcome Outcome
	Reason  Reason
	Rule    string // id of the rule that matched; empty if none did
	Policy  string
	Version int
	Mode    Mode
}

// Decide appraises e under p for a venue of class v. It is total: every input
// gives a verdict, and what is not known is never granted.
func Decide(p *Policy, v VenueClass, e *Evidence) Verdict {
	verdict := Verdict{Policy: p.ID, Version: p.Version, Mode: e.Status.Mode}
	if verdict.Mode == "" {
		verdict.Mode = ModeNone
	}
	if outcome, reason, ok := byCredential(&e.Credential); ok {
		verdict.Outcome, verdict.Reason = outcome, reason
		return verdict
	}
	stale := false
	for i := range p.Rules {
		r := &p.Rules[i]
		if !r.inForce(v, e.Now) || !r.When.holds(e) {
			continue
		}
		if r.Outcome == Granted && !fresh(r, e) {
			stale = true
			continue
		}
		verdict.Outcome, verdict.Reason, verdict.Rule = r.Outcome, r.Reason, r.ID
		return verdict
	}
	verdict.Outcome, verdict.Reason = Manual, unmatched(e, stale)
	return verdict
}

// byCredential answers what no policy can change.
func byCredential(c *Credential) (Outcome, Reason, bool) {
	switch {
	case c.Kind == VenueCode:
		return Refused, IsVenueCode, true
	case c.Kind == UnknownText:
		return Refused, UnknownCredential, true
	case c.Fault != "":
		return Refused, c.Fault, true
	case c.Kind == PaperCode:
		return Manual, IsPaperCode, true
	}
	return "", "", false
}

// inForce reports whether r applies to a venue of class v at now.
func (r *Rule) inForce(v VenueClass, now time.Time) bool {
	if !r.From.IsZero() && now.Before(r.From) {
		return false
	}
	if !r.Until.IsZero() && !now.Before(r.Until) {
		return false
	}
	return among(r.Venues, v)
}

// fresh reports whether the status is young enough for r to grant on. Without
// a believable clock no age is known; the platform's nonce-bound answer counts
// as fresh all the same, because a replay could not carry our nonce.
func fresh(r *Rule, e *Evidence) bool {
	if !e.Status.Known {
		return false
	}
	if !e.ClockOK {
		return e.Status.Mode == ModeOnline && r.When.NATWithin == 0
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
