package simulator

import (
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// One crowd under the rules of May, August and December 2022: in August the 48
// hours count from the report and nobody is worse off for it; in December codes
// are checked at three classes of venues only.
func TestReplayOfThreeDates(t *testing.T) {
	list := load(t, "shanghai-2022-05", "shanghai-2022-08", "shanghai-2022-12")
	may, august, december := 0, 1, 2
	shop := Replay(list, ReplayOpts{People: 5000, Seed: 1, Class: "commerce"})
	home := Replay(list, ReplayOpts{People: 5000, Seed: 1, Class: "housing"})
	clinic := Replay(list, ReplayOpts{People: 5000, Seed: 1, Class: "medical"})

	for i, want := range []string{"2022-05-24", "2022-08-06", "2022-12-08"} {
		if got := shop.Policies[i].At.In(time.FixedZone("", 8*60*60)).Format(time.DateOnly); got != want {
			t.Errorf("%s is replayed on %s, want %s", shop.Policies[i].ID, got, want)
		}
	}
	for _, turn := range shop.Changes[0].Turns {
		if turn.From == checkin.Granted || turn.To == checkin.Refused {
			t.Errorf("in August %d people turn from %s to %s", turn.People, turn.From, turn.To)
		}
	}
	for _, tt := range []struct {
		name        string
		more, fewer int
	}{
		{"a report is younger than its sample", expired(shop, may), expired(shop, august)},
		{"a later window lets in more", granted(shop, august), granted(shop, may)},
		{"at home nobody is asked for a test", granted(home, may), granted(shop, may)},
		{"nothing is checked in a shop any more", granted(shop, december), granted(shop, august)},
		{"a clinic goes on checking", expired(clinic, december), 0},
		{"a shop does not", 1, expired(shop, december)},
	} {
		if tt.more <= tt.fewer {
			t.Errorf("%s: %d is not more than %d", tt.name, tt.more, tt.fewer)
		}
	}
}

func granted(r *ReplayReport, i int) int { return r.Policies[i].Outcomes[checkin.Granted] }

func expired(r *ReplayReport, i int) int {
	n := 0
	for _, reason := range r.Policies[i].Reasons {
		if reason.Reason == checkin.NATExpired {
			n += reason.People
		}
	}
	return n
}
