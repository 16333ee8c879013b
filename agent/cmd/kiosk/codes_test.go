package kiosk_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/configs"
)

// TestTheCheckKnowsTheDefaults: configs, which may not see the agent, names
// the default beginnings itself. One of them given to somebody else must be
// found there.
func TestTheCheckKnowsTheDefaults(t *testing.T) {
	p := credential.DefaultPatterns()
	for _, beginning := range slices.Concat(p.Personal, p.Relative, p.Venue, p.Paper, p.Signed) {
		_, problems := configs.Parse([]byte("codes: {issuers: {anhui: ['"+beginning+"']}}"), "k.yaml")
		if !slices.ContainsFunc(problems, func(p configs.Problem) bool {
			return strings.HasPrefix(p.What, "codes.issuers.anhui[0]: ") && strings.Contains(p.What, " already")
		}) {
			t.Errorf("%s is not known as taken: %v", beginning, configs.Invalid(problems))
		}
	}
}
