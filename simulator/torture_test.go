//go:build linux

package simulator_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// The torture of the way from a kiosk to the platform, and of its clocks. That of
// the queue on a bad disk is beside the queue; the flags and the table are alike.
//
//	go test ./simulator -run Torture                       a few seconds of each rig
//	go test ./simulator -run Torture -v -torture 10m       ten minutes, or SENTINEL_TORTURE=10m
//	go test ./simulator -run Torture/net -torture.seed 7   the numbers of one run again
//
// A cycle is a whole story of one kiosk, in virtual time: every time-out of the
// agent and the platform is the real one, and hours of it take no time. With the
// seed of a failure each rig draws the same numbers again (and with -torture, whose
// stories are longer, if it was found so); what runs at the same moment still runs
// as the scheduler likes.
var (
	tortureFor  = flag.Duration("torture", 0, "torture for so long in all; 0 is a few seconds of each rig")
	tortureSeed = flag.Uint64("torture.seed", 0, "seed of the torture; 0 draws one")
)

// torture is a way of it. A control must go wrong.
type torture struct {
	name    string
	control bool
	cycle   func(r *tortureRig) error
}

var tortures = []torture{
	{name: "net", cycle: (&netWay{}).cycle},
	{name: "clock", cycle: (&clockWay{}).cycle},
	{name: "believing", cycle: (&netWay{believing: true}).cycle, control: true},
	{name: "keyless", cycle: (&netWay{keyless: true}).cycle, control: true},
	{name: "gullible", cycle: (&clockWay{gullible: true}).cycle, control: true},
}

// tortureRig runs one way of torture, and keeps the score.
type tortureRig struct {
	t     *testing.T
	dir   string     // of the present cycle
	luck  *rand.Rand // every number of the present cycle
	brief bool       // nobody has said for how long: cycles are short stories
	score *tortureScore
	kit   *tortureKit
}

// tortureScore is what a rig has seen.
type tortureScore struct {
	rig                          string
	cycles, cases                int
	lost, duplicated, unreadable int
	retried                      int // attempts that failed
	again                        int // records that came twice, and were recognised
	virtual                      time.Duration
	took                         time.Duration
	first                        string // the first thing that was wrong
}

func (s *tortureScore) wrong() int { return s.lost + s.duplicated + s.unreadable }

func (s *tortureScore) bad(count *int, format string, args ...any) {
	*count++
	if s.first == "" {
		s.first = fmt.Sprintf("cycle %d: ", s.cycles) + fmt.Sprintf(format, args...)
	}
}

// tortureTable prints scores as the queue's torture does, and two columns more.
func tortureTable(scores []*tortureScore) string {
	text := fmt.Sprintf("%-10s %8s %11s %9s %6s %11s %11s %8s %11s %13s\n", "rig", "cycles", "cycles/min", "cases", "lost", "duplicated", "unreadable", "retried", "recognised", "virtual time")
	for _, s := range scores {
		text += fmt.Sprintf("%-10s %8d %11.0f %9d %6d %11d %11d %8d %11d %13v\n", s.rig, s.cycles, float64(s.cycles)/s.took.Minutes(),
			s.cases, s.lost, s.duplicated, s.unreadable, s.retried, s.again, s.virtual.Round(time.Minute))
	}
	return text
}

// tortureTime is how long one rig, or one control, runs; 0 is not said.
func tortureTime(t *testing.T) time.Duration {
	t.Helper()
	total := *tortureFor
	if s := os.Getenv("SENTINEL_TORTURE"); total == 0 && s != "" {
		var err error
		if total, err = time.ParseDuration(s); err != nil {
			t.Fatalf("SENTINEL_TORTURE: %v", err)
		}
	}
	return total / time.Duration(len(tortures))
}

// mostControls is far beyond what a control takes to fail: about 2.
const (
	shortTorture = 1500 * time.Millisecond
	mostControls = 200
)

// TestTorture runs every rig and prints what it has seen.
func TestTorture(t *testing.T) {
	runTortures(t, false, func(r *tortureRig, each, ran time.Duration) bool { return ran < max(each, shortTorture) })
}

// TestTortureControlsFail runs each control until it goes wrong, and then for as
// long as the torture is to last. A rig that finds nothing wrong with them would
// find nothing at all.
func TestTortureControlsFail(t *testing.T) {
	runTortures(t, true, func(r *tortureRig, each, ran time.Duration) bool {
		return ran < each || r.score.wrong() == 0 && r.score.cycles < mostControls
	})
}

func runTortures(t *testing.T, controls bool, more func(r *tortureRig, each, ran time.Duration) bool) {
	if testing.Short() {
		t.Skip("skipped: torture takes its time")
	}
	each, from, kit := tortureTime(t), tortureFrom(), newTortureKit(t)
	var scores []*tortureScore
	for _, w := range tortures {
		if w.control != controls {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			r := &tortureRig{t: t, brief: each == 0, score: &tortureScore{rig: w.name}, kit: kit}
			scores = append(scores, r.score)
			r.run(w, from, func(ran time.Duration) bool { return more(r, each, ran) })
			switch wrong := r.score.wrong(); {
			case controls && wrong == 0:
				t.Errorf("nothing went wrong in %d cycles (-torture.seed %d): the rigs would find nothing", r.score.cycles, from)
			case !controls && wrong > 0:
				t.Errorf("%d lost, %d duplicated, %d unreadable; -torture.seed %d draws the same numbers; first %s",
					r.score.lost, r.score.duplicated, r.score.unreadable, from, r.score.first)
			}
		})
	}
	t.Logf("seed %d\n%s", from, tortureTable(scores))
}

func tortureFrom() uint64 {
	if *tortureSeed != 0 {
		return *tortureSeed
	}
	return rand.Uint64N(1 << 32)
}

// run plays one cycle after the other, each in a folder and a bubble of its own.
func (r *tortureRig) run(w torture, from uint64, more func(ran time.Duration) bool) {
	began := time.Now()
	for more(time.Since(began)) {
		r.score.cycles++
		r.luck = rand.New(rand.NewPCG(from, uint64(r.score.cycles)))
		r.dir = inMemory(r.t)
		var err error
		synctest.Test(r.t, func(*testing.T) {
			start := time.Now()
			err = w.cycle(r)
			r.score.virtual += time.Since(start)
		})
		_ = os.RemoveAll(r.dir)
		if err != nil {
			r.t.Fatalf("cycle %d (-torture.seed %d): %v", r.score.cycles, from, err)
		}
	}
	r.score.took = time.Since(began)
}

// few draws a number below n; in a short story below a quarter of it.
func (r *tortureRig) few(n int) int {
	if r.brief {
		n /= 4
	}
	return r.luck.IntN(n)
}

// inMemory makes a folder that no power cut is asked of.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "torture-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
