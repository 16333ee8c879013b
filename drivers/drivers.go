// Package drivers turns a configured device into an opened one: one switch
// from a driver's name to its constructor. Wires come from drivers/host on a
// real machine, from the bench in a simulation; the drivers cannot tell.
package drivers

import (
	"context"
	"fmt"
	"io"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"

	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/drivers/gm65"
	"github.com/digital-sentinel/sentinel/drivers/lcus"
	"github.com/digital-sentinel/sentinel/drivers/linescan"
	"github.com/digital-sentinel/sentinel/drivers/mlx90614"
	"github.com/digital-sentinel/sentinel/drivers/pulse"
	"github.com/digital-sentinel/sentinel/drivers/relay"
	"github.com/digital-sentinel/sentinel/drivers/sdt"
	"github.com/digital-sentinel/sentinel/drivers/syn6288"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

// Wires opens wires by their address (design: "Wires are addresses").
type Wires interface {
	// Serial opens a serial line at baud; 0 is the wire's own speed.
	Serial(ctx context.Context, address string, baud int) (Line, error)
	// I2C opens a bus.
	I2C(ctx context.Context, address string) (i2c.BusCloser, error)
	// Out opens a GPIO output that stands at first from the first moment on.
	Out(ctx context.Context, address string, first gpio.Level) (PinOut, error)
	// In opens a GPIO input.
	In(ctx context.Context, address string, pull gpio.Pull) (PinIn, error)
}

// Line is a serial line with its owner's Close.
type Line interface {
	wire.Line
	io.Closer
}

// PinOut is an output line with its owner's Close.
type PinOut interface {
	gpio.PinOut
	io.Closer
}

// PinIn is an input line with its owner's Close.
type PinIn interface {
	gpio.PinIn
	io.Closer
}

// Opened is a device and how to give its wires back, after its Halt.
type Opened struct {
	Dev   conn.Resource
	Close func() error
}

// Open opens the device d. rest is where a gate stands when nobody commands
// it. Every error names the device; no wire stays open behind it.
func Open(ctx context.Context, d *configs.Device, rest string, w Wires) (*Opened, error) {
	b := &builder{ctx: ctx, d: d, w: w}
	dev, err := b.open(rest)
	if err != nil {
		_ = b.close()
		return nil, fmt.Errorf("%s (%s on %s): %w", d.Name, d.Driver, d.Address, err)
	}
	return &Opened{Dev: dev, Close: b.close}, nil
}

//

// builder opens one device and remembers its wires.
type builder struct {
	ctx   context.Context
	d     *configs.Device
	w     Wires
	wires []io.Closer
}

// factory speeds, where a module has one and its driver does not look for it.
const (
	scannerBaud = 9600
	voiceBaud   = 9600
	relayBaud   = 9600
)

// open is the one table of drivers.
func (b *builder) open(rest string) (conn.Resource, error) {
	d := b.d
	switch d.Driver {
	case "sdt":
		line, err := b.serial(0)
		if err != nil {
			return nil, err
		}
		return sdt.New(b.ctx, line, sdt.Opts{Baud: d.Baud})
	case "gm65":
		line, err := b.serial(0)
		if err != nil {
			return nil, err
		}
		return gm65.New(b.ctx, line, gm65.Opts{Baud: d.Baud, Mode: scanMode(d.Mode), Gap: time.Duration(d.Gap)})
	case "linescan":
		line, err := b.serial(scannerBaud)
		if err != nil {
			return nil, err
		}
		return linescan.New(line, linescan.Opts{Gap: time.Duration(d.Gap)})
	case "mlx90614":
		bus, err := b.w.I2C(b.ctx, d.Address)
		if err != nil {
			return nil, err
		}
		b.wires = append(b.wires, bus)
		return mlx90614.New(b.ctx, bus, mlx90614.Opts{Samples: d.Samples, Emissivity: d.Emissivity})
	case "syn6288", "xfs5152":
		line, err := b.serial(voiceBaud)
		if err != nil {
			return nil, err
		}
		variant := syn6288.SYN6288
		if d.Driver == "xfs5152" {
			variant = syn6288.XFS5152CE
		}
		return syn6288.New(b.ctx, line, syn6288.Opts{Variant: variant, Volume: d.Volume})
	case "lcus":
		line, err := b.serial(relayBaud)
		if err != nil {
			return nil, err
		}
		return lcus.New(b.ctx, line, lcus.Opts{Rest: restOf(rest), Channel: d.Channel})
	case "relay":
		return b.relay(rest)
	}
	return nil, fmt.Errorf("there is no driver %q", d.Driver)
}

// serial opens the device's serial line.
func (b *builder) serial(factory int) (Line, error) {
	baud := b.d.Baud
	if baud == 0 {
		baud = factory
	}
	line, err := b.w.Serial(b.ctx, b.d.Address, baud)
	if err != nil {
		return nil, err
	}
	b.wires = append(b.wires, line)
	return line, nil
}

// relay opens a gate's line and, where they are wired, its two inputs. Both
// inputs are pulled up: a torn wire then reads as a fire, as it must.
func (b *builder) relay(rest string) (conn.Resource, error) {
	active := gpio.Level(!b.d.ActiveLow)
	first := !active
	if rest == "open" {
		first = active
	}
	out, err := b.w.Out(b.ctx, b.d.Address, first)
	if err != nil {
		return nil, err
	}
	b.wires = append(b.wires, out)
	pins := relay.Pins{Unlock: out}
	for _, in := range []struct {
		address string
		pin     *gpio.PinIn
	}{{b.d.Passage, &pins.Passage}, {b.d.Fire, &pins.Fire}} {
		if in.address == "" {
			continue
		}
		p, err := b.w.In(b.ctx, in.address, gpio.PullUp)
		if err != nil {
			return nil, err
		}
		b.wires = append(b.wires, p)
		*in.pin = p
	}
	return relay.New(pins, relay.Opts{Rest: restOf(rest), ActiveLow: b.d.ActiveLow})
}

// close gives all wires back, the last opened first.
func (b *builder) close() error {
	var first error
	for i := len(b.wires) - 1; i >= 0; i-- {
		if err := b.wires[i].Close(); err != nil && first == nil {
			first = err
		}
	}
	b.wires = nil
	return first
}

func restOf(rest string) pulse.Rest {
	switch rest {
	case "open":
		return pulse.Open
	case "locked":
		return pulse.Locked
	}
	return 0 // refused by the driver: where a gate rests has no default
}

func scanMode(mode string) gm65.Mode {
	switch mode {
	case "command":
		return gm65.ModeCommand
	case "induction":
		return gm65.ModeInduction
	}
	return gm65.ModeContinuous
}
