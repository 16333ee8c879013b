package simulator

import (
	"fmt"
	"math"
	"math/rand/v2"

	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// The winter model's numbers: degrees are °C, times minutes.
const (
	coreMean, coreSpread   = 36.6, 0.3
	feverLow, feverHigh    = 37.3, 39.0
	outLow, outHigh        = -5.0, 8.0
	walkLow, walkHigh      = 2.0, 20.0
	fromIndoors            = 22.0 // the air that the walk began in
	skinLow, skinHigh      = 3.0, 8.0
	enteredLow             = 5.0 / 60
	enteredMean            = 1.0
	enteredMost            = 15.0
	hatShare, hatSlows     = 0.20, 3.0
	warmedShare            = 0.08
	warmedLow, warmedHigh  = 1.5, 5.0
	ownSpread              = 0.3 // of foreheads of the same body
	epsLow, epsHigh        = 0.95, 0.99
	epsSet                 = 0.98
	errWarm, errCold       = 0.2, 0.3
	errEdge                = 35.0
	lobbyMean, lobbySpread = 19.0, 1.5
	mixLow, mixHigh        = 0.0, 0.7
	insideAir              = 20.0
)

// WinterAssumptions lists the numbers of the winter model.
func WinterAssumptions() []Assumption {
	return []Assumption{
		{"core temperature of the healthy", fmt.Sprintf("normal, %g ± %g °C, below %g", coreMean, coreSpread, feverLow), ours},
		{"core temperature in fever", between(feverLow, feverHigh, "°C, even"), ours + "; the limit 37.3 is domain D-9"},
		{"air outdoors", between(outLow, outHigh, "°C, even"), ours},
		{"air in the heated lobby", fmt.Sprintf("normal, %g ± %g °C", lobbyMean, lobbySpread), ours + "; thermometers want 18 to 30 °C (domain C-14)"},
		{"air at the open door", fmt.Sprintf("outdoors mixed with %g to %g of air of %g °C", mixLow, mixHigh, insideAir), ours},
		{"walk through the cold", between(walkLow, walkHigh, "min, even"), ours},
		{"time since entering", fmt.Sprintf("%.0f s and more, %.0f s on average, at most %g min", 60*enteredLow, 60*(enteredLow+enteredMean), enteredMost), ours},
		{"forehead at rest", "forehead table turned round, below 10 °C extended", "hardware 3.5; extending it is ours"},
		{"forehead on its way", between(skinLow, skinHigh, "min to come by 63 %"), ours},
		{"cold foreheads", "none set: they follow from the walk", "28 to 35 °C were seen (domain C-12)"},
		{"under a hat", fmt.Sprintf("%g %% of people, cool %g times slower", 100*hatShare, hatSlows), ours},
		{"warmed by a heater or a hand", fmt.Sprintf("%g %% of people, by %g to %g °C on entering", 100*warmedShare, warmedLow, warmedHigh), "seen (domain C-12); how many and how much is ours"},
		{"one forehead beside another", fmt.Sprintf("± %g °C: make-up, sweat, wrong spot", ownSpread), "causes: domain C-13; the spread is ours"},
		{"emissivity", fmt.Sprintf("set to %g, skin %g to %g", epsSet, epsLow, epsHigh), "0.98: hardware 3.1; the range is ours"},
		{"sensor's error, each reading", fmt.Sprintf("± %g °C from %g °C, ± %g below, even", errWarm, errEdge, errCold), "domain D-10, for 32 to 42 °C; that readings do not depend on each other is ours"},
		{"the naive offset", fmt.Sprintf("%.2f °C: right for %g °C in air of 25", rawOffset(), coreMean), ours},
	}
}

// passer is one person on the way to a door.
type passer struct {
	core, outdoors      float64
	walk, entered, skin float64
	hat                 bool
	warmed, own, eps    float64
	lobby, mix          float64
}

func drawPasser(dice *rand.Rand, feverShare float64) passer {
	even := func(lo, hi float64) float64 { return lo + (hi-lo)*dice.Float64() }
	p := passer{core: even(feverLow, feverHigh)}
	if dice.Float64() >= feverShare {
		for p.core = feverLow; p.core >= feverLow; {
			p.core = coreMean + coreSpread*dice.NormFloat64()
		}
	}
	p.outdoors, p.walk, p.skin = even(outLow, outHigh), even(walkLow, walkHigh), even(skinLow, skinHigh)
	p.entered = min(enteredMost, enteredLow+enteredMean*dice.ExpFloat64())
	p.hat = dice.Float64() < hatShare
	if dice.Float64() < warmedShare {
		p.warmed = even(warmedLow, warmedHigh)
	}
	p.own, p.eps = ownSpread*dice.NormFloat64(), even(epsLow, epsHigh)
	p.lobby, p.mix = lobbyMean+lobbySpread*dice.NormFloat64(), even(mixLow, mixHigh)
	return p
}

func (p *passer) feverish() bool { return p.core >= feverLow }

// door is where the sensor stands, and what air it is in.
type door struct {
	name string
	air  func(*passer) float64
}

var (
	heatedLobby = door{"heated lobby", func(p *passer) float64 { return p.lobby }}
	openDoor    = door{"open door", func(p *passer) float64 { return p.outdoors + p.mix*(insideAir-p.outdoors) }}
)

// at puts the person before the sensor at d.
func (p *passer) at(d door) scene {
	air := d.air(p)
	slow := 1.0
	if p.hat {
		slow = hatSlows
	}
	forehead := nearing(atRest(p.core, fromIndoors), atRest(p.core, p.outdoors), p.walk/(p.skin*slow))
	forehead = nearing(forehead+p.warmed, atRest(p.core, air), p.entered/p.skin)
	return scene{forehead: forehead + p.own, air: air, eps: p.eps}
}

// nearing goes from one temperature to another for so many time constants.
func nearing(from, to, times float64) float64 { return to + (from-to)*math.Exp(-times) }

// atRest is the forehead of a body that has been in that air for long: the
// product's own table turned round.
func atRest(body, air float64) float64 {
	lo, hi := 0.0, 60.0
	for range 24 {
		mid := (lo + hi) / 2
		if checkin.EstimateBody(kelvin(mid), kelvin(air)) < kelvin(body) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// rawOffset is what a gun adds that was set right in a warm room.
func rawOffset() float64 { return coreMean - atRest(coreMean, 25) }

// scene is what the sensor has before it.
type scene struct{ forehead, air, eps float64 }

// read is one reading. A surface that shines less than the sensor is set to
// shows some of the room instead: the radiation, not the temperature, is mixed.
func (s scene) read(dice *rand.Rand) (object, ambient physic.Temperature) {
	const zero = 273.15
	share := s.eps / epsSet
	seen := math.Pow(share*math.Pow(s.forehead+zero, 4)+(1-share)*math.Pow(s.air+zero, 4), 0.25) - zero
	most := errWarm
	if seen < errEdge {
		most = errCold
	}
	return kelvin(seen + most*(2*dice.Float64()-1)), kelvin(s.air)
}
