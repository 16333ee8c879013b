package statuslist_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

// TestACity prints what a city of 25 million costs beside the figures of the
// fact sheet. It takes a minute and is asked for: STATUSLIST_CITY=1 go test -v
// -run City. The same table for a venue is always printed, and held to bounds.
func TestACity(t *testing.T) {
	people := 20_000
	if city() {
		people = 25_000_000
	}
	c := crowd{asOf: noon}
	clock := time.Now()
	for range c.people(people) {
	}
	report(t, nil, "the crowd alone", time.Since(clock).Round(time.Millisecond), "")
	clock = time.Now()
	data, pairs, err := statuslist.Build(head, c.people(people))
	report(t, err, "build with the crowd", time.Since(clock).Round(time.Millisecond), "3.5 s sort + 0.15-0.3 s")
	t.Logf("pairs with one fingerprint   %d (2.2 expected of 25 million)", pairs)
	report(t, nil, "memory taken from the system", fmt.Sprintf("%d MB", system()), "")
	table, err := statuslist.Open(data)
	report(t, err, "bytes of the table", perPerson(len(data), people), "4.67 B, 116.8 MB")

	clock = time.Now()
	root := statuslist.Root(data)
	report(t, nil, "root", time.Since(clock).Round(time.Microsecond), "0.1 s")
	lookups(t, c, table, people)

	clock = time.Now()
	wire, err := statuslist.Snapshot(table)
	report(t, err, "snapshot made in", time.Since(clock).Round(time.Millisecond), "1.2 s")
	report(t, nil, "bytes of the snapshot", perPerson(len(wire), people), "3.58 B, 89.4 MB")
	clock = time.Now()
	again, err := statuslist.Expand(wire, people)
	report(t, err, "snapshot expanded in", time.Since(clock).Round(time.Millisecond), "")
	if !bytes.Equal(again, data) {
		t.Error("the snapshot is another table")
	}
	for _, ofMillion := range []int{1814, 21940} { // 43,000 and 520,000 who differ
		deltas(t, c, table, people, ofMillion)
	}
	if statuslist.Root(data) != root {
		t.Error("the table was changed by its use")
	}
}

func report(t *testing.T, err error, what string, got any, sheet string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if sheet != "" {
		sheet = "(sheet, 25 million: " + sheet + ")"
	}
	t.Logf("%-28s %v %s", what, got, sheet)
}

func perPerson(size, people int) string {
	return fmt.Sprintf("%.3f B a person, %.2f MB", float64(size)/float64(people), float64(size)/1e6)
}

func system() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys >> 20
}

// lookups times people who are there and strangers, one by one.
func lookups(t *testing.T, c crowd, table *statuslist.Table, people int) {
	n := min(4_000_000, 10*people)
	stranger := crowd{seed: 1 << 40}
	r := rand.New(rand.NewPCG(1, 2))
	hits, wrong := make([]uint64, n), 0
	values := make([]statuslist.Value, n)
	for i := range hits {
		p := r.IntN(people)
		hits[i], values[i] = c.fingerprint(p), c.value(p)
	}
	got := timed(hits, func(i int, v statuslist.Value, ok bool) {
		if !ok || v != values[i] {
			wrong++
		}
	}, table)
	report(t, nil, "look-up of people", got, "110 ns best, 500 loaded")
	if wrong > 4 { // the pairs of a city
		t.Errorf("%d of %d people are not found with their state", wrong, n)
	}
	for i := range hits {
		hits[i] = stranger.fingerprint(i)
	}
	wrong = 0
	got = timed(hits, func(_ int, _ statuslist.Value, ok bool) {
		if ok {
			wrong++
		}
	}, table)
	report(t, nil, "look-up of strangers", got, "")
	report(t, nil, "strangers taken for somebody", fmt.Sprintf("%d of %d", wrong, n), "0 of 4 million, 1.8e-7 each")
	if wrong > 8 {
		t.Errorf("%d strangers found", wrong)
	}
}

func timed(who []uint64, check func(int, statuslist.Value, bool), table *statuslist.Table) string {
	each := make([]time.Duration, len(who))
	for i, fingerprint := range who {
		clock := time.Now()
		v, ok := table.Lookup(fingerprint)
		each[i] = time.Since(clock)
		check(i, v, ok)
	}
	clock := time.Now()
	for _, fingerprint := range who {
		table.Lookup(fingerprint)
	}
	mean := time.Since(clock) / time.Duration(len(who))
	slices.SortFunc(each, cmp.Compare[time.Duration])
	return fmt.Sprintf("mean %v; each with the clock read: p50 %v, p99 %v", mean, each[len(each)/2], each[len(each)*99/100])
}

func deltas(t *testing.T, c crowd, table *statuslist.Table, people, ofMillion int) {
	t.Helper()
	later := noon.Add(5 * time.Minute)
	data, _, err := statuslist.Build(statuslist.Head{Epoch: 7, AsOf: later}, c.tested(people, ofMillion, later))
	if err != nil {
		t.Fatal(err)
	}
	after, err := statuslist.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Now()
	delta, err := statuslist.Diff(table, after)
	report(t, err, "delta made in", time.Since(clock).Round(time.Microsecond), "")
	changed := 0
	for fingerprint, v := range after.All() {
		if old, _ := table.Lookup(fingerprint); old != v {
			changed++
		}
	}
	report(t, nil, fmt.Sprintf("bytes of a delta of %d", changed), fmt.Sprintf("%d, %.2f bits a change", len(delta), 8*float64(len(delta))/float64(changed)),
		"43,000: 58 kB; 520,000: 0.46 MB, 7.1 bits")
	clock = time.Now()
	got, err := statuslist.Apply(table, delta, people)
	report(t, err, "delta applied in", time.Since(clock).Round(time.Microsecond), "0.12-0.29 s for 520,000")
	if !bytes.Equal(got, data) {
		t.Error("the delta leads to another table")
	}
}

func city() bool { return os.Getenv("STATUSLIST_CITY") != "" }
