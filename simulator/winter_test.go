package simulator

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// view is one thing that a sensor reads, in °C.
type view struct{ object, ambient float64 }

// script is what the sensor reads one after the other; the last view stays.
type script struct {
	views []view
	taken int
}

func (s *script) read() (object, ambient physic.Temperature) {
	v := s.last(s.taken)
	s.taken++
	return kelvin(v.object), kelvin(v.ambient)
}

func (s *script) last(i int) view { return s.views[min(i, len(s.views)-1)] }

func TestTakeBand(t *testing.T) {
	const air = 20.0
	var (
		well  = view{atRest(36.5, air), air}
		fever = view{atRest(38.2, air), air}
		cold  = view{atRest(33.0, air), air}
		draft = view{atRest(36.5, 10), 10}
	)
	colds := func(n int, then ...view) []view {
		var all []view
		for range n {
			all = append(all, cold)
		}
		return append(all, then...)
	}
	for _, tt := range []struct {
		name  string
		views []view
		want  checkin.Band
		taken int
	}{
		{"well at once", []view{well}, checkin.Normal, 1},
		{"a fever that the second reading confirms", []view{fever}, checkin.Fever, 2},
		{"a fever that the second reading does not confirm", []view{fever, well}, checkin.Normal, 2},
		{"a fever, nobody, and the fever again", []view{fever, cold, fever}, checkin.Fever, 3},
		{"cold all the time", []view{cold}, checkin.Unmeasured, 16},
		{"cold, then well with the last reading", colds(15, well), checkin.Normal, 16},
		{"cold, then well when the window is over", colds(16, well), checkin.Unmeasured, 16},
		{"a fever with the last reading has no second", colds(15, fever), checkin.Unmeasured, 16},
		{"a warm forehead in cold air", []view{draft}, checkin.Unmeasured, 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := script{views: tt.views}
			if got := takeBand(&checkin.Policy{}, s.read); got != tt.want || s.taken != tt.taken {
				t.Errorf("got %s of %d readings, want %s of %d", got, s.taken, tt.want, tt.taken)
			}
		})
	}
}

// Whatever a sensor reads: what is low, high or in other air than the sensor is
// for never counts as normal, and no fever counts that was not read twice.
func TestLowIsNeverNormal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := script{views: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) view {
			return view{rapid.Float64Range(25, 42).Draw(t, "object"), rapid.Float64Range(10, 36).Draw(t, "ambient")}
		}), 1, 20).Draw(t, "views")}
		got := takeBand(&checkin.Policy{}, s.read)
		fevers := 0
		for i := range s.taken {
			v := s.last(i)
			if body := checkin.EstimateBody(kelvin(v.object), kelvin(v.ambient)).Celsius(); body >= 37.3 && body <= 42 && v.ambient >= 16 && v.ambient <= 32 {
				fevers++
			}
		}
		v := s.last(s.taken - 1)
		body := checkin.EstimateBody(kelvin(v.object), kelvin(v.ambient)).Celsius()
		switch {
		case got == checkin.Normal && (body < 34 || body >= 37.3 || v.ambient < 16 || v.ambient > 32):
			t.Fatalf("an estimate of %.2f in air of %.2f is normal", body, v.ambient)
		case got == checkin.Fever && fevers < 2:
			t.Fatalf("a fever by %d readings", fevers)
		case s.taken > 16:
			t.Fatalf("%d readings do not fit into the window", s.taken)
		}
	})
}

// A whole crowd: ours lets nobody in on a low reading, the naive ones do, and
// nothing is counted twice.
func TestWinterCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := WinterOpts{People: 150, Seed: rapid.Uint64().Draw(t, "seed"), FeverShare: rapid.Float64Range(0, 1).Draw(t, "fevers")}
		r := Winter(o)
		for _, d := range r.Doors {
			var since WinterCount
			people, fevers := 0, 0
			for _, s := range d.Since {
				people, fevers = people+s.People, fevers+s.Fevers
				since.FalseStops, since.FalsePasses = since.FalseStops+s.FalseStops, since.FalsePasses+s.FalsePasses
				since.NotMeasured, since.Unmeasured = since.NotMeasured+s.NotMeasured, since.Unmeasured+s.Unmeasured
				since.LowPassed += s.LowPassed
			}
			ours := d.Methods[2]
			since.Method = ours.Method
			if diff := cmp.Diff(ours, since); diff != "" || people != o.People || fevers != r.Fevers {
				t.Fatalf("%s: %d people, %d fevers by their time (-whole +parts):\n%s", d.Name, people, fevers, diff)
			}
			if ours.LowPassed != 0 {
				t.Fatalf("%s: %d low readings let in", d.Name, ours.LowPassed)
			}
			for _, m := range d.Methods {
				if m.FalseStops > o.People-r.Fevers || m.FalsePasses+m.Unmeasured > r.Fevers || m.NotMeasured > o.People {
					t.Fatalf("%s, %s: more than there are: %+v of %d", d.Name, m.Method, m, r.Fevers)
				}
				if m.Method != Kiosk && m.NotMeasured != 0 {
					t.Fatalf("%s, %s: a threshold knows two answers, not %d guards", d.Name, m.Method, m.NotMeasured)
				}
			}
		}
		if lobby := r.Doors[0].Methods; o.FeverShare < 0.5 && (lobby[0].LowPassed == 0 || lobby[1].LowPassed == 0) {
			t.Fatalf("the naive methods let nobody in on a low reading: %+v", lobby)
		}
	})
}

func TestWinterRepeats(t *testing.T) {
	o := WinterOpts{People: 300, Seed: 7, FeverShare: 0.1}
	first := Winter(o)
	if diff := cmp.Diff(first, Winter(o)); diff != "" {
		t.Errorf("the same seed counts otherwise (-first +second):\n%s", diff)
	}
	o.Seed++
	if cmp.Equal(first.Doors, Winter(o).Doors) {
		t.Error("two seeds give one crowd")
	}
}

func TestWinterFeverShare(t *testing.T) {
	for _, tt := range []struct {
		name   string
		share  float64
		lo, hi int
	}{
		{"nobody", 0, 0, 0}, {"a tenth", 0.1, 60, 140}, {"all", 1, 1000, 1000},
	} {
		if got := Winter(WinterOpts{People: 1000, Seed: 3, FeverShare: tt.share}).Fevers; got < tt.lo || got > tt.hi {
			t.Errorf("%s: %d of 1000 have a fever", tt.name, got)
		}
	}
}

// plain is somebody about whom nothing is special.
var plain = passer{core: 36.6, outdoors: 0, walk: 10, entered: 1, skin: 5, eps: epsSet, lobby: 20, mix: 0}

func TestWinterForehead(t *testing.T) {
	warm, cold := atRest(36.6, 20), atRest(36.6, 0)
	for _, tt := range []struct {
		name   string
		change func(*passer)
		lo, hi float64
	}{
		{"an hour in the lobby", func(p *passer) { p.entered = 60 }, warm - 0.01, warm + 0.01},
		{"an hour outdoors and just in", func(p *passer) { p.walk, p.entered = 60, 0 }, cold - 0.01, cold + 0.01},
		{"did not walk at all", func(p *passer) { p.walk, p.entered = 0, 60 }, warm - 0.01, warm + 0.01},
		{"a minute in", func(*passer) {}, cold + 0.5, warm - 0.5},
		{"a hat keeps warm", func(p *passer) { p.hat = true }, cold + 1.3, warm - 0.1},
		{"warmed by a hand", func(p *passer) { p.warmed, p.entered, p.walk = 4, 0, 60 }, cold + 3.99, cold + 4.01},
		{"warmed long ago", func(p *passer) { p.warmed, p.entered = 4, 60 }, warm - 0.01, warm + 0.01},
		{"a spot of make-up", func(p *passer) { p.own, p.entered = -0.5, 60 }, warm - 0.51, warm - 0.49},
	} {
		who := plain
		tt.change(&who)
		if got := who.at(heatedLobby).forehead; got < tt.lo || got > tt.hi {
			t.Errorf("%s: forehead of %.2f, want %.2f to %.2f", tt.name, got, tt.lo, tt.hi)
		}
	}
	hat := plain
	hat.hat = true
	if with, without := hat.at(heatedLobby).forehead, plain.at(heatedLobby).forehead; with <= without {
		t.Errorf("a hat gives %.2f, none %.2f", with, without)
	}
}

func TestWinterAir(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    door
		mix  float64
		want float64
	}{
		{"the lobby", heatedLobby, 0.5, 20},
		{"a door wide open", openDoor, 0, -4},
		{"a door half open", openDoor, 0.5, 8},
	} {
		who := plain
		who.outdoors, who.mix = -4, tt.mix
		if got := who.at(tt.d).air; math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: air of %.2f, want %.2f", tt.name, got, tt.want)
		}
	}
}

// What the sensor reads stays within its error; a surface that shines less
// shows some of the cooler room.
func TestWinterSensor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		s      scene
		lo, hi float64
	}{
		{"warm skin", scene{36, 20, epsSet}, 35.8, 36.2},
		{"cold skin", scene{31, 20, epsSet}, 30.7, 31.3},
		{"dull skin in a cool room", scene{36, 20, epsLow}, 34.9, 35.9},
		{"dull skin in a room as warm", scene{36, 36, epsLow}, 35.8, 36.2},
		{"bright skin in a cool room", scene{36, 20, epsHigh}, 35.9, 36.5},
	} {
		dice := rand.New(rand.NewPCG(1, 1))
		least, most := math.Inf(1), math.Inf(-1)
		for range 500 {
			object, ambient := tt.s.read(dice)
			least, most = min(least, object.Celsius()), max(most, object.Celsius())
			if math.Abs(ambient.Celsius()-tt.s.air) > 0.001 {
				t.Fatalf("%s: the air reads %v", tt.name, ambient)
			}
		}
		if least < tt.lo-0.001 || most > tt.hi+0.001 || most-least < 0.3 {
			t.Errorf("%s: readings of %.2f to %.2f, want within %.2f to %.2f", tt.name, least, most, tt.lo, tt.hi)
		}
	}
}

// atRest turns the published table round.
func TestAtRest(t *testing.T) {
	for _, air := range []float64{-5, 0, 10, 20, 25, 30} {
		for _, body := range []float64{35, 36.3, 36.6, 36.8, 37.3, 39} {
			if got := checkin.EstimateBody(kelvin(atRest(body, air)), kelvin(air)).Celsius(); math.Abs(got-body) > 0.011 {
				t.Errorf("body %.1f in air of %.0f comes back as %.2f", body, air, got)
			}
		}
	}
}
