// Package relay drives a gate on a GPIO line, with an optional passage sensor
// and an optional fire loop on two more.
//
// # Supports
//
// One release line, held active while the gate is to be unlocked; a sensor
// that gives one active pulse a body; a fire loop that is closed while all is
// well. The fire loop opens the gate in the controller's hardware, wired past
// this program; here it is only told.
//
// # Does not support
//
// A pulse that the board times itself: SelfTimed is false, so after SIGKILL or
// a power cut only the wiring locks the gate. Counting directions, two arms.
//
// # Wiring
//
//	Unlock   a relay or an opto-coupler; most gates want 0.2–3 s and see
//	         nothing below 100 ms
//	Passage  contact or open collector to ground, pulled up: active is low
//	Fire     normally closed contact to ground, pulled up: a torn wire reads
//	         high, which is fire
//
// # Goroutines
//
// An input changes while nobody asks, so each wired input has a pump. New
// starts it, Halt ends it, and the first WaitPassage or WaitFire after a Halt
// starts it again.
//
// # Source
//
// Manuals of PERCo and TANSA turnstiles (fire contact, pulses), and the
// contract of periph's conn/gpio.
package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/digital-sentinel/sentinel/drivers/pulse"
	"github.com/digital-sentinel/sentinel/hal"
)

// The resting positions; Opts.Rest has no default.
const (
	Locked = pulse.Locked
	Open   = pulse.Open
)

// Pins are the lines of one gate. Passage and Fire may be nil. A pin whose Out
// fails, or which has a method Err() error that says so, makes the gate gone.
type Pins struct {
	Unlock  gpio.PinOut
	Passage gpio.PinIn
	Fire    gpio.PinIn
}

// Opts is how the gate is wired. Rest must be given; the zero value of all
// other fields is the wiring above.
type Opts struct {
	// Rest is the position of a gate that nobody commands. At Open the line is
	// held active, and a release only repeats that level.
	Rest pulse.Rest
	// ActiveLow is set where a low level unlocks.
	ActiveLow bool
	// MinPulse is the shortest release that is accepted; 0 means 100 ms.
	MinPulse time.Duration
	// PassageActive is the level while a body is in the sensor.
	PassageActive gpio.Level
	// FireClosed is the level of a closed loop, that is while all is well.
	FireClosed gpio.Level
	// Debounce is how long an input must keep a new level; 0 means 20 ms.
	Debounce time.Duration
}

// Dev is one gate.
type Dev struct {
	name    string
	gate    *pulse.Gate
	passage *input // nil if not wired, as fire
	fire    *input
	bodies  chan struct{} // seen and not reported yet

	mu      sync.Mutex
	watch   *watch        // nil between Halt and the next use
	burning bool          // state of the fire loop
	turned  chan struct{} // closed and renewed when burning changes
}

// keptBodies is how many bodies wait for a WaitPassage (hal.PassageSensor).
const keptBodies = 16

// New puts the gate to rest first thing, then starts watching the inputs.
func New(pins Pins, opts Opts) (*Dev, error) {
	if err := opts.fill(); err != nil {
		return nil, err
	}
	if pins.Unlock == nil {
		return nil, errors.New("relay: no line to unlock with")
	}
	drive := func(_ context.Context, unlocked bool) error {
		return hal.Gone(pins.Unlock.Out(gpio.Level(unlocked != opts.ActiveLow)))
	}
	g, err := pulse.New(context.Background(), drive, pulse.Opts{Rest: opts.Rest, Least: opts.MinPulse})
	if err != nil {
		return nil, named(err)
	}
	d := &Dev{
		name: "relay{" + pins.Unlock.Name() + "}", gate: g,
		bodies: make(chan struct{}, keptBodies), turned: make(chan struct{}),
	}
	// A torn sensor wire is nobody passing; a torn fire loop is a fire.
	if d.passage, err = (input{pins.Passage, !opts.PassageActive, opts.Debounce}).listen(!opts.PassageActive); err != nil {
		return nil, err
	}
	if d.fire, err = (input{pins.Fire, opts.FireClosed, opts.Debounce}).listen(!opts.FireClosed); err != nil {
		return nil, err
	}
	d.watching()
	return d, nil
}

// String names the gate by its release line.
func (d *Dev) String() string { return d.name }

// Release implements hal.Gate. It returns an error for less than MinPulse.
func (d *Dev) Release(ctx context.Context, t time.Duration) error {
	if err := d.lost(); err != nil {
		return err
	}
	return named(d.gate.Release(ctx, t))
}

// Lock implements hal.Locker. It works on a gate with lost inputs too.
func (d *Dev) Lock(ctx context.Context) error { return named(d.gate.Lock(ctx)) }

// Probe writes the resting level once more, and tells of a lost input.
func (d *Dev) Probe(ctx context.Context) error {
	if err := d.lost(); err != nil {
		return err
	}
	return named(d.gate.Probe(ctx))
}

// SelfTimed implements hal.SelfTimed: this process times the pulse.
func (d *Dev) SelfTimed() bool { return false }

// Halt puts the gate to rest, ends every waiting call and stops the pumps.
func (d *Dev) Halt() error {
	err := d.gate.Halt()
	d.mu.Lock()
	w := d.watch
	d.watch = nil
	d.mu.Unlock()
	if w != nil {
		w.end()
	}
	return named(err)
}

//

func (o *Opts) fill() error {
	if o.MinPulse == 0 {
		o.MinPulse = 100 * time.Millisecond
	}
	if o.Debounce == 0 {
		o.Debounce = 20 * time.Millisecond
	}
	switch {
	case o.Rest != Locked && o.Rest != Open:
		return errors.New("relay: no resting position given: locked or open")
	case o.MinPulse < 0 || o.MinPulse > 10*time.Second:
		return fmt.Errorf("relay: shortest pulse %v, want at most 10s", o.MinPulse)
	case o.Debounce < 0 || o.Debounce > time.Second:
		return fmt.Errorf("relay: debounce %v, want at most 1s", o.Debounce)
	}
	return nil
}

// named puts the driver's name before what pulse says. What a caller compares
// is handed up as it is.
func named(err error) error {
	switch {
	case err == nil, err == hal.ErrBusy, err == context.Canceled, err == context.DeadlineExceeded:
		return err
	}
	return fmt.Errorf("relay: %w", err)
}

var (
	_ hal.Gate          = &Dev{}
	_ hal.Locker        = &Dev{}
	_ hal.PassageSensor = &Dev{}
	_ hal.FireInput     = &Dev{}
	_ hal.SelfTimed     = &Dev{}
	_ hal.Prober        = &Dev{}
)
