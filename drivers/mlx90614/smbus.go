package mlx90614

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
)

// word reads one register or cell. A word with a bad PEC is read once more: a
// single flipped bit on the bus is common with long leads, two in a row are a
// fault worth an error.
func (d *Dev) word(ctx context.Context, cmd byte) (uint16, error) {
	v, err := d.word1(ctx, cmd)
	if errors.Is(err, errPEC) {
		v, err = d.word1(ctx, cmd)
	}
	return v, err
}

// word1 is one attempt. It is a plain I²C write-then-read of three bytes: the
// kernel's SMBus layer cannot take this chip's read PEC.
func (d *Dev) word1(ctx context.Context, cmd byte) (uint16, error) {
	var buf [3]byte
	if err := d.tx(ctx, []byte{cmd}, buf[:]); err != nil {
		return 0, err
	}
	v, ok := decode(d.addr, cmd, buf)
	if !ok {
		return 0, fmt.Errorf("mlx90614: register %02X: %w", cmd, errPEC)
	}
	return v, nil
}

// errPEC is a word whose check byte does not fit.
var errPEC = errors.New("check byte does not match")

// decode takes low byte, high byte and PEC apart, and checks the PEC.
func decode(addr uint16, cmd byte, b [3]byte) (uint16, bool) {
	w := byte(addr << 1)
	if pec(w, cmd, w|1, b[0], b[1]) != b[2] {
		return 0, false
	}
	return uint16(b[0]) | uint16(b[1])<<8, true
}

// program writes one EEPROM cell and waits until the chip has stored it.
func (d *Dev) program(ctx context.Context, cmd byte, v uint16) error {
	w := byte(d.addr << 1)
	lo, hi := byte(v), byte(v>>8)
	if err := d.tx(ctx, []byte{cmd, lo, hi, pec(w, cmd, lo, hi)}, nil); err != nil {
		return err
	}
	return d.stored(ctx)
}

// stored waits while the chip reports that its EEPROM is busy. The data sheet
// reads the flags without a repeated start, which i2c-dev cannot send: not
// every chip answers our way of asking. Flags that cannot be had are therefore
// no error, the wait alone must do, and the caller reads the cell back anyway.
func (d *Dev) stored(ctx context.Context) error {
	for range busyPolls {
		if err := pause(ctx, cellTime); err != nil {
			return err
		}
		var buf [3]byte
		if err := d.bus.Tx(d.addr, []byte{readFlags}, buf[:]); err != nil {
			return nil
		}
		flags, ok := decode(d.addr, readFlags, buf)
		switch {
		case !ok:
			return nil
		case flags&eepromDead != 0:
			return errors.New("mlx90614: the sensor reports a dead EEPROM")
		case flags&eepromBusy == 0:
			return nil
		}
	}
	return errors.New("mlx90614: the EEPROM stays busy")
}

// tx is one transaction. A bus error is tried again, for a sensor that is
// still there answers within 20 ms; after the third in a row it is gone.
func (d *Dev) tx(ctx context.Context, w, r []byte) error {
	for try := 1; ; try++ {
		if err := ended(ctx); err != nil {
			return err
		}
		err := d.bus.Tx(d.addr, w, r)
		if err == nil {
			return nil
		}
		if try == busTries || errors.Is(err, hal.ErrGone) {
			return fmt.Errorf("mlx90614: %w", hal.Gone(err))
		}
		if err := pause(ctx, busPause); err != nil {
			return err
		}
	}
}

// pec is SMBus's packet error code: CRC-8, polynomial 07, start 0, over every
// byte on the bus including the address bytes.
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

// Commands: 000x xxxx is RAM, 001x xxxx EEPROM (section 8.4.6).
const (
	ramAmbient       = 0x06
	ramObject1       = 0x07
	eepromEmissivity = 0x24
	readFlags        = 0xF0
)

// Flags of command F0 (section 8.4.6).
const (
	eepromBusy = 1 << 7
	eepromDead = 1 << 5
)

// Linearised temperatures in steps of 0.02 K.
const (
	errorFlag    = 1 << 15
	objectLeast  = 0x27AD // −70.01 °C
	objectMost   = 0x7FFF // 382.19 °C
	ambientLeast = 0x2D89 // −40.01 °C, the sensor's own range on page 1
	ambientMost  = 0x4DC4 // 125.01 °C
)

const (
	leastEmissivity = 0.1

	busTries = 3
	busPause = 20 * time.Millisecond

	cellTime  = 20 * time.Millisecond // erase or write of one cell; the kernel's figure
	busyPolls = 10
)
