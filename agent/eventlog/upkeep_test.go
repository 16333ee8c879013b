package eventlog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	. "github.com/digital-sentinel/sentinel/agent/eventlog"
)

func TestMonths(t *testing.T) {
	in(t, func(t *testing.T, wait func()) {
		c, dir := clockAt(noon), t.TempDir()
		l := open(t, Opts{Dir: dir, Now: c.now})
		seq := uint64(0)
		at := func(wall string, trusted bool) {
			t.Helper()
			w, err := time.Parse(time.DateTime, wall)
			if err != nil {
				t.Fatal(err)
			}
			c.set(w, trusted)
			seq++
			put(t, l, event(seq, c.now()))
			wait()
		}
		at("2026-11-30 23:59:59", true)
		at("2026-12-01 00:00:01", true)
		at("2026-11-30 23:59:59", true)  // set back by two seconds
		at("2040-01-01 00:00:00", false) // nobody believes it
		at("1970-01-01 00:00:00", false)
		at("2027-01-01 00:00:00", true)
		want := []string{"events-000001-2026-11.log.gz", "events-000002-2026-12.log.gz", "events-000003-2027-01.log"}
		if diff := cmp.Diff(want, files(t, dir)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		wantSeqs(t, dir, 1, 2, 3, 4, 5, 6)
		at("2026-10-05 00:00:00", true) // it had been believed wrongly
		if s := l.Stats(); s.File != "events-000004-2026-10.log" {
			t.Errorf("it goes on in %s", s.File)
		}
	})
}

func TestLargeFileIsClosed(t *testing.T) {
	in(t, func(t *testing.T, wait func()) {
		c, dir := clockAt(noon), t.TempDir()
		l := open(t, Small(Opts{Dir: dir, Now: c.now}, 1000))
		var want []uint64
		for seq := range uint64(20) {
			put(t, l, event(seq, c.now()))
			want = append(want, seq)
		}
		wait()
		wantSeqs(t, dir, want...)
		if got := files(t, dir); len(got) != 4 || got[3] != "events-000004-2026-11.log" || got[0] != "events-000001-2026-11.log.gz" {
			t.Errorf("files are %v", got)
		}
	})
}

// Each row is a life: days since the first event at which the clock shows a
// time, and whether the first file is there after it.
func TestRetention(t *testing.T) {
	type moment struct {
		wall    time.Time
		trusted bool
		there   bool
	}
	d := func(days int) time.Time { return noon.Add(time.Duration(days) * day) }
	y1970, y2040 := time.Unix(0, 0), time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, life := range map[string][]moment{
		"in order": {
			{d(0), true, true}, {d(10), true, true}, {d(10 + 183), true, true}, {d(10 + 184), true, false},
		},
		"not believed, it stays": {
			{d(0), true, true}, {d(10), true, true}, {y2040, false, true}, {d(10 + 400), false, true},
			{y1970, false, true}, {d(10 + 183), true, true}, {d(10 + 185), true, false},
		},
		"its end is when time was first believed again": {
			{d(0), false, true}, {d(0), true, true}, {d(40), true, true}, {d(40 + 183), true, true}, {d(40 + 184), true, false},
		},
		"the end is not in the files, so nobody knows it": {
			{d(0), true, true}, {d(1), true, true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, wait func()) {
				c, dir := clockAt(noon), t.TempDir()
				l := open(t, Opts{Dir: dir, Now: c.now})
				for i, m := range life {
					c.set(m.wall, m.trusted)
					put(t, l, event(uint64(i), c.now()))
					wait()
					there := slices.ContainsFunc(files(t, dir), func(n string) bool { return strings.HasPrefix(n, "events-000001-") })
					if there != m.there {
						t.Fatalf("at %v (believed: %v) the first file is there: %v\n%v", m.wall, m.trusted, there, files(t, dir))
					}
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = open(t, Opts{Dir: dir, Now: c.now}) // and a restart changes nothing
				wait()
				got, _ := read(t, dir)
				if last := life[len(life)-1]; slices.Contains(got, 0) != last.there || l.Stats().Err != "" {
					t.Errorf("after a restart %v are there; %s", got, l.Stats().Err)
				}
			})
		})
	}
}

// Numbers lie when a folder was put together from two: what is in a file has
// the last word.
func TestYoungEventInAnOldFile(t *testing.T) {
	in(t, func(t *testing.T, wait func()) {
		c, dir := clockAt(noon), t.TempDir()
		for i, days := range []int{100, 0, 0} {
			e := event(uint64(i), checkin.Stamp{Wall: noon.Add(time.Duration(days) * day), Trusted: true})
			line, err := AppendLine(nil, &e)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("events-%06d-2026-11.log", i+1)), line, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			days int
			want []uint64
		}{{183, []uint64{0, 1, 2}}, {184, []uint64{0, 2}}, {283, []uint64{0, 2}}, {284, []uint64{2}}} {
			c.set(noon.Add(time.Duration(tt.days)*day), true)
			l := open(t, Opts{Dir: dir, Now: c.now})
			wait()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			wantSeqs(t, dir, tt.want...)
		}
	})
}

// Whatever the clock does, and however often the agent restarts, an event is
// there for 184 days of true time.
func TestNothingGoesEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "eventlog")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		var (
			c       = clockAt(noon)
			o       = Small(Opts{Dir: dir, Now: c.now}, rapid.SampledFrom([]int64{400, 2000, 1 << 20}).Draw(t, "most"))
			truly   = noon
			happens = map[uint64]time.Time{}
			order   []uint64
		)
		l, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			truly = truly.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "days")) * day)
			wall, trusted := truly, rapid.Bool().Draw(t, "trusted")
			if !trusted {
				wall = rapid.SampledFrom([]time.Time{time.Unix(0, 0), noon.AddDate(14, 0, 0), truly.AddDate(0, -7, 0), truly.Add(time.Hour)}).Draw(t, "wrong")
			}
			c.set(wall, trusted)
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if l, err = Open(o); err != nil {
					t.Fatal(err)
				}
			}
			seq := uint64(len(happens))
			if err := l.Append(event(seq, c.now())); err != nil {
				t.Fatal(err)
			}
			happens[seq] = truly
			order = append(order, seq)
			Settle(l)
			got, damaged := reading(dir)
			if damaged > 0 || !slices.IsSorted(got) {
				t.Fatalf("%d damaged, %v", damaged, got)
			}
			for _, seq := range order {
				if truly.Sub(happens[seq]) < Keep && !slices.Contains(got, seq) {
					t.Fatalf("event %d of %v is gone at %v", seq, happens[seq], truly)
				}
			}
		}
		// And once time is known for long enough, all but the last is gone.
		for _, after := range []int{40, 40 + 185, 40 + 185 + 40, 40 + 2*185 + 40} {
			c.set(truly.Add(time.Duration(after)*day), true)
			if err := l.Append(event(uint64(1000+after), c.now())); err != nil {
				t.Fatal(err)
			}
			Settle(l)
		}
		if got, _ := reading(dir); slices.ContainsFunc(got, func(seq uint64) bool { return seq < 1000 }) {
			t.Fatalf("%v are there for ever", got)
		}
		if s := l.Stats(); s.Err != "" {
			t.Fatal(s.Err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func reading(dir string) (seqs []uint64, damaged int) {
	for e, err := range Read(dir, time.Time{}, time.Time{}) {
		if err != nil {
			damaged++
			continue
		}
		seqs = append(seqs, e.ID.Seq)
	}
	return seqs, damaged
}

// An agent that is killed between two steps of its work on old files leaves
// every event readable, and the next one finishes the work.
func TestKilledWhilePacking(t *testing.T) {
	for kill := range 10 {
		t.Run(fmt.Sprint(kill), func(t *testing.T) {
			in(t, func(t *testing.T, wait func()) {
				c, dir := clockAt(noon), t.TempDir()
				left, killed := kill, errors.New("killed")
				l := open(t, Stopping(Opts{Dir: dir, Now: c.now}, func(string) error {
					left--
					if left < 0 {
						return killed
					}
					return nil
				}))
				put(t, l, event(1, c.now()))
				c.set(noon.Add(10*day), true)
				put(t, l, event(2, c.now()))
				wait()
				wantSeqs(t, dir, 1, 2)
				c.set(noon.Add(200*day), true)
				put(t, l, event(3, c.now()))
				wait()
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if got, damaged := read(t, dir); damaged > 0 || !slices.Contains(got, 2) || !slices.Contains(got, 3) {
					t.Fatalf("%v, %d damaged", got, damaged)
				}
				l = open(t, Opts{Dir: dir, Now: c.now})
				wait()
				wantSeqs(t, dir, 2, 3)
				want := []string{"events-000002-2026-12.log.gz", "events-000003-2027-06.log"}
				if diff := cmp.Diff(want, files(t, dir)); diff != "" || l.Stats().Err != "" {
					t.Errorf("%s; files (-want +got):\n%s", l.Stats().Err, diff)
				}
			})
		})
	}
}

// What a crash may leave beside the files is thrown away, and of both forms the
// plain one is believed.
func TestHalfPacked(t *testing.T) {
	in(t, func(t *testing.T, wait func()) {
		c, dir := clockAt(noon), t.TempDir()
		l := open(t, Small(Opts{Dir: dir, Now: c.now}, 1))
		put(t, l, event(1, c.now()))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string]string{
			"events-000001-2026-11.log.gz":     "half",
			"events-000001-2026-11.log.gz.new": "less",
			"notes.txt":                        "of somebody else",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		wantSeqs(t, dir, 1)
		l = open(t, Opts{Dir: dir, Now: c.now})
		put(t, l, event(2, c.now()))
		wait()
		wantSeqs(t, dir, 1, 2)
		want := []string{"events-000001-2026-11.log.gz", "events-000002-2026-11.log", "notes.txt"}
		if diff := cmp.Diff(want, files(t, dir)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		// A packed file that is damaged is told, and the next one is read.
		path := filepath.Join(dir, want[0])
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(data) {
			if err := os.WriteFile(path, data[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			if got, damaged := read(t, dir); damaged == 0 || !slices.Contains(got, 2) {
				t.Fatalf("with %d bytes: %v, %d damaged", n, got, damaged)
			}
		}
	})
}

func TestReadRange(t *testing.T) {
	c, dir := clockAt(noon), t.TempDir()
	l := open(t, Opts{Dir: dir, Now: c.now})
	for i, s := range []checkin.Stamp{
		{Wall: time.Unix(0, 0)}, // before anything is known
		{Wall: noon, Trusted: true},
		{Wall: time.Unix(5, 0)}, // between noon and one
		{Wall: noon.Add(time.Hour), Trusted: true},
		{Wall: noon.Add(2 * time.Hour), Trusted: true},
		{Wall: time.Unix(9, 0)}, // after two
	} {
		s.Wall = s.Wall.UTC()
		put(t, l, event(uint64(i), s))
	}
	for _, tt := range []struct {
		name     string
		from, to time.Duration // from noon; 0 is no bound
		want     []uint64
	}{
		{"all", 0, 0, []uint64{0, 1, 2, 3, 4, 5}},
		{"half an hour on", 30 * time.Minute, 0, []uint64{2, 3, 4, 5}},
		{"up to half an hour", 0, 30 * time.Minute, []uint64{0, 1, 2}},
		{"later", 90 * time.Minute, 0, []uint64{4, 5}},
		{"before all", 0, -time.Minute, []uint64{0}},
		{"the end is not in it", time.Hour, 2 * time.Hour, []uint64{2, 3}},
		{"after all", 3 * time.Hour, 0, []uint64{5}},
	} {
		var from, to time.Time
		if tt.from != 0 {
			from = noon.Add(tt.from)
		}
		if tt.to != 0 {
			to = noon.Add(tt.to)
		}
		var got []uint64
		for e, err := range Read(dir, from, to) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.ID.Seq)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
