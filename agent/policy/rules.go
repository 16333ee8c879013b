package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

type ruleText struct {
	ID        word     `yaml:"id"`
	From      word     `yaml:"from"`
	Until     word     `yaml:"until"`
	Venues    []word   `yaml:"venues"`
	When      whenText `yaml:"when"`
	MaxAge    word     `yaml:"max-age"`
	Unchecked word     `yaml:"unchecked"`
	Report    word     `yaml:"report"`
	Outcome   word     `yaml:"outcome"`
	Reason    word     `yaml:"reason"`
	line      int
	bad       bool // something is wrong with it already
}

type whenText struct {
	Credentials   []word `yaml:"credentials"`
	Modes         []word `yaml:"modes"`
	Colours       []word `yaml:"colours"`
	NAT           []word `yaml:"nat"`
	NATWithin     word   `yaml:"nat-within"`
	NATOlder      word   `yaml:"nat-older"`
	NATClock      word   `yaml:"nat-clock"`
	Antigen       []word `yaml:"antigen"`
	Hosts         []word `yaml:"hosts"`
	RegisterFirst word   `yaml:"register-first"`
	ControlList   word   `yaml:"control-list"`
	CodeExpired   word   `yaml:"code-expired"`
	Temperature   []word `yaml:"temperature"`
	Ages          []word `yaml:"ages"`
	Mask          []word `yaml:"mask"`
	Face          []word `yaml:"face"`
	Answers       []word `yaml:"answers"`
	Staff         []word `yaml:"staff"`
}

type questionText struct {
	ID   word `yaml:"id"`
	Zh   word `yaml:"zh"`
	En   word `yaml:"en"`
	Good word `yaml:"good"`
}

// policy turns the words into values.
func (r *reader) policy(f *file) *checkin.Policy {
	p := &checkin.Policy{
		ID:          r.name1(f.ID, "id", 1),
		Version:     r.version(f.Version),
		Temperature: temperatureModes.one(r, f.Temperature.or(word{"", 1})),
		Fever:       r.fever(f.Fever),
		Guard:       guardModes.one(r, f.Guard.or(word{"", 1})),
		GuardPhone:  r.phone(f.Phone),
		Issuers:     r.ids(f.Issuers, "issuer", MaxIssuers),
		Questions:   r.questions(f.Questions),
		Overrides:   r.ids(f.Overrides, "override", MaxOverrides),
	}
	if f.Overrides == nil {
		p.Overrides = []string{"emergency"}
	}
	if f.Title.Zh.text == "" || f.Title.En.text == "" {
		r.wrong(max(f.Title.Zh.line, f.Title.En.line, 1), "title needs zh and en")
	}
	if len(f.Rules) == 0 {
		r.wrong(1, "there are no rules")
	}
	seen := map[string]int{}
	for i := range f.Rules {
		t, before := &f.Rules[i], len(r.problems)
		rule := r.rule(t)
		if first, twice := seen[rule.ID]; twice && rule.ID != "" {
			r.wrong(t.ID.line, fmt.Sprintf("rule id %q stands in line %d already", rule.ID, first))
		}
		seen[rule.ID] = t.ID.line
		t.bad = len(r.problems) > before
		p.Rules = append(p.Rules, rule)
	}
	return p
}

func (r *reader) rule(t *ruleText) checkin.Rule {
	w := &t.When
	rule := checkin.Rule{
		ID: r.name1(t.ID, "a rule's id", t.line), From: r.date(t.From), Until: r.date(t.Until),
		Venues: classes.list(r, t.Venues, t.line),
		When: checkin.Condition{
			Credentials:   kinds.list(r, w.Credentials, t.line),
			Modes:         modes.list(r, w.Modes, t.line),
			Colours:       colours.list(r, w.Colours, t.line),
			NAT:           results.list(r, w.NAT, t.line),
			NATWithin:     r.duration(w.NATWithin),
			NATOlder:      r.duration(w.NATOlder),
			Antigen:       results.list(r, w.Antigen, t.line),
			Host:          consents.list(r, w.Hosts, t.line),
			RegisterFirst: r.demanded(w.RegisterFirst),
			ControlList:   r.demanded(w.ControlList),
			CodeExpired:   r.demanded(w.CodeExpired),
			Temperature:   bands.list(r, w.Temperature, t.line),
			Ages:          ages.list(r, w.Ages, t.line),
			Mask:          checks.list(r, w.Mask, t.line),
			Face:          checks.list(r, w.Face, t.line),
			Answers:       checks.list(r, w.Answers, t.line),
			Staff:         staffs.list(r, w.Staff, t.line),
		},
		MaxAge:    r.duration(t.MaxAge),
		Unchecked: r.yes(t.Unchecked),
		Report:    r.yes(t.Report),
		Outcome:   outcomes.one(r, t.Outcome.or(word{"", t.line})),
		Reason:    reasons.one(r, t.Reason.or(word{"", t.line})),
	}
	if w.NATClock.text != "" {
		rule.When.NATClock = natClocks.one(r, w.NATClock)
	}
	return rule
}

// or returns w, or other if w was left out.
func (w word) or(other word) word {
	if w == (word{}) {
		return other
	}
	return w
}

// demanded reads a condition that can only be asked for.
func (r *reader) demanded(w word) bool {
	switch w.text {
	case "":
		return false
	case "yes", "true":
		return true
	}
	r.wrong(w.line, fmt.Sprintf("%q: only yes is a condition; leave the key out if it does not matter", w.text))
	return false
}

func (r *reader) name1(w word, what string, line int) string {
	ok := w.text != "" && len(w.text) <= 64
	for _, c := range w.text {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-')
	}
	if !ok {
		r.wrong(max(w.line, line), fmt.Sprintf("%s %q is not 1 to 64 small letters, digits and '-'", what, w.text))
	}
	return w.text
}

func (r *reader) version(w word) int {
	v, err := strconv.Atoi(w.text)
	if err != nil || v < 1 {
		r.wrong(max(w.line, 1), fmt.Sprintf("version %q is not a number from 1", w.text))
	}
	return v
}

// fever reads the limit; left out, it is the usual one.
func (r *reader) fever(w word) physic.Temperature {
	if w.text == "" {
		return checkin.DefaultFever
	}
	var t physic.Temperature
	err := t.Set(w.text)
	if err != nil || t < 35*physic.Celsius+physic.ZeroCelsius || t > 42*physic.Celsius+physic.ZeroCelsius {
		r.wrong(w.line, fmt.Sprintf("fever %q is not a temperature from 35C to 42C, like 37.3C", w.text))
	}
	return t
}

func (r *reader) phone(w word) string {
	if len(w.text) > 32 || strings.Trim(w.text, "0123456789 +-()*#") != "" {
		r.wrong(w.line, fmt.Sprintf("phone %q is not a telephone number", w.text))
	}
	return w.text
}

// ids reads a list of ids, each of which stands once.
func (r *reader) ids(list []word, what string, most int) []string {
	if list != nil && len(list) == 0 {
		r.wrong(1, fmt.Sprintf("an empty list of %ss: leave the key out", what))
	}
	if len(list) > most {
		r.wrong(list[most].line, fmt.Sprintf("there are %d %ss, at most %d may be", len(list), what, most))
		return nil
	}
	var ids []string
	for _, w := range list {
		id := r.name1(w, what, 1)
		if slices.Contains(ids, id) {
			r.wrong(w.line, fmt.Sprintf("%s %s stands twice", what, id))
		}
		ids = append(ids, id)
	}
	return ids
}

// maxQuestion is the most letters a question has: a guard reads it aloud.
const maxQuestion = 200

func (r *reader) questions(list []questionText) []checkin.Question {
	if len(list) > MaxQuestions {
		r.wrong(list[MaxQuestions].ID.line, fmt.Sprintf("there are %d questions, at most %d may be", len(list), MaxQuestions))
		return nil
	}
	var all []checkin.Question
	for _, t := range list {
		line := max(t.ID.line, t.Zh.line, t.En.line, t.Good.line, 1)
		q := checkin.Question{
			ID: r.name1(t.ID, "a question's id", line), Zh: r.question(t.Zh, line), En: r.question(t.En, line),
			Good: r.yes(t.Good),
		}
		if t.Good.text == "" {
			r.wrong(line, fmt.Sprintf("question %s: good is missing: the answer that is as it should be, yes or no", q.ID))
		}
		if slices.ContainsFunc(all, func(o checkin.Question) bool { return o.ID == q.ID }) {
			r.wrong(line, fmt.Sprintf("question %s stands twice", q.ID))
		}
		all = append(all, q)
	}
	return all
}

func (r *reader) question(w word, line int) string {
	if w.text == "" || len([]rune(w.text)) > maxQuestion || strings.ContainsFunc(w.text, unicode.IsControl) {
		r.wrong(line, fmt.Sprintf("a question has zh and en, each one line of 1 to %d letters", maxQuestion))
	}
	return w.text
}

// duration reads "48h" or "90m": more than nothing, in whole minutes, for ages
// are counted so.
func (r *reader) duration(w word) time.Duration {
	if w.text == "" {
		return 0
	}
	d, err := time.ParseDuration(w.text)
	if err != nil || d <= 0 || d%time.Minute != 0 {
		r.wrong(w.line, fmt.Sprintf("%q is not a time in whole minutes, like 48h or 1h30m", w.text))
		return 0
	}
	return d
}

// china is where a day written without a time begins.
var china = time.FixedZone("UTC+8", 8*60*60)

// firstYear and lastYear bound dates: what lies outside is a slip of the pen.
const firstYear, lastYear = 1900, 2199

func (r *reader) date(w word) time.Time {
	if w.text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, w.text)
	if err != nil {
		t, err = time.ParseInLocation(time.DateOnly, w.text, china)
	}
	switch {
	case err == nil && (t.Year() < firstYear || t.Year() > lastYear):
		r.wrong(w.line, fmt.Sprintf("%q is not in the years %d to %d", w.text, firstYear, lastYear))
	case err != nil && len(w.text) >= 10 && w.text[4:10] == "-02-29":
		r.wrong(w.line, fmt.Sprintf("%q is not a date: that February has 28 days", w.text))
	case err != nil:
		r.wrong(w.line, fmt.Sprintf("%q is not a date like 2026-06-01 or 2026-06-01T08:00:00+08:00", w.text))
	}
	return t
}
