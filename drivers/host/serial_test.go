package host

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

// open opens the port at path.
func open(t *testing.T, path string, o SerialOpts) Serial {
	t.Helper()
	s, err := OpenSerial(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestDeadlines runs one table over net.Pipe, whose meaning of a deadline is
// the one that drivers are tested with, and over a real port.
func TestDeadlines(t *testing.T) {
	soon := func() time.Time { return time.Now().Add(20 * time.Millisecond) }
	late := func() time.Time { return time.Now().Add(time.Minute) }
	past := func() time.Time { return time.Unix(1, 0) }
	timeout := func(t *testing.T, what string, err error) {
		t.Helper()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s = %v, want os.ErrDeadlineExceeded", what, err)
		}
	}
	read := func(l Serial) error { _, err := l.Read(make([]byte, 16)); return err }
	reads := func(t *testing.T, l Serial, far io.Writer, want string) {
		t.Helper()
		go func() { _, _ = io.WriteString(far, want) }()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(l, got); err != nil || string(got) != want {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
	}
	ended := func(t *testing.T, l Serial) {
		t.Helper()
		for what, err := range map[string]error{
			"Read": read(l), "SetReadDeadline": l.SetReadDeadline(late()), "SetWriteDeadline": l.SetWriteDeadline(late()),
			"Write": func() error { _, err := l.Write([]byte("x")); return err }(),
		} {
			if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s = %v, want the end of the line", what, err)
			}
		}
	}
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, l Serial, far io.ReadWriteCloser)
	}{
		{"a read deadline in the past counts at once", func(t *testing.T, l Serial, _ io.ReadWriteCloser) {
			_ = l.SetReadDeadline(past())
			timeout(t, "Read", read(l))
			timeout(t, "second Read", read(l))
		}},
		{"a read deadline wakes a read", func(t *testing.T, l Serial, _ io.ReadWriteCloser) {
			_ = l.SetReadDeadline(soon())
			timeout(t, "Read", read(l))
		}},
		{"a deadline moved to the past wakes a read", func(t *testing.T, l Serial, _ io.ReadWriteCloser) {
			_ = l.SetReadDeadline(late())
			time.AfterFunc(20*time.Millisecond, func() { _ = l.SetReadDeadline(past()) })
			timeout(t, "Read", read(l))
		}},
		{"a deadline set on a read that has none wakes it", func(t *testing.T, l Serial, _ io.ReadWriteCloser) {
			time.AfterFunc(20*time.Millisecond, func() { _ = l.SetReadDeadline(past()) })
			timeout(t, "Read", read(l))
		}},
		{"a deadline moved on is not the old one", func(t *testing.T, l Serial, far io.ReadWriteCloser) {
			_ = l.SetReadDeadline(soon())
			_ = l.SetReadDeadline(late())
			time.AfterFunc(40*time.Millisecond, func() { _, _ = far.Write([]byte("x")) })
			if err := read(l); err != nil {
				t.Errorf("Read = %v", err)
			}
		}},
		{"a cleared deadline lets bytes through", func(t *testing.T, l Serial, far io.ReadWriteCloser) {
			_ = l.SetReadDeadline(past())
			timeout(t, "Read", read(l))
			_ = l.SetReadDeadline(time.Time{})
			reads(t, l, far, "later")
		}},
		{"bytes are not lost to a deadline", func(t *testing.T, l Serial, far io.ReadWriteCloser) {
			go func() { _, _ = far.Write([]byte("abc")) }()
			one := make([]byte, 1)
			if _, err := l.Read(one); err != nil {
				t.Fatal(err)
			}
			_ = l.SetReadDeadline(past())
			timeout(t, "Read", read(l))
			_ = l.SetReadDeadline(late())
			rest := make([]byte, 2)
			if _, err := io.ReadFull(l, rest); err != nil || string(one)+string(rest) != "abc" {
				t.Errorf("read %q%q, %v, want abc", one, rest, err)
			}
		}},
		{"a write deadline in the past writes nothing", func(t *testing.T, l Serial, far io.ReadWriteCloser) {
			_ = l.SetWriteDeadline(past())
			n, err := l.Write([]byte("x"))
			timeout(t, "Write", err)
			_ = l.SetWriteDeadline(late())
			go func() { _, _ = l.Write([]byte("y")) }()
			got := make([]byte, 1)
			if _, err := far.Read(got); n != 0 || err != nil || string(got) != "y" {
				t.Errorf("%d bytes written, then %q, %v, want none, then y", n, got, err)
			}
		}},
		{"a write deadline wakes a write that nobody takes", func(t *testing.T, l Serial, _ io.ReadWriteCloser) {
			_ = l.SetWriteDeadline(soon())
			n, err := l.Write(make([]byte, 1<<20))
			timeout(t, "Write", err)
			if n < 0 || n >= 1<<20 {
				t.Errorf("%d bytes written, want some of a megabyte", n)
			}
		}},
		{"a write deadline moved to the past wakes a write", func(t *testing.T, l Serial, _ io.ReadWriteCloser) {
			time.AfterFunc(20*time.Millisecond, func() { _ = l.SetWriteDeadline(past()) })
			_, err := l.Write(make([]byte, 1<<20))
			timeout(t, "Write", err)
		}},
		{"a read deadline is not a write deadline", func(t *testing.T, l Serial, far io.ReadWriteCloser) {
			_ = l.SetReadDeadline(past())
			go func() { _, _ = far.Read(make([]byte, 1)) }()
			if _, err := l.Write([]byte("x")); err != nil {
				t.Errorf("Write = %v", err)
			}
		}},
		{"Close wakes a read and ends all", func(t *testing.T, l Serial, _ io.ReadWriteCloser) {
			time.AfterFunc(20*time.Millisecond, func() { _ = l.Close() })
			if err := read(l); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read = %v, want the end of the line", err)
			}
			ended(t, l)
		}},
		{"Close ends all, bytes that wait too", func(t *testing.T, l Serial, far io.ReadWriteCloser) {
			go func() { _, _ = far.Write([]byte("abc")) }()
			if _, err := l.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			_ = l.Close()
			ended(t, l)
		}},
		{"the far end's end wakes a read and ends all", func(t *testing.T, l Serial, far io.ReadWriteCloser) {
			time.AfterFunc(20*time.Millisecond, func() { _ = far.Close() })
			if err := read(l); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read = %v, want the end of the line", err)
			}
			ended(t, l)
		}},
	} {
		t.Run("pipe/"+tt.name, func(t *testing.T) {
			t.Parallel()
			l, far := net.Pipe()
			defer far.Close()
			defer l.Close()
			tt.run(t, l, far)
		})
		t.Run("port/"+tt.name, func(t *testing.T) {
			t.Parallel()
			far, path := pty(t)
			l := open(t, path, SerialOpts{})
			tt.run(t, l, far)
			_ = far.Close() // before the port: it frees a write that blocks
		})
	}
}

func TestAPortIsEightBitClean(t *testing.T) {
	far, path := pty(t)
	if _, err := far.Write([]byte("said before anybody listened\r")); err != nil {
		t.Fatal(err)
	}
	l := open(t, path, SerialOpts{Baud: 57600})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	// What the far end finds first is the echo of its own words: the line was
	// cooked before the port was opened (simulator/front does not let it be).
	_ = far.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	_, _ = io.Copy(io.Discard, far)
	_ = far.SetReadDeadline(time.Time{})

	for _, dir := range []struct {
		name     string
		from, to io.ReadWriter
	}{{"to the device", l, far}, {"from the device", far, l}} {
		if _, err := dir.from.Write(all); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(all))
		if _, err := io.ReadFull(dir.to, got); err != nil || string(got) != string(all) {
			t.Errorf("%s: %v, got % X", dir.name, err, got)
		}
	}
}

func TestBaud(t *testing.T) {
	far, path := pty(t)
	l := open(t, path, SerialOpts{Baud: 57600})
	if got := speed(t, far); got != unix.B57600 {
		t.Errorf("opened at %o, want %o", got, unix.B57600)
	}
	if err := l.(wire.BaudSetter).SetBaud(115200); err != nil {
		t.Fatal(err)
	}
	if got := speed(t, far); got != unix.B115200 {
		t.Errorf("set to %o, want %o", got, unix.B115200)
	}
	for _, baud := range []int{-1, 0, 49, 4_000_001} {
		if l.(wire.BaudSetter).SetBaud(baud) == nil {
			t.Errorf("SetBaud(%d) = nil, want an error", baud)
		}
	}
	_ = far.Close()
	if err := l.(wire.BaudSetter).SetBaud(9600); !errors.Is(err, hal.ErrGone) {
		t.Errorf("SetBaud of an unplugged port = %v, want hal.ErrGone", err)
	}
	_ = l.Close()
	if err := l.(wire.BaudSetter).SetBaud(9600); err == nil {
		t.Error("SetBaud of a closed port = nil, want an error")
	}
}

func TestAPortThatIsUnpluggedIsGone(t *testing.T) {
	t.Run("while it is read", func(t *testing.T) {
		far, path := pty(t)
		l := open(t, path, SerialOpts{})
		time.AfterFunc(10*time.Millisecond, func() { _ = far.Close() })
		if _, err := wire.Read(t.Context(), l, make([]byte, 1), 0); !errors.Is(err, hal.ErrGone) {
			t.Errorf("Read = %v, want hal.ErrGone", err)
		}
	})
	t.Run("while it is written to", func(t *testing.T) {
		far, path := pty(t)
		l := open(t, path, SerialOpts{})
		time.AfterFunc(10*time.Millisecond, func() { _ = far.Close() })
		if err := wire.Write(t.Context(), l, make([]byte, 1<<20), 0); !errors.Is(err, hal.ErrGone) {
			t.Errorf("Write = %v, want hal.ErrGone", err)
		}
	})
	t.Run("while nobody does anything", func(t *testing.T) {
		far, path := pty(t)
		l := open(t, path, SerialOpts{}).(*port)
		_ = far.Close()
		<-l.done
		if !errors.Is(l.SetReadDeadline(time.Time{}), hal.ErrGone) {
			t.Error("SetReadDeadline of an unplugged port is no hal.ErrGone")
		}
		if _, err := OpenSerial(t.Context(), path, SerialOpts{}); !errors.Is(err, hal.ErrGone) {
			t.Errorf("OpenSerial = %v, want hal.ErrGone", err)
		}
	})
}

func TestAWriteThatNobodyTakesLosesThePort(t *testing.T) {
	far, path := pty(t)
	l := open(t, path, SerialOpts{})
	if err := wire.Write(t.Context(), l, make([]byte, 1<<20), 10*time.Millisecond); !errors.Is(err, wire.ErrTimeout) {
		t.Fatalf("Write = %v, want wire.ErrTimeout", err)
	}
	if err := wire.Write(t.Context(), l, []byte("x"), 0); !errors.Is(err, hal.ErrGone) {
		t.Errorf("next Write = %v, want hal.ErrGone", err)
	}
	if _, err := wire.Read(t.Context(), l, make([]byte, 1), 0); !errors.Is(err, hal.ErrGone) {
		t.Errorf("Read = %v, want hal.ErrGone", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	// The kernel still holds the write that was given up, and keeps a new one
	// waiting behind it until the device takes bytes again.
	again := open(t, path, SerialOpts{})
	drained := make(chan struct{})
	go func() { defer close(drained); _, _ = io.Copy(io.Discard, far) }()
	if err := wire.Write(t.Context(), again, []byte("x"), 0); err != nil {
		t.Errorf("Write of the port opened again = %v", err)
	}
	_ = far.Close()
	<-drained
}

func TestOpenSerialSaysWhy(t *testing.T) {
	for _, tt := range []struct {
		name, addr, want string
		gone             bool
	}{
		{"nothing there", t.TempDir() + "/tty", "no such file", true},
		{"no serial port", "/dev/null", "it is no serial port", false},
		{"no USB device", "FFFF:FFFE:nowhere", "no serial port FFFF:FFFE:nowhere is plugged in", true},
		{"no far end", "unix:" + t.TempDir() + "/s", "no such file", true},
		{"another machine", "tcp:192.0.2.1:3333", "insecure: true", false},
		{"another machine by name", "tcp:example.com:3333", "insecure: true", false},
		{"a bus", "i2c:1", "want /dev/NAME", false},
	} {
		_, err := OpenSerial(t.Context(), tt.addr, SerialOpts{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, hal.ErrGone) != tt.gone {
			t.Errorf("%s: error = %v, want %q, gone %v", tt.name, err, tt.want, tt.gone)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, path := pty(t)
	if _, err := OpenSerial(ctx, path, SerialOpts{}); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenSerial after the end = %v, want context.Canceled", err)
	}
	if _, err := OpenSerial(t.Context(), path, SerialOpts{Baud: 5}); err == nil {
		t.Error("5 baud are accepted")
	}
}

func TestSerialOverSockets(t *testing.T) {
	for _, tt := range []struct{ name, network, at, addr string }{
		{"unix", "unix", t.TempDir() + "/s", "unix:"},
		{"tcp", "tcp", "127.0.0.1:0", "tcp:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen(tt.network, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			l := open(t, tt.addr+ln.Addr().String(), SerialOpts{})
			far, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			if err := wire.Write(t.Context(), l, []byte("hello"), 0); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(far, got); err != nil || string(got) != "hello" {
				t.Errorf("far end read %q, %v", got, err)
			}
			_ = far.Close()
			if _, err := wire.Read(t.Context(), l, got, 0); !errors.Is(err, hal.ErrGone) {
				t.Errorf("Read = %v, want hal.ErrGone", err)
			}
		})
	}
}
