package backend_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// storeEnv makes this test program one that keeps records in the store of that
// name until it is killed.
const storeEnv = "SENTINEL_TEST_STORE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(storeEnv); spec != "" {
		if err := keepUntilKilled(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// keepUntilKilled brings batches from several senders, each from a little before
// where the last life stopped, and prints a line for every record that is
// acknowledged. A fifth is brought twice.
func keepUntilKilled(spec string) error {
	s, err := backend.OpenStore(spec)
	if err != nil {
		return err
	}
	const senders, size = 4, 5
	last := map[string]int{}
	err = s.Records(context.Background(), backend.Checkins, func(r checkin.Record) error {
		last[r.Event.ID.Device] = max(last[r.Event.ID.Device], int(r.Event.ID.Seq))
		return nil
	})
	if err != nil {
		return err
	}
	failed := make(chan error)
	var out sync.Mutex
	for sender := range senders {
		device := fmt.Sprintf("k-%d", sender)
		go func() {
			for from := max(0, last[device]-size); ; from += size {
				batch := backend.Batch{Received: morning, Records: made(device, from, size)}
				for range 1 + min(1, rand.IntN(5)/4) {
					outcomes, err := s.Keep(context.Background(), batch)
					if err != nil {
						failed <- err
						return
					}
					out.Lock()
					for i, o := range outcomes {
						fmt.Printf("%s %d %d\n", device, batch.Records[i].Event.ID.Seq, o)
					}
					out.Unlock()
				}
			}
		}()
	}
	return <-failed
}

// kills is how often TestKilledWhileKeeping kills.
const kills = 12

// TestKilledWhileKeeping kills a program that keeps records, at any moment,
// again and again on the same store. Every record that was acknowledged is
// there, none twice, and what comes again is known.
func TestKilledWhileKeeping(t *testing.T) {
	spec := "bolt:" + filepath.Join(t.TempDir(), "platform.db")
	acked := map[string]bool{}
	for range kills {
		for line := range strings.Lines(killed(t, spec)) {
			var device string
			var seq uint64
			var outcome backend.Outcome
			if n, err := fmt.Sscanf(line, "%s %d %d\n", &device, &seq, &outcome); n != 3 || err != nil {
				continue // the last line may be cut
			}
			id := fmt.Sprintf("%s/e/%d", device, seq)
			if acked[id] && outcome != backend.Repeated {
				t.Fatalf("%s is taken as new a second time", id)
			}
			acked[id] = true
		}
		checkHeld(t, spec, acked)
	}
	if len(acked) < kills*10 {
		t.Errorf("%d records in %d lives: nothing was tried", len(acked), kills)
	}
}

// killed runs the child until it has acknowledged some records and for another
// moment, and gives what it has printed.
func killed(t *testing.T, spec string) string {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), storeEnv+"="+spec)
	child.Stderr = os.Stderr
	pipe, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	enough, lines := 70+rand.IntN(60), bufio.NewScanner(pipe)
	for n := 0; lines.Scan(); n++ {
		text.WriteString(lines.Text() + "\n")
		if n == enough {
			time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() { _ = child.Process.Kill() })
		}
	}
	if err := child.Wait(); err == nil || child.ProcessState.ExitCode() >= 0 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return text.String()
}

// checkHeld compares what a store holds with what was acknowledged. More may be
// there: of a batch whose answer was on its way.
func checkHeld(t *testing.T, spec string, acked map[string]bool) {
	t.Helper()
	s := open(t, spec)
	defer s.Close()
	held := map[string]int{}
	err := s.Records(t.Context(), backend.Checkins, func(r checkin.Record) error {
		held[r.Event.ID.String()]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	lost, twice := 0, 0
	for id := range acked {
		if held[id] == 0 {
			lost++
		}
	}
	for id, n := range held {
		if n > 1 {
			twice++
		}
		acked[id] = true // a later answer for it is a repetition
	}
	if c := count(t, s, backend.Checkins); lost+twice > 0 || c.Records != len(held) || c.Duplicate > 0 {
		t.Fatalf("%d of %d acknowledged records are lost, %d are there twice; %v", lost, len(acked), twice, c)
	}
}
