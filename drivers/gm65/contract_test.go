package gm65

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/haltest"
)

// module obeys every command at once; every command of this driver has nine
// bytes. It checks nothing.
type module struct {
	line net.Conn

	mu    sync.Mutex
	zones map[uint16]byte
	mute  bool
	looks time.Time // until when, in command mode
}

func shipped() map[uint16]byte {
	return map[uint16]byte{zoneMode: 0xD4, zoneTrigger: 0, zoneBarcode: 1, zoneSameCode: 0x85, zoneVersion: 0x87}
}

func (m *module) serve() {
	var f [9]byte
	for {
		if _, err := io.ReadFull(m.line, f[:]); err != nil {
			return
		}
		if answer := m.obey(f[2], uint16(f[4])<<8|uint16(f[5]), f[6]); answer != nil {
			_, _ = m.line.Write(answer)
		}
	}
}

func (m *module) obey(kind byte, zone uint16, data byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, known := m.zones[zone]
	switch {
	case m.mute:
		return nil
	case !known:
		return answer(replyInvalid, 0)
	case kind == typeRead:
		return answer(replyOK, value)
	}
	m.zones[zone] = data
	if zone == zoneTrigger {
		m.looks = time.Now().Add(5 * time.Second)
	}
	return answer(replyOK, 0)
}

// show holds a code up, unless the module does not look.
func (m *module) show(code string) {
	m.mu.Lock()
	blind := m.zones[zoneMode]&3 < 2 && time.Now().After(m.looks)
	m.looks = time.Time{}
	m.mu.Unlock()
	if !blind {
		_, _ = m.line.Write([]byte(code))
	}
}

func (m *module) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// answer frames a reply.
func answer(kind byte, data ...byte) []byte {
	f := append([]byte{0x02, 0x00, kind, byte(len(data))}, data...)
	c := crc(f[2:])
	return append(f, byte(c>>8), byte(c))
}

// open gives a driver and its module, opened in that mode.
func open(t *testing.T, mode Mode) (*Dev, *module) {
	t.Helper()
	host, far := net.Pipe()
	m := &module{line: far, zones: shipped()}
	go m.serve()
	t.Cleanup(func() { _ = host.Close(); _ = far.Close() })
	d, err := New(t.Context(), host, Opts{Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	return d, m
}

func TestContract(t *testing.T) {
	for name, mode := range map[string]Mode{
		"continuous": ModeContinuous, "command": ModeCommand, "induction": ModeInduction,
	} {
		t.Run(name, func(t *testing.T) {
			haltest.TestScanner(t, func(t *testing.T) haltest.Rig {
				d, m := open(t, mode)
				return haltest.Rig{
					Dev:     d,
					Present: func() { m.show("HALTEST-1\r") },
					Unplug:  func() { _ = m.line.Close() },
					Close:   func() { _ = m.line.Close() },
				}
			})
		})
	}
}

func TestModesAreWritten(t *testing.T) {
	for name, tt := range map[string]struct {
		mode Mode
		want byte
	}{
		"the zero mode is continuous": {ModeDefault, 0xD6},
		"command":                     {ModeCommand, 0xD5},
		"continuous":                  {ModeContinuous, 0xD6},
		"induction":                   {ModeInduction, 0xD7},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, m := open(t, tt.mode)
				defer d.Halt()
				want := shipped()
				want[zoneMode], want[zoneBarcode], want[zoneSameCode] = tt.want, 0, 0x8A
				if !maps.Equal(m.zones, want) {
					t.Errorf("registers %v, want %v", m.zones, want)
				}
			})
		})
	}
}

func TestCodesOfEveryLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := open(t, ModeContinuous)
		defer d.Halt()
		for name, n := range map[string]int{"one byte": 1, "the largest QR code": 2953, "the limit": 4096, "too long": 4097, "far too long": 20000} {
			go m.show(strings.Repeat("7", n) + "\r\nHS-1\r\n")
			got, err := d.Scan(t.Context())
			switch {
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case n > 4096 && (!got.Truncated || len(got.Data) != 0):
				t.Errorf("%s: %v, want no data and Truncated", name, got)
			case n <= 4096 && string(got.Data) != strings.Repeat("7", n):
				t.Errorf("%s: %v, want all of %d bytes", name, got, n)
			}
			wantScan(t, d, `"HS-1"`)
		}
	})
}

func TestASilenceEndsACode(t *testing.T) {
	for name, gap := range map[string]time.Duration{"by default": 0, "as configured": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, far := net.Pipe()
				m := &module{line: far, zones: shipped()}
				go m.serve()
				defer far.Close()
				d, err := New(t.Context(), host, Opts{Gap: gap})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Halt()
				want := max(gap, 60*time.Millisecond)
				start := time.Now()
				go func() {
					m.show("HS")
					time.Sleep(want - time.Millisecond) // one code still
					m.show("-1")
				}()
				wantScan(t, d, `"HS-1"`)
				if got := time.Since(start); got != 2*want-time.Millisecond {
					t.Errorf("given after %v, want %v", got, 2*want-time.Millisecond)
				}
			})
		})
	}
}

func TestNoiseIsNotACodeForLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := open(t, ModeContinuous)
		defer d.Halt()
		m.show("\xFF\xAA\xAA\x00\x7E\x02\x00") // as a plug that is moved makes it
		time.Sleep(time.Second)
		go m.show("HS-1\r")
		wantScan(t, d, `"HS-1"`)
	})
}

func TestOfManyCodesTheNewestAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := open(t, ModeContinuous)
		defer d.Halt()
		for _, code := range strings.Fields("1 2 3 4 5 6 7 8 9 10") {
			m.show(code + "\r")
		}
		synctest.Wait()
		for _, want := range strings.Fields("3 4 5 6 7 8 9 10") {
			wantScan(t, d, `"`+want+`"`)
		}
	})
}

func TestTriggersEndWithTheScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := open(t, ModeCommand)
		defer d.Halt()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := d.Scan(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Scan() = %v, want context.DeadlineExceeded", err)
		}
		time.Sleep(time.Minute)
		m.mu.Lock()
		defer m.mu.Unlock()
		if got, want := m.looks.Sub(start), 9*time.Second+5*time.Second; got != want {
			t.Errorf("the module looks until %v, want %v: its last trigger came at 9s", got, want)
		}
	})
}

func TestAModuleThatRefusesTheTriggerIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, m := open(t, ModeCommand)
		defer d.Halt()
		m.set(func() { m.mute = true }) // a trigger that is not acknowledged may have been heard
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := d.Scan(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Scan() = %v of a mute module, want context.DeadlineExceeded", err)
		}
		m.set(func() { m.mute = false; delete(m.zones, zoneTrigger) })
		if _, err := d.Scan(t.Context()); err == nil || errors.Is(err, hal.ErrGone) || !strings.Contains(err.Error(), "zone 0002") {
			t.Errorf("Scan() = %v, want an error about zone 0002", err)
		}
	})
}

func TestProbe(t *testing.T) {
	for name, tt := range map[string]struct {
		happens func(m *module)
		gone    bool
	}{
		"all is well": {func(*module) {}, false},
		"the power failed, the settings are lost": {func(m *module) { m.zones = shipped() }, true},
		"the module is silent":                    {func(m *module) { m.mute = true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, m := open(t, ModeDefault)
				defer d.Halt()
				m.set(func() { tt.happens(m) })
				if err := d.Probe(t.Context()); errors.Is(err, hal.ErrGone) != tt.gone || !tt.gone && err != nil {
					t.Errorf("Probe() = %v, want gone: %v", err, tt.gone)
				}
			})
		})
	}
}
