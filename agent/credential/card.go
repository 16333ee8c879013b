package credential

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Card is what a card reader read, as far as it matters here.
type Card struct {
	Type    byte   // ' ' resident, 'J', 'I' or 'Y': the layout (GA/T 490 and notices)
	Number  string // of the holder, or of the card with layout I
	Name    string // as printed
	ValidTo string // YYYYMMDD, or 长期
	Birth   string // YYYYMMDD
	Sex     string // GB/T 2261.1: 0 unknown, 1 male, 2 female, 9 not stated
}

// The layouts.
const (
	residentLayout = ' '
	permitLayout   = 'J'
	foreignOld     = 'I'
	foreignNew     = 'Y'
)

// FromCard tells what c is. A number that fails its own check, or disagrees
// with the birth date or the sex on the card, has Fault credential-invalid; so
// has a card whose last day cannot be read. A card after its last day has
// Fault credential-expired. The age is that of the number, and of layout I,
// whose number leaves the century out, that of the birth date.
//
// today is the present time; which day that is, is counted in China. The zero
// time means that the clock is unknown: no card is expired then, and no age is
// known. An empty Birth, or a Sex that is not 1 or 2, is not compared. A layout
// that is not known is UnknownText.
//
// A number of 15 digits, of the law before 1999, becomes the one of 18 that
// every holder has had since.
func FromCard(c Card, today time.Time) checkin.Credential {
	number := strings.ToUpper(unpad(c.Number))
	if len(number) > 18 || !alphanumeric(number) {
		number = "" // no number at all; the check below refuses it
	}
	cred := numbered(&c, number, today)
	if cred.Kind == checkin.UnknownText {
		return cred
	}
	cred.Name = bounded(c.Name)
	if cred.Fault == "" {
		cred.Fault = validTo(unpad(c.ValidTo), today)
	}
	return cred
}

//

// numbered checks a number by the layout of c and with what stands beside it.
func numbered(c *Card, number string, today time.Time) checkin.Credential {
	var ok bool
	var cred checkin.Credential
	switch c.Type {
	case residentLayout:
		number = lengthen(number)
		cred.Kind, ok = checkin.ResidentID, citizen(number, c, today)
	case permitLayout:
		cred.Kind, ok = checkin.HKMOTWPermit, permit(number) && citizen(number, c, today)
	case foreignNew:
		cred.Kind, ok = checkin.ForeignerCard, strings.HasPrefix(number, "9") && citizen(number, c, today)
	case foreignOld:
		cred.Kind, ok = checkin.ForeignerCard, oldForeign(number, c, today)
	default:
		return checkin.Credential{Kind: checkin.UnknownText}
	}
	cred.Value = number
	switch {
	case !ok:
		cred.Fault = checkin.CredentialInvalid
	case c.Type == foreignOld:
		cred.Age = ageGroup(unpad(c.Birth), today)
	default:
		cred.Age = ageGroup(number[6:14], today)
	}
	return cred
}

// validTo judges the last day of a card.
func validTo(s string, today time.Time) checkin.Reason {
	if s == "长期" {
		return ""
	}
	last, ok := date(s)
	switch {
	case !ok:
		return checkin.CredentialInvalid
	case !today.IsZero() && dayOf(today).After(last):
		return checkin.CredentialExpired
	}
	return ""
}

// china is where a card's days begin and end; no summer time since 1991.
var china = time.FixedZone("UTC+8", 8*60*60)

// dayOf returns the day in China at t, as date gives it.
func dayOf(t time.Time) time.Time {
	y, m, d := t.In(china).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// date reads YYYYMMDD strictly: only days that exist.
func date(s string) (time.Time, bool) {
	if len(s) != 8 || !digits(s) {
		return time.Time{}, false
	}
	t, err := time.Parse("20060102", s)
	return t, err == nil
}

// maxName bounds a name, in characters; the longest field of a card has 60.
const maxName = 64

// bounded leaves out of a name what could move a cursor or turn a line round,
// what is longer than any name, and the blanks around it.
func bounded(name string) string {
	kept := 0
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if kept >= maxName || r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return -1
		}
		kept++
		return r
	}, name))
}

// unpad takes off what the record's fields are filled up with.
func unpad(s string) string { return strings.Trim(s, " \x00") }

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func alphanumeric(s string) bool {
	for i := range len(s) {
		if !('0' <= s[i] && s[i] <= '9' || 'A' <= s[i] && s[i] <= 'Z') {
			return false
		}
	}
	return true
}
