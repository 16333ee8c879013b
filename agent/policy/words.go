package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

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
		checkin.PaperCode, checkin.Passport, checkin.OtherPaper,
	}}
	modes = words[checkin.Mode]{"mode", []checkin.Mode{
		checkin.ModeOnline, checkin.ModeCached, checkin.ModeSigned, checkin.ModeNone,
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
	ages = words[checkin.AgeGroup]{"age group", []checkin.AgeGroup{
		checkin.Minor, checkin.Adult, checkin.Elder,
	}}
	checks = words[checkin.Check]{"check", []checkin.Check{
		checkin.Passed, checkin.Failed, checkin.Unchecked,
	}}
	staffs   = words[checkin.Staff]{"guard's word", []checkin.Staff{checkin.StaffIdentity, checkin.StaffNone}}
	outcomes = words[checkin.Outcome]{"outcome", []checkin.Outcome{
		checkin.Granted, checkin.Refused, checkin.Manual,
	}}
	natClocks = words[checkin.NATClock]{"nat-clock", []checkin.NATClock{checkin.BySample, checkin.ByReport}}
	reasons   = words[checkin.Reason]{"reason", checkin.Reasons()}
	yesNo     = words[string]{"value", []string{"yes", "no"}}
)

// one reads w, which must be one of the words.
func (v words[T]) one(r *reader, w word) T {
	if t, ok := map[string]T{"true": "yes", "false": "no"}[w.text]; ok && slices.Contains(v.all, t) {
		return t // as JSON says it
	}
	// Our own word, not the file's: equal strings at one address compare at once,
	// and Decide does little else.
	if i := slices.Index(v.all, T(w.text)); i >= 0 {
		return v.all[i]
	}
	var names []string
	for _, t := range v.all {
		names = append(names, string(t))
	}
	text := fmt.Sprintf("%s %q is not one of %s", v.what, w.text, strings.Join(names, ", "))
	if w.text == "" {
		text = fmt.Sprintf("%s is missing: one of %s", v.what, strings.Join(names, ", "))
	} else if near := nearestWord(w.text, names); near != "" {
		text += fmt.Sprintf("; is it %s?", near)
	}
	r.wrong(w.line, text)
	return ""
}

// yes reads yes or no; left out is no.
func (r *reader) yes(w word) bool {
	if w.text == "" {
		return false
	}
	return yesNo.one(r, w) == "yes"
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
