package lcus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/haltest"
)

func TestTranscripts(t *testing.T) {
	opts := map[string]Opts{
		"a release on channel 1":                {Rest: Locked},
		"a release on channel 8, locked early":  {Rest: Locked, Channel: 8},
		"halt in the middle of a release":       {Rest: Locked, Channel: 2},
		"a gate that rests open":                {Rest: Open},
		"a gate on the normally closed contact": {Rest: Locked, NC: true},
	}
	cs, err := transcript.Load("testdata/lcus.transcript")
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) != len(opts) {
		t.Errorf("%d conversations, want %d", len(cs), len(opts))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, ok := opts[c.Name]
				if !ok {
					t.Fatal("no options for this conversation")
				}
				d, err := New(t.Context(), transcript.Device(t, c), o)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range c.Steps {
					do(t, d, s.Event)
				}
				time.Sleep(10 * time.Second)
			})
		})
	}
}

func do(t *testing.T, d *Dev, event string) {
	t.Helper()
	var err error
	switch verb, arg, _ := strings.Cut(event, " "); verb {
	case "release":
		length, perr := time.ParseDuration(arg)
		err = errors.Join(perr, d.Release(t.Context(), length))
	case "lock":
		err = d.Lock(t.Context())
	case "halt":
		err = d.Halt()
	case "", "relay":
	default:
		t.Errorf("%q is no event", event)
	}
	if err != nil {
		t.Errorf("%s: %v", event, err)
	}
}

// The vectors of the fact sheet, 5.1.
func TestFrame(t *testing.T) {
	tests := []struct {
		what    string
		channel int
		on      bool
		want    []byte
	}{
		{"channel 1 on", 1, true, []byte{0xA0, 0x01, 0x01, 0xA2}},
		{"channel 1 off", 1, false, []byte{0xA0, 0x01, 0x00, 0xA1}},
		{"channel 8 on", 8, true, []byte{0xA0, 0x08, 0x01, 0xA9}},
	}
	for _, tt := range tests {
		if got := frame(tt.channel, tt.on); !bytes.Equal(got, tt.want) {
			t.Errorf("%s: % X, want % X", tt.what, got, tt.want)
		}
	}
}

// board takes frames and remembers the last state; it checks nothing.
type board struct {
	mu sync.Mutex
	on bool
}

func (b *board) serve(line io.Reader) {
	var f [4]byte
	for {
		if _, err := io.ReadFull(line, f[:]); err != nil {
			return
		}
		b.mu.Lock()
		b.on = f[2] == stateOn
		b.mu.Unlock()
	}
}

func (b *board) isOn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.on
}

func TestContract(t *testing.T) {
	haltest.TestGate(t, func(t *testing.T) haltest.Rig {
		host, far := net.Pipe()
		b := &board{}
		go b.serve(far)
		d, err := New(t.Context(), host, Opts{Rest: Locked})
		if err != nil {
			t.Fatal(err)
		}
		return haltest.Rig{
			Dev:    d,
			Unplug: func() { _ = far.Close() },
			AtRest: func() bool { return !b.isOn() },
			Close:  func() { _ = host.Close(); _ = far.Close() },
		}
	})
}

func TestOptsAreChecked(t *testing.T) {
	for name, o := range map[string]Opts{
		"no resting position": {},
		"channel 9":           {Rest: Locked, Channel: 9},
		"channel below 1":     {Rest: Locked, Channel: -1},
		"negative pulse":      {Rest: Locked, MinPulse: -1},
		"a pulse of an hour":  {Rest: Locked, MinPulse: time.Hour},
		"an unknown rest":     {Rest: 9},
	} {
		// A frame on this line would block for ever.
		host, far := net.Pipe()
		if _, err := New(t.Context(), host, o); err == nil || errors.Is(err, hal.ErrGone) {
			t.Errorf("%s: New() = %v, want an error that is not gone", name, err)
		}
		_, _ = host.Close(), far.Close()
	}
}

func TestABoardThatTakesNothingIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, far := net.Pipe()
		defer far.Close()
		b := &board{}
		r, w := io.Pipe()
		go b.serve(r)
		go func() { _, _ = io.CopyN(w, far, 4); _ = w.Close() }() // New's frame, and no more
		d, err := New(t.Context(), host, Opts{Rest: Locked})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := d.Release(t.Context(), time.Second); !errors.Is(err, hal.ErrGone) {
				t.Errorf("Release() = %v, want hal.ErrGone", err)
			}
		}
	})
}

func TestAProbeFindsAPulledBoardAndRepeatsALostFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, far := net.Pipe()
		b := &board{}
		go b.serve(far)
		d, err := New(t.Context(), host, Opts{Rest: Locked})
		if err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		b.on = true // as if the locking frame had been lost
		b.mu.Unlock()
		if err := d.Probe(t.Context()); err != nil {
			t.Errorf("Probe() = %v, want nil", err)
		}
		synctest.Wait()
		if b.isOn() {
			t.Error("the relay is still on after a probe")
		}
		_ = far.Close()
		if err := d.Probe(t.Context()); !errors.Is(err, hal.ErrGone) {
			t.Errorf("Probe() = %v on a dead line, want hal.ErrGone", err)
		}
	})
}

func ExampleNew() {
	line, board := net.Pipe() // a serial line in earnest
	go func() { _, _ = io.Copy(io.Discard, board) }()
	gate, err := New(context.Background(), line, Opts{Rest: Locked, Channel: 2})
	if err != nil {
		return
	}
	defer gate.Halt()
	_ = gate.Release(context.Background(), 3*time.Second)
}
