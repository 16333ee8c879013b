package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Lang is a language in which a policy tells what it says.
type Lang int

// The languages.
const (
	Zh Lang = iota
	En
)

// both is a text in Chinese and in English.
type both [2]string

// Say gives the words for one word of a file: Say("colours", "green").
func (l Lang) Say(key, word string) string {
	if text, ok := vocabulary[key][word]; ok {
		return text[l]
	}
	return word
}

// When tells in words when a rule decides, but for the status's age.
func (l Lang) When(rule *checkin.Rule) string {
	c := &rule.When
	var parts []string
	add := func(text string) {
		if text != "" {
			parts = append(parts, text)
		}
	}
	add(l.dates(rule))
	add(list(l, "venues", rule.Venues))
	add(list(l, "credentials", c.Credentials))
	add(list(l, "modes", c.Modes))
	for _, key := range []string{"control-list", "register-first", "code-expired"} {
		if flag(c, key) {
			add(l.Say(key, "yes"))
		}
	}
	add(list(l, "colours", c.Colours))
	add(list(l, "nat", c.NAT))
	add(l.window(c))
	add(list(l, "antigen", c.Antigen))
	add(list(l, "hosts", c.Host))
	add(list(l, "temperature", c.Temperature))
	add(list(l, "ages", c.Ages))
	add(list(l, "mask", c.Mask))
	add(list(l, "face", c.Face))
	add(list(l, "answers", c.Answers))
	add(list(l, "staff", c.Staff))
	if rule.Unchecked {
		add(both{"不查验健康信息", "no health check"}[l])
	}
	if len(parts) == 0 {
		return both{"其余所有情况", "everything else"}[l]
	}
	return strings.Join(parts, both{"；", "; "}[l])
}

// Age tells how old the status may be for a rule to decide.
func (l Lang) Age(rule *checkin.Rule) string {
	switch {
	case rule.MaxAge > 0:
		return l.duration(rule.MaxAge)
	case vouched(&rule.When):
		return both{"无须状态", "none needed"}[l]
	}
	return both{"不限", "any"}[l]
}

// Outcome tells what a rule does, and whether it is reported.
func (l Lang) Outcome(rule *checkin.Rule) string {
	text := l.Say("outcome", string(rule.Outcome))
	if rule.Report {
		text += both{"并上报", ", reported"}[l]
	}
	return text
}

// list tells that one of the words must be.
func list[T ~string](l Lang, key string, values []T) string {
	var names []string
	for _, v := range values {
		names = append(names, l.Say(key, string(v)))
	}
	return strings.Join(names, both{"或", " or "}[l])
}

func flag(c *checkin.Condition, key string) bool {
	return key == "control-list" && c.ControlList || key == "register-first" && c.RegisterFirst ||
		key == "code-expired" && c.CodeExpired
}

// window tells how old the test may be.
func (l Lang) window(c *checkin.Condition) string {
	since := both{"采样", "since the sample"}[l]
	if c.NATClock == checkin.ByReport {
		since = both{"报告", "since the report"}[l]
	}
	var parts []string
	if c.NATOlder > 0 {
		parts = append(parts, fmt.Sprintf(both{"超过%s", "more than %s"}[l], l.duration(c.NATOlder)))
	}
	if c.NATWithin > 0 {
		parts = append(parts, fmt.Sprintf(both{"不超过%s", "at most %s"}[l], l.duration(c.NATWithin)))
	}
	if len(parts) == 0 {
		return ""
	}
	if l == Zh {
		return since + strings.Join(parts, "且")
	}
	return strings.Join(parts, " and ") + " " + since
}

// dates tells from when and until when a rule is in force.
func (l Lang) dates(rule *checkin.Rule) string {
	var parts []string
	if !rule.From.IsZero() {
		parts = append(parts, fmt.Sprintf(both{"自%s起", "from %s"}[l], moment(rule.From)))
	}
	if !rule.Until.IsZero() {
		parts = append(parts, fmt.Sprintf(both{"至%s前", "until %s"}[l], moment(rule.Until)))
	}
	return strings.Join(parts, both{"", " "}[l])
}

// moment writes a day that begins in China as a day, and all else in full.
func moment(t time.Time) string {
	if day := t.In(china); day.Equal(day.Truncate(time.Second)) && day.Hour()+day.Minute()+day.Second() == 0 {
		return day.Format(time.DateOnly)
	}
	return t.Format(time.RFC3339)
}

// duration writes whole minutes.
func (l Lang) duration(d time.Duration) string {
	h, m := int(d/time.Hour), int(d%time.Hour/time.Minute)
	var parts []string
	if h > 0 {
		parts = append(parts, fmt.Sprintf(both{"%d小时", "%d h"}[l], h))
	}
	if m > 0 || h == 0 {
		parts = append(parts, fmt.Sprintf(both{"%d分钟", "%d min"}[l], m))
	}
	return strings.Join(parts, both{"", " "}[l])
}

// Known tells in words what a verdict was made from.
func (l Lang) Known(e *checkin.Evidence) string {
	s := &e.Status
	parts := []string{l.Say("credentials", string(e.Credential.Kind))}
	add := func(key, word, none string) {
		if word != "" && word != none {
			parts = append(parts, l.Say(key, word))
		}
	}
	add("issuers", e.Credential.Issuer, "")
	add("ages", string(e.Credential.Age), "")
	if s.Known {
		age := both{"状态时间不明", "status of unknown age"}[l]
		if d, ok := s.Age(e.Now); ok {
			age = fmt.Sprintf(both{"状态产生于%s前", "status %s old"}[l], l.duration(d))
		}
		parts = append(parts, l.Say("modes", or(s.Mode, checkin.ModeNone)), age, l.Say("colours", or(s.Colour, checkin.NoColour)), l.test(e))
		add("antigen", string(s.Antigen), "none")
		add("hosts", string(s.Host), "none")
		for _, f := range []struct {
			key string
			is  bool
		}{{"control-list", s.ControlList}, {"register-first", s.RegisterFirst}, {"code-expired", s.CodeExpired}} {
			if f.is {
				parts = append(parts, l.Say(f.key, "yes"))
			}
		}
	} else {
		parts = append(parts, l.Say("status", "none"))
	}
	parts = append(parts, l.Say("temperature", or(e.Temperature, checkin.Unmeasured)))
	add("mask", string(e.Mask), "unchecked")
	add("face", string(e.Face), "unchecked")
	add("answers", string(e.Answers), "unchecked")
	add("staff", string(e.Staff), "none")
	if !e.ClockOK {
		parts = append(parts, l.Say("clock", "unknown"))
	}
	return strings.Join(parts, both{"；", "; "}[l])
}

// test tells of the NAT, with both its ages.
func (l Lang) test(e *checkin.Evidence) string {
	text := l.Say("nat", or(e.Status.NAT, checkin.NoTest))
	if d, ok := e.Status.NATAge(checkin.BySample, e.Now); ok {
		text += fmt.Sprintf(both{"，%s前采样", ", sampled %s ago"}[l], l.duration(d))
	}
	if d, ok := e.Status.NATAge(checkin.ByReport, e.Now); ok {
		text += fmt.Sprintf(both{"，%s前报告", ", reported %s ago"}[l], l.duration(d))
	}
	return text
}

func or[T ~string](v, def T) string {
	if v == "" {
		return string(def)
	}
	return string(v)
}

// Step tells in words what a rule made of the evidence.
func (l Lang) Step(rule *checkin.Rule, s checkin.Step) string {
	switch s.How {
	case checkin.Decided:
		return both{"适用", "decides"}[l]
	case checkin.Barred:
		return both{"会放行，但已知红码，或时间不明时可能有禁令，机器不得放行",
			"would grant, but red, or a ban that may be in force, is never let in by a machine"}[l]
	case checkin.TooOld:
		return fmt.Sprintf(both{"须有产生不超过%s的状态", "would decide on a status at most %s old"}[l], l.duration(rule.MaxAge))
	case checkin.Unsure:
		return both{"可能适用，但时间不可信", "may decide, but nobody knows what time it is"}[l]
	}
	return fmt.Sprintf(both{"不符：%s", "not so: %s"}[l], l.wants(rule, s.Key))
}

// wants tells one condition of a rule, by its key.
func (l Lang) wants(rule *checkin.Rule, key string) string {
	c := &rule.When
	switch key {
	case "venues":
		return list(l, key, rule.Venues)
	case "from":
		return l.dates(rule)
	case "nat-within", "nat-older":
		return l.window(c)
	case "status":
		return l.Say("status", "known")
	case "register-first", "control-list", "code-expired":
		return l.Say(key, "yes")
	case "colours":
		return list(l, key, c.Colours)
	case "nat":
		return list(l, key, c.NAT)
	case "antigen":
		return list(l, key, c.Antigen)
	case "temperature":
		return list(l, key, c.Temperature)
	case "modes":
		return list(l, key, c.Modes)
	case "credentials":
		return list(l, key, c.Credentials)
	case "hosts":
		return list(l, key, c.Host)
	case "staff":
		return list(l, key, c.Staff)
	case "ages":
		return list(l, key, c.Ages)
	case "answers":
		return list(l, key, c.Answers)
	case "mask":
		return list(l, key, c.Mask)
	case "face":
		return list(l, key, c.Face)
	}
	return key
}
