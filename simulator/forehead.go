package simulator

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

func doForehead(_ context.Context, p *player, s *Step) error {
	if err := p.bench.has("thermometer"); err != nil {
		return err
	}
	ambient, err := degrees(or(s.Named["ambient"], "22C"))
	if err != nil {
		return err
	}
	if object, ok := s.Named["object"]; ok {
		o, err := degrees(object)
		if err != nil {
			return err
		}
		p.bench.look(o, ambient)
		return nil
	}
	if s.word(0) == "none" {
		p.bench.look(ambient, ambient) // the wall behind the queue
		return nil
	}
	body, err := degrees(s.word(0))
	if err != nil {
		return err
	}
	return p.bench.forehead(body, ambient)
}

// degrees reads 36.5C.
func degrees(s string) (float64, error) {
	c, err := strconv.ParseFloat(strings.TrimSuffix(s, "C"), 64)
	if err != nil || !strings.HasSuffix(s, "C") || c < -50 || c > 100 {
		return 0, fmt.Errorf("%q is no temperature; write it like 36.5C", s)
	}
	return c, nil
}

// forehead shows a forehead that belongs to a body of that temperature: the
// published table, inverted by halving.
func (b *Bench) forehead(body, ambient float64) error {
	want := kelvin(body)
	lo, hi := 0.0, 60.0
	for range 40 {
		mid := (lo + hi) / 2
		if checkin.EstimateBody(kelvin(mid), kelvin(ambient)) < want {
			lo = mid
		} else {
			hi = mid
		}
	}
	b.look(hi, ambient)
	return nil
}

// look puts something of that temperature in front of the sensor.
func (b *Bench) look(object, ambient float64) {
	b.far.thermo.SetObject(kelvin(object))
	b.far.thermo.SetAmbient(kelvin(ambient))
}

func kelvin(c float64) physic.Temperature {
	return physic.Temperature(c*1e6)*physic.MicroKelvin + physic.ZeroCelsius
}
