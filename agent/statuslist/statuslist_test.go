package statuslist_test

import (
	"iter"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

const (
	universe = 1 << statuslist.FingerprintBits
	step     = 4 * time.Hour
)

// noon is the beginning of a four-hour bucket, as every fourth hour of UTC is.
var (
	noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	head = statuslist.Head{Epoch: 7, AsOf: noon}
)

type people = map[uint64]statuslist.Value

// build makes a table that must come out well.
func build(t testing.TB, h statuslist.Head, who iter.Seq2[uint64, statuslist.Value]) *statuslist.Table {
	t.Helper()
	data, _, err := statuslist.Build(h, who)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, data)
}

// open opens a table that must be good.
func open(t testing.TB, data []byte) *statuslist.Table {
	t.Helper()
	table, err := statuslist.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Verify(); err != nil {
		t.Fatal(err)
	}
	return table
}

func all(table *statuslist.Table) people { return maps.Collect(table.All()) }

// drawPeople draws a population with crowded corners: neighbours, both ends of
// the universe, and people at random.
func drawPeople(t *rapid.T, label string) people {
	fingerprint := rapid.OneOf(
		rapid.Uint64Range(0, 40),
		rapid.Uint64Range(universe-40, universe-1),
		rapid.Uint64Range(universe/2-3, universe/2+3),
		rapid.Uint64Range(0, universe-1),
	)
	return rapid.MapOfN(fingerprint, rapid.Map(rapid.Uint8Range(0, 127), func(v uint8) statuslist.Value {
		return statuslist.Value(v)
	}), 0, 120).Draw(t, label)
}

// wrapped makes rapid's T a testing.TB for the helpers.
type wrapped struct {
	testing.TB
	t *rapid.T
}

func (w wrapped) Helper()           { w.t.Helper() }
func (w wrapped) Fatal(args ...any) { w.t.Fatal(args...) }

// crowd is a made-up population: each number is a person with a fingerprint and
// a state, in the mix of the fact sheet's measurements: 99.2 % green, 0.6 %
// yellow, 0.2 % red; 92 % tested within 72 hours.
type crowd struct {
	asOf time.Time
	seed uint64
}

func (c crowd) fingerprint(person int) uint64 { return mix(uint64(person)+c.seed) >> 17 }

func (c crowd) value(person int) statuslist.Value {
	r := mix(uint64(person) ^ 0xC0FFEE)
	colour := statuslist.Green
	switch permille := r % 1000; {
	case permille < 2:
		colour = statuslist.Red
	case permille < 8:
		colour = statuslist.Yellow
	}
	age := time.Duration(r>>10%18) * step
	switch percent := r >> 20 % 100; {
	case percent >= 96:
		return statuslist.NewValue(colour, time.Time{}, c.asOf)
	case percent >= 92:
		age = time.Duration(18+r>>10%12) * step
	}
	return statuslist.NewValue(colour, c.asOf.Add(-age), c.asOf)
}

func (c crowd) people(n int) iter.Seq2[uint64, statuslist.Value] {
	return c.tested(n, 0, c.asOf)
}

// tested is the crowd after some of each million were tested, with the same mix of
// colours; the others stay as they are.
func (c crowd) tested(n, ofMillion int, at time.Time) iter.Seq2[uint64, statuslist.Value] {
	return func(yield func(uint64, statuslist.Value) bool) {
		for i := range n {
			v := c.value(i)
			if mix(uint64(i)*31)%1_000_000 < uint64(ofMillion) {
				v = statuslist.NewValue(v.Colour(), at, at)
			}
			if !yield(c.fingerprint(i), v) {
				return
			}
		}
	}
}

// mix is splitmix64.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// flips calls do for data with each single bit turned over.
func flips(data []byte, do func(bit int, spoiled []byte)) {
	spoiled := append([]byte(nil), data...)
	for bit := range 8 * len(data) {
		spoiled[bit/8] ^= 1 << (bit % 8)
		do(bit, spoiled)
		spoiled[bit/8] ^= 1 << (bit % 8)
	}
}
