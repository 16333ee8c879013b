package netfault_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/digital-sentinel/sentinel/simulator/netfault"
)

// echo answers every line with the same line, and counts them.
type echo struct{ lines atomic.Int64 }

func (e *echo) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for in := bufio.NewReader(c); ; {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				e.lines.Add(1)
				_, _ = io.WriteString(c, line)
			}
		}()
	}
}

func start(t *testing.T) (*netfault.Proxy, *echo) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{}
	go e.serve(l)
	p, err := netfault.Listen(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t)
	})
	return p, e
}

func dial(t *testing.T, p *netfault.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a line and waits for it: a long time if it should come.
func ask(c net.Conn, patience time.Duration) error {
	if _, err := io.WriteString(c, "line\n"); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 5))
	return err
}

const long, short = time.Minute, 30 * time.Millisecond

func set(t *testing.T, p *netfault.Proxy, f netfault.Fault) {
	t.Helper()
	if err := p.Set(f); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(long); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("never: %s", what)
		}
	}
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func TestFaultsOfAnOpenConnection(t *testing.T) {
	tests := []struct {
		name    string
		kind    netfault.Kind
		ends    func(error) bool
		arrives bool // does the request
	}{
		{"down", netfault.Down, broken, false},
		{"reset", netfault.Reset, broken, false},
		{"black hole", netfault.Blackhole, timedOut, false},
		{"half open", netfault.HalfOpen, timedOut, true},
		{"lost reply", netfault.LostReply, broken, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, e := start(t)
			c := dial(t, p)
			if err := ask(c, long); err != nil {
				t.Fatalf("on a good network: %v", err)
			}
			set(t, p, netfault.Fault{Kind: tt.kind})
			patience := long
			if tt.name == "black hole" || tt.name == "half open" {
				patience = short
			}
			if err := ask(c, patience); !tt.ends(err) {
				t.Errorf("the request ended with %v", err)
			}
			if tt.arrives {
				eventually(t, "the request arrives", func() bool { return e.lines.Load() == 2 })
			} else if n := e.lines.Load(); n != 1 {
				t.Errorf("%d requests arrived, want 1", n)
			}
			set(t, p, netfault.Fault{})
			if err := ask(dial(t, p), long); err != nil {
				t.Errorf("a new connection on the mended network: %v", err)
			}
		})
	}
}

func TestFaultsOfANewConnection(t *testing.T) {
	p, e := start(t)
	set(t, p, netfault.Fault{Kind: netfault.Down})
	if c, err := net.Dial("tcp", p.Addr()); err == nil {
		t.Errorf("connected through a network that is down: %v", c.Close())
	}
	set(t, p, netfault.Fault{Kind: netfault.Reset})
	c, err := net.Dial("tcp", p.Addr())
	if err == nil { // the reset may come before this end knows that it is connected
		err = errors.Join(ask(c, long), c.Close())
	}
	if !broken(err) {
		t.Errorf("reset: %v", err)
	}
	set(t, p, netfault.Fault{Kind: netfault.Blackhole})
	if err := ask(dial(t, p), short); !timedOut(err) {
		t.Errorf("black hole: %v", err)
	}
	eventually(t, "the request is swallowed", func() bool { return p.Stats().Swallowed == 5 })
	if n := e.lines.Load(); n != 0 {
		t.Errorf("%d requests arrived, want none", n)
	}
}

func TestLatencyAndRate(t *testing.T) {
	p, _ := start(t)
	c := dial(t, p)
	for name, f := range map[string]netfault.Fault{
		"latency": {Latency: 40 * time.Millisecond}, // there and back
		"rate":    {Rate: 125},                      // 5 bytes, there and back
	} {
		set(t, p, f)
		began := time.Now()
		if err := ask(c, long); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if took := time.Since(began); took < 80*time.Millisecond {
			t.Errorf("%s: a request took %v, want at least 80ms", name, took)
		}
	}
	eventually(t, "10 bytes each way over one connection", func() bool {
		s := p.Stats()
		return s.Sent == 10 && s.Received == 10 && s.Connections == 1
	})
}

// TestCloseCutsAWait: a proxy that waits out a latency is closed at once.
func TestCloseCutsAWait(t *testing.T) {
	p, _ := start(t)
	set(t, p, netfault.Fault{Latency: time.Hour})
	c := dial(t, p)
	if _, err := io.WriteString(c, "line\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection is there", func() bool { return p.Stats().Connections == 1 })
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
