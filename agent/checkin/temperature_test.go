package checkin_test

import (
	"math"
	"testing"

	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	. "github.com/digital-sentinel/sentinel/agent/checkin"
)

func degrees(c float64) physic.Temperature {
	return physic.Temperature(math.Round(c*1e6))*physic.MicroKelvin + physic.ZeroCelsius
}

// The values were worked out from the published table by hand (hardware facts,
// section 3.5).
func TestEstimateBody(t *testing.T) {
	for _, tt := range []struct{ ambient, forehead, want float64 }{
		{25, 32.66, 36.300}, {25, 31.0, 34.491},
		{25, 34.00, 36.607}, {20, 33.0, 36.568},
		{25, 34.84, 36.800}, {30, 35.6, 37.034},
		{25, 35.50, 37.386}, {10, 31.0, 36.505},
	} {
		got := EstimateBody(degrees(tt.forehead), degrees(tt.ambient)).Celsius()
		if math.Abs(got-tt.want) > 0.01 {
			t.Errorf("forehead %v at ambient %v: got %.3f, want %.3f ± 0.01", tt.forehead, tt.ambient, got, tt.want)
		}
	}
}

// The table's three lines meet: no step at lo, none at hi, and none where the
// two ambient ranges meet.
func TestEstimateContinuous(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ambient := rapid.Float64Range(10, 40).Draw(t, "ambient")
		lo, hi := 32.66+0.186*(ambient-25), 34.84+0.148*(ambient-25)
		if ambient > 25 {
			lo, hi = 32.66+0.086*(ambient-25), 34.84+0.100*(ambient-25)
		}
		for _, at := range []struct{ forehead, body float64 }{{lo, 36.3}, {hi, 36.8}} {
			for _, step := range []float64{-0.002, 0, 0.002} {
				got := EstimateBody(degrees(at.forehead+step), degrees(ambient)).Celsius()
				if math.Abs(got-at.body) > 0.011 {
					t.Fatalf("forehead %.4f at %.2f: got %.3f, want %.1f", at.forehead+step, ambient, got, at.body)
				}
			}
		}
	})
	below, above := EstimateBody(degrees(35), degrees(25)), EstimateBody(degrees(35), degrees(25.0001))
	if d := above.Celsius() - below.Celsius(); math.Abs(d) > 0.011 {
		t.Errorf("a step of %.3f at ambient 25", d)
	}
}

// A warmer forehead is never a cooler body, and no reading overflows.
func TestEstimateRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ambient := degrees(rapid.Float64Range(0, 50).Draw(t, "ambient"))
		a := rapid.Float64Range(-70, 380).Draw(t, "a")
		b := a + rapid.Float64Range(0, 50).Draw(t, "more")
		if EstimateBody(degrees(a), ambient) > EstimateBody(degrees(b), ambient) {
			t.Fatalf("%.3f gives more than %.3f", a, b)
		}
	})
	for _, extreme := range []physic.Temperature{math.MinInt64, 0, math.MaxInt64} {
		for _, ambient := range []physic.Temperature{math.MinInt64, 0, degrees(22), math.MaxInt64} {
			got := EstimateBody(extreme, ambient).Celsius()
			if got < -273 || got > 1000 {
				t.Errorf("EstimateBody(%d, %d) = %v, out of bounds", extreme, ambient, got)
			}
		}
	}
}

// surface gives the forehead of a person with that body at 25 °C.
func surface(body float64) physic.Temperature {
	switch {
	case body < 36.3:
		return degrees(32.66 + (body-36.3)/(0.551658273+0.021525068*25))
	case body <= 36.8:
		return degrees(32.66 + (body-36.3)/0.5*2.18)
	}
	return degrees(34.84 + (body-36.8)/(0.829320618+0.002364434*25))
}

func TestBand(t *testing.T) {
	usual, careful := &Policy{}, &Policy{Fever: degrees(37.0)}
	room := degrees(25)
	for _, tt := range []struct {
		name            string
		p               *Policy
		object, ambient physic.Temperature
		want            Band
	}{
		{"healthy", usual, surface(36.5), room, Normal},
		{"just below the limit", usual, surface(37.29), room, Normal},
		{"at the limit", usual, surface(37.3), room, Fever},
		{"the limit is the policy's", careful, surface(37.0), room, Fever},
		{"lowest that counts", usual, surface(34.0), room, Normal},
		{"below it is no person", usual, surface(33.98), room, Unmeasured},
		{"highest that counts", usual, surface(42.0), room, Fever},
		{"above it is no person", usual, surface(42.02), room, Unmeasured},
		{"coldest hall", usual, degrees(33), degrees(16), Normal},
		{"colder than that", usual, degrees(33), degrees(15.99), Unmeasured},
		{"warmest hall", usual, degrees(34.5), degrees(32), Normal},
		{"warmer than that", usual, degrees(34.5), degrees(32.01), Unmeasured},
		{"a wall", usual, degrees(22), room, Unmeasured},
		{"nothing at all", usual, 0, 0, Unmeasured},
		{"a cup of tea", usual, degrees(80), room, Unmeasured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.p.Band(tt.object, tt.ambient); got != tt.want {
				t.Errorf("got %s, want %s (estimate %v)", got, tt.want, EstimateBody(tt.object, tt.ambient))
			}
		})
	}
}
