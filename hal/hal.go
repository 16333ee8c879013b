// Package hal says what a kiosk is made of: the roles its devices play, the
// values they hand up, and the contract each role keeps. There is no
// implementation here; drivers implement the roles, the agent uses them, and
// hal/haltest checks the contract sentences below against every driver.
//
// hal knows devices and no people. A Code or a Card is what a device read, not
// who stands in front of it.
//
// # Contract common to all roles
//
//   - String names the device for logs ("sdt{05.01-…}"), never a person.
//   - Halt may be called before first use, twice, and while another call
//     blocks; it makes that call return. After Halt a gate is in its configured
//     resting position.
//   - A cancelled context makes every call return promptly with the context's
//     error.
//   - A device that no longer answers at all gives an error for which
//     errors.Is(err, ErrGone) holds; it is then closed and opened again by its
//     supervisor, never used on. Every other error is text: the call failed,
//     the device may be used again.
package hal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
)

// Scanner reads codes that visitors hold up.
type Scanner interface {
	conn.Resource
	// Scan blocks until a code is presented that was shown after the call
	// began, and returns it. Codes shown while nobody was asking are dropped;
	// only one shown up to Grace before the call is still handed up, so that
	// a caller who asks again at once misses none. One caller at a time.
	Scan(ctx context.Context) (Code, error)
}

// Grace is how old a code may be when Scan is called.
const Grace = 200 * time.Millisecond

// CardReader reads identity cards that visitors lay down.
type CardReader interface {
	conn.Resource
	// ReadCard blocks until a card has been read whole. A card that was pulled
	// away early or could not be read gives a *CardError and the reader can be
	// asked again at once. A card left lying may be reported again, but not
	// more than once in two seconds. One caller at a time.
	ReadCard(ctx context.Context) (Card, error)
}

// Thermometer measures without contact.
type Thermometer interface {
	conn.Resource
	// Measure takes one reading, averaged as the driver is configured. A value
	// that failed its check is an error, never a number.
	Measure(ctx context.Context) (Reading, error)
}

// Speaker says or plays a prompt.
type Speaker interface {
	conn.Resource
	// Play returns when the prompt has been said, or was cut off by a newer
	// Play (which returns nil for the older one), or ctx ended. Play may be
	// called while another Play blocks.
	Play(ctx context.Context, p Prompt) error
}

// Gate lets one person through.
type Gate interface {
	conn.Resource
	// Release returns once the gate is unlocked. The gate locks again by itself
	// after at most d, also when ctx has ended meanwhile. A Release during a
	// release extends nothing: it returns ErrBusy.
	Release(ctx context.Context, d time.Duration) error
}

// Locker is a Gate that can be locked again before its time has run out.
type Locker interface {
	// Lock ends a running release. It is not an error if none runs.
	Lock(ctx context.Context) error
}

// SelfTimed is a Gate that says whether the board itself ends a release, so
// that a killed agent cannot leave it open.
type SelfTimed interface {
	SelfTimed() bool
}

// PassageSensor is a Gate that sees people go through.
type PassageSensor interface {
	// HasPassageSensor reports whether one is wired.
	HasPassageSensor() bool
	// WaitPassage blocks until a body has gone through. Bodies seen between
	// two calls are kept, up to 16, and reported one per call.
	WaitPassage(ctx context.Context) error
}

// FireInput is a Gate with a fire loop: closed while all is well, open (or
// torn) in a fire.
type FireInput interface {
	// HasFireInput reports whether one is wired.
	HasFireInput() bool
	// WaitFire blocks while the loop's state equals was, and returns the new
	// state: true means fire.
	WaitFire(ctx context.Context, was bool) (bool, error)
}

// Identified is a device with a number of its own, burnt in by its maker: a
// card reader's SAM id, say. The supervisor compares it after a replug.
type Identified interface {
	DeviceID() string
}

// Prober is a device that is silent by nature and can be asked whether it is
// still there, without anybody noticing.
type Prober interface {
	// Probe returns nil, or an error that wraps ErrGone.
	Probe(ctx context.Context) error
}

// ErrGone is what a device's error wraps when it no longer answers.
var ErrGone = errors.New("device gone")

// ErrBusy is returned by Release while a release is running.
var ErrBusy = errors.New("gate is released already")

// Gone wraps err, the wire's own error, as the loss of the device.
func Gone(err error) error {
	if err == nil || errors.Is(err, ErrGone) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

// Code is one presented code as the scanner gave it, at most 4096 bytes.
type Code struct {
	// Data is the code's bytes with framing and line ends removed. It may
	// name a person: it never goes to a log.
	Data []byte
	// Truncated is set when the code was longer than the driver's limit; Data
	// is then empty and the code must be refused.
	Truncated bool
}

// String tells the length and nothing else, for logs.
func (c Code) String() string {
	if c.Truncated {
		return "code(too long)"
	}
	return fmt.Sprintf("code(%d bytes)", len(c.Data))
}

// GoString keeps %#v from printing the data.
func (c Code) GoString() string { return c.String() }

// MarshalText keeps a log that is written as JSON from printing the data.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// CardType says which of the four layouts a card's record has.
type CardType byte

// The card types are the UTF-16 unit at byte 248 of the record; a resident
// card has a space there (GA/T 490, and the J, I and Y notices).
const (
	Resident       CardType = ' ' // 居民身份证
	HKMOTWPermit   CardType = 'J' // 港澳台居民居住证
	ForeignOld     CardType = 'I' // 外国人永久居留身份证, 2017 layout
	ForeignNew     CardType = 'Y' // the same, layout from 2023-12-01
	UnknownCard    CardType = 0   // a letter we do not know: only Raw is set
	cardTypeLegend          = "resident, J, I or Y"
)

// String names the type.
func (t CardType) String() string {
	switch t {
	case Resident:
		return "resident"
	case HKMOTWPermit, ForeignOld, ForeignNew:
		return string(rune(t))
	}
	return "unknown (not " + cardTypeLegend + ")"
}

// Card is the text record of one identity card. Fields are as printed in the
// record, trimmed of padding; a field the layout does not have is empty.
type Card struct {
	Type        CardType
	Name        string
	EnglishName string
	Sex         string // GB/T 2261.1: 0, 1, 2 or 9
	Ethnic      string // GB/T 3304, two digits
	Birth       string // YYYYMMDD
	Address     string
	Number      string
	Issuer      string
	ValidFrom   string // YYYYMMDD
	ValidTo     string // YYYYMMDD or 长期
	PassNumber  string // J
	IssueCount  string // J; the renewal count on Y
	Nationality string // I: three letters; Y: three digits
	OldNumber   string // Y: the link to the number before
	CardVersion string // I
	Authority   string // I: accepting authority code
	Raw         [256]byte
}

// String tells the type and nothing else, for logs.
func (c Card) String() string { return "card(" + c.Type.String() + ")" }

// GoString keeps %#v from printing the record.
func (c Card) GoString() string { return c.String() }

// MarshalText keeps a log that is written as JSON from printing the record.
func (c Card) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// CardError is a card that was there and could not be read whole. Reason is
// one of the constants below; Status is the reader's own code, for support.
type CardError struct {
	Reason CardReason
	Status byte
}

// CardReason says why a card was not read.
type CardReason string

// Why a card was not read.
const (
	CardPulled       CardReason = "card taken away too early"
	CardUnrecognised CardReason = "card type not recognised"
	CardUnreadable   CardReason = "card could not be read"
	CardRejected     CardReason = "card failed authentication"
)

// Error implements error.
func (e *CardError) Error() string {
	return fmt.Sprintf("%s (status %02X)", string(e.Reason), e.Status)
}

// Reading is one measurement.
type Reading struct {
	Object  physic.Temperature // of the surface in view, raw
	Ambient physic.Temperature // of the sensor's surroundings
}

// Prompt is what a Speaker says. A speech module speaks Text; a player of
// clips looks for the clip named ID.
type Prompt struct {
	ID   string
	Text string
}
