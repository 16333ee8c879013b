package host

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/digital-sentinel/sentinel/hal"
)

// device is a port of the library as a test wishes it, on channels only.
type device struct {
	reads  func(p []byte) (int, error)
	writes func(p []byte) (int, error)
	closes func() error
}

func (d *device) Read(p []byte) (int, error) {
	if d.reads == nil {
		time.Sleep(tick) // its time-out
		return 0, nil
	}
	return d.reads(p)
}
func (d *device) Write(p []byte) (int, error) { return d.writes(p) }
func (d *device) Close() error {
	if d.closes == nil {
		return nil
	}
	return d.closes()
}

func TestAReadThatTimesOutIsNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		p := newPort("x", &device{reads: func(b []byte) (int, error) {
			time.Sleep(tick)
			switch n++; n {
			case 1, 2:
				return 0, nil
			case 3:
				return 0, unix.EINTR
			case 4:
				return copy(b, "late"), nil
			}
			return 0, nil
		}})
		defer p.Close()
		got := make([]byte, 16)
		if n, err := p.Read(got); err != nil || string(got[:n]) != "late" {
			t.Errorf("Read = %q, %v, want late", got[:n], err)
		}
	})
}

func TestAShortOrInterruptedWriteIsCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []byte
		p := newPort("x", &device{writes: func(b []byte) (int, error) {
			if len(got) == 3 {
				got = append(got, b[0])
				return 1, unix.EINTR
			}
			got = append(got, b[0])
			return 1, nil
		}})
		defer p.Close()
		if n, err := p.Write([]byte("abcdef")); n != 6 || err != nil || string(got) != "abcdef" {
			t.Errorf("Write = %d, %v; the device got %q", n, err, got)
		}
	})
}

func TestAWriteErrorLosesThePort(t *testing.T) {
	for name, write := range map[string]func([]byte) (int, error){
		"an error":    func([]byte) (int, error) { return 0, unix.EIO },
		"no progress": func([]byte) (int, error) { return 0, nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPort("x", &device{writes: write})
			defer p.Close()
			if _, err := p.Write([]byte("abc")); !errors.Is(err, hal.ErrGone) {
				t.Errorf("%s: Write = %v, want hal.ErrGone", name, err)
			}
			if _, err := p.Read(make([]byte, 1)); !errors.Is(err, hal.ErrGone) {
				t.Errorf("%s: Read = %v, want hal.ErrGone", name, err)
			}
		})
	}
}

// A context that ends while a healthy write is under way must not cost a port.
func TestAWriteThatEndsJustAfterItsDeadlineIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPort("x", &device{writes: func(b []byte) (int, error) {
			time.Sleep(15 * time.Millisecond)
			return len(b), nil
		}})
		defer p.Close()
		_ = p.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		if n, err := p.Write([]byte("abc")); n != 3 || err != nil {
			t.Errorf("Write = %d, %v, want 3 bytes", n, err)
		}
		_ = p.SetWriteDeadline(time.Time{})
		if _, err := p.Write([]byte("abc")); err != nil {
			t.Errorf("next Write = %v", err)
		}
	})
}

func TestCloseDoesNotHang(t *testing.T) {
	t.Run("when the kernel keeps a write", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			unplugged := make(chan struct{})
			p := newPort("x", &device{writes: func([]byte) (int, error) {
				<-unplugged
				return 0, unix.EIO
			}})
			_ = p.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := p.Write([]byte("abc")); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write = %v, want os.ErrDeadlineExceeded", err)
			}
			if err := p.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
			close(unplugged)
		})
	})
	t.Run("when the kernel keeps the close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			p := newPort("x", &device{closes: func() error { time.Sleep(30 * time.Second); return nil }})
			if err := p.Close(); err == nil || !strings.Contains(err.Error(), "does not let go") {
				t.Errorf("Close = %v, want word of the kernel", err)
			}
			if d := time.Since(start); d != closeLimit { // virtual time
				t.Errorf("Close took %v, want %v", d, closeLimit)
			}
			if err := p.Close(); err == nil {
				t.Error("second Close = nil, want the same error")
			}
			time.Sleep(time.Minute)
		})
	})
	t.Run("and the reader has gone before the descriptor", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			reading := false
			p := newPort("x", &device{
				reads:  func([]byte) (int, error) { reading = true; time.Sleep(tick); reading = false; return 0, nil },
				closes: func() error { return map[bool]error{true: errors.New("closed under a read")}[reading] },
			})
			time.Sleep(tick / 2)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestTwoWritersTakeTurns(t *testing.T) {
	var got []byte
	p := newPort("x", &device{writes: func(b []byte) (int, error) { got = append(got, b...); return len(b), nil }})
	defer p.Close()
	ended := make(chan struct{})
	for _, s := range []string{"aaaa", "bbbb"} {
		go func() { _, _ = p.Write([]byte(s)); ended <- struct{}{} }()
	}
	<-ended
	<-ended
	if s := string(got); s != "aaaabbbb" && s != "bbbbaaaa" {
		t.Errorf("the device got %q", s)
	}
}
