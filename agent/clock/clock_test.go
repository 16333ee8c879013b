package clock_test

import (
	"context"
	"net"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var day = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// fixed is a clock that stands at 8 o'clock, an hour after boot.
func fixed() *clock.Clock {
	return &clock.Clock{
		Wall: func() time.Time { return day }, Boot: func() time.Duration { return time.Hour }, BootID: "b",
		Floor: day.Add(-24 * time.Hour), Trusted: true,
	}
}

func TestStamp(t *testing.T) {
	c := fixed()
	shanghai := time.FixedZone("UTC+8", 8*3600)
	c.Wall = func() time.Time { return day.In(shanghai) }
	want := checkin.Stamp{Wall: day, Boot: time.Hour, BootID: "b", Trusted: true}
	got := c.Stamp()
	if diff := cmp.Diff(want, got); diff != "" || got.Wall.Location() != time.UTC {
		t.Errorf("Stamp() in %v (-want +got):\n%s", got.Wall.Location(), diff)
	}
	if !c.Now().Equal(day) {
		t.Errorf("Now() = %v, want %v", c.Now(), day)
	}
}

// TestAStampOfAClockThatJumps: what the platform has said is stamped, whatever
// the wall clock is set to; before it has said anything, nothing is trusted.
func TestAStampOfAClockThatJumps(t *testing.T) {
	for _, wall := range []time.Time{
		day, day.Add(time.Hour), day.Add(-time.Hour), day.AddDate(10, 0, 0), day.AddDate(-10, 0, 0),
		time.Unix(0, 0), time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC),
	} {
		c := &clock.Clock{Wall: func() time.Time { return wall }, Boot: func() time.Duration { return time.Hour }, BootID: "b"}
		if s := c.Stamp(); s.Trusted || !s.Wall.Equal(wall) {
			t.Errorf("a wall clock that nobody vouches for, at %v: stamped %v, trusted %v", wall, s.Wall, s.Trusted)
		}
		c.Answered(day, time.Second)
		if s := c.Stamp(); !s.Trusted || s.Wall.Sub(day).Abs() > 5*time.Second {
			t.Errorf("the platform has said %v, and the wall clock %v: stamped %v, trusted %v", day, wall, s.Wall, s.Trusted)
		}
	}
}

func TestBelievable(t *testing.T) {
	for _, tt := range []struct {
		name string
		wall time.Time
		want bool
	}{
		{"a battery that is empty", time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC), false},
		{"well before the floor", day.Add(-time.Hour), false},
		{"the floor itself", day, true},
		{"later", day.Add(time.Hour), true},
	} {
		c := clock.Clock{Wall: func() time.Time { return tt.wall }, Boot: func() time.Duration { return 0 }, Floor: day, Trusted: true}
		if c.Believable() != tt.want || c.Stamp().Trusted != tt.want {
			t.Errorf("%s: believable %v, stamped as trusted %v, want %v", tt.name, c.Believable(), c.Stamp().Trusted, tt.want)
		}
	}
	if c := (clock.Clock{Wall: time.Now}); c.Believable() {
		t.Error("a wall clock that nobody vouches for is believable")
	}
}

// TestTheSystemsClock: what a kernel gives; two clocks of one boot agree.
func TestTheSystemsClock(t *testing.T) {
	c := clock.System(day)
	if d := time.Since(c.Now()); d < 0 || d > time.Minute {
		t.Errorf("Now() is %v ago", d)
	}
	first := c.Boot()
	if second := c.Boot(); first < 0 || second < first {
		t.Errorf("Boot() = %v, then %v, want a time that does not go back", first, second)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(c.BootID) {
		t.Errorf("BootID = %q, want a UUID without a line end", c.BootID)
	}
	if !c.Floor.Equal(day) {
		t.Errorf("Floor = %v, want %v", c.Floor, day)
	}
}

// bench is what a clock follows.
type bench struct {
	path   string
	say    chan string   // to whoever follows
	heard  chan struct{} // closed when somebody does
	hungUp chan struct{} // closed when he has gone
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{filepath.Join(t.TempDir(), "clock"), make(chan string), make(chan struct{}), make(chan struct{})}
	l, err := net.Listen("unix", b.path)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		close(b.heard)
		all.Go(func() {
			_, _ = conn.Read(make([]byte, 1))
			close(b.hungUp)
		})
		for words := range b.say {
			_, _ = conn.Write([]byte(words))
		}
	})
	t.Cleanup(func() {
		close(b.say)
		_ = l.Close()
		all.Wait()
	})
	return b
}

// stands waits until the clock stands so far ahead: the socket is a real one.
func stands(t *testing.T, c *clock.Clock, want time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); c.Now().Sub(day) != want; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("the clock stands %v ahead, want %v", c.Now().Sub(day), want)
		}
	}
}

func TestABenchMovesTheClock(t *testing.T) {
	b, c := newBench(t), fixed()
	go func() { b.say <- "offset 0s\n" }()
	if err := c.Follow(t.Context(), b.path); err != nil {
		t.Fatal(err)
	}
	stands(t, c, 0)
	for _, tt := range []struct {
		line string
		want time.Duration
	}{
		{"offset 48h\n", 48 * time.Hour},
		{"offset -48h30m\n", -48*time.Hour - 30*time.Minute}, // not added up, and back as well
		{"offset 1s\noffset 2s\n", 2 * time.Second},
	} {
		b.say <- tt.line
		stands(t, c, tt.want)
	}
	b.say <- "offset -25h\n"
	stands(t, c, -25*time.Hour)
	if c.Believable() || c.Stamp().Boot != time.Hour {
		t.Error("a clock before its floor is believed, or the boot time moves with it")
	}
	b.say <- "offset tomorrow\noffset 9h\n"
	<-b.hungUp // a bench gone mad is not followed
	stands(t, c, -25*time.Hour)
}

// TestABenchIsFollowedUntilTheEnd of the context, and the clock stays.
func TestABenchIsFollowedUntilTheEnd(t *testing.T) {
	b, c := newBench(t), fixed()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { b.say <- "offset 3h\n" }()
	if err := c.Follow(ctx, b.path); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-b.hungUp
	stands(t, c, 3*time.Hour)
}

func TestBenchesThatAreNone(t *testing.T) {
	for name, line := range map[string]string{
		"another word":      "ahead 3s\n",
		"no unit":           "offset 3\n",
		"no time":           "offset \n",
		"a very long line":  "offset " + strings.Repeat("9", 1<<17) + "s\n",
		"a time beyond all": "offset 9999999h\n",
	} {
		t.Run(name, func(t *testing.T) {
			b, c := newBench(t), fixed()
			go func() { b.say <- line }()
			if err := c.Follow(t.Context(), b.path); err == nil || !strings.HasPrefix(err.Error(), "clock: ") {
				t.Errorf("Follow() = %v, want an error of the clock", err)
			}
			<-b.hungUp
			stands(t, c, 0)
		})
	}
}

func TestNoBench(t *testing.T) {
	c := fixed()
	if err := c.Follow(t.Context(), filepath.Join(t.TempDir(), "nobody")); err == nil {
		t.Error("Follow() of a socket that is not there gives no error")
	}
	stands(t, c, 0)
}

// TestABenchThatSaysNothing: the end of the context ends the wait.
func TestABenchThatSaysNothing(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-b.heard
		cancel()
	}()
	if err := fixed().Follow(ctx, b.path); err == nil {
		t.Error("Follow() of a silent bench gives no error")
	}
}
