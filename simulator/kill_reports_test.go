package simulator_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// TestReportsAcrossKills kills the real program with SIGKILL while somebody is
// refused, and loses replies of one recipient meanwhile. However it falls: what
// is an incident at the platform is a report at every recipient, the same ones,
// each once, and no refusal is held without its incident.
func TestReportsAcrossKills(t *testing.T) {
	t.Parallel()
	b, do := played(t)
	people := [2]string{"li", "zhang"}
	do("person li id=53010219200508011X name=李四 colour=red nat=1h")
	do("person zhang id=440524188001010014 name=张三 colour=red nat=1h")
	troubles := []string{"backend up", "backend lose-reply call=reports/cdc", "backend down call=reports/venue-trade"}
	for i := range kills / 2 {
		do(troubles[i%len(troubles)])
		do("scan person " + people[i%2])
		time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		if err := b.KillAgent(); err != nil {
			t.Fatal(err)
		}
		if err := b.StartAgent(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	do("backend up")
	do("scan person " + people[(kills/2)%2]) // the last one lives
	do("expect report delivered recipient=cdc within=20s")

	want := refusals(list(t, b, backend.Checkins))
	for range 200 { // what waited is on its way
		want = refusals(list(t, b, backend.Checkins))
		if cmp.Equal(want, refusals(list(t, b, "cdc"))) && cmp.Equal(want, refusals(list(t, b, "venue-trade"))) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, recipient := range simulator.Recipients() {
		if diff := cmp.Diff(want, refusals(list(t, b, recipient))); diff != "" {
			t.Errorf("the platform has other incidents than %s has reports (-platform +%s):\n%s", recipient, recipient, diff)
		}
		c, visits := count(t, b, recipient), count(t, b, backend.Checkins).Visits
		t.Logf("%s: %+v of %d visits", recipient, c, visits)
		if c.Records != visits {
			t.Errorf("%d visits were refused, and %s holds reports of %d", visits, recipient, c.Records)
		}
		if c.Duplicate != 0 {
			t.Errorf("%s holds %d visits reported twice", recipient, c.Duplicate)
		}
	}
	if len(want) < kills/8 {
		t.Errorf("%d incidents in %d visits: this test looks at too few", len(want), kills/2)
	}
}

// refusals counts the incidents among records, by identity.
func refusals(records []checkin.Record) map[checkin.ID]int {
	n := map[checkin.ID]int{}
	for _, r := range records {
		if r.Event.Kind == checkin.KindRefusal {
			n[r.Event.ID]++
		}
	}
	return n
}
