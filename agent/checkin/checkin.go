// Package checkin is the pure core: what is known of one visitor (Evidence),
// what the venue demands (Policy), what follows (Decide, Verdict), and what is
// kept of it (Event, Identity). Values in, values out: no clock, no I/O, no
// device.
//
// checkin knows people and no devices. Everything that names a person is in
// Credential and Identity; their String methods mask it.
package checkin

import (
	"crypto/sha256"
	"strings"
	"time"
)

// Kind is the class of what a visitor presents (design: "Credentials").
type Kind string

// The credential kinds.
const (
	PersonalCode  Kind = "personal-code"  // 随申码, an opaque online token
	RelativeCode  Kind = "relative-code"  // 亲属随申码, likewise
	ResidentID    Kind = "resident-id"    // 居民身份证, GB 11643
	HKMOTWPermit  Kind = "hkmotw-permit"  // 港澳台居民居住证, layout J
	ForeignerCard Kind = "foreigner-card" // 外国人永久居留身份证, layouts I and Y
	SignedCode    Kind = "signed-code"    // DS1:, checked with the signed cache
	VisitorPass   Kind = "visitor-pass"   // DS1: with host and window
	PaperCode     Kind = "paper-code"     // 离线码: needs a person who compares faces
	Passport      Kind = "passport"       // no reader: a guard looks at it
	OtherPaper    Kind = "other-paper"    // birth certificate, travel permit, …: likewise
	VenueCode     Kind = "venue-code"     // 场所码, held up by mistake
	UnknownText   Kind = "unknown"        // anything else
	Plate         Kind = "plate"          // of a vehicle; never presented, only sealed
)

// Online reports whether the platform can be asked about credentials of kind k.
func (k Kind) Online() bool {
	switch k {
	case PersonalCode, RelativeCode, ResidentID, HKMOTWPermit, ForeignerCard,
		SignedCode, VisitorPass:
		return true
	}
	return false
}

// Visit reports whether presenting k is a visit. A venue code or unknown text
// is an event: somebody held up the wrong thing.
func (k Kind) Visit() bool { return k != VenueCode && k != UnknownText }

// Credential is what a visitor presented, classified and normalised.
type Credential struct {
	Kind  Kind
	Value string // the token, or the card's number
	Name  string // as printed on a card; empty for codes
	// Issuer is who issued a code that is not our own city's: "jiangsu". A
	// policy says whose codes count (Policy.Issuers). Empty for our own, and for
	// cards, whose issuer is the state.
	Issuer string
	// Age is the holder's group, from the birth date of a card. A code tells
	// nothing of it.
	Age AgeGroup
	// Fault is set when the thing was recognised but is not acceptable in
	// itself: a number with a wrong check digit, a card past its date.
	Fault Reason
}

// AgeGroup is as much of a person's age as rules ask for: the notice treats
// those under 18 and those of 60 and over apart. The birth date itself is
// nobody's business after the check.
type AgeGroup string

// The groups; the empty one is not known.
const (
	Minor AgeGroup = "minor" // not yet 18 on the day
	Adult AgeGroup = "adult"
	Elder AgeGroup = "elder" // 60 and over: from the 60th birthday on
)

// Key identifies the credential without revealing it: the same person's same
// code gives the same key. It is also the hash a status statement is bound to.
func (c Credential) Key() [sha256.Size]byte {
	return sha256.Sum256([]byte(string(c.Kind) + "\x00" + c.Value))
}

// String tells the kind, and of a number its ends: for logs.
func (c Credential) String() string {
	switch c.Kind {
	case ResidentID, HKMOTWPermit, ForeignerCard, Passport, OtherPaper:
		return string(c.Kind) + " " + MaskNumber(c.Value)
	}
	return string(c.Kind)
}

// MarshalText keeps a log of JSON from printing the value.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// GoString keeps %#v from printing the value.
func (c Credential) GoString() string { return c.String() }

// MaskName hides all of a name but its first character: 张*.
func MaskName(name string) string {
	for _, r := range name {
		return string(r) + "*"
	}
	return ""
}

// MaskNumber shows the first three and last four characters of a number of 15
// or more, and nothing of a shorter one: 310***********1234.
func MaskNumber(s string) string {
	if len(s) < 15 {
		return strings.Repeat("*", len(s))
	}
	return s[:3] + strings.Repeat("*", len(s)-7) + s[len(s)-4:]
}

// Colour is a health code's colour.
type Colour string

// The colours. NoColour is an answer that carries none; unknown is no answer.
const (
	Green    Colour = "green"
	Yellow   Colour = "yellow"
	Red      Colour = "red"
	NoColour Colour = "none"
)

// Result is the outcome of a nucleic-acid or antigen test.
type Result string

// The test results.
const (
	Negative Result = "negative"
	Positive Result = "positive"
	Pending  Result = "pending"
	NoTest   Result = "none"
)

// Consent is the host's answer to a visitor.
type Consent string

// The host's answers. HostNone means that no host was asked.
const (
	HostYes    Consent = "yes"
	HostNo     Consent = "no"
	HostSilent Consent = "silent"
	HostNone   Consent = "none"
)

// Mode says by which rung of the ladder a verdict was reached.
type Mode string

// The modes.
const (
	ModeOnline   Mode = "online"
	ModeCached   Mode = "cached"
	ModeSigned   Mode = "signed"
	ModeAssisted Mode = "assisted"
	ModeNone     Mode = "none" // nothing was known
)

// Status is what the authority says of the holder of a credential. The zero
// Status says nothing; Known is false then, and no rule about colour, test or
// consent can match it.
type Status struct {
	Known         bool
	Colour        Colour
	NAT           Result
	Sampled       time.Time // of the NAT sample
	Reported      time.Time // of the NAT report
	Antigen       Result
	Host          Consent
	RegisterFirst bool
	ControlList   bool
	CodeExpired   bool
	MaskedName    string // as the platform masked it; for the screen only
	Mode          Mode
	AsOf          time.Time // signed time of the statement
	ValidUntil    time.Time
}

// Band is what a temperature reading means.
type Band string

// The bands. Unmeasured covers no reading, a reading out of 34.0–42.0 °C, an
// ambient out of 16–32 °C and a sensor fault: never "normal".
const (
	Normal     Band = "normal"
	Fever      Band = "fever"
	Unmeasured Band = "unmeasured"
)

// Check is the outcome of a look at the visitor: at his mask, or at his face
// beside the picture. No sensor for either exists yet; a rule that demands one
// is for a guard, or for a port that a later device fills.
type Check string

// The outcomes; the empty one counts as Unchecked.
const (
	Passed    Check = "passed"
	Failed    Check = "failed"
	Unchecked Check = "unchecked"
)

// Staff is what a guard says of the visitor. Only a person sets it.
type Staff string

// What a guard says; the empty one counts as StaffNone.
const (
	StaffNone     Staff = "none"
	StaffIdentity Staff = "identity" // he has compared the person with a document
	StaffRefuses  Staff = "refuses"  // he lets this person not in
)

// Evidence is all that is known when a verdict is made.
type Evidence struct {
	Credential  Credential
	Status      Status
	Why         Reason // why Status is not Known; empty if it is
	Temperature Band
	Mask        Check
	Face        Check
	Answers     Check // to the policy's questions: all as they should be, or not
	Staff       Staff
	// Now is the latest time that it can be: ages are counted to it. Earliest is
	// the earliest; zero is the same as Now. A rule must be in force at both.
	Now, Earliest time.Time
	ClockOK       bool // Now is believable
}
