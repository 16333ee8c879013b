package eventlog_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	. "github.com/digital-sentinel/sentinel/agent/eventlog"
)

// TestMain is also the child that TestKilled kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("EVENTLOG_CHILD"); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

// child appends events for ever from the number in EVENTLOG_FROM on, and prints
// each number when it is on the disk. As a queue does after a crash, it begins
// with some that were asked for before. Files are small, so that it is killed
// while they are begun and packed, too.
func child(dir string) {
	from, err := strconv.ParseUint(os.Getenv("EVENTLOG_FROM"), 10, 64)
	if err != nil {
		panic(err)
	}
	now := func() checkin.Stamp { return checkin.Stamp{Wall: noon, Trusted: true} }
	l, err := Open(Small(Opts{Dir: dir, Now: now}, 3000))
	if err != nil {
		panic(err)
	}
	for seq := from - min(from, 5); ; seq += 2 {
		if err := l.Append(event(seq, now()), event(seq+1, now())); err != nil {
			panic(err)
		}
		fmt.Println(seq + 1)
	}
}

// TestKilled kills a process that appends with SIGKILL, again and again on the
// same log: what was acknowledged is read, once, and nothing is damaged.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	kills, next := 25, uint64(0)
	if testing.Short() {
		kills = 5
	}
	for range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "EVENTLOG_CHILD="+dir, fmt.Sprint("EVENTLOG_FROM=", next))
		var words strings.Builder
		cmd.Stderr = &words
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		if !in.Scan() { // it has begun
			t.Fatalf("the child says nothing: %s", words.String())
		}
		kill := time.AfterFunc(time.Duration(rand.IntN(30_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		for ok := true; ok; ok = in.Scan() {
			seq, err := strconv.ParseUint(in.Text(), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			next = max(next, seq+1)
		}
		kill.Stop()
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("the child ended by itself: %v: %s", err, words.String())
		}
	}
	got, damaged := read(t, dir)
	slices.Sort(got)
	var want []uint64
	for seq := range next {
		want = append(want, seq)
	}
	// The last call may be there without its acknowledgement.
	if lost := len(want) > len(got) || !slices.Equal(got[:len(want)], want); lost || len(got) > len(want)+2 || damaged > 0 {
		t.Fatalf("%d acknowledged, %d read, %d damaged", len(want), len(got), damaged)
	}
	t.Logf("%d kills, %d events acknowledged, all of them read once, in %d files", kills, len(want), len(files(t, dir)))
}
