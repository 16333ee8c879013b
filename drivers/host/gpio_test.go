package host

import (
	"bufio"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/hal"
)

// over claims an input of that name over connections that dial gives.
func over(t *testing.T, name string, pull gpio.Pull, activeLow bool, dial func() net.Conn) *inPin {
	t.Helper()
	c := func(a Address, activeLow bool, pull gpio.Pull, p *inPin) (inLine, int, error) {
		l := newRemoteLine(dial(), activeLow)
		return l, -1, l.listen(a.Line, pull, p)
	}
	p, err := newInPin(Address{Kind: Unix, Path: "x", Line: name}, activeLow, c, pull)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// board is a far end that tells levels on demand.
type board struct {
	t    *testing.T
	far  net.Conn
	in   *bufio.Reader
	said []string
}

// dial gives a new connection, which greets an input with the level.
func (b *board) dial(level string) func() net.Conn {
	return func() net.Conn {
		host, far := net.Pipe()
		b.far, b.in = far, bufio.NewReader(far)
		go func() {
			text, _ := b.in.ReadString('\n')
			b.said = append(b.said, text)
			_, _ = io.WriteString(far, "ok\nlevel "+level+"\n")
		}()
		return host
	}
}

func (b *board) level(v string) { _, _ = io.WriteString(b.far, "level "+v+"\n") }

func TestRemoteGPIOTranscripts(t *testing.T) {
	out := func(name string, activeLow bool, levels ...gpio.Level) {
		t.Run(name, func(t *testing.T) {
			l := newRemoteLine(transcript.Device(t, conversation(t, "gpio.transcript", name)), activeLow)
			if err := l.order("out UNLOCK " + l.digit(levels[0])); err != nil {
				t.Fatal(err)
			}
			p := &outPin{name: "x", number: -1, line: l}
			for _, v := range levels[1:] {
				if err := p.Out(v); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	out("an output", false, gpio.Low, gpio.High, gpio.Low)
	out("an output that begins high", false, gpio.High, gpio.Low)
	out("an output that begins high", true, gpio.Low, gpio.High)

	t.Run("an input", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := transcript.Device(t, conversation(t, "gpio.transcript", "an input"))
			p := over(t, "FIRE", gpio.PullUp, false, func() net.Conn { return c })
			defer p.Close()
			got := []gpio.Level{p.Read()}
			for len(got) < 3 && p.WaitForEdge(-1) {
				got = append(got, p.Read())
			}
			if want := []gpio.Level{true, false, true}; !slices.Equal(got, want) {
				t.Errorf("levels %v, want %v", got, want)
			}
		})
	})
	t.Run("an input without a wish for its pull", func(t *testing.T) {
		c := transcript.Device(t, conversation(t, "gpio.transcript", "an input without a wish for its pull"))
		p := over(t, "PASSAGE", gpio.PullNoChange, true, func() net.Conn { return c })
		defer p.Close()
		if p.Read() != gpio.High {
			t.Error("an active-low line that is low reads Low, want High")
		}
	})
	t.Run("a line that the board does not have", func(t *testing.T) {
		l := newRemoteLine(transcript.Device(t, conversation(t, "gpio.transcript", "a line that the board does not have")), false)
		if err := l.order("out NOSUCH 0"); err == nil || !strings.Contains(err.Error(), "no line NOSUCH") {
			t.Errorf("claim = %v, want the board's reason", err)
		}
	})
}

func TestEdges(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, b *board, p *inPin)
	}{
		{"an edge ends a wait without limit", func(t *testing.T, b *board, p *inPin) {
			go func() { time.Sleep(time.Hour); b.level("1") }()
			if !p.WaitForEdge(-1) || p.Read() != gpio.High {
				t.Error("no edge to High")
			}
		}},
		{"a limit ends a wait", func(t *testing.T, _ *board, p *inPin) {
			start := time.Now()
			if p.WaitForEdge(time.Second) || time.Since(start) != time.Second {
				t.Errorf("waited %v, want a second and no edge", time.Since(start))
			}
		}},
		{"no limit is a look", func(t *testing.T, b *board, p *inPin) {
			if p.WaitForEdge(0) {
				t.Error("an edge where none was")
			}
			b.level("1")
			synctest.Wait()
			if !p.WaitForEdge(0) || p.WaitForEdge(0) {
				t.Error("want the edge once")
			}
		}},
		{"the same level is no edge", func(t *testing.T, b *board, p *inPin) {
			b.level("0")
			if p.WaitForEdge(time.Second) {
				t.Error("an edge where none was")
			}
		}},
		{"In narrows the edges", func(t *testing.T, b *board, p *inPin) {
			if err := p.In(gpio.PullNoChange, gpio.FallingEdge); err != nil {
				t.Fatal(err)
			}
			b.level("1")
			if p.WaitForEdge(time.Second) {
				t.Error("a rising edge was told")
			}
			b.level("0")
			if !p.WaitForEdge(time.Second) {
				t.Error("a falling edge was not told")
			}
		}},
		{"In with another pull claims anew", func(t *testing.T, b *board, p *inPin) {
			if err := p.In(gpio.PullUp, gpio.BothEdges); err != nil {
				t.Fatal(err)
			}
			if got := b.said; len(got) != 2 || got[0] != "in L keep\n" || got[1] != "in L up\n" || p.Pull() != gpio.PullUp {
				t.Errorf("said %q, pull %v", got, p.Pull())
			}
			b.level("1")
			if !p.WaitForEdge(time.Second) || p.Err() != nil {
				t.Errorf("no edge, %v", p.Err())
			}
		}},
		{"Halt wakes a wait, and the pin goes on", func(t *testing.T, b *board, p *inPin) {
			go func() { time.Sleep(time.Second); _ = p.Halt() }()
			if p.WaitForEdge(-1) || p.Err() != nil {
				t.Errorf("an edge, or %v", p.Err())
			}
			b.level("1")
			if !p.WaitForEdge(time.Second) {
				t.Error("no edge after Halt")
			}
		}},
		{"Close wakes a wait and is no loss", func(t *testing.T, _ *board, p *inPin) {
			go func() { time.Sleep(time.Second); _ = p.Close() }()
			if p.WaitForEdge(-1) || p.Err() == nil || errors.Is(p.Err(), hal.ErrGone) {
				t.Errorf("an edge, or Err = %v, want one that is no loss", p.Err())
			}
		}},
		{"the board's end wakes a wait and is a loss", func(t *testing.T, b *board, p *inPin) {
			b.level("1")
			go func() { time.Sleep(time.Second); _ = b.far.Close() }()
			if !p.WaitForEdge(-1) || p.WaitForEdge(-1) || !errors.Is(p.Err(), hal.ErrGone) {
				t.Errorf("Err = %v, want hal.ErrGone", p.Err())
			}
			if p.Read() != gpio.High || !errors.Is(p.In(gpio.PullNoChange, gpio.BothEdges), hal.ErrGone) {
				t.Error("a lost pin forgot its level, or can be set up")
			}
		}},
		{"garbage is a loss", func(t *testing.T, b *board, p *inPin) {
			b.level("2")
			if p.WaitForEdge(-1) || !errors.Is(p.Err(), hal.ErrGone) {
				t.Errorf("Err = %v, want hal.ErrGone", p.Err())
			}
		}},
		{"a line without end is a loss", func(t *testing.T, b *board, p *inPin) {
			go func() { _, _ = io.WriteString(b.far, strings.Repeat("x", 4*maxLine)) }()
			if p.WaitForEdge(-1) || !errors.Is(p.Err(), hal.ErrGone) {
				t.Errorf("Err = %v, want hal.ErrGone", p.Err())
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &board{t: t}
				p := over(t, "L", gpio.PullNoChange, false, b.dial("0"))
				defer func() { _ = b.far.Close(); _ = p.Close() }()
				tt.run(t, b, p)
			})
		})
	}
}

func TestARemoteOutputOutOfOrderIsGone(t *testing.T) {
	for name, answer := range map[string]string{
		"silence": "", "garbage": "OK\n", "no line end": "ok", "a flood": strings.Repeat("x", 4*maxLine),
		"a refusal": "error no power\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			host, far := net.Pipe()
			defer far.Close()
			go func() {
				_, _ = far.Read(make([]byte, maxLine))
				_, _ = io.WriteString(far, answer)
			}()
			p := &outPin{name: "x", line: newRemoteLine(host, false)}
			start := time.Now()
			if err := p.Out(gpio.High); !errors.Is(err, hal.ErrGone) {
				t.Errorf("%s: Out = %v, want hal.ErrGone", name, err)
			}
			if err := p.Out(gpio.Low); !errors.Is(err, hal.ErrGone) {
				t.Errorf("%s: next Out = %v, want hal.ErrGone", name, err)
			}
			if d := time.Since(start); d > answerLimit { // virtual time
				t.Errorf("%s: took %v, want at most %v", name, d, answerLimit)
			}
		})
	}
}

func TestOpenPinsOverASocket(t *testing.T) {
	ln, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	orders := make(chan string, 8)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					orders <- lines.Text()
					answer := "ok\n"
					if strings.HasPrefix(lines.Text(), "in ") {
						answer += "level 1\n"
					}
					_, _ = io.WriteString(c, answer)
				}
			}()
		}
	}()
	addr := "unix:" + ln.Addr().String()
	out, err := OpenOut(addr+"#UNLOCK", gpio.Low, true)
	if err != nil {
		t.Fatal(err)
	}
	in, err := OpenIn(addr+"#FIRE", gpio.PullDown, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Out(gpio.High); err != nil || in.Read() != gpio.High {
		t.Errorf("Out = %v, Read = %v, want High", err, in.Read())
	}
	for _, want := range []string{"out UNLOCK 1", "in FIRE down", "set 0"} {
		if got := <-orders; got != want {
			t.Errorf("the board was told %q, want %q", got, want)
		}
	}
	if out.Name() != addr+"#UNLOCK" || in.Name() != addr+"#FIRE" {
		t.Errorf("names %q and %q", out.Name(), in.Name())
	}
	if err := errors.Join(out.Close(), in.Close()); err != nil {
		t.Error(err)
	}
	if err := out.Out(gpio.Low); err == nil {
		t.Error("Out of a closed pin = nil, want an error")
	}
	if _, err := OpenOut("unix:"+t.TempDir()+"/none#L", false, false); !errors.Is(err, hal.ErrGone) {
		t.Errorf("OpenOut without a board = %v, want hal.ErrGone", err)
	}
}

func FuzzRemoteGPIO(f *testing.F) {
	f.Add("ok\nlevel 1\nlevel 0\n")
	f.Add("error no line NOSUCH\n")
	f.Add("ok\nlevel 2\n")
	f.Add("ok")
	f.Add(strings.Repeat("x", 300) + "\n")
	f.Fuzz(func(t *testing.T, said string) {
		host, far := net.Pipe()
		go func() {
			_, _ = far.Read(make([]byte, maxLine))
			_, _ = io.WriteString(far, said)
			_ = far.Close()
		}()
		p := &inPin{edge: gpio.BothEdges, edges: make(chan struct{}, 1), gone: make(chan struct{})}
		l := newRemoteLine(host, false)
		err := l.listen("L", gpio.PullUp, p)
		begins := strings.HasPrefix(said, "ok\nlevel 0\n") || strings.HasPrefix(said, "ok\nlevel 1\n")
		dead := errors.Is(err, io.ErrClosedPipe) // it said all before the claim had ended
		if (err == nil) != begins && !(begins && dead) {
			t.Errorf("%q: claim = %v", said, err)
		}
		if err == nil {
			<-p.gone // the far end has said all
		} else if text := err.Error(); strings.ContainsAny(text, "\n\r\x00\x1b") || len(text) > 1000 {
			t.Errorf("%q: error not fit for a log: %q", said, text)
		}
		_ = l.Close()
	})
}
