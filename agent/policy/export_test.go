package policy

import "github.com/digital-sentinel/sentinel/agent/checkin"

// Shadowed gives for every rule those before it that leave it no case.
func Shadowed(p *checkin.Policy) [][]int {
	return shadowed(p.Rules, func(int) bool { return false })
}
