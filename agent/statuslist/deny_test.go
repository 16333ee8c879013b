package statuslist_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

// drawDenied draws people of whom none is green.
func drawDenied(t *rapid.T) people {
	who := drawPeople(t, "people")
	maps.DeleteFunc(who, func(_ uint64, v statuslist.Value) bool { return v.Colour() == statuslist.Green })
	return who
}

func TestWhoIsOnADenyListIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		who := drawDenied(t)
		data, err := statuslist.EncodeDeny(head, maps.All(who))
		if err != nil {
			t.Fatal(err)
		}
		d, err := statuslist.OpenDeny(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(who, maps.Collect(d.All())); diff != "" || d.Len() != len(who) || d.Head() != head {
			t.Fatalf("%d people as of %v (-want +got):\n%s", d.Len(), d.Head(), diff)
		}
		for fingerprint := range who {
			for _, f := range []uint64{fingerprint, fingerprint + 1, fingerprint - 1, fingerprint | 1<<60} {
				want, there := who[f]
				if got, ok := d.Lookup(f); ok != there || got != want {
					t.Fatalf("Lookup(%x) = %d, %v, want %d, %v", f, got, ok, want, there)
				}
			}
		}
	})
}

func TestADenyListMakesNobodyGreen(t *testing.T) {
	green := statuslist.NewValue(statuslist.Green, noon, noon)
	if _, err := statuslist.EncodeDeny(head, maps.All(people{5: green})); !errors.Is(err, statuslist.ErrPeople) {
		t.Errorf("EncodeDeny() = %v, want ErrPeople", err)
	}
	// A snapshot differs from a deny list in its magic only.
	data := snapshot(t, build(t, head, maps.All(people{5: green})))
	copy(data, "DSDN")
	if _, err := statuslist.OpenDeny(data); !errors.Is(err, statuslist.ErrFormat) {
		t.Errorf("OpenDeny() = %v, want ErrFormat", err)
	}
}

func TestDenyListsThatCannotBe(t *testing.T) {
	for what, who := range map[string]people{"a fingerprint of 48 bits": {universe: 0}, "a value of 8 bits": {1: 128}} {
		if _, err := statuslist.EncodeDeny(head, maps.All(who)); !errors.Is(err, statuslist.ErrPeople) {
			t.Errorf("%s: EncodeDeny() = %v, want ErrPeople", what, err)
		}
	}
	if _, err := statuslist.EncodeDeny(statuslist.Head{AsOf: time.Unix(-1, 0)}, maps.All(people{})); err == nil {
		t.Error("a list of before 1970 is made")
	}
}

func TestOnADenyListTheWorseOfAPairStands(t *testing.T) {
	yellow, red := statuslist.NewValue(statuslist.Yellow, noon, noon), statuslist.NewValue(statuslist.Red, noon, noon)
	data, err := statuslist.EncodeDeny(head, func(yield func(uint64, statuslist.Value) bool) {
		_ = yield(9, red) && yield(9, yellow)
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := statuslist.OpenDeny(data)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := d.Lookup(9); got != red || d.Len() != 1 {
		t.Errorf("%d of %d people, want red alone", got, d.Len())
	}
}

// TestHowManyADenyListHolds: all 200,000 of a city of 25 million who are not
// green, and a limit.
func TestHowManyADenyListHolds(t *testing.T) {
	c := crowd{asOf: noon}
	denied := func(n int) func(yield func(uint64, statuslist.Value) bool) {
		return func(yield func(uint64, statuslist.Value) bool) {
			for i := range n {
				if !yield(c.fingerprint(i), c.value(i)|64) {
					return
				}
			}
		}
	}
	data, err := statuslist.EncodeDeny(head, denied(200_000))
	if err != nil || len(data) > statuslist.MaxDeny {
		t.Fatalf("200,000 people in %d bytes, %v", len(data), err)
	}
	if d, err := statuslist.OpenDeny(data); err != nil || d.Len() != 200_000 {
		t.Errorf("OpenDeny() = %v, want 200,000 people", err)
	}
	if _, err := statuslist.EncodeDeny(head, denied(300_000)); !errors.Is(err, statuslist.ErrPeople) {
		t.Errorf("300,000 people: EncodeDeny() = %v, want ErrPeople", err)
	}
	long := snapshot(t, build(t, head, denied(300_000)))
	copy(long, "DSDN")
	if _, err := statuslist.OpenDeny(long); !errors.Is(err, statuslist.ErrFormat) {
		t.Errorf("a list that is too long: OpenDeny() = %v, want ErrFormat", err)
	}
}

func TestEveryFlippedBitOfADenyListShows(t *testing.T) {
	who := people{}
	for i := range 40 {
		who[crowd{}.fingerprint(i)] = statuslist.Value(64 + i%64)
	}
	data, err := statuslist.EncodeDeny(head, maps.All(who))
	if err != nil {
		t.Fatal(err)
	}
	flips(data, func(bit int, spoiled []byte) {
		d, err := statuslist.OpenDeny(spoiled)
		if err == nil && d.Head() == head && maps.Equal(maps.Collect(d.All()), who) {
			t.Errorf("bit %d does not count", bit)
		}
	})
	for n := range data {
		if _, err := statuslist.OpenDeny(data[:n]); !errors.Is(err, statuslist.ErrFormat) {
			t.Errorf("the first %d bytes: OpenDeny() = %v, want ErrFormat", n, err)
		}
	}
}
