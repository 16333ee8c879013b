package host

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/hal"
)

// conversation loads one conversation of a treaty.
func conversation(t *testing.T, file, name string) transcript.Conversation {
	t.Helper()
	cs, err := transcript.Load("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := transcript.Find(cs, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRemoteI2CTranscripts(t *testing.T) {
	type tx struct {
		addr uint16
		w, r string
		fail string
	}
	for name, txs := range map[string][]tx{
		"a register is read":    {{0x5A, "\x07", "\xD2\x3A\x30", ""}},
		"a register is written": {{0x5A, "\x24\xFF\xFF\xD6", "", ""}},
		"two transactions, one after the other": {
			{0x5A, "\x06", "\xDF\x3A\xCF", ""}, {0x33, "", "\x01\x02", ""},
		},
		"nobody acknowledges, and the bus goes on": {
			{0x21, "\x07", "\x00", "address 21: no acknowledge on the bus"}, {0x22, "\x07", "\x5A", ""},
		},
		"nothing is written and nothing read": {{0x10, "", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newRemoteBus("unix:x", transcript.Device(t, conversation(t, "i2c.transcript", name)))
			for _, x := range txs {
				got := make([]byte, len(x.r))
				err := b.Tx(x.addr, []byte(x.w), got)
				switch {
				case x.fail != "" && (err == nil || !strings.Contains(err.Error(), x.fail) || errors.Is(err, hal.ErrGone)):
					t.Errorf("Tx(%02X) = %v, want %q and no loss", x.addr, err, x.fail)
				case x.fail == "" && (err != nil || string(got) != x.r):
					t.Errorf("Tx(%02X) read % X, %v, want % X", x.addr, got, err, x.r)
				}
			}
			if err := b.SetSpeed(0); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestARemoteBusOutOfOrderIsGone(t *testing.T) {
	for name, answer := range map[string]string{
		"silence":              "",
		"half an answer":       "\x00\x00\x02\x01",
		"too few bytes":        "\x00\x00\x01\x01",
		"too many bytes":       "\x00\x00\x03\x01\x02\x03",
		"an unknown status":    "\x02\x00\x00",
		"a reason without end": "\x01\xFF\xFF",
		"the end of the line":  "close",
	} {
		synctest.Test(t, func(t *testing.T) {
			host, far := net.Pipe()
			defer far.Close()
			go func() {
				_, _ = io.ReadFull(far, make([]byte, 7))
				if answer == "close" {
					_ = far.Close()
				}
				_, _ = io.WriteString(far, answer)
			}()
			b := newRemoteBus("unix:x", host)
			start := time.Now()
			if err := b.Tx(1, []byte{7}, make([]byte, 2)); !errors.Is(err, hal.ErrGone) {
				t.Errorf("%s: Tx = %v, want hal.ErrGone", name, err)
			}
			if d := time.Since(start); d > answerLimit { // virtual time
				t.Errorf("%s: Tx took %v, want at most %v", name, d, answerLimit)
			}
			if err := b.Tx(1, []byte{7}, make([]byte, 2)); !errors.Is(err, hal.ErrGone) {
				t.Errorf("%s: next Tx = %v, want hal.ErrGone", name, err)
			}
			if _, err := host.Write([]byte{0}); err == nil {
				t.Errorf("%s: the connection is still open", name)
			}
		})
	}
}

func TestRemoteBusLimits(t *testing.T) {
	b := newRemoteBus("unix:x", nil) // nothing may be sent
	big := make([]byte, maxTransfer+1)
	for name, err := range map[string]error{
		"address": b.Tx(0x400, nil, nil), "write": b.Tx(1, big, nil), "read": b.Tx(1, nil, big),
	} {
		if err == nil || errors.Is(err, hal.ErrGone) {
			t.Errorf("%s: Tx = %v, want a plain error", name, err)
		}
	}
}

func TestCloseWakesARemoteTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, far := net.Pipe()
		defer far.Close()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		b := newRemoteBus("unix:x", host)
		go func() { time.Sleep(time.Millisecond); _ = b.Close() }()
		if err := b.Tx(1, nil, make([]byte, 1)); err == nil {
			t.Error("Tx = nil, want an error")
		}
		if err := b.Tx(1, nil, nil); err == nil {
			t.Error("Tx of a closed bus = nil, want an error")
		}
	})
}

func TestOpenI2COverASocket(t *testing.T) {
	ln, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := "unix:" + ln.Addr().String()
	bus, err := OpenI2C(addr, I2COpts{})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { // an echo of the address
		defer far.Close()
		for range 200 {
			q := make([]byte, 6)
			if _, err := io.ReadFull(far, q); err != nil {
				return
			}
			_, _ = far.Write([]byte{0, 0, 1, q[1]})
		}
	})
	var users sync.WaitGroup
	for i := range 4 {
		users.Go(func() {
			for range 50 {
				r := make([]byte, 1)
				if err := bus.Tx(uint16(i), nil, r); err != nil || r[0] != byte(i) {
					t.Errorf("Tx(%d) read %d, %v", i, r[0], err)
				}
			}
		})
	}
	users.Wait()
	served.Wait()
	if err := bus.Tx(1, nil, nil); !errors.Is(err, hal.ErrGone) {
		t.Errorf("Tx of a far end that hung up = %v, want hal.ErrGone", err)
	}
	if bus.String() != addr {
		t.Errorf("String = %q, want %q", bus, addr)
	}
	if _, err := OpenI2C("tcp:192.0.2.1:1", I2COpts{}); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a bus on another machine: %v, want a refusal", err)
	}
}

func FuzzReadI2CAnswer(f *testing.F) {
	cs, err := transcript.Load("testdata/i2c.transcript")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cs {
		for _, s := range c.Steps {
			if s.Kind == '<' {
				f.Add(s.Bytes, len(s.Bytes)-3)
			}
		}
	}
	f.Add([]byte("\x01\x00\x02\xff\n"), 3)
	f.Fuzz(func(t *testing.T, answer []byte, n int) {
		if n < 0 || n > maxTransfer {
			return
		}
		from, r := bytes.NewReader(answer), make([]byte, n)
		reason, err := readI2CAnswer(from, r)
		if used := len(answer) - from.Len(); err == nil && reason == "" && used != 3+n {
			t.Errorf("% X: %d bytes taken for %d read", answer, used, n)
		}
		if strings.ContainsAny(reason, "\n\r\x00\x1b") || len(reason) > 3*maxReason {
			t.Errorf("% X: reason not fit for a log: %q", answer, reason)
		}
	})
}
