package simulator

import (
	"fmt"
	"math/rand/v2"
	"time"

	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// WinterOpts is the crowd that Winter draws.
type WinterOpts struct {
	People     int
	Seed       uint64
	FeverShare float64 // of the people, 0 to 1
}

// WinterReport is what came of the crowd at each door.
type WinterReport struct {
	People      int          `json:"people"`
	Fevers      int          `json:"fevers"`
	Seed        uint64       `json:"seed"`
	Assumptions []Assumption `json:"assumptions"`
	Doors       []WinterDoor `json:"doors"`
}

// WinterDoor is one door, and what each method made of the people at it.
type WinterDoor struct {
	Name    string        `json:"door"`
	Methods []WinterCount `json:"methods"`
	Since   []WinterSince `json:"since_entering"`
}

// WinterSince is what this kiosk did to those who had been in for so long.
type WinterSince struct {
	Over   time.Duration `json:"over_ns"` // and not yet the next one's
	People int           `json:"people"`
	Fevers int           `json:"fevers"`
	WinterCount
}

// WinterCount counts what one method did to the crowd.
type WinterCount struct {
	Method      string `json:"method,omitempty"`
	FalseStops  int    `json:"false_stops"`   // healthy, and refused as a fever
	FalsePasses int    `json:"false_passes"`  // a fever, and let through as normal
	NotMeasured int    `json:"not_measured"`  // sent to a guard
	Unmeasured  int    `json:"fevers_unseen"` // of these, fevers
	LowPassed   int    `json:"low_passed"`    // let through on an estimate that is no person's
}

// The methods that Winter compares.
const (
	RawOffset = "raw + offset"        // fever at 37.3 °C, else normal
	NoLimits  = "estimate, no limits" // likewise, of the body estimate
	Kiosk     = "this kiosk"          // what agent/checkin and the lane do
)

// Winter lets one crowd pass two doors on a cold day and judges the same
// foreheads by three methods: two thresholds as they were in use, and ours.
//
// # Model
//
// A person has a true core temperature, comes from a warm place, walks through
// the cold, and stands before the sensor some seconds after entering. Surface
// temperatures at rest are the published forehead table turned round, at the
// air they are in; from one to the other they move exponentially. The sensor
// sees the surface with the emissivity it is set to and with an error that is
// drawn anew at each reading. WinterAssumptions lists every number and where
// it is from.
//
// It is a model and no measurement: it takes the table down to outdoor air for
// which it was not published, and nobody has compared it with people. What it
// can show is how the methods differ on the same people, not how many of them a
// real door would stop.
func Winter(o WinterOpts) *WinterReport {
	r := &WinterReport{People: o.People, Seed: o.Seed, Assumptions: WinterAssumptions()}
	doors := []door{heatedLobby, openDoor}
	for _, d := range doors {
		r.Doors = append(r.Doors, WinterDoor{
			Name: d.name, Methods: []WinterCount{{Method: RawOffset}, {Method: NoLimits}, {Method: Kiosk}},
			Since: []WinterSince{{Over: 0}, {Over: 30 * time.Second}, {Over: 2 * time.Minute}, {Over: 5 * time.Minute}},
		})
	}
	p := &checkin.Policy{}
	for i := range o.People {
		// Each person has dice of his own, so that a longer crowd begins alike.
		who := drawPasser(rand.New(rand.NewPCG(o.Seed, uint64(i))), o.FeverShare)
		if who.feverish() {
			r.Fevers++
		}
		for j, d := range doors {
			// Each door has dice of its own: the one's readings do not depend on
			// how many the other took.
			dice := rand.New(rand.NewPCG(o.Seed+uint64(j)+1, uint64(i)))
			r.Doors[j].judge(p, &who, who.at(d), dice)
		}
	}
	return r
}

// judge judges one person by every method; the naive ones take the first
// reading of those that ours takes.
func (d *WinterDoor) judge(p *checkin.Policy, who *passer, s scene, dice *rand.Rand) {
	object, ambient := s.read(dice)
	first := true
	read := func() (physic.Temperature, physic.Temperature) {
		if !first {
			object, ambient = s.read(dice)
		}
		first = false
		return object, ambient
	}
	raw := naive(object + physic.Temperature(rawOffset()*float64(physic.Celsius)))
	estimate := checkin.EstimateBody(object, ambient)
	low := estimate < lowest
	d.Methods[0].count(who, raw, low)
	d.Methods[1].count(who, naive(estimate), low)
	band := takeBand(p, read)
	low = checkin.EstimateBody(object, ambient) < lowest
	d.Methods[2].count(who, band, low)
	since := d.since(time.Duration(who.entered * float64(time.Minute)))
	since.People++
	if who.feverish() {
		since.Fevers++
	}
	since.count(who, band, low)
}

func (d *WinterDoor) since(entered time.Duration) *WinterSince {
	i := len(d.Since) - 1
	for d.Since[i].Over > entered {
		i--
	}
	return &d.Since[i]
}

// lowest is the least that a person's estimate can be (design, section 9). The
// kiosk has its own constant; this one judges it.
const lowest = 34*physic.Celsius + physic.ZeroCelsius

func (c *WinterCount) count(who *passer, band checkin.Band, low bool) {
	switch {
	case band == checkin.Unmeasured:
		c.NotMeasured++
		if who.feverish() {
			c.Unmeasured++
		}
	case band == checkin.Fever && !who.feverish():
		c.FalseStops++
	case band == checkin.Normal && who.feverish():
		c.FalsePasses++
	}
	if band == checkin.Normal && low {
		c.LowPassed++
	}
}

// naive is a threshold that knows two answers.
func naive(t physic.Temperature) checkin.Band {
	if t >= checkin.DefaultFever {
		return checkin.Fever
	}
	return checkin.Normal
}

// How the lane takes a temperature (agent/examine.go).
const (
	takeAgain  = 250 * time.Millisecond
	takeSecond = 300 * time.Millisecond
)

// takeBand is the lane's rule: the first normal reading counts, a fever counts
// when a second reading says so too, and what is no person's is measured again
// until the window is over.
func takeBand(p *checkin.Policy, read func() (object, ambient physic.Temperature)) checkin.Band {
	fever, window := false, agent.DefaultTiming().Window
	for at := time.Duration(0); at < window; {
		band := p.Band(read())
		switch {
		case band == checkin.Normal, band == checkin.Fever && fever:
			return band
		case band == checkin.Fever:
			fever, at = true, at+takeSecond
		default:
			at += takeAgain
		}
	}
	return checkin.Unmeasured
}

// Assumption is one number that a model stands on, and where it is from.
type Assumption struct {
	Of   string `json:"of"`
	Is   string `json:"is"`
	From string `json:"from"`
}

// ours says that nobody measured it.
const ours = "ours"

func between(lo, hi float64, unit string) string { return fmt.Sprintf("%g to %g %s", lo, hi, unit) }
