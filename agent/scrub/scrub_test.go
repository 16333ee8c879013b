package scrub_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/scrub"
)

// TestScrubsWhenPeopleHaveLeft: a moment after the last one, at the latest half
// a minute after the first, and once more; and never without people.
func TestScrubsWhenPeopleHaveLeft(t *testing.T) {
	for _, tt := range []struct {
		name    string
		touched []time.Duration
		want    []time.Duration
	}{
		{"nobody came", nil, nil},
		{"one came", []time.Duration{10 * time.Second}, []time.Duration{13 * time.Second, 22 * time.Second}},
		{"two came, one after the other", []time.Duration{10 * time.Second, 12 * time.Second}, []time.Duration{15 * time.Second, 24 * time.Second}},
		{"somebody came between a scrub and its second", []time.Duration{10 * time.Second, 18 * time.Second},
			[]time.Duration{13 * time.Second, 21 * time.Second, 30 * time.Second}},
		{"the lane is never empty", every(2*time.Second, 40*time.Second),
			[]time.Duration{32 * time.Second, 41 * time.Second, 43 * time.Second, 52 * time.Second}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s scrub.Scrubber
				var got []time.Duration
				start := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go s.Run(ctx, func() { got = append(got, time.Since(start).Round(time.Second)) })
				for _, at := range tt.touched {
					time.Sleep(time.Until(start.Add(at)) - time.Millisecond)
					s.Touched()
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if !slices.Equal(got, tt.want) {
					t.Errorf("scrubbed at %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func every(d, until time.Duration) (all []time.Duration) {
	for at := d; at <= until; at += d {
		all = append(all, at)
	}
	return all
}

// key hides the mark in this test's own variables: only leave writes it plainly.
const key = 0x5A

// leave leaves a mark on the stack, as a call that handled a card does.
//
//go:noinline
func leave(hidden []byte) byte {
	var above [8 << 10]byte // what is called next reaches no deeper
	copy(above[:], hidden)
	return leave1(above[:len(hidden)])
}

//go:noinline
func leave1(hidden []byte) byte {
	var mark [64]byte
	for i, b := range hidden {
		mark[i] = b ^ key
	}
	return look(&mark)
}

//go:noinline
func look(mark *[64]byte) (sum byte) {
	for _, b := range mark {
		sum += b
	}
	return sum
}

// TestMain is also the child whose stack TestStackIsOverwritten looks at.
func TestMain(m *testing.M) {
	if how := os.Getenv("SCRUB_TEST_CHILD"); how != "" {
		child(how)
		return
	}
	os.Exit(m.Run())
}

// child reads the hidden mark, leaves it on its stack, overwrites it or not, and
// waits to be looked at.
func child(how string) {
	hidden := make([]byte, 64)
	_, _ = io.ReadFull(os.Stdin, hidden)
	scrub.Stack()
	_ = leave(hidden)
	if how == "overwrite" {
		scrub.Stack()
	}
	_, _ = os.Stdout.Write([]byte{'.'})
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestStackIsOverwritten looks for a mark in the memory of a child that has left
// one on its stack; without Stack it is there.
func TestStackIsOverwritten(t *testing.T) {
	if without := marks(t, "leave"); without == 0 {
		t.Error("without Stack the mark is not found: this test sees nothing")
	}
	if n := marks(t, "overwrite"); n != 0 {
		t.Errorf("after Stack the mark is found %d times", n)
	}
}

// marks counts the mark in what a child may write to.
func marks(t *testing.T, how string) (n int) {
	t.Helper()
	mark, hidden := make([]byte, 64), make([]byte, 64)
	_, _ = rand.Read(mark)
	for i := range mark {
		hidden[i] = mark[i] ^ key
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "SCRUB_TEST_CHILD="+how, "GOGC=off") // a collection would move the stack
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Wait() }()
	defer in.Close()
	_, _ = in.Write(hidden)
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	maps, err1 := os.ReadFile(fmt.Sprintf("/proc/%d/maps", c.Process.Pid))
	mem, err2 := os.Open(fmt.Sprintf("/proc/%d/mem", c.Process.Pid))
	if errors.Join(err1, err2) != nil {
		t.Skip("NOT AVAILABLE: the memory of a child process cannot be read here")
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var rights string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil || rights[:2] != "rw" {
			continue
		}
		region := make([]byte, to-from)
		got, _ := io.ReadFull(io.NewSectionReader(mem, int64(from), int64(to-from)), region)
		n += bytes.Count(region[:got], mark)
	}
	return n
}

// BenchmarkMemory measures a scrub of a program with a heap like the kiosk's:
// how long it takes, what it costs of the processor, and how long everything
// stands still for it.
func BenchmarkMemory(b *testing.B) {
	held := make([]*[64]byte, 150_000) // 10 MB in small objects
	for i := range held {
		held[i] = new([64]byte)
	}
	before, cpu := pauses(), used()
	for b.Loop() {
		_ = bytes.Repeat([]byte("left behind"), 1000)
		scrub.Memory()
	}
	b.ReportMetric(float64(used()-cpu)/float64(b.N)/1e6, "cpu-ms/op")
	b.ReportMetric(longest(before, pauses()), "longest-pause-µs")
	runtime.KeepAlive(held)
}

func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func pauses() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(sample)
	h := sample[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: slices.Clone(h.Counts), Buckets: h.Buckets}
}

// longest is the upper bound of the longest pause between two readings, in µs.
func longest(before, after *metrics.Float64Histogram) float64 {
	for i := len(after.Counts) - 1; i >= 0; i-- {
		if after.Counts[i] > before.Counts[i] {
			return after.Buckets[i] * 1e6
		}
	}
	return 0
}
