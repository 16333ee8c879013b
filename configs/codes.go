package configs

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxBeginnings bounds what every scanned code is compared with.
const maxBeginnings = 200

// signedCode begins the signed codes; it is part of their format and no key.
const signedCode = "DS1:"

var issuer = regexp.MustCompile(`^[a-z][a-z-]{0,31}$`)

// beginning is one of Codes, with where it stands. The defaults stand nowhere
// in the file: theirs is the path of the key that was left out.
type beginning struct {
	line             int
	path, kind, text string
}

// codes checks the beginnings of codes, each by itself and with the others.
func (k *checker) codes(c *Codes) {
	list := []beginning{{k.lineOf("codes"), "codes", "signed", signedCode}}
	for _, set := range []struct {
		kind        string
		given       []string
		withoutThem string
	}{
		{"personal", c.Personal, "https://code.sentinel.example/p/"},
		{"relative", c.Relative, "https://code.sentinel.example/r/"},
		{"venue", c.Venue, "https://code.sentinel.example/v/"},
		{"paper", c.Paper, "https://code.sentinel.example/o/"},
	} {
		path := "codes." + set.kind
		if len(set.given) == 0 {
			list = append(list, beginning{k.lineOf(path), path, set.kind, set.withoutThem})
		}
		list = append(list, k.beginnings(path, set.kind, set.given)...)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Issuers)) {
		list = append(list, k.issuer(name, c.Issuers[name])...)
	}
	if len(list) > maxBeginnings {
		k.wrong("codes", "there are %s beginnings of codes, and at most %s are allowed", strconv.Itoa(len(list)), strconv.Itoa(maxBeginnings))
		return
	}
	for i, b := range list {
		if what := wrongBeginning(b.text); what != "" {
			k.at(b.line, "%s: %s %s", b.path, strconv.Quote(b.text), what)
			continue
		}
		k.overlaps(b, list, i)
	}
}

// beginnings gives each of a list its place.
func (k *checker) beginnings(path, kind string, texts []string) []beginning {
	var list []beginning
	for i, text := range texts {
		at := fmt.Sprintf("%s[%d]", path, i)
		list = append(list, beginning{k.lineOf(at), at, kind, text})
	}
	return list
}

// issuer checks the name of one, and gives his beginnings their places. A name
// that is none would lead astray in a path; the line of the name must do.
func (k *checker) issuer(name string, texts []string) []beginning {
	path := "codes.issuers." + name
	if issuer.MatchString(name) {
		if len(texts) == 0 {
			k.wrong(path, "is required: at least one beginning of a code")
		}
		return k.beginnings(path, "issuers."+name, texts)
	}
	line := k.lineOfName(name)
	k.at(line, "codes.issuers: %s is no name of an issuer: small letters and dashes, 1 to 32 of them", strconv.Quote(name))
	var list []beginning
	for _, text := range texts {
		list = append(list, beginning{line, "codes.issuers", "issuers." + strconv.Quote(name), text})
	}
	return list
}

// lineOfName finds the line of an issuer whose name does not fit into a path.
func (k *checker) lineOfName(name string) int {
	n := k.node("codes.issuers")
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i].Line
		}
	}
	return k.lineOf("codes.issuers")
}

// wrongBeginning says what is wrong with the beginning of a code by itself.
func wrongBeginning(text string) string {
	plain := strings.TrimSuffix(text, "*")
	visible := func(r rune) bool { return r > ' ' && r <= '~' }
	switch {
	case strings.ContainsFunc(plain, func(r rune) bool { return !visible(r) }):
		return "holds a blank or a character that codes do not have"
	case strings.Contains(plain, "*"):
		return "has a * that is not at its end"
	case len(plain) < 3 || len(plain) > 200:
		return "is no beginning of a code: 3 to 200 characters"
	case isStart(plain, "http://"), isStart(plain, "https://"):
		return "is the start of any web address"
	case !strings.Contains(plain, "://"):
		return ""
	}
	u, err := url.Parse(plain)
	_, behind, _ := strings.Cut(plain, "://")
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return "is no web address"
	case u.User != nil:
		return "has a name or password in its address"
	case !strings.ContainsAny(behind, "/?#"):
		return "ends within the host's name; other hosts begin like that: put a / behind it"
	}
	return ""
}

func isStart(start, s string) bool {
	return len(start) <= len(s) && strings.EqualFold(s[:len(start)], start)
}

// overlaps reports a beginning that is the start of another kind's, or that
// stands twice: which of the two a code is would be left to chance.
func (k *checker) overlaps(b beginning, list []beginning, at int) {
	for i, other := range list {
		if i == at || !startsLike(other.text, b.text) {
			continue
		}
		same := startsLike(b.text, other.text)
		switch {
		case same && i > at: // told at the second one
		case same:
			k.at(b.line, "%s: %s is a beginning of %s already", b.path, strconv.Quote(b.text), other.kind)
		case b.kind != other.kind:
			k.at(b.line, "%s: %s is the start of %s, a beginning of %s", b.path, strconv.Quote(b.text), strconv.Quote(other.text), other.kind)
		}
	}
}

// startsLike reports whether a code that begins with s begins with start, too.
func startsLike(s, start string) bool {
	s, start = strings.TrimSuffix(s, "*"), strings.TrimSuffix(start, "*")
	if strings.Contains(start, "://") {
		return isStart(start, s)
	}
	return strings.HasPrefix(s, start)
}
