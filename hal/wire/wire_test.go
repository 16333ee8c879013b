package wire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

// lines gives both ends of a line in a bubble and closes them at its end.
func lines(t *testing.T, f func(t *testing.T, near, far net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		f(t, near, far)
		_, _ = near.Close(), far.Close()
		time.Sleep(time.Minute) // whoever sleeps at the far end finds it closed
	})
}

func TestReadTakesWhatIsThere(t *testing.T) {
	lines(t, func(t *testing.T, near, far net.Conn) {
		go func() {
			time.Sleep(time.Second)
			_, _ = far.Write([]byte("first"))
			_, _ = far.Write([]byte("second"))
		}()
		var buf [8]byte
		start := time.Now()
		for _, want := range []string{"first", "second"} {
			n, err := wire.Read(t.Context(), near, buf[:], 2*time.Second)
			if got := string(buf[:n]); got != want || err != nil {
				t.Errorf("Read() = %q, %v, want %q", got, err, want)
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want no longer than the far end's second", took)
		}
	})
}

// TestHowACallEnds: each way to wait in vain, and the error it gives.
func TestHowACallEnds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit time.Duration // of the call
		ends  time.Duration // of the context; 0: it does not
		cut   time.Duration // when the far end hangs up; 0: it does not
		want  error
		took  time.Duration
	}{
		{"the limit passes", time.Second, 0, 0, wire.ErrTimeout, time.Second},
		{"the limit passes before the context ends", time.Second, time.Minute, 0, wire.ErrTimeout, time.Second},
		{"the context ends before the limit", time.Hour, time.Second, 0, context.DeadlineExceeded, time.Second},
		{"the context ends and there is no limit", 0, 3 * time.Second, 0, context.DeadlineExceeded, 3 * time.Second},
		{"the far end hangs up", time.Minute, 0, time.Second, hal.ErrGone, time.Second},
		{"the far end hangs up and there is no limit", 0, 0, 2 * time.Second, hal.ErrGone, 2 * time.Second},
	} {
		for call, do := range map[string]func(context.Context, wire.Line) error{
			"read": func(ctx context.Context, l wire.Line) error {
				n, err := wire.Read(ctx, l, make([]byte, 8), tt.limit)
				if n != 0 {
					t.Errorf("%s: %d bytes of nothing", tt.name, n)
				}
				return err
			},
			"write": func(ctx context.Context, l wire.Line) error { return wire.Write(ctx, l, []byte("x"), tt.limit) },
		} {
			t.Run(tt.name+", "+call, func(t *testing.T) {
				lines(t, func(t *testing.T, near, far net.Conn) {
					ctx := t.Context()
					if tt.ends > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, tt.ends)
						defer cancel()
					}
					if tt.cut > 0 {
						time.AfterFunc(tt.cut, func() { _ = far.Close() })
					}
					start := time.Now()
					err := do(ctx, near)
					if took := time.Since(start); !errors.Is(err, tt.want) || took != tt.took {
						t.Errorf("%v after %v, want %v after %v", err, took, tt.want, tt.took)
					}
					if errors.Is(err, hal.ErrGone) != (tt.want == hal.ErrGone) {
						t.Errorf("%v: a line that is only slow is no line that is lost", err)
					}
				})
			})
		}
	}
}

// TestAWriteIsAlwaysBounded: a peer that stops draining must not hang a gate.
func TestAWriteIsAlwaysBounded(t *testing.T) {
	lines(t, func(t *testing.T, near, far net.Conn) {
		go func() { _, _ = io.ReadFull(far, make([]byte, 2)) }() // and no more
		start := time.Now()
		err := wire.Write(t.Context(), near, []byte("four"), 0)
		if took := time.Since(start); !errors.Is(err, wire.ErrTimeout) || took != 5*time.Second {
			t.Errorf("Write() = %v after %v, want ErrTimeout after 5s", err, took)
		}
	})
}

// TestAnEndedContextTouchesNothing: not even a deadline.
func TestAnEndedContextTouchesNothing(t *testing.T) {
	why := errors.New("gone home")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	l := broken{deadline: errors.New("touched")}
	for name, err := range map[string]error{
		"Read":  second(wire.Read(ctx, l, make([]byte, 1), time.Second)),
		"Write": wire.Write(ctx, l, []byte("x"), time.Second),
		"Drain": second(wire.Drain(ctx, l, time.Second, time.Minute)),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s() = %v, want context.Canceled", name, err)
		}
	}
}

// TestALostLine: whatever a line fails with is told, and is the loss of the
// device; the bytes that came with it are not lost.
func TestALostLine(t *testing.T) {
	unplugged := errors.New("input/output error")
	for name, l := range map[string]broken{
		"that takes no deadline": {deadline: unplugged},
		"that fails":             {fails: unplugged},
	} {
		for call, err := range map[string]error{
			"Read":  second(wire.Read(t.Context(), l, make([]byte, 8), time.Second)),
			"Write": wire.Write(t.Context(), l, []byte("x"), time.Second),
			"Drain": second(wire.Drain(t.Context(), l, time.Second, time.Minute)),
		} {
			if !errors.Is(err, hal.ErrGone) || !errors.Is(err, unplugged) {
				t.Errorf("%s() of a line %s = %v, want hal.ErrGone and its cause", call, name, err)
			}
		}
	}
	n, err := wire.Read(t.Context(), broken{fails: unplugged, last: 3}, make([]byte, 8), time.Second)
	if n != 3 || err != nil {
		t.Errorf("Read() = %d, %v, want the last 3 bytes first", n, err)
	}
}

// TestALateWakeUpSpoilsNothing: a context that ends in the same moment as its
// call must leave no deadline behind for the next one.
func TestALateWakeUpSpoilsNothing(t *testing.T) {
	lines(t, func(t *testing.T, near, far net.Conn) {
		go func() {
			for {
				time.Sleep(time.Second)
				if _, err := far.Write([]byte("x")); err != nil {
					return
				}
			}
		}()
		for range 300 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := wire.Read(ctx, near, make([]byte, 1), 0)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Read() = %v, want a byte or the context's end", err)
			}
			if n, err := wire.Read(t.Context(), near, make([]byte, 1), 0); n != 1 {
				t.Fatalf("the next Read() = %d, %v, want a byte", n, err)
			}
		}
	})
}

// TestDirectionsAreApart: a read that waits does not shorten a write.
func TestDirectionsAreApart(t *testing.T) {
	lines(t, func(t *testing.T, near, far net.Conn) {
		read := make(chan error)
		go func() { read <- second(wire.Read(t.Context(), near, make([]byte, 1), time.Second)) }()
		time.AfterFunc(3*time.Second, func() { _, _ = io.ReadFull(far, make([]byte, 1)) })
		if err := wire.Write(t.Context(), near, []byte("x"), 4*time.Second); err != nil {
			t.Errorf("Write() = %v, want nil after 3s", err)
		}
		if err := <-read; !errors.Is(err, wire.ErrTimeout) {
			t.Errorf("Read() = %v, want ErrTimeout", err)
		}
	})
}

func TestDrain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pieces int           // of 700 bytes
		apart  time.Duration // from each other
		want   int
		took   time.Duration
	}{
		{"a quiet line", 0, 0, 0, 100 * time.Millisecond},
		{"what is waiting", 2, 0, 1400, 100 * time.Millisecond},
		{"what is still coming", 3, 90 * time.Millisecond, 2100, 280 * time.Millisecond},
		{"not what comes after", 3, 110 * time.Millisecond, 700, 100 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines(t, func(t *testing.T, near, far net.Conn) {
				go func() {
					for range tt.pieces {
						if _, err := far.Write(make([]byte, 700)); err != nil {
							return
						}
						time.Sleep(tt.apart)
					}
				}()
				start := time.Now()
				n, err := wire.Drain(t.Context(), near, 100*time.Millisecond, time.Minute)
				if took := time.Since(start); n != tt.want || err != nil || took != tt.took {
					t.Errorf("Drain() = %d, %v after %v, want %d after %v", n, err, took, tt.want, tt.took)
				}
			})
		})
	}
}

// TestALineThatNeverFallsQuiet is given up after a megabyte, and is not gone.
func TestALineThatNeverFallsQuiet(t *testing.T) {
	n, err := wire.Drain(t.Context(), babbler{}, time.Second, time.Hour)
	if err == nil || errors.Is(err, hal.ErrGone) || n <= 1<<20 || n > 1<<20+512 {
		t.Errorf("Drain() = %d, %v, want an error after 1 MB", n, err)
	}
}

// TestALineThatBabblesIsGivenUpInTime: a slow babbler never says a megabyte.
func TestALineThatBabblesIsGivenUpInTime(t *testing.T) {
	lines(t, func(t *testing.T, near, far net.Conn) {
		go func() {
			for _, err := far.Write([]byte{0}); err == nil; _, err = far.Write([]byte{0}) {
				time.Sleep(50 * time.Millisecond)
			}
		}()
		start := time.Now()
		_, err := wire.Drain(t.Context(), near, 100*time.Millisecond, 2*time.Second)
		if took := time.Since(start); err == nil || errors.Is(err, hal.ErrGone) || took > 2100*time.Millisecond {
			t.Errorf("Drain() = %v after %v, want an error after two seconds", err, took)
		}
	})
}

func second(_ int, err error) error { return err }

// broken is a line that fails.
type broken struct {
	deadline, fails error
	last            int // bytes that a read gives beside its error
}

func (b broken) Read([]byte) (int, error)         { return b.last, b.fails }
func (b broken) Write([]byte) (int, error)        { return 0, b.fails }
func (b broken) SetReadDeadline(time.Time) error  { return b.deadline }
func (b broken) SetWriteDeadline(time.Time) error { return b.deadline }

// babbler never ends.
type babbler struct{}

func (babbler) Read(p []byte) (int, error)       { return len(p), nil }
func (babbler) Write(p []byte) (int, error)      { return len(p), nil }
func (babbler) SetReadDeadline(time.Time) error  { return nil }
func (babbler) SetWriteDeadline(time.Time) error { return nil }
