package statuslist_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

func TestEverybodyIsFoundAndNobodyElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		who := drawPeople(t, "people")
		table := build(wrapped{t: t}, head, maps.All(who))
		if diff := cmp.Diff(who, all(table)); diff != "" || table.Len() != len(who) {
			t.Fatalf("people (-want +got):\n%s", diff)
		}
		for fingerprint := range who {
			for _, f := range []uint64{fingerprint, fingerprint + 1, fingerprint - 1, fingerprint ^ 1<<30} {
				want, there := who[f]
				if got, ok := table.Lookup(f); ok != there || got != want {
					t.Fatalf("Lookup(%x) = %d, %v, want %d, %v", f, got, ok, want, there)
				}
			}
		}
	})
}

// TestACrowdIsFound has tables of every width of a record, and of many a prefix.
func TestACrowdIsFound(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 511, 512, 5_000, 70_000} {
		c := crowd{asOf: noon}
		table := build(t, head, c.people(n))
		for i := range n {
			if got, ok := table.Lookup(c.fingerprint(i)); !ok || got != c.value(i) {
				t.Fatalf("of %d people number %d is %d, %v, want %d", n, i, got, ok, c.value(i))
			}
		}
		for i := range 1000 {
			if _, ok := table.Lookup(c.fingerprint(n + i)); ok {
				t.Errorf("among %d people stranger %d is found", n, i)
			}
		}
		if got := len(table.Bytes()); got != statuslist.TableSize(n) {
			t.Errorf("%d people take %d bytes, want %d", n, got, statuslist.TableSize(n))
		}
	}
}

// TestNeighbours are people whose fingerprints differ in the last bits only, and
// one who is far from all others: the code of his distance is long.
func TestNeighbours(t *testing.T) {
	for far := range uint64(128) {
		who := people{far<<40 | 5000: 7}
		for i := range uint64(100) {
			who[i] = 7
		}
		table := build(t, head, maps.All(who))
		if !maps.Equal(all(table), who) {
			t.Fatalf("one %d away: other people come out", far<<40)
		}
		got, err := statuslist.Expand(snapshot(t, table), 101)
		if err != nil || !bytes.Equal(got, table.Bytes()) {
			t.Errorf("one %d away: another table comes out, or %v", far<<40, err)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		what         string
		people, want int
	}{
		{"nobody", 0, 32 + 4*65 + 4},
		{"a venue", 20_000, 32 + 4*4097 + 6*20_000 + 4},
		{"a district", 1_000_000, 32 + 4*(1<<17+1) + 5*1_000_000 + 4},
		{"a city", 25_000_000, 32 + 4*(1<<22+1) + 4*25_000_000 + 4},
	} {
		if got := statuslist.TableSize(tt.people); got != tt.want {
			t.Errorf("%s takes %d bytes, want %d", tt.what, got, tt.want)
		}
	}
}

func TestTheOrderOfPeopleDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		who := drawPeople(t, "people")
		order := rapid.Permutation(slices.Sorted(maps.Keys(who))).Draw(t, "order")
		twice := func(yield func(uint64, statuslist.Value) bool) {
			for _, f := range slices.Concat(order, order) {
				if !yield(f, who[f]) {
					return
				}
			}
		}
		got, pairs, err := statuslist.Build(head, twice)
		if err != nil || pairs != len(who) {
			t.Fatalf("%d pairs, %v, want %d", pairs, err, len(who))
		}
		if !bytes.Equal(got, build(wrapped{t: t}, head, maps.All(who)).Bytes()) {
			t.Fatal("the table depends on the order of people")
		}
	})
}

func TestOfAPairTheWorseIsKept(t *testing.T) {
	fresh := statuslist.NewValue(statuslist.Green, noon, noon)
	old := statuslist.NewValue(statuslist.Red, noon.Add(-step), noon)
	none := statuslist.NewValue(statuslist.None, noon.Add(-step), noon)
	for _, order := range [][]statuslist.Value{{fresh, old}, {old, fresh}, {old, fresh, fresh}, {none, fresh}, {fresh, none}} {
		data, pairs, err := statuslist.Build(head, func(yield func(uint64, statuslist.Value) bool) {
			for _, v := range order {
				if !yield(77, v) {
					return
				}
			}
		})
		if err != nil || pairs != len(order)-1 {
			t.Fatalf("%d pairs, %v, want %d", pairs, err, len(order)-1)
		}
		want := old
		if slices.Contains(order, none) {
			want = none
		}
		if got, ok := open(t, data).Lookup(77); !ok || got != want {
			t.Errorf("state %d, %v, want %d", got, ok, want)
		}
	}
}

func TestPeopleWhoCannotBe(t *testing.T) {
	for what, who := range map[string]people{
		"a fingerprint of 48 bits": {universe: 0},
		"a value of 8 bits":        {1: 128},
	} {
		if _, _, err := statuslist.Build(head, maps.All(who)); !errors.Is(err, statuslist.ErrPeople) {
			t.Errorf("%s: Build() = %v, want ErrPeople", what, err)
		}
	}
	if _, _, err := statuslist.Build(statuslist.Head{AsOf: time.Unix(-1, 0)}, maps.All(people{})); err == nil {
		t.Error("a table of before 1970 is built")
	}
	if _, _, err := statuslist.Build(statuslist.Head{}, maps.All(people{})); err == nil {
		t.Error("a table of no time is built")
	}
}

func TestALookupTakesNoMemory(t *testing.T) {
	table := build(t, head, crowd{asOf: noon}.people(1000))
	if got := testing.AllocsPerRun(100, func() { table.Lookup(crowd{}.fingerprint(5)) }); got != 0 {
		t.Errorf("%v allocations a look-up, want 0", got)
	}
}

func TestTablesThatAreNone(t *testing.T) {
	good := build(t, head, crowd{asOf: noon}.people(1000)).Bytes()
	const index, end = 32, 32 + 4*128 // of a table with 7 prefix bits
	le := binary.LittleEndian
	for what, spoil := range map[string]func(b []byte) []byte{
		"nothing":                     func([]byte) []byte { return nil },
		"half a head":                 func(b []byte) []byte { return b[:31] },
		"a head alone":                func(b []byte) []byte { return b[:32] },
		"a byte too few":              func(b []byte) []byte { return b[:len(b)-1] },
		"a byte too many":             func(b []byte) []byte { return append(b, 0) },
		"another magic":               func(b []byte) []byte { b[3] = 'X'; return b },
		"a version of tomorrow":       func(b []byte) []byte { b[4] = 2; return b },
		"a prefix that does not fit":  func(b []byte) []byte { b[5]++; return b },
		"a prefix of 255 bits":        func(b []byte) []byte { b[5] = 255; return b },
		"a reserved byte":             func(b []byte) []byte { b[7] = 1; return b },
		"a year beyond counting":      func(b []byte) []byte { b[23] = 0x7F; return b },
		"a time before 1970":          func(b []byte) []byte { b[23] = 0xFF; return b },
		"a person more than there is": func(b []byte) []byte { le.PutUint32(b[24:], 1001); return b },
		"four billion people":         func(b []byte) []byte { le.PutUint32(b[24:], 1<<32-1); return b },
		"a reserved number":           func(b []byte) []byte { b[28] = 1; return b },
		"an index that begins late":   func(b []byte) []byte { le.PutUint32(b[index:], 1); return b },
		"an index that falls":         func(b []byte) []byte { le.PutUint32(b[index+80:], 0); return b },
		"an index beyond the records": func(b []byte) []byte { le.PutUint32(b[end:], 1001); return b },
		"an index that ends early":    func(b []byte) []byte { le.PutUint32(b[end:], 999); return b },
		"an index of minus one":       func(b []byte) []byte { le.PutUint32(b[index+80:], 1<<32-1); return b },
		"something behind the people": func(b []byte) []byte { b[len(b)-1] = 1; return b },
	} {
		if table, err := statuslist.Open(spoil(bytes.Clone(good))); !errors.Is(err, statuslist.ErrFormat) || table != nil {
			t.Errorf("%s: Open() = %v, %v, want ErrFormat", what, table, err)
		}
	}
}

func TestVerifyFindsWhatLookupsWouldMiss(t *testing.T) {
	good := build(t, head, crowd{asOf: noon}.people(1000)).Bytes()
	records := len(good) - 4 - 1000*6 // of 47 bits
	for what, spoil := range map[string]func(r []byte){
		"people out of order": func(r []byte) { copy(r, slices.Concat(r[6:12], r[:6])) },
		"a person twice":      func(r []byte) { copy(r[6:12], r[:6]) },
		"bits too many":       func(r []byte) { r[6*999+5] |= 0x80 },
	} {
		data := bytes.Clone(good)
		spoil(data[records:])
		table, err := statuslist.Open(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Verify(); !errors.Is(err, statuslist.ErrFormat) {
			t.Errorf("%s: Verify() = %v, want ErrFormat", what, err)
		}
		if _, err := statuslist.Snapshot(table); err == nil {
			t.Errorf("%s: a snapshot is made of it", what)
		}
		if _, err := statuslist.Diff(table, table); err == nil {
			t.Errorf("%s: a delta is made of it", what)
		}
	}
}

// TestBytesThatChangeBehindOurBack: a file that is mapped may rot.
func TestBytesThatChangeBehindOurBack(t *testing.T) {
	for what, with := range map[string]func(i int) byte{
		"zeros": func(int) byte { return 0 },
		"ones":  func(int) byte { return 0xFF },
		"noise": func(i int) byte { return byte(mix(uint64(i))) },
		"steps": func(i int) byte { return byte(i / 4 % 7) },
	} {
		table := build(t, head, crowd{asOf: noon}.people(1000))
		after := build(t, head, crowd{asOf: noon}.people(1100))
		delta, err := statuslist.Diff(table, after)
		if err != nil {
			t.Fatal(err)
		}
		data := table.Bytes()
		for i := 32; i < len(data); i++ {
			data[i] = with(i)
		}
		for i := range uint64(5000) {
			table.Lookup(mix(i) >> 17)
		}
		for range table.All() {
		}
		_ = table.Verify()
		if _, err := statuslist.Apply(table, delta, 2000); err == nil {
			t.Errorf("a table full of %s takes a delta", what)
		}
	}
}

func TestEveryFlippedBitOfATableShows(t *testing.T) {
	good := build(t, head, crowd{asOf: noon}.people(70)).Bytes()
	root := statuslist.Root(good)
	flips(good, func(bit int, spoiled []byte) {
		table, err := statuslist.Open(spoiled)
		if err == nil && statuslist.Root(spoiled) == root {
			t.Errorf("bit %d does not count", bit)
		}
		for i := 0; err == nil && i < 70; i++ {
			table.Lookup(crowd{}.fingerprint(i))
		}
	})
}

func TestAllStopsWhenAsked(t *testing.T) {
	table := build(t, head, crowd{asOf: noon}.people(100))
	seen := 0
	next, stop := iter.Pull2(table.All())
	for range 3 {
		if _, _, ok := next(); ok {
			seen++
		}
	}
	stop()
	if seen != 3 {
		t.Errorf("%d people seen, want 3", seen)
	}
}

func BenchmarkLookup(b *testing.B) {
	c := crowd{asOf: noon}
	sizes := map[string]int{"venue": 20_000}
	if city() {
		sizes["city"] = 25_000_000
	}
	for name, n := range sizes {
		table := build(b, head, c.people(n))
		for what, from := range map[string]int{"people": 0, "strangers": n} {
			who := make([]uint64, 1<<16)
			for i := range who {
				who[i] = c.fingerprint(from + int(mix(uint64(i))%uint64(n)))
			}
			b.Run(name+"/"+what, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					table.Lookup(who[i%len(who)])
				}
			})
		}
	}
}

func BenchmarkFingerprint(b *testing.B) {
	key, h := statuslist.Key{1}, statuslist.NewHandle("id-card", "11010519491231002X", "张三")
	for b.Loop() {
		key.Fingerprint(h)
	}
}
