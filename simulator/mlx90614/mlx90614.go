// Package mlx90614 is the far end of the infrared thermometer: an I²C bus with
// one MLX90614 on it that speaks SMBus with PEC.
//
// # Simulated
//
// Read word from RAM 06 (ambient), 07 (object 1) and 08; read and write word
// of the EEPROM cells 20–3F with erase-before-write, busy time and a wear
// counter; the flags (F0); the address 00, at which every such chip answers.
//
// # Not simulated
//
// Raw infrared counts, sleep, PWM, and the optics: SetObject sets what the
// chip reports, whatever the emissivity cell says.
package mlx90614

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// ErrNACK is what a transaction gives that nobody acknowledged.
var ErrNACK = errors.New("no acknowledge on the bus")

// Opts is what the sensor is like. The zero value answers at 5A, at once.
type Opts struct {
	// Addr is the 7-bit address; 0 means 5A.
	Addr uint16
	// Transaction is how long one transaction keeps the bus.
	Transaction time.Duration
	// Cell is how long one erasing or writing of a cell takes.
	Cell time.Duration
}

// RealTiming is a sensor on a 100 kHz bus: five bytes of nine bits each, and
// 5 ms a cell (data sheet 3901090614, EEPROM write time).
func RealTiming() Opts {
	return Opts{Transaction: 500 * time.Microsecond, Cell: 5 * time.Millisecond}
}

// Sensor is the bus with the chip. It implements i2c.Bus and is safe for
// concurrent use.
type Sensor struct {
	// Faults spoils the next answers: Silence is an answer that is not
	// acknowledged, Short and Noise misplace its bytes, Checksum spoils the
	// PEC.
	Faults fault.Plan

	opts Opts

	mu        sync.Mutex
	object    uint16
	ambient   uint16
	flagged   int
	unplugged bool
	cells     [32]uint16
	writes    int
	busyTill  time.Time
}

// New gives a sensor as shipped, which sees 25 °C at 25 °C.
func New(opts Opts) *Sensor {
	if opts.Addr == 0 {
		opts.Addr = 0x5A
	}
	s := &Sensor{opts: opts, object: 0x3A3C, ambient: 0x3A3C}
	s.cells[cellEmissivity] = 0xFFFF
	s.cells[cellConfig] = 0x9FB4
	s.cells[cellAddress] = 0xBE00 | opts.Addr
	return s
}

// SetObject sets the temperature of the surface in view, to the nearest
// step of 0.02 K, within the range of the chip.
func (s *Sensor) SetObject(t physic.Temperature) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.object = steps(t)
}

// SetAmbient sets the temperature of the chip itself.
func (s *Sensor) SetAmbient(t physic.Temperature) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ambient = steps(t)
}

// Flag makes the next n temperatures carry the error flag.
func (s *Sensor) Flag(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flagged = n
}

// Unplug takes the sensor off the bus: nothing is acknowledged until Plug.
func (s *Sensor) Unplug() { s.setUnplugged(true) }

// Plug puts it back; the cells are as they were.
func (s *Sensor) Plug() { s.setUnplugged(false) }

// PowerCycle ends a running EEPROM write and pending flags; the cells stay.
func (s *Sensor) PowerCycle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flagged, s.busyTill = 0, time.Time{}
}

// Writes counts the EEPROM erasures and writes so far: a driver that writes
// at every start wears the cell out.
func (s *Sensor) Writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// Emissivity is what the cell holds, 0–1.
func (s *Sensor) Emissivity() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return float64(s.cells[cellEmissivity]) / 65535
}

// String implements i2c.Bus.
func (s *Sensor) String() string { return "simulated bus" }

// SetSpeed implements i2c.Bus: the chip takes 10 to 100 kHz.
func (s *Sensor) SetSpeed(f physic.Frequency) error {
	if f < 10*physic.KiloHertz || f > 100*physic.KiloHertz {
		return fmt.Errorf("speed %v, want 10kHz–100kHz", f)
	}
	return nil
}

// Tx implements i2c.Bus. What the chip does not acknowledge gives ErrNACK.
func (s *Sensor) Tx(addr uint16, w, r []byte) error {
	if s.opts.Transaction > 0 {
		time.Sleep(s.opts.Transaction)
	}
	if !s.here(addr) || len(w) == 0 {
		return ErrNACK
	}
	if len(r) == 0 {
		return s.write(addr, w)
	}
	if len(w) != 1 {
		return ErrNACK
	}
	return s.read(addr, w[0], r)
}

//

func (s *Sensor) setUnplugged(v bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unplugged = v
}

func (s *Sensor) here(addr uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.unplugged && (addr == s.opts.Addr || addr == 0)
}

// read answers low byte, high byte, PEC; a reader that wants more gets FF, as
// from a bus that nobody drives.
func (s *Sensor) read(addr uint16, cmd byte, r []byte) error {
	v, ok := s.word(cmd)
	if !ok {
		return ErrNACK
	}
	a, lo, hi := byte(addr<<1), byte(v), byte(v>>8)
	var sent []byte
	_ = s.Faults.Send([]byte{lo, hi, pec(a, cmd, a|1, lo, hi)}, func(b []byte) error {
		sent = append(sent, b...)
		return nil
	})
	if len(sent) == 0 {
		return ErrNACK
	}
	for i := copy(r, sent); i < len(r); i++ {
		r[i] = 0xFF
	}
	return nil
}

// word is what the chip holds at cmd.
func (s *Sensor) word(cmd byte) (uint16, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case cmd == 0x06:
		return s.flag(s.ambient), true
	case cmd == 0x07:
		return s.flag(s.object), true
	case cmd < 0x20:
		return 0, true
	case cmd < 0x40 && s.busy():
		return 0, true // seen on the sister part: a cell being written reads 0000
	case cmd < 0x40:
		return s.cells[cmd-0x20], true
	case cmd == 0xF0 && s.busy():
		return flagInit | flagBusy, true
	case cmd == 0xF0:
		return flagInit, true
	}
	return 0, false
}

func (s *Sensor) flag(v uint16) uint16 {
	if s.flagged == 0 {
		return v
	}
	s.flagged--
	return v | 1<<15
}

func (s *Sensor) busy() bool { return time.Now().Before(s.busyTill) }

// write takes a write word. One whose PEC is wrong or missing is acknowledged
// as far as it goes and changes nothing; so is one that comes while a cell is
// being written, or that is not meant for the customer's cells.
func (s *Sensor) write(addr uint16, w []byte) error {
	if k := s.Faults.Take(); k == fault.Silence {
		return ErrNACK
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(w) != 4 || pec(byte(addr<<1), w[0], w[1], w[2]) != w[3] || !writable(w[0]) || s.busy() {
		return nil
	}
	v := uint16(w[1]) | uint16(w[2])<<8
	if cell := &s.cells[w[0]-0x20]; v == 0 {
		*cell = 0
	} else {
		*cell |= v // a cell that was not erased keeps its ones
	}
	s.writes++
	s.busyTill = time.Now().Add(s.opts.Cell)
	return nil
}

// writable lists the cells a customer may write (data sheet, EEPROM table).
func writable(cmd byte) bool {
	switch cmd {
	case 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x2E:
		return true
	}
	return false
}

// steps is t in steps of 0.02 K, within what the register can hold. Halves go
// down: 37.30 °C lies between two steps and is 3CA2, 37.29 °C.
func steps(t physic.Temperature) uint16 {
	const step = 20 * physic.MilliKelvin
	return uint16(min(max((t+step/2-1)/step, 0), 0x7FFF))
}

func pec(bytes ...byte) byte {
	var crc byte
	for _, b := range bytes {
		crc ^= b
		for range 8 {
			carry := crc & 0x80
			crc <<= 1
			if carry != 0 {
				crc ^= 0x07
			}
		}
	}
	return crc
}

const (
	cellEmissivity = 0x04
	cellConfig     = 0x05
	cellAddress    = 0x0E

	flagInit = 1 << 4 // low while the chip initialises
	flagBusy = 1 << 7
)

var _ i2c.Bus = &Sensor{}
