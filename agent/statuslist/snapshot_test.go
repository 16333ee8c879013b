package statuslist_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

func snapshot(t testing.TB, table *statuslist.Table) []byte {
	t.Helper()
	s, err := statuslist.Snapshot(table)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASnapshotIsTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := build(wrapped{t: t}, head, maps.All(drawPeople(t, "people")))
		got, err := statuslist.Expand(snapshot(wrapped{t: t}, table), table.Len())
		if err != nil || !bytes.Equal(got, table.Bytes()) {
			t.Fatalf("another table comes out, or %v", err)
		}
	})
}

func TestSnapshotsOfCrowds(t *testing.T) {
	for _, tt := range []struct {
		people, least, most int // bytes on the wire
	}{
		{0, 29, 29},
		{1, 30, 50},
		{10_000, 45_000, 51_000},
		{20_000, 50_000, 100_000},
		{100_000, 440_000, 460_000},
	} {
		table := build(t, head, crowd{asOf: noon}.people(tt.people))
		s := snapshot(t, table)
		if len(s) < tt.least || len(s) > tt.most {
			t.Errorf("%d people take %d bytes, want %d to %d", tt.people, len(s), tt.least, tt.most)
		}
		if got, err := statuslist.Expand(s, tt.people); err != nil || !bytes.Equal(got, table.Bytes()) {
			t.Errorf("%d people: another table comes out, or %v", tt.people, err)
		}
		if _, err := statuslist.Expand(s, tt.people-1); !errors.Is(err, statuslist.ErrFormat) {
			t.Errorf("%d people, one too many: Expand() = %v, want ErrFormat", tt.people, err)
		}
	}
}

func TestEveryFlippedBitOfASnapshotShows(t *testing.T) {
	table := build(t, head, crowd{asOf: noon}.people(80))
	root := statuslist.Root(table.Bytes())
	s := snapshot(t, table)
	flips(s, func(bit int, spoiled []byte) {
		got, err := statuslist.Expand(spoiled, 1000)
		if err == nil && statuslist.Root(got) == root {
			t.Errorf("bit %d does not count", bit)
		}
		if err != nil && !errors.Is(err, statuslist.ErrFormat) {
			t.Errorf("bit %d: Expand() = %v, want ErrFormat", bit, err)
		}
	})
	for n := range s {
		if _, err := statuslist.Expand(s[:n], 1000); !errors.Is(err, statuslist.ErrFormat) {
			t.Errorf("the first %d bytes: Expand() = %v, want ErrFormat", n, err)
		}
	}
}

// bytesOf makes a snapshot of so many people by hand.
func bytesOf(count uint32, column ...byte) []byte {
	s := append([]byte("DSSN"), make([]byte, 24)...)
	s[4] = 1
	binary.LittleEndian.PutUint64(s[16:], uint64(noon.Unix()))
	binary.LittleEndian.PutUint32(s[24:], count)
	return append(s, column...)
}

// A list of one item, in the universe of fingerprints, has 46 bits of Rice code
// and one or two of the quotient: six bytes. 0 0 0 0 0 0 is person 0.
func TestColumnsWithOnlyOneSpelling(t *testing.T) {
	for _, tt := range []struct {
		what   string
		people uint32
		column []byte
		ok     bool
	}{
		{"nobody", 0, []byte{0}, true},
		{"person 0 with value 7", 1, []byte{1, 7, 1, 6, 0, 0, 0, 0, 0, 0}, true},
		{"two people of two values", 2, []byte{2, 7, 1, 6, 8, 1, 6, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0}, true},
		{"a count that does not agree", 2, []byte{1, 7, 1, 6, 0, 0, 0, 0, 0, 0}, false},
		{"no column", 0, nil, false},
		{"a byte behind", 0, []byte{0, 0}, false},
		{"a value of eight bits", 1, []byte{1, 128, 1, 6, 0, 0, 0, 0, 0, 0}, false},
		{"values that fall", 2, []byte{2, 8, 1, 6, 7, 1, 6, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0}, false},
		{"a value twice", 2, []byte{2, 7, 1, 6, 7, 1, 6, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0}, false},
		{"a person with two values", 2, []byte{2, 7, 1, 6, 8, 1, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, false},
		{"a group of nobody", 0, []byte{1, 7, 0, 0}, false},
		{"a count in two bytes", 1, []byte{1, 7, 0x81, 0, 6, 0, 0, 0, 0, 0, 0}, false},
		{"a count without end", 1, []byte{1, 7, 0xFF, 0xFF}, false},
		{"a group without a size", 1, []byte{1, 7, 1}, false},
		{"a group without a count", 1, []byte{1, 7}, false},
		{"fewer groups than said", 1, []byte{2, 7, 1, 6, 0, 0, 0, 0, 0, 0}, false},
		{"a list of five bytes", 1, []byte{1, 7, 1, 5, 0, 0, 0, 0, 0}, false},
		{"a list of seven bytes", 1, []byte{1, 7, 1, 7, 0, 0, 0, 0, 0, 0, 0}, false},
		{"a list of twenty bytes", 1, append([]byte{1, 7, 1, 20}, make([]byte, 20)...), false},
		{"a distance of 2^64", 1, slices.Concat([]byte{1, 7, 1, 0x86, 0x80, 2}, bytes.Repeat([]byte{255}, 1<<15), make([]byte, 6)), false},
		{"a bit of filling", 1, []byte{1, 7, 1, 6, 0, 0, 0, 0, 0, 0x80}, false},
		{"ones only", 1, []byte{1, 7, 1, 6, 255, 255, 255, 255, 255, 255}, false},
		{"a person out of the universe", 1, []byte{1, 7, 1, 7, 3, 0, 0, 0, 0, 0, 0}, false},
		{"two people whose list has room for one", 2, []byte{1, 7, 2, 6, 0, 0, 0, 0, 0, 0}, false},
		{"lists of more bytes than there are", 2, []byte{2, 7, 1, 6, 8, 1, 12, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0}, false},
	} {
		data, err := statuslist.Expand(bytesOf(tt.people, tt.column...), 10)
		if ok := err == nil; ok != tt.ok || !ok && !errors.Is(err, statuslist.ErrFormat) {
			t.Errorf("%s: Expand() = %v, want it taken: %v", tt.what, err, tt.ok)
		}
		if err == nil && !bytes.Equal(snapshot(t, open(t, data)), append(bytesOf(tt.people)[:28], tt.column...)) {
			t.Errorf("%s: spelt otherwise when written again", tt.what)
		}
	}
}

// TestPromisesCostNothing: what a head promises and its bytes cannot hold is
// refused before any memory is taken for it.
func TestPromisesCostNothing(t *testing.T) {
	nobody := build(t, head, maps.All(people{}))
	for what, s := range map[string][]byte{
		"64 million people":                     bytesOf(1<<26, 1, 7, 0x80, 0x80, 0x80, 0x20, 4, 0, 0, 0, 0),
		"2^60 people":                           bytesOf(1<<26, 1, 7, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 0),
		"a list of 2^60 bytes":                  bytesOf(1, 1, 7, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10),
		"64 million people in the head of none": bytesOf(1<<26, 0),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := statuslist.Expand(s, 1<<26)
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; err == nil || taken > 1<<20 {
			t.Errorf("%s: %v after %d bytes of memory", what, err, taken)
		}
	}
	delta := diff(t, nobody, nobody)
	binary.LittleEndian.PutUint32(delta[36:], 1<<26)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := statuslist.Apply(nobody, delta, 1<<26)
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; err == nil || taken > 1<<20 {
		t.Errorf("a delta of 64 million people: %v after %d bytes of memory", err, taken)
	}
}
