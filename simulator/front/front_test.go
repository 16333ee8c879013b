package front

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.bug.st/serial"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// childPort makes the test binary an agent that opens this port, says so, and
// holds it until it is killed or its standard input ends.
const childPort = "FRONT_TEST_PORT"

func TestMain(m *testing.M) {
	if port := os.Getenv(childPort); port != "" {
		hold(port)
		return
	}
	goleak.VerifyTestMain(m)
}

func hold(port string) {
	p, err := serial.Open(port, &serial.Mode{BaudRate: 9600})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = p.Close()
}

// echo is a device that says everything twice.
func echo(ctx context.Context, line io.ReadWriteCloser) error {
	stop := context.AfterFunc(ctx, func() { _ = line.Close() })
	defer stop()
	buf := make([]byte, 64)
	for {
		n, err := line.Read(buf)
		if n > 0 {
			_, err = line.Write(append(bytes.Clone(buf[:n]), buf[:n]...))
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// host is an agent's end of a line.
type host interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// openSlave opens a pseudo-terminal without taking it for itself.
func openSlave(path string) (host, error) {
	return os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
}

func dialUnix(addr string) (host, error) {
	return net.Dial("unix", strings.TrimPrefix(addr, "unix:"))
}

// serving runs Serve until the test ends, or stop is called.
func serving(t *testing.T, p Port) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, echo) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			if err := <-ended; err != nil {
				t.Errorf("Serve = %v, want nil", err)
			}
			stopped = true
		}
	}
	t.Cleanup(stop)
	return stop
}

func says(t *testing.T, h host, text string) {
	t.Helper()
	if _, err := io.WriteString(h, text); err != nil {
		t.Errorf("writing %q: %v", text, err)
	}
	got := make([]byte, 2*len(text))
	_ = h.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(h, got); err != nil || string(got) != text+text {
		t.Errorf("read %q, %v, want %q twice", got, err, text)
	}
}

func TestPorts(t *testing.T) {
	for _, f := range []struct {
		name string
		make func(t *testing.T) (Port, func() (host, error))
	}{
		{"pty", func(t *testing.T) (Port, func() (host, error)) {
			p, err := NewPTY(t.TempDir(), "scanner")
			if err != nil {
				t.Fatal(err)
			}
			return p, func() (host, error) { return openSlave(p.Addr()) }
		}},
		{"socket", func(t *testing.T) (Port, func() (host, error)) {
			p, err := NewSerialSocket(t.TempDir() + "/s")
			if err != nil {
				t.Fatal(err)
			}
			return p, func() (host, error) { return dialUnix(p.Addr()) }
		}},
		{"memory", func(t *testing.T) (Port, func() (host, error)) {
			p := NewMemorySerial("scanner")
			return p, func() (host, error) { return p.Dial() }
		}},
	} {
		for _, tt := range []struct {
			name string
			run  func(t *testing.T, p Port, dial func() (host, error))
		}{
			{"one host after another", func(t *testing.T, p Port, dial func() (host, error)) {
				serving(t, p)
				for range 3 {
					h := must(t, dial)
					says(t, h, "\x00\r\n\x03\x11\xff")
					_ = h.Close()
				}
			}},
			{"unplugged and plugged in again", func(t *testing.T, p Port, dial func() (host, error)) {
				serving(t, p)
				for range 3 {
					h := must(t, dial)
					says(t, h, "a")
					p.Unplug()
					p.Unplug()
					_ = h.SetReadDeadline(time.Now().Add(10 * time.Second))
					if n, err := h.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("Read of an unplugged line = %d, %v, want its end", n, err)
					}
					_ = h.Close()
					if h, err := dial(); err == nil {
						_ = h.Close()
						t.Error("an unplugged device can be opened")
					}
					if err := errors.Join(p.Plug(), p.Plug()); err != nil {
						t.Fatal(err)
					}
				}
				h := must(t, dial)
				defer h.Close()
				says(t, h, "back")
			}},
			{"unplugged while the host writes", func(t *testing.T, p Port, dial func() (host, error)) {
				serving(t, p)
				h := must(t, dial)
				defer h.Close()
				time.AfterFunc(20*time.Millisecond, p.Unplug)
				for {
					if _, err := h.Write(make([]byte, 4096)); err != nil {
						return // the test hangs if it never comes
					}
				}
			}},
			{"the end of the context ends all", func(t *testing.T, p Port, dial func() (host, error)) {
				stop := serving(t, p)
				h := must(t, dial)
				defer h.Close()
				says(t, h, "a")
				stop()
				if h, err := dial(); err == nil {
					_ = h.Close()
					t.Error("a device whose Serve has ended can be opened")
				}
			}},
			{"served again", func(t *testing.T, p Port, dial func() (host, error)) {
				serving(t, p)()
				if err := p.Plug(); err != nil {
					t.Fatal(err)
				}
				serving(t, p)
				h := must(t, dial)
				defer h.Close()
				says(t, h, "again")
			}},
			{"never served", func(t *testing.T, p Port, _ func() (host, error)) { p.Unplug() }},
		} {
			t.Run(f.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				p, dial := f.make(t)
				tt.run(t, p, dial)
			})
		}
	}
}

func must(t *testing.T, dial func() (host, error)) host {
	t.Helper()
	h, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestMemoryHoldsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemorySerial("scanner")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Serve(ctx, echo) }()
		h := must(t, func() (host, error) { return m.Dial() })
		start := time.Now()
		if _, err := h.Write([]byte("nobody reads the answer")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		says(t, h, "and the device still lives")
		if d := time.Since(start); d != time.Hour {
			t.Errorf("took %v of virtual time, want an hour", d)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = h.Close()
	})
}

func TestMemoryThatNobodyServes(t *testing.T) {
	m := NewMemorySerial("scanner")
	defer m.Unplug()
	for range maxConns {
		must(t, func() (host, error) { return m.Dial() })
	}
	if _, err := m.Dial(); err == nil || errors.Is(err, ErrUnplugged) {
		t.Errorf("Dial = %v, want word that nobody serves it", err)
	}
}

func TestBytesThatNobodyReadsAreLost(t *testing.T) {
	p, err := NewPTY(t.TempDir(), "scanner")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Unplug()
	p.life.patience = 20 * time.Millisecond
	if n, err := p.life.Write(make([]byte, 100<<10)); n != 100<<10 || err != nil {
		t.Errorf("Write = %d, %v: want a device that never learns", n, err)
	}
	if err := p.ClearExclusive(); err != nil {
		t.Fatal(err)
	}
	h := must(t, func() (host, error) { return openSlave(p.Addr()) })
	defer h.Close()
	for n := 0; ; n++ { // what the kernel still had on the way after the flush
		_ = h.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := h.Read(make([]byte, 4096)); errors.Is(err, os.ErrDeadlineExceeded) {
			if n > 16 {
				t.Errorf("%d reads of stale bytes", n)
			}
			break
		}
	}
	if _, err := p.life.Write([]byte("fresh")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 16)
	_ = h.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := h.Read(got); err != nil || string(got[:n]) != "fresh" {
		t.Errorf("read %q, %v, want fresh", got[:n], err)
	}
}

func TestStaleBytesAreFlushed(t *testing.T) {
	p, err := NewPTY(t.TempDir(), "scanner")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Unplug()
	if _, err := p.life.Write([]byte("shown while no agent ran")); err != nil {
		t.Fatal(err)
	}
	h := must(t, func() (host, error) { return openSlave(p.Addr()) })
	defer h.Close()
	waitReadable(t, h.(*os.File))
	if err := p.ClearExclusive(); err != nil {
		t.Fatal(err)
	}
	_ = h.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := h.Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d stale bytes, %v", n, err)
	}
}

// waitReadable waits until bytes have gone through the kernel.
func waitReadable(t *testing.T, f *os.File) {
	t.Helper()
	for n := 0; n == 0; {
		err := control(f, func(fd int) (err error) { n, err = unix.IoctlGetInt(fd, unix.TIOCINQ); return err })
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestThePortOpensAgainAfterSIGKILL holds for root too, whom the mark of a dead
// agent does not stop: it looks at the mark.
func TestThePortOpensAgainAfterSIGKILL(t *testing.T) {
	p, err := NewPTY(t.TempDir(), "scanner")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Unplug()
	kill(t, agent(t, p.Addr()))
	if err := p.ClearExclusive(); err != nil {
		t.Fatal(err)
	}
	if exclusive(t, p) {
		t.Error("the mark of the dead agent is still there")
	}
	kill(t, agent(t, p.Addr()))
	for range 100 { // and by itself, for an agent that somebody else starts
		if !exclusive(t, p) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	kill(t, agent(t, p.Addr()))
}

// agent starts a child that opens the port.
func agent(t *testing.T, port string) *exec.Cmd {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), childPort+"="+port)
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 100)
	if n, _ := out.Read(said); string(said[:n]) != "open\n" {
		t.Errorf("the agent says %q, want open", said[:n])
	}
	return c
}

func kill(t *testing.T, c *exec.Cmd) {
	t.Helper()
	_ = c.Process.Kill()
	if err := c.Wait(); err == nil {
		t.Error("the agent ended by itself")
	}
}

func exclusive(t *testing.T, p *PTY) bool {
	t.Helper()
	v := 0
	err := control(p.life.slave, func(fd int) (err error) { v, err = unix.IoctlGetInt(fd, unix.TIOCGEXCL); return err })
	if err != nil {
		t.Fatal(err)
	}
	return v != 0
}

func TestTheLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/dev/pts/of-a-former-bench", dir+"/scanner"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/letter", []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := NewPTY(dir, "scanner")
	if err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(p.Addr()); err != nil || filepath.Dir(to) != "/dev/pts" {
		t.Errorf("the link points to %q, %v", to, err)
	}
	p.Unplug()
	if _, err := os.Lstat(p.Addr()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link after Unplug: %v", err)
	}
	if _, err := NewPTY(dir, "letter"); err == nil {
		t.Error("a file was replaced by a link")
	}
	if _, err := NewSerialSocket(dir + "/letter"); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if b, _ := os.ReadFile(dir + "/letter"); string(b) != "dear" {
		t.Errorf("the file is %q now", b)
	}
}

func TestASocketOfAKilledBenchIsReplaced(t *testing.T) {
	path := t.TempDir() + "/s"
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = ln.Close()
	p, err := NewSerialSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	serving(t, p)
	h := must(t, func() (host, error) { return dialUnix(p.Addr()) })
	defer h.Close()
	says(t, h, "a")
}

func TestADeviceThatStops(t *testing.T) {
	p, err := NewPTY(t.TempDir(), "scanner")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := p.Serve(t.Context(), func(context.Context, io.ReadWriteCloser) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("Serve = %v, want the device's error", err)
	}
	if err := p.Plug(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = p.Serve(ctx, func(_ context.Context, l io.ReadWriteCloser) error {
		time.AfterFunc(10*time.Millisecond, cancel)
		return l.Close() // pulls itself out
	})
	if err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}
