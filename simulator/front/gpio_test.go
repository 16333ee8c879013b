package front

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
)

func newGPIO(t *testing.T, path string, o GPIOOpts) *GPIO {
	t.Helper()
	g, err := NewGPIO(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGPIOTranscripts(t *testing.T) {
	cs, err := transcript.Load(treaties + "gpio.transcript")
	if err != nil || len(cs) == 0 {
		t.Fatal(len(cs), err)
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			g := newGPIO(t, "", GPIOOpts{Names: []string{"UNLOCK", "FIRE", "PASSAGE"}})
			host, far := net.Pipe()
			done := make(chan struct{})
			go func() { defer close(done); defer far.Close(); g.answer(far) }()
			transcript.Host(t, c, host, func(s string) error {
				var name string
				var level int
				if _, err := fmt.Sscanf(s, "input %s %d", &name, &level); err != nil {
					return err
				}
				return g.SetInput(name, level == 1)
			})
			<-done
		})
	}
}

// talk is a host on the socket.
type talk struct {
	t *testing.T
	host
	in *bufio.Reader
}

func dialGPIO(t *testing.T, g *GPIO) talk {
	t.Helper()
	h := must(t, func() (host, error) { return dialUnix(g.Addr()) })
	t.Cleanup(func() { _ = h.Close() })
	return talk{t, h, bufio.NewReader(h)}
}

// says sends a line and expects lines.
func (k talk) says(line string, want ...string) {
	k.t.Helper()
	if line != "" {
		_, _ = io.WriteString(k, line+"\n")
	}
	for _, w := range want {
		_ = k.SetReadDeadline(time.Now().Add(10 * time.Second))
		if got, err := k.in.ReadString('\n'); got != w+"\n" {
			k.t.Errorf("after %q: %q, %v, want %q", line, got, err, w)
		}
	}
}

func TestGPIOSocket(t *testing.T) {
	told := make(chan string, 64)
	g := newGPIO(t, t.TempDir()+"/s", GPIOOpts{OnOutput: func(name string, l gpio.Level) { told <- name + " " + digit(l) }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(ctx) }()

	if g.LineAddr("FIRE") != g.Addr()+"#FIRE" {
		t.Errorf("LineAddr = %q", g.LineAddr("FIRE"))
	}
	if _, ok := g.Output("UNLOCK"); ok {
		t.Error("a line that nobody has driven has an output")
	}
	k := dialGPIO(t, g)
	k.says("out UNLOCK 0", "ok")
	k.says("set 1", "ok")
	dialGPIO(t, g).says("out UNLOCK 0", "error line UNLOCK is in use")

	// A killed agent leaves the level as it was, and the line to its successor,
	// which may come before the news of the death.
	_ = k.Close()
	if l, ok := g.Output("UNLOCK"); !ok || l != gpio.High {
		t.Errorf("Output = %v, %v after the host's death, want High", l, ok)
	}
	dialGPIO(t, g).says("out UNLOCK 1", "ok")
	for _, want := range []string{"UNLOCK 0", "UNLOCK 1", "UNLOCK 1"} {
		if got := <-told; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}

	fire := dialGPIO(t, g)
	fire.says("in FIRE up", "ok", "level 0")
	for _, l := range []gpio.Level{true, true, false, true} {
		if err := g.SetInput("FIRE", l); err != nil {
			t.Fatal(err)
		}
	}
	fire.says("", "level 1", "level 0", "level 1")
	fire.says("anything") // an input's host has nothing to say
	if _, err := fire.in.ReadByte(); err == nil {
		t.Error("an input goes on after garbage")
	}

	for _, bad := range []string{
		"", "out", "out UNLOCK", "out UNLOCK 2", "out UNLOCK 1 ", " out X 1", "out  1", "in X", "in X sideways",
		"OUT X 1", "set 1", "out X 1\r", "out X# 1", "out " + strings.Repeat("x", 33) + " 1", strings.Repeat("x", 500),
	} {
		k := dialGPIO(t, g)
		_, _ = io.WriteString(k, bad+"\n")
		_ = k.SetReadDeadline(time.Now().Add(10 * time.Second))
		if got, err := k.in.ReadString('\n'); !strings.HasPrefix(got, "error ") {
			t.Errorf("%q is answered %q, %v", bad, got, err)
		}
	}

	last := dialGPIO(t, g)
	last.says("in DOOR keep", "ok", "level 0")
	g.Unplug()
	if _, err := last.in.ReadByte(); err == nil {
		t.Error("an unplugged board goes on")
	}
	if err := g.Plug(); err != nil {
		t.Fatal(err)
	}
	dialGPIO(t, g).says("in DOOR keep", "ok", "level 0")
	if l, ok := g.Output("UNLOCK"); !ok || l != gpio.High {
		t.Errorf("Output = %v, %v after a replug, want High", l, ok)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

func TestAnInputIsToldTheLatestLevelInAFlood(t *testing.T) {
	q := &levels{more: make(chan struct{}, 1)}
	for i := range 1001 {
		q.add(i%2 == 0)
	}
	if got := q.take(); len(got) != 64 || got[63] != gpio.High {
		t.Errorf("%d levels, the last %v, want 64 and High", len(got), got[len(got)-1])
	}
}

func TestPins(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, g *GPIO)
	}{
		{"an output tells each level", func(t *testing.T, g *GPIO) {
			var got []string
			g.opts.OnOutput = func(name string, l gpio.Level) { got = append(got, name+digit(l)) }
			p, err := g.Out("A", gpio.High)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = p.Out(gpio.Low), p.Close()
			if p.Out(gpio.High) == nil {
				t.Error("a closed pin can be driven")
			}
			if want := []string{"A1", "A0"}; !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
		}},
		{"a callback may look and unplug", func(t *testing.T, g *GPIO) {
			g.opts.OnOutput = func(name string, l gpio.Level) { _, _ = g.Output(name); g.Unplug() }
			p, err := g.Out("A", gpio.High)
			if err != nil || !errors.Is(p.Out(gpio.Low), ErrUnplugged) {
				t.Errorf("Out = %v, want ErrUnplugged at the second level", err)
			}
		}},
		{"a line has one host", func(t *testing.T, g *GPIO) {
			p, err := g.Out("A", gpio.High)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.In("A"); err == nil {
				t.Error("a line was claimed twice")
			}
			time.AfterFunc(takeOver/2, func() { _ = p.Close() })
			if _, err := g.In("A"); err != nil {
				t.Errorf("a line that comes free: %v", err)
			}
		}},
		{"an edge ends a wait without limit", func(t *testing.T, g *GPIO) {
			p := in(t, g, gpio.Low)
			time.AfterFunc(time.Hour, func() { _ = g.SetInput("FIRE", true) })
			if !p.WaitForEdge(-1) || p.Read() != gpio.High {
				t.Error("no edge to High")
			}
		}},
		{"a limit ends a wait", func(t *testing.T, g *GPIO) {
			p := in(t, g, gpio.High)
			start := time.Now()
			if p.WaitForEdge(0) || p.WaitForEdge(time.Second) || time.Since(start) != time.Second || p.Read() != gpio.High {
				t.Errorf("waited %v, read %v", time.Since(start), p.Read())
			}
		}},
		{"edges are narrowed", func(t *testing.T, g *GPIO) {
			p := in(t, g, gpio.Low)
			if err := p.In(gpio.PullUp, gpio.FallingEdge); err != nil || p.Pull() != gpio.PullUp {
				t.Errorf("In = %v, pull %v", err, p.Pull())
			}
			_ = g.SetInput("FIRE", true)
			if p.WaitForEdge(time.Second) {
				t.Error("a rising edge was told")
			}
			_ = g.SetInput("FIRE", false)
			if !p.WaitForEdge(time.Second) {
				t.Error("a falling edge was not told")
			}
		}},
		{"Halt and Close wake a wait", func(t *testing.T, g *GPIO) {
			p := in(t, g, gpio.Low)
			time.AfterFunc(time.Second, func() { _ = p.Halt() })
			if p.WaitForEdge(-1) || p.Err() != nil {
				t.Errorf("after Halt: an edge, or %v", p.Err())
			}
			time.AfterFunc(time.Second, func() { _ = p.Close() })
			if p.WaitForEdge(-1) || p.Err() == nil || p.WaitForEdge(-1) {
				t.Errorf("after Close: an edge, or Err = %v", p.Err())
			}
		}},
		{"a lost board wakes a wait, for good", func(t *testing.T, g *GPIO) {
			p := in(t, g, gpio.Low)
			time.AfterFunc(time.Second, g.Unplug)
			if p.WaitForEdge(-1) || !errors.Is(p.Err(), ErrUnplugged) {
				t.Errorf("Err = %v, want ErrUnplugged", p.Err())
			}
			if _, err := g.In("FIRE"); !errors.Is(err, ErrUnplugged) {
				t.Errorf("In = %v, want ErrUnplugged", err)
			}
			if err := g.Plug(); err != nil || !errors.Is(p.Err(), ErrUnplugged) || p.Close() != nil {
				t.Errorf("a pin of a board that was lost lives again: %v, %v", err, p.Err())
			}
			if _, err := g.In("FIRE"); err != nil {
				t.Errorf("In after Plug = %v", err)
			}
		}},
		{"lines are bounded", func(t *testing.T, g *GPIO) {
			for i := range maxLines {
				if err := g.SetInput(fmt.Sprint("L", i), true); err != nil {
					t.Fatal(err)
				}
			}
			if g.SetInput("ONE-MORE", true) == nil {
				t.Error("more lines than there can be")
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tt.run(t, newGPIO(t, "", GPIOOpts{})) })
		})
	}
}

// in claims the line FIRE, which has the level.
func in(t *testing.T, g *GPIO, l gpio.Level) *InPin {
	t.Helper()
	if err := g.SetInput("FIRE", l); err != nil {
		t.Fatal(err)
	}
	p, err := g.In("FIRE")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// FuzzGPIOServer throws anything at the server: what it drives must have been
// ordered, letter by letter.
func FuzzGPIOServer(f *testing.F) {
	f.Add("out UNLOCK 0\nset 1\nset 0\n")
	f.Add("in FIRE up\n")
	f.Add("in FIRE up\nset 1\n")
	f.Add("out UNLOCK 0\nset 2\nset 1\n")
	f.Add(strings.Repeat("x", 300) + "\n")
	f.Fuzz(func(t *testing.T, sent string) {
		var mu sync.Mutex
		var driven []gpio.Level
		g, err := NewGPIO("", GPIOOpts{OnOutput: func(_ string, l gpio.Level) {
			mu.Lock()
			defer mu.Unlock()
			driven = append(driven, l)
		}})
		if err != nil {
			t.Fatal(err)
		}
		host, far := net.Pipe()
		done := make(chan struct{})
		go func() { defer close(done); defer far.Close(); g.answer(far) }()
		go func() { _, _ = io.Copy(io.Discard, host) }()
		_ = host.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(host, sent)
		_ = host.Close()
		<-done
		mu.Lock()
		defer mu.Unlock()
		want := strings.Count(sent, "set 0\n") + strings.Count(sent, "set 1\n") + 1
		if len(driven) > want || len(driven) > 0 && !strings.HasPrefix(sent, "out ") {
			t.Errorf("%q drove %v", sent, driven)
		}
	})
}
