package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

type ruleText struct {
	ID      word     `yaml:"id"`
	From    word     `yaml:"from"`
	Until   word     `yaml:"until"`
	Venues  []word   `yaml:"venues"`
	When    whenText `yaml:"when"`
	MaxAge  word     `yaml:"max-age"`
	Outcome word     `yaml:"outcome"`
	Reason  word     `yaml:"reason"`
	line    int
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
	}
	if f.Title.Zh.text == "" || f.Title.En.text == "" {
		r.wrong(max(f.Title.Zh.line, f.Title.En.line, 1), "title needs zh and en")
	}
	if len(f.Rules) == 0 {
		r.wrong(1, "there are no rules")
	}
	seen := map[string]int{}
	for i := range f.Rules {
		t := &f.Rules[i]
		rule := r.rule(t)
		if first, twice := seen[rule.ID]; twice && rule.ID != "" {
			r.wrong(t.ID.line, fmt.Sprintf("rule id %q stands in line %d already", rule.ID, first))
		}
		seen[rule.ID] = t.ID.line
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
		},
		MaxAge:  r.duration(t.MaxAge),
		Outcome: outcomes.one(r, t.Outcome.or(word{"", t.line})),
		Reason:  reasons.one(r, t.Reason.or(word{"", t.line})),
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

func (r *reader) date(w word) time.Time {
	if w.text == "" {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339, w.text); err == nil {
		return t
	}
	t, err := time.ParseInLocation(time.DateOnly, w.text, china)
	if err != nil {
		r.wrong(w.line, fmt.Sprintf("%q is not a date like 2026-06-01 or 2026-06-01T08:00:00+08:00", w.text))
	}
	return t
}

// words is what may stand in one place of the file.
type words[T ~string] struct {
	what string // in an error
	all  []T
}

var (
	temperatureModes = words[checkin.TemperatureMode]{"temperature", []checkin.TemperatureMode{
		checkin.TemperatureRequired, checkin.TemperatureAdvisory, checkin.TemperatureOff,
	}}
	guardModes = words[checkin.GuardMode]{"guard", []checkin.GuardMode{
		checkin.GuardPresent, checkin.GuardRemote, checkin.GuardNone,
	}}
	classes = words[checkin.VenueClass]{"venue class", checkin.VenueClasses()}
	kinds   = words[checkin.Kind]{"credential", []checkin.Kind{
		checkin.PersonalCode, checkin.RelativeCode, checkin.ResidentID, checkin.HKMOTWPermit,
		checkin.ForeignerCard, checkin.SignedCode, checkin.VisitorPass,
	}}
	modes = words[checkin.Mode]{"mode", []checkin.Mode{
		checkin.ModeOnline, checkin.ModeCached, checkin.ModeSigned, checkin.ModeAssisted, checkin.ModeNone,
	}}
	colours = words[checkin.Colour]{"colour", []checkin.Colour{
		checkin.Green, checkin.Yellow, checkin.Red, checkin.NoColour,
	}}
	results = words[checkin.Result]{"test result", []checkin.Result{
		checkin.Negative, checkin.Positive, checkin.Pending, checkin.NoTest,
	}}
	consents = words[checkin.Consent]{"host's answer", []checkin.Consent{
		checkin.HostYes, checkin.HostNo, checkin.HostSilent, checkin.HostNone,
	}}
	bands = words[checkin.Band]{"temperature band", []checkin.Band{
		checkin.Normal, checkin.Fever, checkin.Unmeasured,
	}}
	outcomes = words[checkin.Outcome]{"outcome", []checkin.Outcome{
		checkin.Granted, checkin.Refused, checkin.Manual,
	}}
	natClocks = words[checkin.NATClock]{"nat-clock", []checkin.NATClock{checkin.BySample, checkin.ByReport}}
	reasons   = words[checkin.Reason]{"reason", checkin.Reasons()}
)

// one reads w, which must be one of the words.
func (v words[T]) one(r *reader, w word) T {
	if slices.Contains(v.all, T(w.text)) {
		return T(w.text)
	}
	var names []string
	for _, t := range v.all {
		names = append(names, string(t))
	}
	text := fmt.Sprintf("%s %q is not one of %s", v.what, w.text, strings.Join(names, ", "))
	if w.text == "" {
		text = fmt.Sprintf("%s is missing: one of %s", v.what, strings.Join(names, ", "))
	} else if near := nearest(w.text, names); near != "" {
		text += fmt.Sprintf("; is it %s?", near)
	}
	r.wrong(w.line, text)
	return ""
}

// list reads a list, each word of which stands once. An empty list is refused:
// it could be meant for all or for none.
func (v words[T]) list(r *reader, list []word, line int) []T {
	if list != nil && len(list) == 0 {
		r.wrong(line, fmt.Sprintf("an empty list of %s: leave the key out if it does not matter", v.what))
	}
	var values []T
	for _, w := range list {
		t := v.one(r, w.or(word{"", line}))
		if t != "" && slices.Contains(values, t) {
			r.wrong(w.line, fmt.Sprintf("%s %s stands twice", v.what, t))
		}
		values = append(values, t)
	}
	return values
}
