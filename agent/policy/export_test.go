package policy

import "github.com/digital-sentinel/sentinel/agent/checkin"

// Shadowed gives for every rule those before it that leave it no case.
func Shadowed(p *checkin.Policy) [][]int {
	return shadowed(p.Rules, func(int) bool { return false })
}

// AllWords gives the words that may stand under each key.
func AllWords() map[string][]string {
	return map[string][]string{
		"outcome": text(outcomes.all), "venues": text(classes.all), "credentials": text(presentable.all),
		"modes": text(modes.all), "colours": text(colours.all), "nat": text(results.all),
		"antigen": text(results.all), "hosts": text(consents.all), "temperature": text(bands.all),
		"ages": text(ages.all), "mask": text(checks.all), "face": text(checks.all), "answers": text(checks.all),
		"staff":          append(text(staffs.all), string(checkin.StaffRefuses)),
		"register-first": {"yes"}, "control-list": {"yes"}, "code-expired": {"yes"},
	}
}

func text[T ~string](words []T) []string {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return all
}
