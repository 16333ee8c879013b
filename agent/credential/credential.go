// Package credential turns what was presented, a scanned string or the fields
// of a card, into a checkin.Credential. Pure: bytes in, a value out.
//
// # Strings
//
// A string is one of ours by its prefix; the prefixes are data (Patterns). Any
// other web address is taken for a personal code, because nothing public says
// what those look like inside: the whole string goes to the platform, and
// nothing is ever read out of it here (domain facts, finding 4 and Q-1). All
// that is left is UnknownText, whose value is not kept: it may be anything,
// a password among it.
//
// # Cards
//
// A card's number must pass its own check and agree with the birth date and
// the sex beside it; a card is valid to the end of its last day. See FromCard.
package credential

import (
	"strings"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Patterns are the prefixes that tell the kinds of strings apart. A web
// address matches whatever the case of the prefix, because QR encoders like
// capitals; the rest of a string is never touched. The longest prefix that
// matches wins. An empty list takes that of DefaultPatterns.
type Patterns struct {
	Personal []string // 随申码
	Relative []string // 亲属随申码
	Venue    []string // 场所码
	Paper    []string // 离线码
	Signed   []string // signed codes
}

// DefaultPatterns are those of the reference platform.
func DefaultPatterns() Patterns {
	return Patterns{
		Personal: []string{"https://code.sentinel.example/p/"},
		Relative: []string{"https://code.sentinel.example/r/"},
		Venue:    []string{"https://code.sentinel.example/v/"},
		Paper:    []string{"https://code.sentinel.example/o/"},
		Signed:   []string{"DS1:"},
	}
}

// The longest strings that are looked at, in bytes.
const (
	MaxAddress = 1024 // web addresses: all kinds but signed codes
	MaxCode    = 4096 // signed codes, and any string at all
)

// Classify tells what code is. CR, LF and blanks around it are taken off,
// nothing else: the scanner's line end is not part of the code. The value is
// the whole string, prefix included. A string that is not 1 to 4096 printable
// ASCII characters is UnknownText.
func Classify(code []byte, p Patterns) checkin.Credential {
	unknown := checkin.Credential{Kind: checkin.UnknownText}
	if len(code) > MaxCode+len("\r\n") {
		return unknown
	}
	s := strings.Trim(string(code), "\r\n ")
	if s == "" || len(s) > MaxCode || !printable(s) {
		return unknown
	}
	kind := p.kind(s)
	if kind == checkin.UnknownText || kind != checkin.SignedCode && len(s) > MaxAddress {
		return unknown
	}
	return checkin.Credential{Kind: kind, Value: s}
}

//

// kind looks for the longest prefix of s. A prefix with nothing after it is
// not a code.
func (p Patterns) kind(s string) checkin.Kind {
	def := DefaultPatterns()
	best, kind := 0, checkin.UnknownText
	for _, set := range [...]struct {
		kind                checkin.Kind
		prefixes, otherwise []string
	}{
		{checkin.VenueCode, p.Venue, def.Venue},
		{checkin.PaperCode, p.Paper, def.Paper},
		{checkin.SignedCode, p.Signed, def.Signed},
		{checkin.RelativeCode, p.Relative, def.Relative},
		{checkin.PersonalCode, p.Personal, def.Personal},
		{checkin.PersonalCode, web, web},
	} {
		prefixes := set.prefixes
		if len(prefixes) == 0 {
			prefixes = set.otherwise
		}
		for _, prefix := range prefixes {
			if len(prefix) > best && len(s) > len(prefix) && begins(s, prefix) {
				best, kind = len(prefix), set.kind
			}
		}
	}
	return kind
}

// web is what any online code begins with at least.
var web = []string{"http://", "https://"}

// begins reports whether s begins with prefix; in a web address the prefix's
// case does not count.
func begins(s, prefix string) bool {
	head := s[:len(prefix)]
	if strings.Contains(prefix, "://") {
		return strings.EqualFold(head, prefix)
	}
	return head == prefix
}

// printable reports whether s is printable ASCII. That refuses control
// characters, broken UTF-8 and what a scanner with the wrong code page makes
// of Chinese, all at once; every kind we know is ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
