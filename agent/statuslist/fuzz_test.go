package statuslist_test

import (
	"bytes"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

// FuzzOpen: whatever is opened can be asked; and of what verifies everybody is
// found, and the same people give the same bytes.
func FuzzOpen(f *testing.F) {
	v := vectors(f)
	f.Add(v["before"], uint64(1))
	f.Add(v["after"], uint64(universe-1))
	f.Add(build(f, head, crowd{asOf: noon}.people(600)).Bytes(), uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, fingerprint uint64) {
		table, err := statuslist.Open(data)
		if err != nil {
			return
		}
		table.Lookup(fingerprint)
		for who := range table.All() {
			table.Lookup(who)
		}
		if table.Verify() != nil {
			return
		}
		who := all(table)
		if len(who) != table.Len() {
			t.Fatalf("%d people in a table of %d", len(who), table.Len())
		}
		for fingerprint, want := range who {
			if got, ok := table.Lookup(fingerprint); !ok || got != want {
				t.Fatalf("Lookup(%x) = %d, %v, want %d", fingerprint, got, ok, want)
			}
		}
		if got := build(t, table.Head(), maps.All(who)); !bytes.Equal(got.Bytes(), data) {
			t.Error("the same people give another table")
		}
	})
}

// FuzzExpand: a snapshot that is taken gives a good table, and is what that table
// gives again, to the bit.
func FuzzExpand(f *testing.F) {
	f.Add(vectors(f)["snapshot"])
	f.Add(snapshot(f, build(f, head, crowd{asOf: noon}.people(100))))
	f.Add(bytesOf(1<<26, 1, 7, 0x80, 0x80, 0x80, 0x20, 4, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := statuslist.Expand(data, 1<<26)
		if err != nil {
			return
		}
		if again := snapshot(t, open(t, table)); !bytes.Equal(again, data) {
			t.Errorf("%x is written again as %x", data, again)
		}
	})
}

// FuzzApply: a delta that is taken gives a good table, leaves the other alone, and
// is what the two give again, to the bit.
func FuzzApply(f *testing.F) {
	v := vectors(f)
	c := crowd{asOf: noon}
	bases := []*statuslist.Table{open(f, v["before"]), build(f, head, c.people(0)), build(f, head, c.people(300))}
	f.Add(v["delta"], uint8(0))
	f.Add(diff(f, bases[1], build(f, at(step), c.people(40))), uint8(1))
	f.Add(diff(f, bases[2], build(f, at(step), c.tested(280, 300_000, noon))), uint8(2))
	var roots [][32]byte
	for _, b := range bases {
		roots = append(roots, statuslist.Root(b.Bytes()))
	}
	f.Fuzz(func(t *testing.T, delta []byte, base uint8) {
		which := int(base) % len(bases)
		before := bases[which]
		data, err := statuslist.Apply(before, delta, 1<<20)
		if statuslist.Root(before.Bytes()) != roots[which] {
			t.Fatal("the table before was changed")
		}
		if err != nil {
			return
		}
		if again := diff(t, before, open(t, data)); !bytes.Equal(again, delta) {
			t.Errorf("%x is made again as %x", delta, again)
		}
	})
}

// FuzzOpenDeny: a list that is taken says what is written again to the bit, and
// makes nobody green.
func FuzzOpenDeny(f *testing.F) {
	f.Add(vectors(f)["deny"], uint64(0))
	f.Add(snapshot(f, build(f, head, crowd{asOf: noon}.people(9))), uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, fingerprint uint64) {
		d, err := statuslist.OpenDeny(data)
		if err != nil {
			return
		}
		d.Lookup(fingerprint)
		found := people{}
		for who := range d.All() {
			v, ok := d.Lookup(who)
			if !ok || v.Colour() == statuslist.Green {
				t.Fatalf("Lookup(%x) = %d, %v, want somebody who is not green", who, v, ok)
			}
			found[who] = v
		}
		if diff := cmp.Diff(found, maps.Collect(d.All())); diff != "" {
			t.Errorf("people (-want +got):\n%s", diff)
		}
		again, err := statuslist.EncodeDeny(d.Head(), d.All())
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x is written again as %x, %v", data, again, err)
		}
	})
}
