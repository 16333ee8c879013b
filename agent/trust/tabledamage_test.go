package trust_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

// TestDamagedTables bends, cuts, removes and swaps each file of a feed.
func TestDamagedTables(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	var older map[string][]byte
	for _, c := range []statuslist.Colour{statuslist.Green, statuslist.Red} {
		p.turn(c)
		if err := f.refresh(table); err != nil {
			t.Fatal(err)
		}
		if c == statuslist.Green {
			older = filesIn(t, f.c.dir, "feed")
		}
	}
	table.Close()
	good := filesIn(t, f.c.dir, ".")
	harms := map[string]func(name string, b []byte) []byte{
		"bent":      func(_ string, b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut short": func(_ string, b []byte) []byte { return b[:len(b)/2] },
		"emptied":   func(string, []byte) []byte { return []byte{} },
		"removed":   func(string, []byte) []byte { return nil },
		"put back":  func(name string, _ []byte) []byte { return older[name] },
	}
	for name := range good {
		if !strings.HasPrefix(name, "feed/") {
			continue
		}
		for harm, spoil := range harms {
			t.Run(name+" is "+harm, func(t *testing.T) {
				f.c.dir = t.TempDir()
				put(t, f.c.dir, good)
				if data := spoil(name, bytes.Clone(good[name])); data == nil {
					if err := os.Remove(filepath.Join(f.c.dir, name)); err != nil {
						t.Fatal(err)
					}
				} else {
					put(t, f.c.dir, map[string][]byte{name: data})
				}
				table := f.open(feed.Card)
				switch got := colour(t, table); got {
				case "step 3 red true", "step 2 green true behind", "nothing":
				default:
					t.Errorf("there is %s", got)
				}
				if err := f.refresh(table); err != nil {
					t.Fatalf("refresh: %v", err)
				}
				wantColour(t, table, "step 3 red true")
				wantColour(t, f.open(feed.Card), "step 3 red true")
			})
		}
	}
}

// TestEveryByteOfPeopleCounts bends the records themselves, which look like any
// others: only the root tells.
func TestEveryByteOfPeopleCounts(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	table.Close()
	name := filepath.Join("feed", "venue-1-card", "7-1.table")
	good := filesIn(t, f.c.dir, ".")
	size := len(good[name])
	for i := size - 16; i < size-4; i++ {
		bent := bytes.Clone(good[name])
		bent[i] ^= 0x40
		put(t, f.c.dir, good)
		put(t, f.c.dir, map[string][]byte{name: bent})
		s := f.c.open()
		table, err := s.OpenFeed("venue-1", feed.Card)
		if err != nil {
			t.Fatal(err)
		}
		if got := colour(t, table); got != "nothing" || len(s.Damage()) != 1 {
			t.Errorf("byte %d: there is %s; damage %v", i, got, s.Damage())
		}
		table.Close()
	}
}

// TestMappedFileIsCutShort: a page that is not there must not end the process.
func TestMappedFileIsCutShort(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	for name := range filesIn(t, f.c.dir, "feed") {
		if strings.HasSuffix(name, ".table") {
			if err := os.Truncate(filepath.Join(f.c.dir, name), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := table.View(func(v trust.View) error { v.Table.Lookup(1); return nil })
	if !errors.Is(err, trust.ErrRefused) {
		t.Errorf("View: %v", err)
	}
	wantColour(t, table, "nothing")
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	wantColour(t, table, "step 1 green true")
}

// TestPowerCutInTheFeed cuts the power at each operation of two steps.
func TestPowerCutInTheFeed(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	table.Close()
	before := filesIn(t, f.c.dir, ".")
	p.turn(statuslist.Yellow)
	p.turn(statuslist.Red)
	seen := seenWorlds{}
	for cut := 1; ; cut += stride {
		f.c.dir = t.TempDir()
		put(t, f.c.dir, before)
		d := newDisk(t, f.c.dir)
		s, err := trust.OpenHooked(f.c.dir, f.c.o, d.hook)
		if err != nil {
			t.Fatal(err)
		}
		table, err := s.OpenFeed("venue-1", feed.Card)
		if err != nil {
			t.Fatal(err)
		}
		d.cut = d.n + cut
		err = f.refresh(table)
		table.Close()
		for world, dir := range d.worlds(t) {
			if err != nil && seen.again(t, cut, world, dir) {
				continue
			}
			f.c.dir = dir
			table := f.open(feed.Card)
			switch got := colour(t, table); {
			case err == nil && got != "step 3 red true":
				t.Errorf("operation %d, %s: %s, though the refresh said that it was done", cut, world, got)
			case got != "step 3 red true" && got != "step 1 green true" && got != "step 1 green true behind":
				t.Errorf("operation %d, %s: %s", cut, world, got)
			}
			if err := f.refresh(table); err != nil {
				t.Errorf("operation %d, %s: the power is back: %v", cut, world, err)
			}
			wantColour(t, table, "step 3 red true")
		}
		if d.n < d.cut {
			if cut < 12 {
				t.Errorf("two steps took only %d operations", cut)
			}
			return
		}
	}
}

// TestDiskFullInTheFeed: a step that is known and could not be kept makes the
// table in use one that is behind.
func TestDiskFullInTheFeed(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	table.Close()
	before := filesIn(t, f.c.dir, ".")
	p.turn(statuslist.Red)
	behind := 0
	for cut := 1; ; cut++ {
		f.c.dir = t.TempDir()
		put(t, f.c.dir, before)
		d := newDisk(t, f.c.dir)
		s, err := trust.OpenHooked(f.c.dir, f.c.o, d.hook)
		if err != nil {
			t.Fatal(err)
		}
		table, err := s.OpenFeed("venue-1", feed.Card)
		if err != nil {
			t.Fatal(err)
		}
		d.cut, d.once = d.n+cut, true
		err = f.refresh(table)
		if d.n < d.cut {
			table.Close()
			break
		}
		got := colour(t, table)
		if got == "step 1 green true behind" {
			behind++
		}
		if err != nil && got != "step 1 green true" && got != "step 1 green true behind" {
			t.Errorf("operation %d: %s", cut, got)
		}
		if err := f.refresh(table); err != nil {
			t.Errorf("operation %d: the next refresh: %v", cut, err)
		}
		wantColour(t, table, "step 2 red true")
		table.Close()
	}
	if behind == 0 {
		t.Error("no table was ever behind")
	}
}

// TestAnotherTableOfTheSameStep: somebody signed two, and a thief puts the other
// one in the place of the one that had been used.
func TestAnotherTableOfTheSameStep(t *testing.T) {
	p := newStation(t)
	f, other := newFollower(t, p), newFollower(t, p)
	first, begin := p.last, p.now
	for _, turn := range []struct {
		f *follower
		c statuslist.Colour
	}{{f, statuslist.Red}, {other, statuslist.Green}} {
		p.last, p.now = first, begin
		table := turn.f.open(feed.Card)
		p.r.extra["feed/venue-1/head.cose"] = p.r.extra["feed/venue-1/1.cose"]
		if err := turn.f.refresh(table); err != nil {
			t.Fatal(err)
		}
		p.turn(turn.c)
		if err := turn.f.refresh(table); err != nil {
			t.Fatal(err)
		}
		table.Close()
	}
	theirs := filesIn(t, other.c.dir, "feed")
	delete(theirs, filepath.Join("feed", "venue-1-card", "floor"))
	put(t, f.c.dir, theirs)
	table := f.open(feed.Card)
	wantColour(t, table, "step 1 green true behind")
	if err := f.refresh(table); !errors.Is(err, feed.ErrFork) {
		t.Errorf("Refresh: %v", err)
	}
}
