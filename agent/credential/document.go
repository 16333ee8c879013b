package credential

import (
	"strings"
	"time"
	"unicode"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// The length of a number on papers that no reader reads.
const (
	minPaper = 3
	maxPaper = 20
)

// FromDocument tells what a document is that a person has looked at, by what
// he typed. The numbers of cards are checked as FromCard checks them, without a
// birth date and sex beside them and without a last day, which that person has
// seen. A passport or another paper has a number of 3 to 20 letters and digits.
// What does not fit has Fault credential-invalid; so has a kind that is no
// document, which becomes UnknownText.
//
// Blanks and dashes in the number are dropped, and letters are made capitals.
func FromDocument(kind checkin.Kind, number, name string, today time.Time) checkin.Credential {
	number = typed(number)
	name = bounded(name)
	var cred checkin.Credential
	switch kind {
	case checkin.ResidentID:
		cred = numbered(&Card{Type: residentLayout}, number, today)
	case checkin.HKMOTWPermit:
		cred = numbered(&Card{Type: permitLayout}, number, today)
	case checkin.ForeignerCard:
		layout := byte(foreignOld)
		if strings.HasPrefix(number, "9") {
			layout = foreignNew
		}
		cred = numbered(&Card{Type: layout}, number, today)
	case checkin.Passport, checkin.OtherPaper:
		cred = checkin.Credential{Kind: kind, Value: number}
		if len(number) < minPaper {
			cred.Fault = checkin.CredentialInvalid
		}
	default:
		return checkin.Credential{Kind: checkin.UnknownText, Fault: checkin.CredentialInvalid}
	}
	cred.Name = name
	return cred
}

//

// typed is a number as a person typed it, in capitals; empty if it cannot be
// one. Chinese input methods write full-width letters and digits; they count
// as the others.
func typed(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= '！' && r <= '～' {
			r -= '！' - '!'
		}
		switch {
		case r == ' ', r == '\u00a0', r == '\u3000', r == '\u2212', unicode.Is(unicode.Pd, r):
			return -1
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, s)
	if len(s) > maxPaper || !alphanumeric(s) {
		return ""
	}
	return s
}
