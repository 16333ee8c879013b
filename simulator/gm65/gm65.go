// Package gm65 is the far end of a QR module's line: registers, triggers, and
// the codes that people hold up.
package gm65

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// Opts is how the module behaves. The zero value answers and decodes at once.
type Opts struct {
	// Decode is how long it takes to read a code that is held up.
	Decode time.Duration
	// OnSetting is called when a register is written.
	OnSetting func(zone uint16, value byte)
}

// RealTiming is a module that needs 100 ms for a code on a phone's screen (our
// estimate; makers print less and users wait longer).
func RealTiming() Opts { return Opts{Decode: 100 * time.Millisecond} }

// Module is one module. It is safe for concurrent use.
type Module struct {
	// Faults spoils the next replies; codes are left alone.
	Faults fault.Plan

	opts Opts

	mu        sync.Mutex
	zones     map[uint16]byte
	line      io.Writer
	triggered time.Time // until when it looks, in command mode
	waiting   []byte    // a code in view that it does not look at yet
	shownLast []byte
	shownAt   time.Time
}

// lookFor is how long a trigger lasts: the factory's single-read limit.
const lookFor = 5 * time.Second

// New gives a module as shipped: manual mode, setting by barcode on.
func New(opts Opts) *Module {
	m := &Module{opts: opts}
	m.PowerCycle()
	return m
}

// PowerCycle forgets every setting that was not saved.
func (m *Module) PowerCycle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.zones = map[uint16]byte{0x0000: 0xD4, 0x0003: 0x01, 0x000D: 0x00, 0x0013: 0x85, 0x002A: 0x39, 0x002B: 0x01, 0x00E1: 0x64, 0x00E2: 0x87}
	m.triggered, m.waiting, m.shownLast = time.Time{}, nil, nil
}

// Zone tells a register, for tests.
func (m *Module) Zone(zone uint16) byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.zones[zone]
}

// settingCode is a printed code that re-configures a module which allows it:
// our stand-in for the maker's, of which this one would set manual mode.
const settingCode = "W010000D4"

// Show holds a code up. A module that looks sends it; in command mode one that
// does not look sends it at the next trigger.
func (m *Module) Show(code []byte) error {
	if m.opts.Decode > 0 {
		time.Sleep(m.opts.Decode)
	}
	return m.send(m.decoded(code))
}

// Serve answers on line until the line dies or ctx ends.
func (m *Module) Serve(ctx context.Context, line io.ReadWriteCloser) error {
	stop := context.AfterFunc(ctx, func() { _ = line.Close() })
	defer stop()
	m.mu.Lock()
	m.line = line
	m.mu.Unlock()
	var buf []byte
	chunk := make([]byte, 512)
	for {
		n, err := line.Read(chunk)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && (n == 0 || !errors.Is(err, io.EOF)) {
			return err
		}
		buf = append(buf, chunk[:n]...)
		for {
			c, rest, ok := nextCommand(buf)
			buf = rest
			if !ok {
				break
			}
			if err := m.answer(c, line); err != nil {
				return err
			}
		}
	}
}

//

// command is one command from the host.
type command struct {
	kind byte
	zone uint16
	data []byte
	good bool // its checksum
}

// decoded takes a code that is in view, and returns what goes out for it now.
func (m *Module) decoded(code []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if string(code) == settingCode && m.zones[0x0003]&1 == 1 {
		m.zones[0x0000] = 0xD4
		return nil
	}
	if !m.looks() {
		m.waiting = bytes.Clone(code)
		return nil
	}
	return m.output(code)
}

// nextCommand takes the first command out of buf: 7E 00 TYPE LEN ADDR data CRC.
// Of a read, LEN is one too, and the byte is how many registers.
func nextCommand(buf []byte) (c command, rest []byte, ok bool) {
	at := bytes.Index(buf, []byte{0x7E, 0x00})
	if at < 0 {
		return command{}, buf[max(0, len(buf)-1):], false
	}
	buf = buf[at:]
	if len(buf) < 4 || len(buf) < 8+int(buf[3]) {
		return command{}, buf, false
	}
	n := int(buf[3])
	sum := binary.BigEndian.Uint16(buf[6+n:])
	c = command{
		kind: buf[2], zone: binary.BigEndian.Uint16(buf[4:]), data: buf[6 : 6+n],
		good: sum == 0xABCD || sum == crc(buf[2:6+n]),
	}
	return c, buf[8+n:], true
}

func (m *Module) answer(c command, line io.Writer) error {
	kind, data := m.carryOut(c)
	f := append([]byte{0x02, 0x00, kind, byte(len(data))}, data...)
	f = binary.BigEndian.AppendUint16(f, crc(f[2:]))
	err := m.Faults.Send(f, func(b []byte) error {
		_, err := line.Write(b)
		return err
	})
	if err != nil {
		return err
	}
	return m.sendWaiting()
}

// carryOut changes registers and gives the reply's type and data.
func (m *Module) carryOut(c command) (kind byte, data []byte) {
	if !c.good {
		return 0x01, []byte{0}
	}
	m.mu.Lock()
	var set func(uint16, byte)
	defer func() {
		m.mu.Unlock()
		if set != nil && len(c.data) > 0 {
			set(c.zone, c.data[0])
		}
	}()
	switch {
	case c.kind == 0x07 && len(c.data) == 1:
		n := int(c.data[0])
		if n == 0 {
			n = 256
		}
		for i := range n {
			data = append(data, m.zones[c.zone+uint16(i)])
		}
		return 0x00, data
	case c.kind == 0x08 && len(c.data) > 0:
		for i, v := range c.data {
			m.zones[c.zone+uint16(i)] = v
		}
		if c.zone == 0x0002 && c.data[0]&1 == 1 {
			m.zones[0x0002] = 0
			m.triggered = time.Now().Add(lookFor)
		}
		set = m.opts.OnSetting
		return 0x00, []byte{0}
	case c.kind == 0x09 || c.kind == 0x0A:
		return 0x00, []byte{0}
	}
	return 0x03, []byte{0}
}

// looks reports whether the module looks for a code now.
func (m *Module) looks() bool {
	switch m.zones[0x0000] & 0x03 {
	case 2, 3:
		return true
	case 1:
		return time.Now().Before(m.triggered)
	}
	return false
}

// sendWaiting sends a code that was in view before the module looked.
func (m *Module) sendWaiting() error {
	m.mu.Lock()
	var out []byte
	if m.waiting != nil && m.looks() {
		out = m.output(m.waiting)
		m.waiting = nil
	}
	m.mu.Unlock()
	return m.send(out)
}

// output is what goes out for a code: the same one again only after the set
// delay. The caller holds m.mu.
func (m *Module) output(code []byte) []byte {
	delay := m.zones[0x0013]
	if delay&0x80 != 0 && bytes.Equal(code, m.shownLast) &&
		time.Since(m.shownAt) < time.Duration(delay&0x7F)*100*time.Millisecond {
		return nil
	}
	m.shownLast, m.shownAt = bytes.Clone(code), time.Now()
	m.triggered = time.Time{} // one trigger, one code
	return append(bytes.Clone(code), '\r')
}

// send writes to whoever listens, with no lock held: virtual time waits for a
// mutex for ever.
func (m *Module) send(out []byte) error {
	m.mu.Lock()
	line := m.line
	m.mu.Unlock()
	if line == nil || out == nil {
		return nil
	}
	_, err := line.Write(out)
	return err
}

// crc is CRC-CCITT, polynomial 1021, start 0.
func crc(b []byte) uint16 {
	var c uint16
	for _, v := range b {
		c ^= uint16(v) << 8
		for range 8 {
			carry := c & 0x8000
			c <<= 1
			if carry != 0 {
				c ^= 0x1021
			}
		}
	}
	return c
}
