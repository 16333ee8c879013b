//go:build linux && (amd64 || arm64)

package eventlog_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	. "github.com/digital-sentinel/sentinel/agent/eventlog"
	"github.com/digital-sentinel/sentinel/simulator/flash"
	"github.com/digital-sentinel/sentinel/simulator/flash/flashtest"
)

// TestPowerCuts lets a log live on a bad card: power is cut at any write, sync
// or change of names, syncs and writes fail, and the card is full now and then.
// What was acknowledged is there, once; what is damaged was not acknowledged.
func TestPowerCuts(t *testing.T) {
	lives, cuts := 12, 12
	if testing.Short() {
		lives = 3
	}
	var sum tally
	for life := range lives {
		sum.add(live(t, uint64(life), cuts, false))
	}
	t.Logf("%d cuts, %d failures on order, %d events acknowledged: %d lost, %d twice, %d damaged lines", sum.cuts, sum.failed, sum.acked, sum.lost, sum.twice, sum.damaged)
	if sum.lost > 0 || sum.twice > 0 {
		t.Fail()
	}
	if sum.cuts < lives*cuts || sum.acked < 10*lives {
		t.Errorf("this looks at too little: %+v", sum)
	}
}

// TestPowerCutsFindMissingSyncs is the control: without its syncs the same log
// loses events in the same lives.
func TestPowerCutsFindMissingSyncs(t *testing.T) {
	var sum tally
	for life := range 3 {
		sum.add(live(t, uint64(life), 12, true))
	}
	if sum.lost == 0 {
		t.Errorf("nothing is lost without a sync: %+v", sum)
	}
}

// An agent that was killed between its write and its sync leaves lines that are
// read and are not on the card. The next one must not take them for kept: the
// queue gives away what it is told is there.
func TestWhatIsReadBackIsMadeDurable(t *testing.T) {
	for seed := range uint64(8) {
		card := flashtest.Insert(t, t.TempDir(), flash.Opts{Names: flash.Ordered})
		c, dir := clockAt(noon), filepath.Join(card.Dir(), Folder)
		l := open(t, Opts{Dir: dir, Now: c.now})
		put(t, l, event(1, c.now()))
		path := filepath.Join(dir, l.Stats().File)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		e := event(2, c.now())
		line, err := AppendLine(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(line)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		l = open(t, Opts{Dir: dir, Now: c.now})
		put(t, l, e)
		if s := l.Stats(); s.Repeated != 1 {
			t.Fatalf("it is not seen as a repeat: %+v", s)
		}
		card.Cut(seed)
		_ = l.Close()
		card.Restore()
		wantSeqs(t, dir, 1, 2)
	}
}

// A cut at any step of packing leaves one whole form of the file.
func TestPowerCutWhilePacking(t *testing.T) {
	for n := range 16 {
		for seed := range uint64(8) {
			packAndCut(t, n, seed)
		}
	}
}

// packAndCut cuts the power at the nth change, or for 0 when all is done.
func packAndCut(t *testing.T, n int, seed uint64) {
	t.Helper()
	card := flashtest.Insert(t, t.TempDir(), flash.Opts{Names: flash.Shuffled})
	c, dir := clockAt(noon), filepath.Join(card.Dir(), Folder)
	l := open(t, Small(Opts{Dir: dir, Now: c.now}, 1))
	put(t, l, event(1, c.now()))
	if n > 0 {
		card.CutAfter(n, seed)
	}
	err := l.Append(event(2, c.now())) // begins a file, and has the first one packed
	Settle(l)
	card.Cut(seed)
	_ = l.Close()
	card.Restore()
	got, damaged := read(t, dir)
	if !slices.Contains(got, 1) || err == nil && !slices.Contains(got, 2) {
		t.Fatalf("cut %d, seed %d: %v are left, %d damaged: %v", n, seed, got, damaged, files(t, dir))
	}
	l = open(t, Opts{Dir: dir, Now: c.now})
	Settle(l)
	if got, _ := read(t, dir); !slices.Contains(got, 1) || l.Stats().Err != "" {
		t.Fatalf("cut %d, seed %d: once mended %v are left; %s", n, seed, got, l.Stats().Err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

type tally struct{ cuts, failed, acked, lost, twice, damaged int }

func (s *tally) add(o tally) {
	s.cuts, s.failed, s.acked = s.cuts+o.cuts, s.failed+o.failed, s.acked+o.acked
	s.lost, s.twice, s.damaged = s.lost+o.lost, s.twice+o.twice, s.damaged+o.damaged
}

// unsynced is a file whose syncs do nothing.
type unsynced struct{ Disk }

func (unsynced) Sync() error { return nil }

// live is one card from new, with so many cuts.
func live(t *testing.T, seed uint64, cuts int, lazy bool) tally {
	t.Helper()
	luck := rand.New(rand.NewPCG(seed, 7))
	card := flashtest.Insert(t, t.TempDir(), flash.Opts{Names: flash.Names(luck.IntN(2))})
	c := clockAt(noon)
	o := Small(Opts{Dir: filepath.Join(card.Dir(), Folder), Now: c.now}, 2000)
	if lazy {
		o = On(o, func(name string, flag int, mode os.FileMode) (Disk, error) {
			f, err := os.OpenFile(name, flag, mode)
			return unsynced{f}, err
		})
	}
	var (
		sum   tally
		acked = map[uint64]bool{}
		next  uint64
	)
	for range cuts {
		l, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		switch luck.IntN(4) {
		case 0:
			card.FailSync(1 + luck.IntN(6))
		case 1:
			card.FailWrite(1 + luck.IntN(6))
		case 2:
			card.Limit(card.Stats().Used + 4096)
		}
		card.CutAfter(1+luck.IntN(40), luck.Uint64())
		from := next - min(next, uint64(luck.IntN(5))) // the queue asks again
		for up := true; up; {
			select {
			case <-card.Down():
				up = false
				continue
			default:
			}
			err := l.Append(event(from, c.now()), event(from+1, c.now()))
			switch {
			case err == nil:
				acked[from], acked[from+1] = true, true
				from += 2
				next = max(next, from)
			case card.Stats().Full > 0:
				card.Limit(0) // somebody has made room
			}
		}
		_ = l.Close()
		card.Restore()
		sum.cuts++
		sum.judge(card, acked)
	}
	s := card.Stats()
	sum.failed, sum.acked = s.Failed+s.Full, len(acked)
	return sum
}

// judge reads the log as it is after a cut, before anybody mends it.
func (s *tally) judge(card *flash.FS, acked map[uint64]bool) {
	seen := map[uint64]bool{}
	for e, err := range Read(filepath.Join(card.Dir(), Folder), time.Time{}, time.Time{}) {
		switch {
		case err != nil:
			s.damaged++
		case seen[e.ID.Seq]:
			s.twice++
		}
		if err == nil {
			seen[e.ID.Seq] = true
		}
	}
	for seq := range acked {
		if !seen[seq] {
			s.lost++
		}
	}
}
