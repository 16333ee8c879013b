package clock_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/clock"
)

// board is a clock whose boot time and wall time a test moves.
type board struct {
	*clock.Clock
	boot time.Duration
	wall time.Time
}

var built = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func newBoard() *board {
	b := &board{wall: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)}
	b.Clock = &clock.Clock{
		Wall: func() time.Time { return b.wall }, Boot: func() time.Duration { return b.boot },
		BootID: "b", Floor: built,
	}
	return b
}

func at(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, time.UTC) }

func TestInterval(t *testing.T) {
	for _, tt := range []struct {
		name    string
		happens func(b *board)
		lo      time.Time
		width   time.Duration // at most; negative: unbounded
	}{
		{"nothing is known but when it was built", func(*board) {}, built, -1},
		{"a wall clock that nobody vouches for says nothing", func(b *board) { b.wall = at(20, 8) }, built, -1},
		{"a signed time raises lo and bounds nothing", func(b *board) { _ = b.Heard(at(1, 8)) }, at(1, 8), -1},
		{"an older one changes nothing", func(b *board) { _ = b.Heard(at(1, 8)); _ = b.Heard(at(1, 2)) }, at(1, 8), -1},
		{"the platform's answer bounds it", func(b *board) { b.Answered(at(20, 8), time.Second) }, at(20, 8), 3 * time.Second},
		{"time passes, and the bounds part", func(b *board) {
			b.Answered(at(20, 8), time.Second)
			b.boot += 24 * time.Hour
		}, at(21, 8).Add(-18 * time.Second), 40 * time.Second},
		{"a clock that is set back changes nothing", func(b *board) {
			b.Answered(at(20, 8), 0)
			b.wall = at(2, 0)
		}, at(20, 8), 2 * time.Second},
		{"a trusted wall clock bounds it", func(b *board) { b.Trusted, b.wall = true, at(20, 8) }, at(20, 8).Add(-time.Minute), 2 * time.Minute},
		{"a trusted one that contradicts what was signed is not believed", func(b *board) {
			b.Answered(at(20, 8), 0)
			b.Trusted, b.wall = true, at(22, 8)
		}, at(20, 8), 2 * time.Second},
		{"a trusted one before the floor is not believed", func(b *board) { b.Trusted = true }, built, -1},
		{"a signed time beyond hi takes hi along", func(b *board) {
			b.Answered(at(20, 8), 0)
			_ = b.Heard(at(20, 9))
		}, at(20, 9), 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBoard()
			tt.happens(b)
			got := b.Interval()
			if d := got.Lo.Sub(tt.lo); d < -time.Second || d > time.Second {
				t.Errorf("lo = %v, want %v", got.Lo, tt.lo)
			}
			switch width := got.Hi.Sub(got.Lo); {
			case got.Bounded() != (tt.width >= 0):
				t.Errorf("hi = %v, want bounded: %v", got.Hi, tt.width >= 0)
			case got.Bounded() && (width < 0 || width > tt.width):
				t.Errorf("the interval is %v wide, want at most %v", width, tt.width)
			}
		})
	}
}

func TestBest(t *testing.T) {
	for _, tt := range []struct {
		name       string
		wall, want time.Time
	}{
		{"a wall clock that agrees", at(20, 8).Add(time.Second), at(20, 8).Add(time.Second)},
		{"a battery that is empty", time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), at(20, 8)},
		{"a clock that runs ahead", at(28, 0), at(20, 8).Add(2 * time.Second)},
	} {
		b := newBoard()
		b.Answered(at(20, 8), 0)
		b.wall = tt.wall
		if got := b.Best(); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A stolen key that signs tomorrow's year does not lock the doors; and what has
// driven lo ahead all the same is mended by the platform's own answer.
func TestAPoisonedFloor(t *testing.T) {
	b := newBoard()
	b.Answered(at(20, 8), 0)
	if err := b.Heard(at(20, 8).AddDate(1, 0, 0)); !errors.Is(err, clock.ErrJump) {
		t.Errorf("a year ahead: %v, want ErrJump", err)
	}
	for range 3 { // by a day at a time it can be done
		if err := b.Heard(b.Interval().Lo.Add(23 * time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if lo := b.Interval().Lo; lo.Before(at(22, 8)) {
		t.Fatalf("lo = %v: this test poisons nothing", lo)
	}
	path := filepath.Join(t.TempDir(), "clock.json")
	if err := b.Keep(path); err != nil {
		t.Fatal(err)
	}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	if !b.Answered(at(20, 9), time.Second) {
		t.Error("the recovery was not told")
	}
	if i := b.Interval(); !i.Lo.Equal(at(20, 9)) || i.Hi.After(at(20, 9).Add(4*time.Second)) {
		t.Errorf("the interval is %v", i)
	}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	again := newBoard()
	if err := again.Keep(path); err != nil || !again.Interval().Lo.Equal(at(20, 9)) {
		t.Errorf("after a restart lo = %v (%v): the poison is on the disk", again.Interval().Lo, err)
	}
	if b.Answered(at(20, 9), time.Second) {
		t.Error("an ordinary answer was told as a recovery")
	}
}

func TestLoOutlivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock.json")
	b := newBoard()
	if err := b.Keep(path); err != nil {
		t.Fatal(err)
	}
	b.Answered(at(20, 8), 0)
	for range 2 {
		if err := b.Save(); err != nil {
			t.Fatal(err)
		}
	}
	was, _ := os.ReadFile(path)
	b.boot += 5 * time.Minute
	_ = b.Save()
	if now, _ := os.ReadFile(path); string(now) != string(was) {
		t.Error("five minutes are written down")
	}
	again := newBoard()
	again.boot = 10 * time.Minute
	if err := again.Keep(path); err != nil {
		t.Fatal(err)
	}
	if i := again.Interval(); !i.Lo.Equal(at(20, 8)) || !i.Bounded() || i.Hi.Before(at(20, 8).Add(10*time.Minute)) {
		t.Errorf("after a restart in the same boot %v, want both bounds kept", i)
	}
	again = newBoard()
	again.BootID = "c"
	if err := again.Keep(path); err != nil {
		t.Fatal(err)
	}
	if i := again.Interval(); !i.Lo.Equal(at(20, 8)) || i.Bounded() {
		t.Errorf("after a reboot %v, want lo kept and hi unbounded", i)
	}
	if err := os.WriteFile(path, []byte(`{"lo":"yesterday"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newBoard().Keep(path); err == nil {
		t.Error("a spoilt file is not told")
	}
}

// Whatever is heard in whatever order: lo never falls but by an answer of the
// platform, and hi is never before lo.
func TestIntervalHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBoard()
		b.Trusted = rapid.Bool().Draw(t, "trusted")
		last := b.Interval().Lo
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			answered := false
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				_ = b.Heard(built.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "heard")) * time.Hour))
			case 1:
				b.Answered(built.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "answered"))*time.Hour), time.Second)
				answered = true
			case 2:
				b.boot += time.Duration(rapid.IntRange(0, 100).Draw(t, "passed")) * time.Hour
			case 3:
				b.wall = built.Add(time.Duration(rapid.IntRange(-10, 1000).Draw(t, "wall")) * time.Hour)
			}
			i := b.Interval()
			if i.Bounded() && i.Hi.Before(i.Lo) {
				t.Fatalf("hi before lo: %v", i)
			}
			// A trusted wall clock that is moved takes its own part of lo with it.
			if !answered && !b.Trusted && i.Lo.Before(last) {
				t.Fatalf("lo fell from %v to %v", last, i.Lo)
			}
			last = i.Lo
		}
	})
}
