package credential

import (
	"encoding/hex"
	"errors"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// Codes is what signed codes are judged by. Its sets come from the signed cache;
// the zero Codes trusts nobody.
type Codes struct {
	Issuers Issuers
	Revoked Revocations
	// Venue is where this kiosk stands: a pass for another venue is no good.
	// Empty takes passes for all.
	Venue string
	// Window is how far the time that a phone has signed may be from ours, to
	// either side, and Bound how wrong our own may be beside what the interval
	// says. 0 means 180 s and 60 s: a window of 60 s alone turned away whole
	// models of telephones (offline facts, "skew evidence").
	Window, Bound time.Duration
	// Bearer takes a status without a phone's signature for one. Anybody can
	// show it who has the picture: by default it is for the guard.
	Bearer bool
}

// Interval is what a kiosk knows of the time: it is neither before Lo nor after
// Hi. A zero Hi bounds nothing.
type Interval struct{ Lo, Hi time.Time }

// Result is what a signed code says and what follows from it.
type Result struct {
	Kind   signed.Kind // 0: it could not be read at all
	KeyID  string
	Claims signed.Claims
	Shown  time.Time // when the phone signed, by the phone's clock; or zero
	// Proven says that the signatures are right and the issuer's key is good for
	// this kind. What is not proven may be anybody's.
	Proven bool
	// Valid says that it is good at every moment of the interval. Otherwise
	// Reason says why not, and Detail in which respect; Reason is ok if it is.
	Valid  bool
	Reason checkin.Reason
	Detail string
	// Heard is a time that has surely passed, because the issuer of a health code
	// has signed it: for the clock. Zero if there is none. A phone's time never
	// comes here, nor that of a pass, whose issuers are many and small.
	Heard time.Time

	// What the lane goes on with: the credential, and the status or why there is
	// none. They are ready for checkin.Evidence.
	Credential checkin.Credential
	Status     checkin.Status
	Why        checkin.Reason

	keep time.Time // how long Memory has to keep it; zero: not at all
}

// Open judges a code, as it was scanned, at a time that lies somewhere in at.
func (c *Codes) Open(text string, at Interval) Result {
	code, err := signed.ParseCode(text)
	if err != nil {
		r := Result{Reason: checkin.CredentialInvalid, Detail: err.Error()}
		r.Credential = checkin.Credential{Kind: checkin.SignedCode, Value: text, Fault: r.Reason}
		return r
	}
	r := Result{Kind: code.Claims.Kind, KeyID: code.KeyID, Claims: code.Claims}
	if code.Shown != 0 {
		r.Shown = time.Unix(code.Shown, 0).UTC()
	}
	issuer, err := c.prove(code)
	if err != nil {
		r.Reason, r.Detail = checkin.CredentialInvalid, err.Error()
		r.Credential = checkin.Credential{Kind: checkin.SignedCode, Value: text, Fault: r.Reason}
		return r
	}
	r.Proven = true
	r.Reason, r.Detail = c.judge(&r, issuer, at)
	r.Valid = r.Reason == checkin.OK
	c.follow(&r, issuer)
	return r
}

// Issued, Begins and Expires are the times of the claims; zero if they are not
// there.
func (r *Result) Issued() time.Time  { return unix(r.Claims.Issued) }
func (r *Result) Begins() time.Time  { return unix(r.Claims.NotBefore) }
func (r *Result) Expires() time.Time { return unix(r.Claims.Expires) }

// Sampled is the time of the last negative NAT that the code tells of, or zero.
func (r *Result) Sampled() time.Time { return unix(r.Claims.Sampled) }

// Colour is the colour that the code tells; none if it tells none.
func (r *Result) Colour() checkin.Colour { return colours[r.Claims.Colour()] }

// String tells the kind and the reason, for logs.
func (r Result) String() string { return r.Kind.String() + " " + string(r.Reason) }

// GoString is String.
func (r Result) GoString() string { return r.String() }

//

// The defaults of Codes.
const (
	window = 180 * time.Second
	bound  = 60 * time.Second
)

// colours are those of the status byte.
var colours = [...]checkin.Colour{checkin.NoColour, checkin.Green, checkin.Yellow, checkin.Red}

// prove finds the issuer and checks the signatures.
func (c *Codes) prove(code *signed.Code) (*Issuer, error) {
	issuer, ok := c.Issuers[code.KeyID]
	switch {
	case !ok:
		return nil, errors.New("the issuer's key is not trusted here")
	case issuer.Name != code.Claims.Issuer:
		return nil, errors.New("the key belongs to another issuer")
	case !issuer.may(code.Claims.Kind):
		return nil, errors.New("the key may not sign codes of this kind")
	}
	return issuer, code.Verify(issuer.Key)
}

// judge says whether a proven code holds over the whole of at. What is certain
// comes before what is not.
func (c *Codes) judge(r *Result, issuer *Issuer, at Interval) (checkin.Reason, string) {
	claims := &r.Claims
	issued := r.Issued()
	switch {
	case issuer.Revoked:
		return checkin.CredentialRevoked, "the issuer's key was withdrawn"
	case !issuer.NotBefore.IsZero() && issued.Before(issuer.NotBefore),
		!issuer.NotAfter.IsZero() && !issued.Before(issuer.NotAfter):
		return checkin.CredentialInvalid, "issued at a time that is not the key's"
	}
	if claims.Kind != signed.Pass {
		r.Heard = issued
	}
	switch {
	case c.Revoked.code(claims.Issuer, claims.ID):
		return checkin.CredentialRevoked, "this code was withdrawn"
	case issued.Before(c.Revoked.floor(claims.Issuer, claims.Person)):
		return checkin.CredentialRevoked, "all codes of this holder from before a certain time were withdrawn"
	case claims.Kind == signed.Pass && c.Venue != "" && claims.Venue != c.Venue:
		return checkin.CredentialInvalid, "the pass is for another venue"
	}
	at = at.after(issued)
	from, until := later(issued, r.Begins()), r.Expires()
	if !issuer.NotAfter.IsZero() && issuer.NotAfter.Before(until) {
		until = issuer.NotAfter
	}
	switch {
	case at.surelyFrom(until):
		return checkin.CredentialExpired, "out of date"
	case at.surelyBefore(from):
		return checkin.CredentialInvalid, "its time has not begun"
	case !at.surelyFrom(from) || !at.surelyBefore(until):
		return checkin.ClockUnknown, "this kiosk does not know the time well enough"
	}
	if claims.Kind == signed.Phone {
		return c.judgePhone(r.Shown, at)
	}
	return checkin.OK, ""
}

// judgePhone holds the time that the phone has signed against ours.
func (c *Codes) judgePhone(shown time.Time, at Interval) (checkin.Reason, string) {
	slack := c.slack()
	switch {
	case at.surelyFrom(shown.Add(slack + 1)):
		return checkin.CodeExpired, "the phone signed too long ago"
	case at.surelyBefore(shown.Add(-slack)):
		return checkin.CredentialInvalid, "the phone's time lies too far ahead"
	case !at.surelyFrom(shown.Add(-slack)) || !at.surelyBefore(shown.Add(slack+1)):
		return checkin.ClockUnknown, "this kiosk does not know the time well enough"
	}
	return checkin.OK, ""
}

func (c *Codes) slack() time.Duration { return or(c.Window, window) + or(c.Bound, bound) }

// follow says what a proven code means to the lane.
//
// A paper code is for a person who compares faces, whatever was found: the
// verdict is manual, and what was found is for him. Of a phone code for which
// the time is not known well enough only what is bad counts.
func (c *Codes) follow(r *Result, issuer *Issuer) {
	r.Credential = checkin.Credential{
		Kind: checkin.SignedCode, Issuer: issuer.Region, Name: checkin.MaskName(r.Claims.Name),
		Value: r.Claims.Issuer + "/" + hex.EncodeToString(r.Claims.ID),
	}
	if !r.Valid && r.Reason != checkin.ClockUnknown {
		r.Credential.Fault = r.Reason
	}
	switch r.Kind {
	case signed.Paper:
		r.Credential.Kind, r.Credential.Fault = checkin.PaperCode, ""
		r.Why = checkin.IsPaperCode
	case signed.Pass:
		r.Credential.Kind, r.keep = checkin.VisitorPass, r.Expires()
		if r.Why = checkin.ClockUnknown; r.Valid {
			r.Why = ""
			r.Status = r.status()
			// The host vouches for the window, not for the day on which he
			// wrote the invitation: the pass is fresh when it begins.
			r.Status.Host, r.Status.AsOf = checkin.HostYes, later(r.Issued(), r.Begins())
		}
	case signed.Bearer:
		if r.Why = checkin.NotCovered; c.Bearer {
			c.tell(r)
		}
	case signed.Phone:
		r.keep = r.Shown.Add(c.slack() + 1)
		c.tell(r)
	}
	if r.Credential.Fault != "" {
		r.Why = r.Credential.Fault
	}
}

// tell takes over the status that a code carries, as far as it counts.
func (c *Codes) tell(r *Result) {
	bad := r.Colour() == checkin.Red || r.Colour() == checkin.Yellow
	switch {
	case r.Valid && r.Colour() != checkin.NoColour, bad && r.Reason == checkin.ClockUnknown:
		r.Why, r.Status = "", r.status()
	case r.Valid:
		r.Why = checkin.NoStatus
	default:
		r.Why = r.Reason
	}
}

// status is what the code carries.
func (r *Result) status() checkin.Status {
	s := checkin.Status{
		Known: true, Colour: r.Colour(), NAT: checkin.NoTest, Antigen: checkin.NoTest, Host: checkin.HostNone,
		MaskedName: checkin.MaskName(r.Claims.Name), Mode: checkin.ModeSigned, AsOf: r.Issued(), ValidUntil: r.Expires(),
	}
	if r.Claims.Sampled > 0 {
		s.NAT, s.Sampled = checkin.Negative, r.Sampled()
	}
	return s
}

// ahead is how far an issuer's time may lie beyond what we take for the latest
// before we believe our own no longer.
const ahead = 5 * time.Minute

// after is i when t has surely passed.
func (i Interval) after(t time.Time) Interval {
	switch {
	case i.bounded() && i.Hi.Before(i.Lo), i.bounded() && i.Hi.Add(ahead).Before(t):
		i.Hi = time.Time{} // one of the two is wrong: nothing bounds it
	case i.bounded() && i.Hi.Before(t):
		i.Hi = t
	}
	i.Lo = later(i.Lo, t)
	return i
}

func (i Interval) bounded() bool { return !i.Hi.IsZero() }

// surelyFrom reports whether it is t or later, whatever the time is within i.
func (i Interval) surelyFrom(t time.Time) bool { return !i.Lo.Before(t) }

// surelyBefore reports whether t is still to come, likewise.
func (i Interval) surelyBefore(t time.Time) bool { return i.bounded() && i.Hi.Before(t) }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func unix(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
