// Package credential turns what was presented, a scanned string or the fields
// of a card, into a checkin.Credential. Pure: bytes in, a value out.
//
// # Strings
//
// A string is one of ours by its beginning; the beginnings are data (Patterns).
// What follows one, up to what apps hang on behind, is the token; it goes
// behind the first beginning of its list, so that the same person's code is one
// credential whichever app showed it.
//
// Any other web address is taken for a personal code, because nothing public
// says what those look like inside: the whole string goes to the platform, and
// nothing is ever read out of it here (domain facts, finding 4 and Q-1). All
// that is left is UnknownText, whose value is not kept: it may be anything,
// a password among it.
//
// # Cards
//
// A card's number must pass its own check and agree with the birth date and
// the sex beside it; a card is valid to the end of its last day. See FromCard.
//
// # Signed codes
//
// What agent/signed takes apart is judged by Codes.Open: who signed it, whether
// it was withdrawn, and whether it holds at every moment that it can be.
//
//	r := codes.Open(text, interval)    is it good, and what follows
//	memory.Seen(&r)                    was it used before
//	…decide on r.Credential, r.Status, r.Why…
//	memory.Use(&r, interval.Lo)        before anything opens
//
// Paper is for a person, whatever was found. So is a status that no phone has
// signed, unless the venue wants it otherwise. A phone code is a status in mode
// signed; a pass is its host's yes, once.
package credential

import (
	"strings"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Patterns are the beginnings that tell the kinds of strings apart. A '*' at
// the end of one stands for the token and may be left out: "https://app.example/p/",
// "https://app.example/open?code=*". A web address matches whatever the case of
// the beginning, because QR encoders like capitals. The longest beginning that
// matches wins. An empty list takes that of DefaultPatterns.
//
// The first beginning of a list is the canonical one: behind it the platform is
// asked.
type Patterns struct {
	Personal []string // 随申码
	Relative []string // 亲属随申码
	Venue    []string // 场所码
	Paper    []string // 离线码
	Signed   []string // signed codes

	// Issuers are the personal codes of others, by who issues them: jiangsu,
	// zhejiang, anhui.
	Issuers map[string][]string
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

// Classify tells what code is. CR, LF and blanks around it are taken off: the
// scanner's line end is not part of the code. The value is the canonical
// beginning with the token; of a signed code, and of a web address that no
// beginning fits, the whole string. A string that is not 1 to 4096 printable
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
	m := p.match(s)
	if m.kind == "" || m.kind != checkin.SignedCode && len(s) > MaxAddress {
		return unknown
	}
	cred := checkin.Credential{Kind: m.kind, Issuer: m.issuer, Value: s}
	if m.token != "" && !(strings.HasPrefix(s, m.canonical) && s[len(m.canonical):] == m.token) {
		cred.Value = m.canonical + m.token
	}
	if len(cred.Value) > MaxAddress && m.kind != checkin.SignedCode {
		return unknown // a longer beginning has made it too long
	}
	return cred
}

//

// match is the longest beginning that fits a string.
type match struct {
	length    int
	kind      checkin.Kind // empty: none fits
	issuer    string
	canonical string
	token     string // empty: the whole string is the value
}

// match looks for the longest beginning of s that has a token behind it.
func (p *Patterns) match(s string) match {
	var m match
	m.look(s, given(p.Venue, standard.Venue), checkin.VenueCode, "")
	m.look(s, given(p.Paper, standard.Paper), checkin.PaperCode, "")
	m.look(s, given(p.Signed, standard.Signed), checkin.SignedCode, "")
	m.look(s, given(p.Relative, standard.Relative), checkin.RelativeCode, "")
	m.look(s, given(p.Personal, standard.Personal), checkin.PersonalCode, "")
	for issuer, list := range p.Issuers {
		m.look(s, list, checkin.PersonalCode, issuer)
	}
	for _, scheme := range web {
		if m.kind == "" && len(s) > len(scheme) && begins(s, scheme) {
			m.kind = checkin.PersonalCode
		}
	}
	return m
}

// given is list, or what takes its place.
func given(list, otherwise []string) []string {
	if len(list) == 0 {
		return otherwise
	}
	return list
}

// look takes a beginning from list if it is longer than the one found before.
// Of two issuers with the same one, the first in the alphabet has it: a map
// has no order of its own.
func (m *match) look(s string, list []string, kind checkin.Kind, issuer string) {
	for _, pattern := range list {
		beginning := strings.TrimSuffix(pattern, "*")
		again := len(beginning) == m.length && m.issuer != "" && issuer < m.issuer
		if len(beginning) <= m.length && !again || len(s) <= len(beginning) || !begins(s, beginning) {
			continue
		}
		found := match{len(beginning), kind, issuer, strings.TrimSuffix(list[0], "*"), ""}
		if kind != checkin.SignedCode {
			if found.token = token(s[len(beginning):]); found.token == "" {
				continue
			}
		}
		*m = found
	}
}

// token is what identifies a code. Parameters, fragments and a slash behind it
// are the app's; a blank ends any address.
func token(rest string) string {
	if i := strings.IndexAny(rest, "?&# "); i >= 0 {
		rest = rest[:i]
	}
	return strings.TrimRight(rest, "/")
}

// standard stands in for lists that are empty; nobody changes it.
var standard = DefaultPatterns()

// web is what any online code begins with at least.
var web = [...]string{"https://", "http://"}

// begins reports whether s begins with the beginning; in a web address its case
// does not count. It looks from behind, because beginnings differ there.
func begins(s, beginning string) bool {
	fold := false
	for i := len(beginning) - 1; i >= 0; i-- {
		a, b := s[i], beginning[i]
		if a == b {
			continue
		}
		if a^b != 'a'^'A' || a|0x20 < 'a' || a|0x20 > 'z' {
			return false
		}
		fold = true
	}
	return !fold || strings.Contains(beginning, "://")
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
