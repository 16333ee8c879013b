package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Limits of a file.
const (
	MaxSize      = 64 << 10 // bytes
	MaxRules     = 256
	MaxExamples  = 1000
	MaxQuestions = 20
	MaxOverrides = 16
	MaxIssuers   = 40 // there are 34 provinces
)

// Sheet is a policy and what its file says beside it.
type Sheet struct {
	Policy *checkin.Policy
	Zh, En string // the title
	Cases  []Case
	// Warnings are for whoever writes the file; the policy stands.
	Warnings []string
}

// Case is an example and how it comes out, which is as it says.
type Case struct {
	Name     string
	Class    checkin.VenueClass
	Evidence checkin.Evidence
	Verdict  checkin.Verdict
}

// Parse reads the policy file data. name stands before the line in errors.
func Parse(data []byte, name string) (*checkin.Policy, error) {
	s, err := Read(data, name)
	if err != nil {
		return nil, err
	}
	return s.Policy, nil
}

// Read reads the policy file data with all that is in it.
func Read(data []byte, name string) (*Sheet, error) {
	r := &reader{name: name}
	f, ok := r.decode(data)
	if !ok {
		return nil, r.err()
	}
	s := &Sheet{Policy: r.policy(f), Zh: f.Title.Zh.text, En: f.Title.En.text}
	for i := range s.Policy.Rules {
		before := len(r.problems)
		r.lint(s.Policy, &s.Policy.Rules[i], f.Rules[i].line)
		f.Rules[i].bad = f.Rules[i].bad || len(r.problems) > before
	}
	sound := len(r.problems) == 0
	r.gaps(s.Policy, f)
	r.shadows(s.Policy, f)
	if sound { // or else what an example comes out as means nothing
		s.Cases = r.examples(s.Policy, f)
	}
	if len(r.problems) > 0 {
		return nil, r.err()
	}
	s.Warnings = warnings(s.Policy, name, f)
	return s, nil
}

//

// file is the file as it is written. Every value is a word with its line.
type file struct {
	ID          word           `yaml:"id"`
	Version     word           `yaml:"version"`
	Title       titles         `yaml:"title"`
	Temperature word           `yaml:"temperature"`
	Fever       word           `yaml:"fever"`
	Guard       word           `yaml:"guard"`
	Phone       word           `yaml:"phone"`
	Issuers     []word         `yaml:"issuers"`
	Questions   []questionText `yaml:"questions"`
	Overrides   []word         `yaml:"overrides"`
	Rules       []ruleText     `yaml:"rules"`
	Examples    []exampleText  `yaml:"examples"`
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
