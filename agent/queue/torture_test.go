//go:build linux

package queue_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/simulator/flash"
	"github.com/digital-sentinel/sentinel/simulator/flash/flashtest"
)

// The torture of the queue: a child process puts and delivers on a disk that
// fails in every way that a flash card knows, and the parent, which hears every
// promise through a pipe, looks for records that are lost, or there under two
// identities, and for a queue that does not open.
//
//	go test ./agent/queue -run Torture                       a few seconds of each rig
//	go test ./agent/queue -run Torture -v -torture 10m       ten minutes, or SENTINEL_TORTURE=10m
//	go test ./agent/queue -run Torture/eio -torture.seed 7   the numbers of one run again
//
// With the seed of a failure each rig draws the same numbers again. Children
// with several producers still run as the scheduler likes: a failing seed makes
// the failure likely, not certain.
var (
	tortureFor  = flag.Duration("torture", 0, "torture the queue for so long in all; 0 is a few seconds of each rig")
	tortureSeed = flag.Uint64("torture.seed", 0, "seed of the torture; 0 draws one")
)

// TestMain is the child as well.
func TestMain(m *testing.M) {
	if what := os.Getenv(envChild); what != "" {
		os.Exit(childMain(what))
	}
	os.Exit(m.Run())
}

// rigs are the ways of torture.
var rigs = []struct {
	name  string
	card  bool // lies on a card, which takes FUSE
	cycle func(*rig)
}{
	{"kill", false, rigKill},
	{"fuse", true, rigFuse},
	{"eio", true, rigEIO},
	{"fresh", true, rigFresh},
	{"full", true, rigFull},
	{"mix", false, rigMix},
}

// torturing reports whether somebody has said for how long.
func torturing() bool { return *tortureFor > 0 || os.Getenv("SENTINEL_TORTURE") != "" }

// tortureTime is how long one rig, or one control, runs.
func tortureTime(t *testing.T) time.Duration {
	t.Helper()
	if !torturing() {
		return 1500 * time.Millisecond
	}
	total := *tortureFor
	if s := os.Getenv("SENTINEL_TORTURE"); total == 0 {
		var err error
		if total, err = time.ParseDuration(s); err != nil {
			t.Fatalf("SENTINEL_TORTURE: %v", err)
		}
	}
	return total / time.Duration(len(rigs)+len(controls))
}

func seed() uint64 {
	if *tortureSeed != 0 {
		return *tortureSeed
	}
	return rand.Uint64N(1 << 32)
}

// TestTorture runs every rig and prints what it has seen.
func TestTorture(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: torture takes its time")
	}
	each, from := tortureTime(t), seed()
	var scores []*score
	for _, kind := range rigs {
		t.Run(kind.name, func(t *testing.T) {
			r := newRig(t, kind.name, from, kind.card)
			r.verifies = kind.name != "fresh" && kind.name != "mix" // which do it themselves
			r.run(func(ran time.Duration) bool { return ran < each }, kind.cycle)
			scores = append(scores, r.score)
			if r.score.wrong() > 0 {
				t.Errorf("%d lost, %d duplicated, %d unreadable; -torture.seed %d draws the same numbers; first %s",
					r.score.lost, r.score.duplicated, r.score.unreadable, from, r.score.first)
			}
		})
	}
	t.Logf("seed %d\n%s", from, table(scores))
}

func table(scores []*score) string {
	text := fmt.Sprintf("%-10s %8s %11s %9s %6s %11s %11s\n", "rig", "cycles", "cycles/min", "cases", "lost", "duplicated", "unreadable")
	for _, s := range scores {
		text += fmt.Sprintf("%-10s %8d %11.0f %9d %6d %11d %11d\n", s.rig, s.cycles, float64(s.cycles)/s.took.Minutes(), s.cases, s.lost, s.duplicated, s.unreadable)
	}
	return text
}

func newRig(t *testing.T, name string, from uint64, onCard bool) *rig {
	t.Helper()
	salt := uint64(len(name))
	for _, c := range []byte(name) {
		salt = salt*31 + uint64(c)
	}
	r := &rig{
		t: t, dir: t.TempDir(), luck: rand.New(rand.NewPCG(from, salt)), key: authority(t).Recipient().String(),
		score: &score{rig: name}, book: newLedger(),
	}
	if name == "mix" {
		r.dir = inMemory(t)
	}
	if onCard {
		r.card = flashtest.Insert(t, r.dir, flash.Opts{Names: flash.Names(r.luck.IntN(2))})
	}
	return r
}

// A store is verified by itself from time to time, and begun anew after a
// longer time, and after each failure.
const (
	verifyEvery = 20
	renewEvery  = 100
)

func (r *rig) run(more func(ran time.Duration) bool, cycle func(*rig)) {
	began := time.Now()
	for more(time.Since(began)) {
		wrong := r.score.wrong()
		r.score.cycles++
		cycle(r)
		if r.score.cycles%verifyEvery == 0 && r.verifies {
			r.verify()
		}
		if r.score.cycles%renewEvery == 0 || r.score.wrong() > wrong {
			r.renew()
		}
	}
	r.score.took = time.Since(began)
}
