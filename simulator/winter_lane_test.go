package simulator

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// The winter crowd is judged as the lane judges: some of its people stand before
// the real agent, through the real thermometer's driver, and get the verdict
// that takeBand gives them.
func TestWinterAsTheLane(t *testing.T) {
	verdicts := map[checkin.Band]string{
		checkin.Normal: "granted", checkin.Fever: "refused reason=fever", checkin.Unmeasured: "manual reason=temperature-unmeasured",
	}
	var b strings.Builder
	b.WriteString("venue policy=public-place\nperson wang id=11010519491231002X name=王小明 colour=green nat=12h\n")
	seen := map[checkin.Band]int{}
	for i := range 60 {
		dice := rand.New(rand.NewPCG(11, uint64(i)))
		who := drawPasser(dice, 0.5)
		d := heatedLobby
		if i%10 == 0 {
			d = openDoor
		}
		s := who.at(d)
		band := takeBand(&checkin.Policy{}, (&script{views: []view{{s.forehead, s.air}}}).read)
		if seen[band] == 4 || atLimit(s) {
			continue
		}
		seen[band]++
		fmt.Fprintf(&b, "forehead object=%.2fC ambient=%.2fC\nscan person wang\nexpect verdict %s within=6s\nwait 5s\n", s.forehead, s.air, verdicts[band])
	}
	for band := range verdicts {
		if seen[band] != 4 {
			t.Errorf("%d people are %s, want 4", seen[band], band)
		}
	}
	// A fever that the second reading, 300 ms later, does not confirm.
	b.WriteString("forehead 38.2C ambient=20C\nscan person wang\nwait 150ms\nforehead 36.5C ambient=20C\nexpect verdict granted within=6s\n")

	scenario, err := ParseScenario(strings.NewReader(b.String()), "winter")
	if err != nil {
		t.Fatal(err)
	}
	var story bytes.Buffer
	var got Result
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)))
		got = Play(t.Context(), scenario, Opts{Front: Memory}, &story)
	})
	if got != Held {
		t.Errorf("the lane judges otherwise\n%s", story.String())
	}
}

// atLimit reports whether s is so near to a limit that the sensor's 0.02 K decide.
func atLimit(s scene) bool {
	body := checkin.EstimateBody(kelvin(s.forehead), kelvin(s.air)).Celsius()
	for _, gap := range []float64{body - 34, body - 37.3, body - 42, s.air - 16, s.air - 32} {
		if math.Abs(gap) < 0.1 {
			return true
		}
	}
	return false
}
