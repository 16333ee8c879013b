package gm65

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/hal"
)

func TestTranscripts(t *testing.T) {
	cs, err := transcript.Load("testdata/gm65.transcript")
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) < 13 {
		t.Fatalf("%d conversations, want at least 13", len(cs))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(t, c) })
		})
	}
}

// play opens a driver on c and asks it for every code that c says it gives.
func play(t *testing.T, c transcript.Conversation) {
	t.Helper()
	o := Opts{}
	switch mode, _, _ := strings.Cut(c.Name, " mode"); mode {
	case "command":
		o.Mode = ModeCommand
	case "induction":
		o.Mode = ModeInduction
	}
	d, err := New(t.Context(), transcript.Device(t, c), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Halt()
	opened := time.Now()
	for _, s := range c.Steps {
		if text, ok := strings.CutPrefix(s.Event, "scan "); ok {
			wantScan(t, d, text)
		}
	}
	time.Sleep(10 * time.Second) // what the driver says too much comes now
	synctest.Wait()
	for len(d.codes) > 0 {
		if c := <-d.codes; !c.at.Before(opened) {
			t.Errorf("%q was not shown", c.Data)
		}
	}
}

// wantScan wants that Scan gives the quoted text.
func wantScan(t *testing.T, d *Dev, quoted string) {
	t.Helper()
	want, err := strconv.Unquote(quoted)
	if err != nil {
		t.Fatalf("%s: %v", quoted, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got, err := d.Scan(ctx); err != nil || got.Truncated || string(got.Data) != want {
		t.Errorf("Scan() = %q, %v, want %q", got.Data, err, want)
	}
}

// A reply does not say which command it answers.
func TestALateReplyIsNotTakenForTheNextRegister(t *testing.T) {
	const slow = `
> 7E 00 07 01 00 E2 01 77 91
< 02 00 00 01 87 D2 5E
> 7E 00 07 01 00 00 01 01 41
~ 350ms
< 02 00 00 01 D4 B8 C8
> 7E 00 07 01 00 00 01 01 41
~ 100ms
< 02 00 00 01 D4 B8 C8
> 7E 00 08 01 00 00 D6 DF 22
< 02 00 00 01 00 33 31
> 7E 00 07 01 00 03 01 54 12
< 02 00 00 01 01 23 10
> 7E 00 08 01 00 03 00 21 CA
< 02 00 00 01 00 33 31
> 7E 00 07 01 00 13 01 57 61
< 02 00 00 01 8A 03 F3
`
	cs, err := transcript.Parse(strings.NewReader(slow))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { play(t, cs[0]) })
}

func TestOptsAreChecked(t *testing.T) {
	for name, o := range map[string]Opts{
		"manual mode":         {Mode: 1},
		"an unknown mode":     {Mode: 5},
		"a gap below nothing": {Gap: -1},
	} {
		// A read of this line would be a panic.
		if _, err := New(t.Context(), nil, o); err == nil || errors.Is(err, hal.ErrGone) {
			t.Errorf("%s: New() = %v, want an error that is not gone", name, err)
		}
	}
}

// tuned is a line whose speed can be set.
type tuned struct {
	net.Conn
	set []int
	err error
}

func (l *tuned) SetBaud(baud int) error {
	l.set = append(l.set, baud)
	return l.err
}

// mute takes everything and says nothing.
func mute(t *testing.T) net.Conn {
	host, far := net.Pipe()
	m := &module{line: far, mute: true}
	go m.serve()
	t.Cleanup(func() { _ = host.Close(); _ = far.Close() })
	return host
}

func TestASilentModuleIsAnErrorThatSaysWhatToDo(t *testing.T) {
	all := []int{9600, 115200, 57600, 38400, 19200}
	for name, tt := range map[string]struct {
		baud  int
		fixed bool
		tried []int
		want  string
	}{
		"the speed is looked for":                   {0, false, all, "at [9600 115200 57600 38400 19200] baud: check its wires and power"},
		"the speed is given":                        {38400, false, []int{38400}, "at [38400] baud: check its wires and power"},
		"the line cannot change its speed":          {0, true, nil, "at the line's own speed: check its wires and power"},
		"the line cannot change to the given speed": {9600, true, nil, "at [9600] baud: check its wires and power"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &tuned{Conn: mute(t)}
				var err error
				if start := time.Now(); tt.fixed {
					_, err = New(t.Context(), l.Conn, Opts{Baud: tt.baud})
				} else {
					_, err = New(t.Context(), l, Opts{Baud: tt.baud})
					want := time.Duration(len(tt.tried)) * tries * replyLimit
					if got := time.Since(start); got != want {
						t.Errorf("gave up after %v, want %v", got, want)
					}
				}
				if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, hal.ErrGone) {
					t.Errorf("New() = %v, want %q and not gone", err, tt.want)
				}
				if len(l.set) != len(tt.tried) || len(l.set) > 1 && l.set[1] != tt.tried[1] {
					t.Errorf("speeds %v, want %v", l.set, tt.tried)
				}
			})
		})
	}
}

func TestTheSpeedThatAnswersIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, far := net.Pipe()
		m := &module{line: far, zones: shipped(), mute: true}
		go m.serve()
		defer far.Close()
		l := &tuned{Conn: host}
		time.AfterFunc(4*tries*replyLimit-time.Millisecond, func() { m.set(func() { m.mute = false }) })
		d, err := New(t.Context(), l, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Halt()
		if last := l.set[len(l.set)-1]; len(l.set) != 5 || last != 19200 {
			t.Errorf("speeds %v, want 19200 as the fifth and last", l.set)
		}
		if got, want := d.String(), "gm65{software 87}"; got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	})
}

func TestALineThatCannotBeTunedIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &tuned{Conn: mute(t), err: errors.New("no such ioctl")}
		if _, err := New(t.Context(), l, Opts{Baud: 9600}); !errors.Is(err, hal.ErrGone) {
			t.Errorf("New() = %v, want hal.ErrGone", err)
		}
	})
}

func TestAModuleWithoutARegisterIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, far := net.Pipe()
		defer far.Close()
		zones := shipped()
		delete(zones, zoneBarcode)
		go (&module{line: far, zones: zones}).serve()
		_, err := New(t.Context(), host, Opts{})
		if err == nil || !strings.Contains(err.Error(), "zone 0003") {
			t.Errorf("New() = %v, want an error about zone 0003", err)
		}
	})
}

func TestNewEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := New(ctx, &tuned{Conn: mute(t)}, Opts{})
		if got := time.Since(start); got != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("New() = %v after %v, want context.DeadlineExceeded after 1s", err, got)
		}
	})
}
