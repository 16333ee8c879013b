package checkin

// How says how one step of a decision took the evidence.
type How string

// The ways. The first two end a decision without a rule.
const (
	ByCredential How = "by-credential" // what was presented decides, before any rule
	ByNone       How = "by-none"       // the table has ended: a person must look
	Decided      How = "decided"       // this rule decides
	Unfit        How = "unfit"         // a condition does not hold
	TooOld       How = "too-old"       // it would decide, were the status younger
	Unsure       How = "unsure"        // it might, but nobody knows what time it is
	Barred       How = "barred"        // it would grant: on red, or past a ban that may be in force
)

// Step is one step on the way to a verdict.
type Step struct {
	Rule string // its id; empty if no rule is meant
	How  How
	// Key is what kept the rule from deciding: the first condition that does not
	// hold, as a policy file calls it, or "status" if it wants one and none is
	// known, "clock" if it wants the time.
	Key string
	// Verdict is set in the last step, and is Decide's.
	Verdict Verdict
}

// Explain is Decide step by step, in the order in which Decide goes. It is the
// same walk, so that it cannot tell another story.
func Explain(p *Policy, v VenueClass, e *Evidence) []Step {
	var steps []Step
	verdict := decide(p, v, e, func(s Step) { steps = append(steps, s) })
	steps[len(steps)-1].Verdict = verdict
	return steps
}
