package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

type exampleText struct {
	Name          word `yaml:"name"`
	Credential    word `yaml:"credential"`
	Issuer        word `yaml:"issuer"`
	AgeGroup      word `yaml:"age-group"`
	Mode          word `yaml:"mode"`
	Colour        word `yaml:"colour"`
	NAT           word `yaml:"nat"`
	SampledAge    word `yaml:"sampled-age"`
	ReportedAge   word `yaml:"reported-age"`
	Antigen       word `yaml:"antigen"`
	Host          word `yaml:"host"`
	RegisterFirst word `yaml:"register-first"`
	ControlList   word `yaml:"control-list"`
	CodeExpired   word `yaml:"code-expired"`
	Temperature   word `yaml:"temperature"`
	Mask          word `yaml:"mask"`
	Face          word `yaml:"face"`
	Answers       word `yaml:"answers"`
	Staff         word `yaml:"staff"`
	Age           word `yaml:"age"`
	At            word `yaml:"at"`
	Clock         word `yaml:"clock"`
	Venue         word `yaml:"venue"`
	Why           word `yaml:"why"`
	Expect        word `yaml:"expect"`
	Reason        word `yaml:"reason"`
	Rule          word `yaml:"rule"`
	Report        word `yaml:"report"`
	line          int
}

// anyTime is when an example without at happens, in a policy without dates.
var anyTime = time.Date(2026, 1, 1, 12, 0, 0, 0, china)

// examples decides every example, and refuses those that come out otherwise.
func (r *reader) examples(p *checkin.Policy, f *file) []Case {
	var cases []Case
	dated := false
	for i := range p.Rules {
		dated = dated || !p.Rules[i].From.IsZero() || !p.Rules[i].Until.IsZero()
	}
	for i := range f.Examples {
		x := &f.Examples[i]
		before := len(r.problems)
		if x.Name.text == "" {
			r.wrong(x.line, "an example needs a name")
		}
		if dated && x.At.text == "" {
			r.wrong(x.line, fmt.Sprintf("example %q: rules have dates, so say when: at", x.Name.text))
		}
		e := r.evidence(p, x)
		class := classes.one(r, x.Venue.or(word{"other", x.line}))
		want := outcomes.one(r, x.Expect.or(word{"", x.line}))
		if x.Reason.text != "" {
			reasons.one(r, x.Reason)
		}
		r.yes(x.Report)
		if len(r.problems) == before {
			v := checkin.Decide(p, class, &e)
			r.compare(x, want, v)
			cases = append(cases, Case{x.Name.text, class, e, v})
		}
	}
	return cases
}

func (r *reader) compare(x *exampleText, want checkin.Outcome, got checkin.Verdict) {
	if x.Report.text != "" && got.Report != r.yes(x.Report) {
		r.wrong(x.line, fmt.Sprintf("example %q: report comes out as %t", x.Name.text, got.Report))
	}
	switch {
	case got.Outcome != want,
		x.Reason.text != "" && string(got.Reason) != x.Reason.text,
		x.Rule.text != "" && got.Rule != x.Rule.text:
	default:
		return
	}
	by := "no rule fits"
	if got.Rule != "" {
		by = "rule " + got.Rule
	}
	r.wrong(x.line, fmt.Sprintf("example %q comes out as %s %s (%s), expected %s %s %s",
		x.Name.text, got.Outcome, got.Reason, by, want, x.Reason.text, x.Rule.text))
}

// evidence is what an example tells.
func (r *reader) evidence(p *checkin.Policy, x *exampleText) checkin.Evidence {
	def := func(w word, text string) word { return w.or(word{text, x.line}) }
	now := anyTime
	if x.At.text != "" {
		now = r.date(x.At)
	}
	usual := string(checkin.Normal)
	if p.Temperature == checkin.TemperatureOff {
		usual = string(checkin.Unmeasured)
	}
	mode := modes.one(r, def(x.Mode, "online"))
	e := checkin.Evidence{
		Credential:  checkin.Credential{Kind: presentable.one(r, def(x.Credential, "personal-code"))},
		Temperature: bands.one(r, def(x.Temperature, usual)),
		Mask:        checks.one(r, def(x.Mask, "unchecked")),
		Face:        checks.one(r, def(x.Face, "unchecked")),
		Answers:     checks.one(r, def(x.Answers, "unchecked")),
		Staff:       staffs.one(r, def(x.Staff, "none")),
		Now:         now,
		ClockOK:     clockStates.one(r, def(x.Clock, "ok")) == "ok",
	}
	if x.Issuer.text != "" {
		e.Credential.Issuer = r.name1(x.Issuer, "issuer", x.line)
	}
	if x.AgeGroup.text != "" {
		e.Credential.Age = ages.one(r, x.AgeGroup)
	}
	if x.Why.text != "" {
		e.Why = reasons.one(r, x.Why)
	}
	if mode != checkin.ModeNone {
		e.Status = r.status(x, mode, now)
	}
	return e
}

// status is what the platform says in an example.
func (r *reader) status(x *exampleText, mode checkin.Mode, now time.Time) checkin.Status {
	def := func(w word, text string) word { return w.or(word{text, x.line}) }
	return checkin.Status{
		Known: true, Mode: mode, AsOf: now.Add(-r.duration(x.Age)),
		Colour:        colours.one(r, def(x.Colour, "none")),
		NAT:           results.one(r, def(x.NAT, "none")),
		Antigen:       results.one(r, def(x.Antigen, "none")),
		Host:          consents.one(r, def(x.Host, "none")),
		Sampled:       r.ago(now, x.SampledAge),
		Reported:      r.ago(now, x.ReportedAge),
		RegisterFirst: r.yes(x.RegisterFirst), ControlList: r.yes(x.ControlList), CodeExpired: r.yes(x.CodeExpired),
	}
}

// presentable are the credentials of an example: more than a rule can name.
var (
	presentable = words[checkin.Kind]{"credential", append(slices.Clone(kinds.all),
		checkin.VenueCode, checkin.UnknownText)}
	clockStates = words[string]{"clock", []string{"ok", "unknown"}}
)

// ago is the time so long before now, or none if w was left out.
func (r *reader) ago(now time.Time, w word) time.Time {
	if w.text == "" {
		return time.Time{}
	}
	return now.Add(-r.duration(w))
}
