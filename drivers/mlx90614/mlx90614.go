// Package mlx90614 drives the Melexis MLX90614 infrared thermometer.
//
// # Supports
//
// Object 1 and ambient temperature, every word checked by its PEC, the median
// of several samples; the emissivity cell, written only when it differs from
// what is asked for.
//
// # Does not support
//
// The second zone of dual-zone parts, PWM output, sleep (waking needs SDA held
// low for 33 ms, which i2c-dev cannot do) and changing the address. The value
// is the temperature of the surface in view; the driver never turns it into a
// body temperature.
//
// # Wiring
//
// SMBus at 5A, at most 100 kHz: the bus's speed is left alone, because on
// Linux it belongs to every device on the bus. 3 V parts (BAA, DCC, DCI …) go
// straight on a 3.3 V bus.
//
// # Source
//
// Melexis data sheet 3901090614, revisions 007 to 013, section 8.4 (SMBus),
// and application note 390119061402, revision 004 (flags).
package mlx90614

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/hal"
)

// Opts is how the module is used. The zero value is the module as shipped.
type Opts struct {
	// Addr is the 7-bit address; 0 means 5A.
	Addr uint16
	// Samples is how many readings one Measure takes, 1–25; 0 means 5. The
	// median of each kind is handed up, so two wild values of five do no harm.
	Samples int
	// Interval lies between two samples, at most 1 s; 0 means 25 ms: five
	// samples then span 100 ms and are not five copies of one conversion.
	Interval time.Duration
	// Emissivity is 0.1–1.0, 0.98 for skin; 0 leaves the module's own. The
	// cell wears out, so it is written only if it holds something else.
	Emissivity float64
}

// Dev is one sensor.
type Dev struct {
	bus      i2c.Bus
	addr     uint16
	samples  int
	interval time.Duration

	mu   sync.Mutex
	life context.Context // ended and renewed by Halt
	end  context.CancelFunc
}

// New checks that a sensor answers with a usable emissivity, and writes
// opts.Emissivity if the sensor has another. A sensor that does not answer
// gives an error that wraps hal.ErrGone.
func New(ctx context.Context, bus i2c.Bus, opts Opts) (*Dev, error) {
	if err := opts.fill(); err != nil {
		return nil, err
	}
	d := &Dev{
		bus: bus, addr: opts.Addr, samples: opts.Samples, interval: opts.Interval,
	}
	d.life, d.end = context.WithCancel(context.Background())
	if err := d.setEmissivity(ctx, opts.Emissivity); err != nil {
		return nil, err
	}
	return d, nil
}

// String names the sensor by bus and address.
func (d *Dev) String() string { return fmt.Sprintf("mlx90614{%s, %02X}", d.bus, d.addr) }

// Halt ends a running Measure. The sensor itself needs no halting, and Measure
// may be called again afterwards.
func (d *Dev) Halt() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
	d.life, d.end = context.WithCancel(context.Background())
	return nil
}

// Measure implements hal.Thermometer. It takes (Samples−1) × Interval. One
// flagged or implausible sample spoils the whole reading: somebody who walks
// through the view is measured again, never averaged away.
func (d *Dev) Measure(ctx context.Context) (hal.Reading, error) {
	ctx, done := d.untilHalt(ctx)
	defer done()
	objects := make([]uint16, d.samples)
	ambients := make([]uint16, d.samples)
	for i := range d.samples {
		if i > 0 {
			if err := pause(ctx, d.interval); err != nil {
				return hal.Reading{}, err
			}
		}
		var err error
		if ambients[i], err = d.linearised(ctx, ramAmbient); err != nil {
			return hal.Reading{}, err
		}
		if objects[i], err = d.linearised(ctx, ramObject1); err != nil {
			return hal.Reading{}, err
		}
	}
	return hal.Reading{
		Object:  temperature(median(objects)),
		Ambient: temperature(median(ambients)),
	}, nil
}

// Probe asks the sensor for its emissivity cell. A sensor that answers, were it
// with a bad check byte, is there.
func (d *Dev) Probe(ctx context.Context) error {
	ctx, done := d.untilHalt(ctx)
	defer done()
	if _, err := d.word(ctx, eepromEmissivity); !errors.Is(err, errPEC) {
		return err
	}
	return nil
}

//

func (o *Opts) fill() error {
	if o.Addr == 0 {
		o.Addr = 0x5A
	}
	if o.Samples == 0 {
		o.Samples = 5
	}
	if o.Interval == 0 {
		o.Interval = 25 * time.Millisecond
	}
	switch {
	case o.Addr > 0x7F:
		return fmt.Errorf("mlx90614: address %02X is above 7F", o.Addr)
	case o.Samples < 1 || o.Samples > 25:
		return fmt.Errorf("mlx90614: %d samples, want 1–25", o.Samples)
	case o.Interval < 0 || o.Interval > time.Second:
		return fmt.Errorf("mlx90614: interval %v, want at most 1s", o.Interval)
	case o.Emissivity != 0 && !(o.Emissivity >= leastEmissivity && o.Emissivity <= 1):
		return fmt.Errorf("mlx90614: emissivity %v, want 0.1–1.0", o.Emissivity)
	}
	return nil
}

// linearised reads one of the linearised temperatures and refuses what the
// chip itself calls an error, or cannot have meant.
func (d *Dev) linearised(ctx context.Context, cmd byte) (uint16, error) {
	raw, err := d.word(ctx, cmd)
	if err != nil {
		return 0, err
	}
	return raw, plausible(cmd, raw)
}

// plausible checks the raw range of a linearised temperature. Bit 15 is the
// error flag (section 8.4.6): with it set the rest means nothing.
func plausible(cmd byte, raw uint16) error {
	least, most := uint16(objectLeast), uint16(objectMost)
	if cmd == ramAmbient {
		least, most = ambientLeast, ambientMost
	}
	switch {
	case raw&errorFlag != 0:
		return fmt.Errorf("mlx90614: register %02X carries the error flag", cmd)
	case raw < least || raw > most:
		return fmt.Errorf("mlx90614: register %02X holds %04X, outside %04X–%04X", cmd, raw, least, most)
	}
	return nil
}

// temperature converts exactly: one step is 0.02 K, counted from 0 K.
func temperature(raw uint16) physic.Temperature {
	return physic.Temperature(raw) * 20 * physic.MilliKelvin
}

// median sorts v; of an even number it takes the lower middle, a value that
// was really measured.
func median(v []uint16) uint16 {
	slices.Sort(v)
	return v[(len(v)-1)/2]
}

// setEmissivity compares the cell with e and writes it only if it differs. It
// also refuses a sensor whose cell is erased, as a power cut between erasing
// and writing leaves it: its readings would be far off and look plausible.
func (d *Dev) setEmissivity(ctx context.Context, e float64) error {
	has, err := d.word(ctx, eepromEmissivity)
	if err != nil {
		return err
	}
	want := emissivityCell(e)
	switch {
	case e == 0 && has < emissivityCell(leastEmissivity):
		return fmt.Errorf("mlx90614: emissivity cell holds %04X, below 0.1: configure an emissivity", has)
	case e == 0 || has == want:
		return nil
	}
	// A cell takes only ones: it is erased by writing zero first.
	for _, v := range []uint16{0, want} {
		if err := d.program(ctx, eepromEmissivity, v); err != nil {
			return err
		}
	}
	if has, err = d.word(ctx, eepromEmissivity); err != nil {
		return err
	}
	if has != want {
		return fmt.Errorf("mlx90614: emissivity reads %04X after %04X was written", has, want)
	}
	return nil
}

// emissivityCell is what the chip keeps for e: round(65535 e).
func emissivityCell(e float64) uint16 { return uint16(math.Round(65535 * e)) }

// errHalted is what a call ended by Halt returns.
var errHalted = errors.New("mlx90614: halted")

// untilHalt gives a context that also ends with the next Halt.
func (d *Dev) untilHalt(ctx context.Context) (context.Context, func()) {
	d.mu.Lock()
	life := d.life
	d.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(life, func() { cancel(errHalted) })
	return ctx, func() { stop(); cancel(nil) }
}

// ended tells why ctx is over, nil if it is not.
func ended(ctx context.Context) error {
	if context.Cause(ctx) == errHalted {
		return errHalted
	}
	return ctx.Err()
}

// pause waits for d unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ended(ctx)
	case <-ctx.Done():
		return ended(ctx)
	}
}

var (
	_ hal.Thermometer = &Dev{}
	_ hal.Prober      = &Dev{}
)
