package checkin

import (
	"math"
	"time"

	"periph.io/x/conn/v3/physic"
)

// Outcome is the decision itself.
type Outcome string

// The outcomes.
const (
	Granted Outcome = "granted"
	Refused Outcome = "refused"
	Manual  Outcome = "manual" // a person must look
)

// TemperatureMode says what a policy does with the thermometer.
type TemperatureMode string

// The temperature modes.
const (
	TemperatureRequired TemperatureMode = "required" // wait for a reading, rules may demand it
	TemperatureAdvisory TemperatureMode = "advisory" // record a reading if one comes at once
	TemperatureOff      TemperatureMode = "off"      // do not measure
)

// GuardMode says who helps a visitor whose verdict is manual.
type GuardMode string

// The guard modes.
const (
	GuardPresent GuardMode = "present"
	GuardRemote  GuardMode = "remote"
	GuardNone    GuardMode = "none"
)

// VenueClass is one of the 17 venue classes of the Shanghai notice of
// 2022-05-23.
type VenueClass string

// VenueClasses lists the 17 classes in the order of the notice.
func VenueClasses() []VenueClass {
	return []VenueClass{
		"housing", "lodging", "transport", "medical", "catering", "culture",
		"finance", "commerce", "education", "care", "construction", "religion",
		"logistics", "office", "government", "utilities", "other",
	}
}

// Policy is one dated rule table. The first rule that matches decides; no
// match is Manual.
type Policy struct {
	ID          string
	Version     int
	Temperature TemperatureMode
	Fever       physic.Temperature // at or above is Fever; 0 means 37.3 °C
	Guard       GuardMode
	GuardPhone  string
	// Issuers are whose codes count as our own (mutual recognition): Jiangsu,
	// Zhejiang and Anhui in 2020. A code of anybody else is not covered.
	Issuers []string
	// Questions are asked by a guard; answered as they should be, they can stand
	// as evidence (Condition.Answers).
	Questions []Question
	// Overrides are the reasons for which a guard may open whatever is known.
	Overrides []string
	Rules     []Rule
}

// Question is one that is answered with yes or no.
type Question struct {
	ID     string
	Zh, En string
	Good   bool // the answer that is as it should be
}

// Rule is one row. A zero From or Until is open, Until is exclusive; no Venues
// means all of them.
type Rule struct {
	ID     string
	From   time.Time
	Until  time.Time
	Venues []VenueClass
	When   Condition
	// MaxAge is how old the status may be. A rule that grants needs one: 0 is
	// never. On another rule 0 is no limit, and with a limit the rule decides
	// on a young status only; of an older one the verdict is status-stale.
	MaxAge time.Duration
	// Unchecked says that a rule grants without any health check, knowingly: the
	// codes are not asked for any more. The status must still be known, and red
	// is never let in by a machine.
	Unchecked bool
	// Report says that who is refused by this rule is reported to the configured
	// recipients.
	Report  bool
	Outcome Outcome
	Reason  Reason
}

// Condition is what a rule demands. Every field that is set must hold; within
// a list one member is enough.
type Condition struct {
	Credentials   []Kind
	Modes         []Mode
	Colours       []Colour
	NAT           []Result
	NATWithin     time.Duration // the NAT is at most this old, in whole minutes
	NATOlder      time.Duration // the NAT is older than this, in whole minutes
	NATClock      NATClock
	Antigen       []Result
	Host          []Consent
	RegisterFirst bool // holds only if the platform says so
	ControlList   bool
	CodeExpired   bool
	Temperature   []Band
	Ages          []AgeGroup
	Mask          []Check
	Face          []Check
	Answers       []Check
	Staff         []Staff
}

// NATClock says from when a NAT's age counts.
type NATClock string

// The clock bases; the empty one is BySample.
const (
	BySample NATClock = "sampled"
	ByReport NATClock = "reported"
)

// needsStatus reports whether c can only hold of a known status.
func (c *Condition) needsStatus() bool {
	return len(c.Colours)+len(c.NAT)+len(c.Antigen)+len(c.Host) > 0 ||
		c.NATWithin > 0 || c.NATOlder > 0 ||
		c.RegisterFirst || c.ControlList || c.CodeExpired
}

// miss names the first condition of c that e does not meet, by its key in a
// policy file; empty if it meets them all, but for the NAT's age (natHolds) and
// the status's own. What the platform did not say counts as none, what was not
// looked at as unmeasured or unchecked.
func (c *Condition) miss(e *Evidence) string {
	s := &e.Status
	switch {
	case !s.Known && c.needsStatus():
		return "status"
	case c.RegisterFirst && !s.RegisterFirst:
		return "register-first"
	case c.ControlList && !s.ControlList:
		return "control-list"
	case c.CodeExpired && !s.CodeExpired:
		return "code-expired"
	case outside(c.Colours, s.Colour, NoColour):
		return "colours"
	case outside(c.NAT, s.NAT, NoTest):
		return "nat"
	case outside(c.Antigen, s.Antigen, NoTest):
		return "antigen"
	case outside(c.Temperature, e.Temperature, Unmeasured):
		return "temperature"
	case outside(c.Modes, s.Mode, ModeNone):
		return "modes"
	case outside(c.Credentials, e.Credential.Kind, ""):
		return "credentials"
	case outside(c.Host, s.Host, HostNone):
		return "hosts"
	case outside(c.Staff, e.Staff, StaffNone):
		return "staff"
	case outside(c.Ages, e.Credential.Age, ""):
		return "ages"
	case outside(c.Answers, e.Answers, Unchecked):
		return "answers"
	case outside(c.Mask, e.Mask, Unchecked):
		return "mask"
	case outside(c.Face, e.Face, Unchecked):
		return "face"
	case c.natTimed() && s.natTime(c.NATClock).IsZero():
		return c.natKey()
	}
	return ""
}

// natTimed reports whether c depends on how old the NAT is.
func (c *Condition) natTimed() bool { return c.NATWithin > 0 || c.NATOlder > 0 }

// natKey is the key under which natTimed's condition stands.
func (c *Condition) natKey() string {
	if c.NATWithin > 0 {
		return "nat-within"
	}
	return "nat-older"
}

// vouched reports whether c demands that a guard has vouched for the visitor.
func (c *Condition) vouched() bool { return len(c.Staff) == 1 && c.Staff[0] == StaffIdentity }

// natHolds judges the NAT's age in whole minutes: a 48 h window holds 47:59
// and 48:00, not 48:01.
func (c *Condition) natHolds(e *Evidence) bool {
	if !c.natTimed() {
		return true
	}
	age, ok := e.Status.NATAge(c.NATClock, e.Now)
	return ok &&
		(c.NATWithin == 0 || age <= c.NATWithin) &&
		(c.NATOlder == 0 || age > c.NATOlder)
}

// NATAge returns the NAT's age at now in whole minutes, and false if its time
// is not known or lies more than five minutes ahead of now.
func (s *Status) NATAge(clock NATClock, now time.Time) (time.Duration, bool) {
	return age(s.natTime(clock), now)
}

func (s *Status) natTime(clock NATClock) time.Time {
	if clock == ByReport {
		return s.Reported
	}
	return s.Sampled
}

// Age returns how old the statement is at now in whole minutes, and false if
// it has no time or one that lies more than five minutes ahead.
func (s *Status) Age(now time.Time) (time.Duration, bool) { return age(s.AsOf, now) }

// ahead is how far a signed time may lie in our future: two honest clocks'
// worth of error, and nobody's tomorrow.
const ahead = 5 * time.Minute

// longest is the longest age there is, in seconds.
const longest = int64(math.MaxInt64 / time.Second)

// age counts in seconds of Unix time: Time.Sub would be half of Decide's time.
func age(t, now time.Time) (time.Duration, bool) {
	if t.IsZero() {
		return 0, false
	}
	d := now.Unix() - t.Unix()
	if now.Nanosecond() < t.Nanosecond() {
		d--
	}
	if d < -int64(ahead/time.Second) {
		return 0, false
	}
	d = min(max(0, d), longest)
	return time.Duration(d-d%60) * time.Second, true
}

// outside reports whether v is not in set; an empty set leaves nothing outside.
// It is small enough to be put in the place of its call, and most sets of most
// rules are empty.
func outside[T ~string](set []T, v, def T) bool { return len(set) > 0 && !among(set, v, def) }

// among reports whether v is in set, an empty v counting as def; an empty set
// holds everything. It is a loop of its own because it is most of Decide's time.
func among[T ~string](set []T, v, def T) bool {
	if len(set) == 0 {
		return true
	}
	if v == "" {
		v = def
	}
	for _, w := range set {
		if w == v {
			return true
		}
	}
	return false
}

// or returns v, or def if v is empty.
func or[T ~string](v, def T) T {
	if v == "" {
		return def
	}
	return v
}
