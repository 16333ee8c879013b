// Package policy reads a policy file and gives the checkin.Policy it stands
// for. Pure: bytes in, a value out.
//
// # The file
//
// YAML with these keys and no others (shipped files: configs/policies):
//
//	id: public-place            small letters, digits, '-'
//	version: 1                  1 or more; a change is a new version
//	title: {zh: …, en: …}
//	temperature: required       required, advisory or off
//	fever: 37.3C                at or above is fever; 35C to 42C; default 37.3C
//	guard: present              present, remote or none
//	phone: 021-12345678         whom a visitor can call; may be left out
//	rules:                      the first that fits decides; none is manual
//	- id: granted               once in the file
//	  from: 2026-06-01          RFC 3339, or a day, which begins at 00:00 in China
//	  until: 2026-07-01         exclusive
//	  venues: [medical, care]   of the 17 classes; left out: all of them
//	  when:                     all that is written must hold; of a list, one
//	    credentials: [personal-code]
//	    modes: [online]         online, cached, signed, assisted, none
//	    colours: [green]        green, yellow, red, none
//	    nat: [negative]         negative, positive, pending, none
//	    nat-within: 48h         at most so old, in whole minutes
//	    nat-older: 48h          older than that
//	    nat-clock: sampled      sampled or reported: from when the age counts
//	    antigen: [positive]
//	    hosts: [yes]            yes, no, silent, none
//	    register-first: yes     only yes; left out, it does not matter
//	    control-list: yes
//	    code-expired: yes
//	    temperature: [normal]   normal, fever, unmeasured
//	  max-age: 4h               of the status; older ones do not fit
//	  outcome: granted          granted, refused or manual
//	  reason: ok
//	examples:                   cases that must come out as they say
//	- {name: …, credential: personal-code, mode: online, colour: green,
//	   nat: negative, sampled-age: 12h, reported-age: 10h, antigen: negative,
//	   host: yes, register-first: no, control-list: no, code-expired: no,
//	   temperature: normal, age: 5m, at: 2026-06-02, clock: ok, venue: medical,
//	   why: platform-unreachable, expect: granted, reason: ok, rule: granted}
//
// In an example everything may be left out but name and expect: the code is a
// personal one, the status online and new, the temperature normal (unmeasured
// where it is off), and what the platform could say is none. Mode none means
// that nothing is known.
//
// # What is refused
//
// Anything that is not written as above; a rule that grants without max-age,
// on red or yellow or on no proof at all, on a test that may be positive, or
// on somebody whom the platform wants stopped; a time at which no rule grants
// any more; and an example that comes out otherwise. All errors are told at
// once, each with its line.
package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Limits of a file.
const (
	MaxSize     = 64 << 10 // bytes
	MaxRules    = 256
	MaxExamples = 1000
)

// Parse reads the policy file data. name stands before the line in errors.
func Parse(data []byte, name string) (*checkin.Policy, error) {
	r := &reader{name: name}
	f, ok := r.decode(data)
	if !ok {
		return nil, r.err()
	}
	p := r.policy(f)
	for i := range p.Rules {
		r.lint(p, &p.Rules[i], f.Rules[i].line)
	}
	r.gaps(p, f)
	if len(r.problems) == 0 {
		r.examples(p, f)
	}
	if len(r.problems) > 0 {
		return nil, r.err()
	}
	return p, nil
}

//

// file is the file as it is written. Every value is a word with its line.
type file struct {
	ID          word          `yaml:"id"`
	Version     word          `yaml:"version"`
	Title       titles        `yaml:"title"`
	Temperature word          `yaml:"temperature"`
	Fever       word          `yaml:"fever"`
	Guard       word          `yaml:"guard"`
	Phone       word          `yaml:"phone"`
	Rules       []ruleText    `yaml:"rules"`
	Examples    []exampleText `yaml:"examples"`
}

type titles struct {
	Zh word `yaml:"zh"`
	En word `yaml:"en"`
}

// word is one scalar and where it stands.
type word struct {
	text string
	line int
}

// UnmarshalYAML takes any scalar as it is written; what it means is the
// reader's business.
func (w *word) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: one value is wanted here", n.Line)}}
	}
	*w = word{n.Value, n.Line}
	return nil
}

// reader gathers what is wrong with a file.
type reader struct {
	name     string
	problems []problem
}

type problem struct {
	line int
	text string
}

// wrong notes what is wrong in a line. What it quotes from the file stays on
// one line.
func (r *reader) wrong(line int, text string) {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
	r.problems = append(r.problems, problem{max(line, 1), text})
}

// maxProblems bounds an error: who has more than that reads no further.
const maxProblems = 50

func (r *reader) err() error {
	slices.SortStableFunc(r.problems, func(a, b problem) int { return a.line - b.line })
	var lines []string
	for i, p := range r.problems {
		if i == maxProblems {
			lines = append(lines, fmt.Sprintf("%s: and %d more", r.name, len(r.problems)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("%s:%d: %s", r.name, p.line, p.text))
	}
	return errors.New(strings.Join(lines, "\n"))
}

// decode reads the YAML. It returns false if there is nothing to go on with: a
// list where one value should be. After a key that is only unknown it does go
// on, to find the rest of what is wrong.
func (r *reader) decode(data []byte) (*file, bool) {
	if len(data) > MaxSize {
		r.wrong(1, fmt.Sprintf("a policy has at most %d bytes, this has %d", MaxSize, len(data)))
		return nil, false
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	var f file
	err := d.Decode(&f)
	var mistyped *yaml.TypeError
	switch {
	case errors.Is(err, io.EOF):
		r.wrong(1, "the file is empty")
		return nil, false
	case errors.As(err, &mistyped):
		shape := false
		for _, text := range mistyped.Errors {
			r.wrong(explain(text))
			shape = shape || !strings.Contains(text, unknownKey)
		}
		if shape {
			return nil, false
		}
	case err != nil:
		r.wrong(splitLine(strings.TrimPrefix(err.Error(), "yaml: ")))
		return nil, false
	}
	var more yaml.Node
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		r.wrong(max(more.Line, 1), "a second document follows the policy")
	}
	if len(f.Rules) > MaxRules || len(f.Examples) > MaxExamples {
		r.wrong(1, fmt.Sprintf("a policy has at most %d rules and %d examples", MaxRules, MaxExamples))
		return nil, false
	}
	f.place(data)
	return &f, true
}

// place tells every rule and example where it begins, for what is missing in
// it has no line of its own.
func (f *file) place(data []byte) {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return
	}
	top := doc.Content[0].Content
	for i := 0; i+1 < len(top); i += 2 {
		for j, item := range top[i+1].Content {
			switch {
			case top[i].Value == "rules" && j < len(f.Rules):
				f.Rules[j].line = item.Line
			case top[i].Value == "examples" && j < len(f.Examples):
				f.Examples[j].line = item.Line
			}
		}
	}
}

// splitLine takes "line 3: what is wrong" apart.
func splitLine(s string) (int, string) {
	if number, text, ok := strings.Cut(strings.TrimPrefix(s, "line "), ": "); ok {
		if line, err := strconv.Atoi(number); err == nil {
			return line, text
		}
	}
	return 1, s
}

// unknownKey is how the decoder tells a key that no struct has.
const unknownKey = " not found in type "

// explain says the decoder's complaint in the file's terms.
func explain(s string) (int, string) {
	line, text := splitLine(s)
	if key, where, ok := strings.Cut(strings.TrimPrefix(text, "field "), unknownKey); ok {
		text = fmt.Sprintf("there is no key %q here", key)
		if near := nearest(key, keys(where)); near != "" {
			text += fmt.Sprintf("; is it %q?", near)
		}
	}
	if before, _, ok := strings.Cut(text, " into []policy."); ok {
		text = strings.TrimPrefix(before, "cannot unmarshal ") + " stands where a list is wanted: [a, b]"
	} else if before, _, ok := strings.Cut(text, " into policy."); ok {
		text = strings.TrimPrefix(before, "cannot unmarshal ") + " stands where keys are wanted"
	}
	return line, text
}

// keys lists the keys of one of the file's types, by its Go name.
func keys(name string) []string {
	var all []string
	for _, t := range []reflect.Type{
		reflect.TypeFor[file](), reflect.TypeFor[titles](), reflect.TypeFor[ruleText](),
		reflect.TypeFor[whenText](), reflect.TypeFor[exampleText](),
	} {
		for i := 0; i < t.NumField() && t.String() == name; i++ {
			if tag := t.Field(i).Tag.Get("yaml"); tag != "-" {
				all = append(all, tag)
			}
		}
	}
	return all
}

// nearest returns the word of all that is nearest to s: one letter away, or
// two if s is long enough to tell.
func nearest(s string, all []string) string {
	best, near := 2, ""
	switch {
	case len(s) > 40:
		return ""
	case len(s) > 5:
		best = 3
	}
	for _, w := range all {
		if d := distance(s, w); d < best {
			best, near = d, w
		}
	}
	return near
}

// distance counts the letters to change, add or drop between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := last
			if a[i] != b[j] {
				d = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
