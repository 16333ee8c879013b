// Package lcus drives a gate on an LCUS USB relay board (LCUS-1 to LCUS-8, a
// CH340 and a microcontroller).
//
//	A0 | channel 01–08 | state 00 off, 01 on | sum of the three, low byte
//
// # Supports
//
// One channel as the release line of a gate.
//
// # Does not support
//
// Knowing what the relay does: the board sends nothing back. (Some answer a
// status query; nothing relies on it.) A pulse that the board times itself:
// SelfTimed is false. A passage sensor and a fire loop: the board has no
// inputs, so the fire contact must be wired into the gate past the board.
//
// A lost frame is not noticed by anybody. Probe therefore repeats the resting
// frame, which also locks a gate whose locking frame was lost.
//
// # Wiring
//
// 9600 8N1, ttyUSB*. Clones share one serial number or have none: find the
// board by its USB port. The relay falls off when USB power goes, so wire the
// gate to NO (on unlocks) where it must then lock, and to NC, with Opts.NC,
// where it must then open.
//
// # Source
//
// The sellers' protocol page, the same in more than ten public copies.
package lcus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digital-sentinel/sentinel/drivers/pulse"
	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

// The resting positions; Opts.Rest has no default.
const (
	Locked = pulse.Locked
	Open   = pulse.Open
)

// Opts is how the gate is wired. Rest must be given; the zero value of the
// other fields is a gate on the NO contact of channel 1.
type Opts struct {
	// Rest is the position of a gate that nobody commands. At Open the relay
	// keeps the gate unlocked, and a release only repeats that frame.
	Rest pulse.Rest
	// Channel is 1–8; 0 means 1.
	Channel int
	// NC is set where the gate hangs on the normally closed contact: the relay
	// is then off while the gate is unlocked.
	NC bool
	// MinPulse is the shortest release that is accepted; 0 means 100 ms.
	MinPulse time.Duration
}

// Dev is one gate on one channel.
type Dev struct {
	gate    *pulse.Gate
	channel int
}

// New puts the gate to rest first thing. Nothing tells whether a board is
// there: only a line that takes no bytes gives an error.
func New(ctx context.Context, line wire.Line, opts Opts) (*Dev, error) {
	if opts.Channel == 0 {
		opts.Channel = 1
	}
	if opts.MinPulse == 0 {
		opts.MinPulse = 100 * time.Millisecond
	}
	switch {
	case opts.Rest != Locked && opts.Rest != Open:
		return nil, errors.New("lcus: no resting position given: locked or open")
	case opts.Channel < 1 || opts.Channel > 8:
		return nil, fmt.Errorf("lcus: channel %d, want 1–8", opts.Channel)
	case opts.MinPulse < 0 || opts.MinPulse > 10*time.Second:
		return nil, fmt.Errorf("lcus: shortest pulse %v, want at most 10s", opts.MinPulse)
	}
	drive := func(ctx context.Context, unlocked bool) error {
		return wire.Write(ctx, line, frame(opts.Channel, unlocked != opts.NC), writeLimit)
	}
	g, err := pulse.New(ctx, drive, pulse.Opts{Rest: opts.Rest, Least: opts.MinPulse})
	if err != nil {
		return nil, named(err)
	}
	return &Dev{gate: g, channel: opts.Channel}, nil
}

// String names the gate by its channel.
func (d *Dev) String() string { return fmt.Sprintf("lcus{channel %d}", d.channel) }

// Release implements hal.Gate. It returns an error for less than MinPulse.
func (d *Dev) Release(ctx context.Context, t time.Duration) error {
	return named(d.gate.Release(ctx, t))
}

// Lock implements hal.Locker.
func (d *Dev) Lock(ctx context.Context) error { return named(d.gate.Lock(ctx)) }

// Probe sends the resting frame once more; the relay does not click, and a
// board that was pulled out is found before the next visitor is.
func (d *Dev) Probe(ctx context.Context) error { return named(d.gate.Probe(ctx)) }

// SelfTimed implements hal.SelfTimed: this process times the pulse.
func (d *Dev) SelfTimed() bool { return false }

// Halt puts the gate to rest and ends every waiting call.
func (d *Dev) Halt() error { return named(d.gate.Halt()) }

//

// frame switches one channel.
func frame(channel int, on bool) []byte {
	f := []byte{start, byte(channel), stateOff, 0}
	if on {
		f[2] = stateOn
	}
	f[3] = f[0] + f[1] + f[2]
	return f
}

// named puts the driver's name before what pulse says. What a caller compares
// is handed up as it is.
func named(err error) error {
	switch {
	case err == nil, err == hal.ErrBusy, err == context.Canceled, err == context.DeadlineExceeded:
		return err
	}
	return fmt.Errorf("lcus: %w", err)
}

const (
	start    = 0xA0
	stateOff = 0x00
	stateOn  = 0x01

	// Four bytes take 4.2 ms at 9600 baud; a CH340 that does not take them in
	// half a second is stuck.
	writeLimit = 500 * time.Millisecond
)

var (
	_ hal.Gate      = &Dev{}
	_ hal.Locker    = &Dev{}
	_ hal.SelfTimed = &Dev{}
	_ hal.Prober    = &Dev{}
)
