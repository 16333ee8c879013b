package front

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
)

const treaties = "../../drivers/host/testdata/"

// chip is a bus that answers and fails as told.
type chip struct {
	mu     sync.Mutex
	answer []byte
	refuse string
	busy   time.Duration
}

func (c *chip) Tx(_ uint16, _, r []byte) error {
	time.Sleep(c.busy)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != "" {
		defer func() { c.refuse = "" }()
		return errors.New(c.refuse)
	}
	if len(r) != len(c.answer) {
		return fmt.Errorf("%d bytes wanted, %d told", len(r), len(c.answer))
	}
	copy(r, c.answer)
	c.answer = nil
	return nil
}

func (c *chip) event(s string) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch verb, arg, _ := strings.Cut(s, " "); verb {
	case "answer":
		c.answer, err = hex.DecodeString(arg)
	case "refuse":
		c.refuse = arg
	default:
		err = fmt.Errorf("unknown event %q", s)
	}
	return err
}

func TestI2CTranscripts(t *testing.T) {
	cs, err := transcript.Load(treaties + "i2c.transcript")
	if err != nil || len(cs) == 0 {
		t.Fatal(len(cs), err)
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			dev := &chip{}
			b, err := NewI2C("", dev)
			if err != nil {
				t.Fatal(err)
			}
			host, far := net.Pipe()
			done := make(chan struct{})
			go func() { defer close(done); b.answer(far) }()
			transcript.Host(t, c, host, dev.event)
			<-done
		})
	}
}

func TestI2CSocket(t *testing.T) {
	dev := &chip{}
	b, err := NewI2C(t.TempDir()+"/s", dev)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Serve(ctx) }()
	ask := func(h host) error {
		_ = dev.event("answer AB")
		_ = h.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := h.Write([]byte{0, 1, 0, 0, 0, 1}); err != nil {
			return err
		}
		got := make([]byte, 4)
		_, err := io.ReadFull(h, got)
		if err == nil && string(got) != "\x00\x00\x01\xAB" {
			t.Errorf("answer % X", got)
		}
		return err
	}
	one := must(t, func() (host, error) { return dialUnix(b.Addr()) })
	defer one.Close()
	two := must(t, func() (host, error) { return dialUnix(b.Addr()) })
	defer two.Close()
	for _, h := range []host{one, two, one} {
		if err := ask(h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := one.Write([]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Read(make([]byte, 1)); err == nil {
		t.Error("garbage was answered")
	}
	b.Unplug()
	if ask(two) == nil {
		t.Error("an unplugged bus answers")
	}
	if err := b.Plug(); err != nil {
		t.Fatal(err)
	}
	three := must(t, func() (host, error) { return dialUnix(b.Addr()) })
	defer three.Close()
	if err := ask(three); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

func TestI2CInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := &chip{busy: time.Second}
		b, err := NewI2C("", dev)
		if err != nil {
			t.Fatal(err)
		}
		bus := b.Bus()
		start := time.Now()
		var hosts sync.WaitGroup
		for range 3 {
			hosts.Go(func() {
				if err := bus.Tx(1, nil, nil); err != nil {
					t.Error(err)
				}
			})
		}
		hosts.Wait()
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("three transactions took %v, want one after the other", d)
		}
		b.Unplug()
		if err := bus.Tx(1, nil, nil); !errors.Is(err, ErrUnplugged) {
			t.Errorf("Tx = %v, want ErrUnplugged", err)
		}
		if err := b.Plug(); err != nil {
			t.Fatal(err)
		}
		if err := bus.Tx(1, nil, nil); err != nil {
			t.Error(err)
		}
	})
}

// FuzzI2CServer throws anything at the server and counts the answers.
func FuzzI2CServer(f *testing.F) {
	cs, err := transcript.Load(treaties + "i2c.transcript")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cs {
		var all []byte
		for _, s := range c.Steps {
			if s.Kind == '>' {
				all = append(all, s.Bytes...)
			}
		}
		f.Add(all)
	}
	f.Add([]byte{0x03, 0xFF, 0x10, 0x01, 0, 0})
	f.Fuzz(func(t *testing.T, sent []byte) {
		b, err := NewI2C("", &chip{})
		if err != nil {
			t.Fatal(err)
		}
		host, far := net.Pipe()
		done := make(chan struct{})
		go func() { defer close(done); defer far.Close(); b.answer(far) }()
		go func() { _, _ = host.Write(sent); <-time.After(time.Millisecond); _ = host.Close() }()
		got, _ := io.ReadAll(host)
		<-done
		if least := 3 * (len(sent) / 6); len(got) > least*(maxReason+3)+maxTransfer {
			t.Errorf("%d bytes sent, %d answered", len(sent), len(got))
		}
	})
}
