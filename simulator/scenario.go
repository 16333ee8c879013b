package simulator

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scenario is a story to be played: one command a line.
type Scenario struct {
	Name  string
	Steps []Step
}

// Step is one line. Words are what stands without a name, Named the key=value
// pairs.
type Step struct {
	Line  int
	Text  string
	Verb  string
	Words []string
	Named map[string]string
}

// maxScenario bounds a scenario's size, in lines.
const maxScenario = 10_000

// LoadScenario reads the scenario in the file at path.
func LoadScenario(path string) (*Scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ParseScenario(f, path)
}

// ParseScenario reads a scenario. All lines that are wrong are reported at
// once, each with name:line.
func ParseScenario(r io.Reader, name string) (*Scenario, error) {
	s := &Scenario{Name: name}
	var wrong []string
	scan := bufio.NewScanner(r)
	n := 0
	for scan.Scan() {
		n++
		if n > maxScenario {
			return nil, fmt.Errorf("%s: more than %d lines", name, maxScenario)
		}
		step, err := parseStep(scan.Text())
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s:%d: %v", name, n, err))
			continue
		}
		if step != nil {
			step.Line = n
			s.Steps = append(s.Steps, *step)
		}
	}
	if err := scan.Err(); err != nil {
		wrong = append(wrong, fmt.Sprintf("%s:%d: %v", name, n+1, err))
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(wrong, "\n"))
	}
	if len(s.Steps) == 0 {
		return nil, fmt.Errorf("%s: no command in it", name)
	}
	return s, nil
}

// stimulus reports whether the step does something to the kiosk, so that what
// is expected afterwards is looked for from here on.
func (s *Step) stimulus() bool {
	switch s.Verb {
	case "expect", "wait", "venue", "profile", "person":
		return false
	}
	return true
}

// word returns the i-th word, or "".
func (s *Step) word(i int) string {
	if i < len(s.Words) {
		return s.Words[i]
	}
	return ""
}

// duration reads the named value as a duration; def if it is not there.
func (s *Step) duration(name string, def time.Duration) (time.Duration, error) {
	v, ok := s.Named[name]
	if !ok {
		return def, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return 0, fmt.Errorf("%s=%s is no duration (like 500ms, 2s, 48h)", name, v)
	}
	return d, nil
}

// number reads the named value as a count; def if it is not there.
func (s *Step) number(name string, def int) (int, error) {
	v, ok := s.Named[name]
	if !ok {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s=%s is no count", name, v)
	}
	return n, nil
}

// grammar is what a verb may carry.
type grammar struct {
	min, max int      // words
	named    []string // keys
	usage    string
}

// verbs is the language. Verbs that a later part of the product brings stand
// here too, so that a scenario with them is understood and refused by name.
var verbs = map[string]grammar{
	"venue":    {0, 0, []string{"class", "policy", "guard"}, "venue class=C policy=P guard=present|remote|none"},
	"profile":  {1, 1, nil, "profile turnstile|floor|wall|desk|handheld"},
	"person":   {1, 1, []string{"id", "passport", "name", "colour", "nat", "reported", "nat-result", "antigen", "host", "register-first", "control-list", "shard"}, "person REF id=… name=… colour=green nat=12h"},
	"backend":  {1, 2, []string{"call", "retry"}, "backend up|down|hang|slow D|refuse CODE|lie HOW|lose-reply|garbage [call=verify]"},
	"clock":    {1, 2, nil, "clock +49h | clock kiosk +49h"},
	"forehead": {0, 1, []string{"object", "ambient"}, "forehead 36.5C ambient=22C | forehead object=33.1C | forehead none"},
	"scan":     {1, 2, []string{"times", "every", "issuer", "app", "age", "signed"}, `scan "TEXT" | scan person REF [issuer=jiangsu|app=other] | scan relative REF | scan paper REF [signed=yes] | scan signed REF [age=10m] | scan pass REF | scan venue`},
	"card":     {1, 2, nil, "card REF [stuck|pulled-early]"},
	"pass":     {0, 1, nil, "pass [N]"},
	"no-pass":  {0, 0, nil, "no-pass"},
	"fire":     {1, 1, nil, "fire on|off"},
	"reset":    {1, 1, nil, "reset fire"},
	"unplug":   {1, 1, nil, "unplug DEVICE"},
	"plug":     {1, 1, nil, "plug DEVICE"},
	"corrupt":  {1, 1, []string{"next", "kind"}, "corrupt DEVICE next=3 [kind=checksum|short|silence|noise|slow|split]"},
	"kill":     {1, 1, nil, "kill agent"},
	"start":    {1, 1, nil, "start agent"},
	"stop":     {1, 1, nil, "stop agent"},
	"cut":      {1, 1, []string{"seed"}, "cut power [seed=7]"},
	"restore":  {1, 1, nil, "restore power"},
	"wait":     {1, 1, nil, "wait 5s"},
	"expect":   {1, 3, []string{"reason", "mode", "within", "stored", "delivered", "duplicate", "recipient", "visits"}, "expect verdict|gate|said|screen|records|report|alarm|device|call|car …"},
	"guard":    {1, 2, []string{"reason", "answers"}, "guard confirm [REF] [answers=good|bad] | guard open reason=R | guard refuse [REF]"},
	"host":     {2, 2, nil, "host yes|no|silent REF"},
	"car":      {1, 1, []string{"plate"}, "car arrives [plate=…] | car leaves"},
	"cache":    {1, 1, []string{"shard", "fault"}, "cache publish [shard=no] [fault=rollback] | cache rotate | cache fetch"},
	"fill":     {1, 1, nil, "fill disk"},
	"free":     {1, 1, nil, "free disk"},
}

func parseStep(line string) (*Step, error) {
	words, err := splitWords(line)
	if err != nil || len(words) == 0 {
		return nil, err
	}
	s := &Step{Text: strings.TrimSpace(line), Verb: words[0].text, Named: map[string]string{}}
	g, ok := verbs[s.Verb]
	if !ok {
		return nil, fmt.Errorf("%q is no verb; the verbs are %s", s.Verb, strings.Join(verbNames(), ", "))
	}
	for _, w := range words[1:] {
		key, value, named := strings.Cut(w.text, "=")
		if !named || w.quoted {
			s.Words = append(s.Words, w.text)
			continue
		}
		if !slices.Contains(g.named, key) {
			return nil, fmt.Errorf("%s has no %s=; write: %s", s.Verb, key, g.usage)
		}
		if _, twice := s.Named[key]; twice {
			return nil, fmt.Errorf("%s= stands twice", key)
		}
		s.Named[key] = value
	}
	if len(s.Words) < g.min || len(s.Words) > g.max {
		return nil, fmt.Errorf("%s takes %d to %d words; write: %s", s.Verb, g.min, g.max, g.usage)
	}
	return s, nil
}

func verbNames() []string {
	var names []string
	for v := range verbs {
		names = append(names, v)
	}
	slices.Sort(names)
	return names
}

type word struct {
	text   string
	quoted bool // the word begins with a quote: no key=value
}

// splitWords splits at blanks; a quoted part is Go syntax, so that "\x1b" can
// be written. # begins a comment.
func splitWords(line string) ([]word, error) {
	var words []word
	for rest := strings.TrimLeft(line, " \t\r"); rest != ""; rest = strings.TrimLeft(rest, " \t\r") {
		switch rest[0] {
		case '#':
			return words, nil
		case '"':
			q, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, fmt.Errorf("a quote does not end: %s", rest)
			}
			text, err := strconv.Unquote(q)
			if err != nil {
				return nil, err
			}
			words = append(words, word{text, true})
			rest = rest[len(q):]
		default:
			end := strings.IndexAny(rest, " \t\r")
			if end < 0 {
				end = len(rest)
			}
			words = append(words, word{rest[:end], false})
			rest = rest[end:]
		}
	}
	return words, nil
}
