package statuslist_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

func diff(t testing.TB, before, after *statuslist.Table) []byte {
	t.Helper()
	d, err := statuslist.Diff(before, after)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func at(d time.Duration) statuslist.Head {
	return statuslist.Head{Epoch: head.Epoch, AsOf: noon.Add(d)}
}

func TestADeltaLeadsFromOneTableToTheNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		who := drawPeople(t, "before")
		next := drawPeople(t, "after")
		if rapid.Bool().Draw(t, "most stay") {
			next = maps.Clone(who)
			maps.Copy(next, drawPeople(t, "change"))
			maps.DeleteFunc(next, func(f uint64, _ statuslist.Value) bool { return f%11 == 3 })
		}
		later := time.Duration(rapid.Int64Range(0, 150*3600).Draw(t, "later")) * time.Second
		tb := wrapped{t: t}
		a, b := build(tb, head, maps.All(who)), build(tb, at(later), maps.All(next))
		kept := bytes.Clone(a.Bytes())
		got, err := statuslist.Apply(a, diff(tb, a, b), b.Len())
		if err != nil || !bytes.Equal(got, b.Bytes()) {
			t.Fatalf("another table comes out, or %v", err)
		}
		if !bytes.Equal(kept, a.Bytes()) {
			t.Fatal("the table before was changed")
		}
	})
}

func TestDeltas(t *testing.T) {
	c := crowd{asOf: noon}
	five := 5 * time.Minute
	for _, tt := range []struct {
		what          string
		before, after *statuslist.Table
		most          int // bytes
	}{
		{"nobody to nobody", build(t, at(0), c.people(0)), build(t, at(five), c.people(0)), 42},
		{"the first person", build(t, at(0), c.people(0)), build(t, at(five), c.people(1)), 60},
		{"a whole venue arrives", build(t, at(0), c.people(0)), build(t, at(five), c.people(20_000)), 100_000},
		{"a whole venue leaves", build(t, at(0), c.people(20_000)), build(t, at(five), c.people(0)), 2_600},
		{"nothing but time", build(t, at(0), c.people(20_000)), build(t, at(five), c.people(20_000)), 42},
		{"a minute", build(t, at(0), c.people(20_000)), build(t, at(five), c.tested(20_000, 2000, noon.Add(five))), 120},
		{"everybody tested", build(t, at(0), c.people(20_000)), build(t, at(five), c.tested(20_000, 1_000_000, noon.Add(five))), 3_200},
		{"a hundred more", build(t, at(0), c.people(20_000)), build(t, at(five), c.people(20_100)), 750},
		{"another layout", build(t, at(0), c.people(8_190)), build(t, at(five), c.people(8_200)), 140},
		{"other people", build(t, at(0), c.people(500)), build(t, at(five), crowd{asOf: noon, seed: 1 << 40}.people(500)), 3_500},
	} {
		d := diff(t, tt.before, tt.after)
		if len(d) > tt.most {
			t.Errorf("%s takes %d bytes, want %d or fewer", tt.what, len(d), tt.most)
		}
		got, err := statuslist.Apply(tt.before, d, tt.after.Len())
		if err != nil || !bytes.Equal(got, tt.after.Bytes()) {
			t.Errorf("%s: another table comes out, or %v", tt.what, err)
		}
		if _, err := statuslist.Apply(tt.before, d, tt.after.Len()-1); !errors.Is(err, statuslist.ErrFormat) {
			t.Errorf("%s, one too many: Apply() = %v, want ErrFormat", tt.what, err)
		}
	}
}

// TestAnOldSampleDoesNotComeRoundAgain: the 31 buckets are used over and over.
// A sample that falls out of their reach would turn up as the newest there is,
// so applying a delta drops it, without being told.
func TestAnOldSampleDoesNotComeRoundAgain(t *testing.T) {
	who := people{}
	for age := range uint64(32) {
		who[age] = statuslist.NewValue(statuslist.Green, noon.Add(-time.Duration(age)*step), noon)
	}
	before := build(t, head, maps.All(who))
	for _, buckets := range []int{0, 1, 7, 30, 31, 32, 62, 1000} {
		later := noon.Add(time.Duration(buckets) * step)
		want := people{}
		for age := range uint64(32) {
			want[age] = statuslist.NewValue(statuslist.Green, noon.Add(-time.Duration(age)*step), later)
		}
		d := diff(t, before, build(t, statuslist.Head{Epoch: 7, AsOf: later}, maps.All(want)))
		if len(d) != 42 {
			t.Errorf("%d buckets later: the delta names somebody", buckets)
		}
		got, err := statuslist.Apply(before, d, 32)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, all(open(t, got))); diff != "" {
			t.Errorf("%d buckets later (-want +got):\n%s", buckets, diff)
		}
	}
}

func TestADeltaForAnotherStateIsRefused(t *testing.T) {
	c := crowd{asOf: noon}
	before, after := build(t, head, c.people(200)), build(t, at(time.Hour), c.tested(210, 300_000, noon))
	d := diff(t, before, after)
	for what, other := range map[string]*statuslist.Table{
		"another epoch":       build(t, statuslist.Head{Epoch: 8, AsOf: noon}, c.people(200)),
		"a minute later":      build(t, at(time.Minute), c.people(200)),
		"one person more":     build(t, head, c.people(201)),
		"the state it led to": after,
	} {
		if _, err := statuslist.Apply(other, d, 1000); !errors.Is(err, statuslist.ErrState) {
			t.Errorf("%s: Apply() = %v, want ErrState", what, err)
		}
	}
	other := build(t, head, crowd{asOf: noon, seed: 1}.people(200))
	got, err := statuslist.Apply(other, d, 1000)
	if err == nil && statuslist.Root(got) == statuslist.Root(after.Bytes()) {
		t.Error("other people of the same number and time come out with the signed root")
	}
}

func TestDeltasThatAreNotMade(t *testing.T) {
	c := crowd{asOf: noon}
	before := build(t, head, c.people(20))
	for what, after := range map[string]*statuslist.Table{
		"into another epoch": build(t, statuslist.Head{Epoch: 8, AsOf: noon}, c.people(20)),
		"back in time":       build(t, at(-time.Second), c.people(20)),
	} {
		if d, err := statuslist.Diff(before, after); !errors.Is(err, statuslist.ErrState) {
			t.Errorf("%s: Diff() = %x, %v, want ErrState", what, d, err)
		}
	}
}

// TestADisorderedTableTakesNoDelta that would have to sort it.
func TestADisorderedTableTakesNoDelta(t *testing.T) {
	c := crowd{asOf: noon}
	before := build(t, head, c.people(1000))
	d := diff(t, before, build(t, head, c.tested(1000, 1_000_000, noon)))
	data := bytes.Clone(before.Bytes())
	records := data[len(data)-4-1000*6:]
	first := [6]byte(records)
	copy(records, records[6:12])
	copy(records[6:], first[:])
	disordered, err := statuslist.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := statuslist.Apply(disordered, d, 1000); !errors.Is(err, statuslist.ErrFormat) {
		t.Errorf("Apply() = %v, want ErrFormat", err)
	}
}

func TestEveryFlippedBitOfADeltaShows(t *testing.T) {
	c := crowd{asOf: noon}
	before := build(t, head, c.people(200))
	who := maps.Collect(c.tested(230, 200_000, noon.Add(5*step)))
	maps.DeleteFunc(who, func(f uint64, _ statuslist.Value) bool { return f%5 == 0 })
	after := build(t, at(5*step), maps.All(who))
	root := statuslist.Root(after.Bytes())
	d := diff(t, before, after)
	check := func(what string, n int, err error) {
		if err != nil && !errors.Is(err, statuslist.ErrFormat) && !errors.Is(err, statuslist.ErrState) {
			t.Errorf("%s %d: Apply() = %v, want ErrFormat or ErrState", what, n, err)
		}
	}
	flips(d, func(bit int, spoiled []byte) {
		got, err := statuslist.Apply(before, spoiled, 1000)
		if err == nil && statuslist.Root(got) == root {
			t.Errorf("bit %d does not count", bit)
		}
		check("bit", bit, err)
	})
	for n := range d {
		_, err := statuslist.Apply(before, d[:n], 1000)
		if err == nil {
			t.Errorf("the first %d bytes are taken", n)
		}
		check("length", n, err)
	}
}

// deltaOf makes a delta by hand from the table of deltaBase.
func deltaOf(later time.Duration, count uint32, columns ...byte) []byte {
	d := append([]byte("DSDL"), make([]byte, 36)...)
	d[4], d[8] = 1, 7
	binary.LittleEndian.PutUint64(d[16:], uint64(noon.Unix()))
	binary.LittleEndian.PutUint64(d[24:], uint64(noon.Add(later).Unix()))
	binary.LittleEndian.PutUint32(d[32:], 3)
	binary.LittleEndian.PutUint32(d[36:], count)
	return append(d, columns...)
}

// The lists of ranks here are of one item in a universe of three: k is 1, and
// rank 0 the byte 0, rank 1 the byte 2, rank 2 the byte 1. A list of two has
// k 0, and a bit for each; of the fingerprint list see the snapshot's rows.
func TestDeltasWithOnlyOneSpelling(t *testing.T) {
	const none = 31 // no colour, no test
	before := build(t, head, maps.All(people{0: none, 1: 32 | none, 1 << 40: none}))
	for _, tt := range []struct {
		what string
		d    []byte
		ok   bool
	}{
		{"nothing", deltaOf(0, 3, 0, 0), true},
		{"rank 0 becomes 5", deltaOf(0, 3, 1, 5, 1, 1, 0, 0), true},
		{"rank 1 taken out", deltaOf(0, 2, 1, 128, 1, 1, 2, 0), true},
		{"person 2 put in", deltaOf(0, 4, 0, 1, 7, 1, 6, 4, 0, 0, 0, 0, 0), true},
		{"a change that changes nothing", deltaOf(0, 3, 1, none, 1, 1, 0, 0), false},
		{"a person put in who is there", deltaOf(0, 4, 0, 1, 7, 1, 6, 2, 0, 0, 0, 0, 0), false},
		{"a person put in who is taken out", deltaOf(0, 3, 1, 128, 1, 1, 2, 1, 7, 1, 6, 2, 0, 0, 0, 0, 0), false},
		{"a person put in as taken out", deltaOf(0, 4, 0, 1, 128, 1, 6, 4, 0, 0, 0, 0, 0), false},
		{"a value of 129", deltaOf(0, 3, 1, 129, 1, 1, 0, 0), false},
		{"rank 3 of 3", deltaOf(0, 3, 1, 5, 1, 1, 5, 0), false},
		{"rank 4 of 3", deltaOf(0, 3, 1, 5, 1, 1, 3, 0), false},
		{"a rank changed twice", deltaOf(0, 3, 2, 5, 1, 1, 6, 1, 1, 0, 0, 0), false},
		{"four of three ranks", deltaOf(0, 3, 1, 5, 4, 1, 0, 0), false},
		{"a rank changed and taken out", deltaOf(0, 2, 2, 5, 1, 1, 128, 1, 1, 0, 0, 0), false},
		{"a count that is too small", deltaOf(0, 2, 1, 5, 1, 1, 0, 0), false},
		{"four billion people", deltaOf(0, 1<<32-1, 0, 0), false},
		{"back in time", deltaOf(-time.Second, 3, 0, 0), false},
		{"a time before 1970", deltaOf(-noon.Sub(time.Unix(-1, 0)), 3, 0, 0), false},
		{"a byte behind", deltaOf(0, 3, 0, 0, 0), false},
		{"one column", deltaOf(0, 3, 0), false},
		{"no column", deltaOf(0, 3), false},
	} {
		data, err := statuslist.Apply(before, tt.d, 10)
		if ok := err == nil; ok != tt.ok || !ok && !errors.Is(err, statuslist.ErrFormat) {
			t.Errorf("%s: Apply() = %v, want it taken: %v", tt.what, err, tt.ok)
		}
		if err == nil && !bytes.Equal(diff(t, before, open(t, data)), tt.d) {
			t.Errorf("%s: spelt otherwise when made again", tt.what)
		}
	}
}
