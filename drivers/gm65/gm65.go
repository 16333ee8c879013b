// Package gm65 drives QR modules with the "7E 00" register protocol: GM65,
// GM60, GM805, GM812 and their relatives (EM3095, EM2000).
//
// # Supports
//
// Codes of up to 4096 bytes with any bytes in them, mixed on the line with
// replies in any cut; continuous, command and induction mode; registers read
// first and written only if they differ; the speed looked for if it is not
// given. Setting by barcode is switched off: a printed code could otherwise
// re-configure a module in a public place.
//
// # Does not support
//
// Modules in USB keyboard mode (set them to serial by their manual's code),
// pictures, the aimer's and lamp's details. Settings are not saved to flash:
// the module forgets them with its power; Probe notices, and New writes them
// again.
//
// # Wiring
//
// UART 8N1, 9600 from the factory, 3.3 V levels, 5 V supply; or USB in virtual
// serial mode.
//
// # Source
//
// The register tables of the GM65 and EM3095 manuals as the hardware facts
// collect them (section 2.1). Firmware 69 mis-reads binary codes; 87 and later
// are good. Nothing here was tried on a real module yet.
package gm65

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3"

	"github.com/digital-sentinel/sentinel/drivers/linecode"
	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

// Mode says when the module looks for a code.
type Mode byte

// The modes; their values are the register's plus one, so that the zero Mode
// is the kiosk's default.
const (
	ModeDefault    Mode = 0 // continuous
	ModeCommand    Mode = 2 // only while a Scan waits
	ModeContinuous Mode = 3
	ModeInduction  Mode = 4 // when something comes into view
)

// Opts is how a module is used.
type Opts struct {
	Baud int           // 0 looks for it, if the line can change speed
	Mode Mode          // zero is continuous
	Gap  time.Duration // silence that ends a code without a line end; 0 is 60 ms
}

// Dev is one module. A goroutine reads the line from New to Halt, because the
// module speaks unasked.
type Dev struct {
	line    wire.Line
	gap     time.Duration
	mode    Mode
	version byte

	codes   chan shown // for Scan, while they are fresh
	replies chan reply
	life    context.Context
	end     context.CancelFunc
	pumped  sync.WaitGroup
	asking  chan struct{} // who has the token may send a command

	mu  sync.Mutex
	err error // why the pump ended
}

// shown is a code and when it came.
type shown struct {
	linecode.Code
	at time.Time
}

// kept is how many codes may wait for Scan, in the moment between two calls.
const kept = 8

const defaultGap = 60 * time.Millisecond

// New finds the module, and writes the settings that differ.
func New(ctx context.Context, line wire.Line, o Opts) (*Dev, error) {
	if err := check(o); err != nil {
		return nil, err
	}
	d := &Dev{
		line: line, gap: o.Gap, mode: o.Mode,
		codes: make(chan shown, kept), replies: make(chan reply, 4), asking: make(chan struct{}, 1),
	}
	if d.gap == 0 {
		d.gap = defaultGap
	}
	if d.mode == ModeDefault {
		d.mode = ModeContinuous
	}
	d.life, d.end = context.WithCancel(context.Background())
	d.pumped.Go(d.pump)
	err := d.begin(ctx, o.Baud)
	if err != nil {
		_ = d.Halt()
		return nil, err
	}
	return d, nil
}

// String names the module by its software version.
func (d *Dev) String() string { return fmt.Sprintf("gm65{software %02X}", d.version) }

// Halt ends the reading of the line, and every call.
func (d *Dev) Halt() error {
	d.end()
	d.pumped.Wait()
	return nil
}

// Scan implements hal.Scanner.
func (d *Dev) Scan(ctx context.Context) (hal.Code, error) {
	if err := ctx.Err(); err != nil {
		return hal.Code{}, err
	}
	// Not counted from when the code is looked at: a trigger that has to be
	// repeated takes longer than the grace, and the code may be here already.
	oldest := time.Now().Add(-hal.Grace)
	var again <-chan time.Time
	if d.mode == ModeCommand {
		tick := time.NewTicker(triggerEvery)
		defer tick.Stop()
		again = tick.C
		if err := d.trigger(ctx); err != nil {
			return hal.Code{}, err
		}
	}
	for {
		select {
		case c := <-d.codes:
			if !c.at.Before(oldest) {
				return hal.Code{Data: c.Data, Truncated: c.Truncated}, nil
			}
		case <-ctx.Done():
			return hal.Code{}, ctx.Err()
		case <-d.life.Done():
			return hal.Code{}, d.ended()
		case <-again:
			if err := d.trigger(ctx); err != nil {
				return hal.Code{}, err
			}
		}
	}
}

//

// errHalted is what a call returns that Halt has ended.
var errHalted = errors.New("gm65: halted")

func check(o Opts) error {
	switch o.Mode {
	case ModeDefault, ModeCommand, ModeContinuous, ModeInduction:
	default:
		return fmt.Errorf("gm65: %d is no mode", o.Mode)
	}
	if o.Gap < 0 {
		return fmt.Errorf("gm65: a gap of %v", o.Gap)
	}
	return nil
}

// pump reads the line until it is lost or Halt ends it.
func (d *Dev) pump() {
	var s stream
	buf := make([]byte, 1024)
	for {
		limit := time.Duration(0)
		if s.pending() {
			limit = d.gap
		}
		n, err := wire.Read(d.life, d.line, buf, limit)
		switch {
		case errors.Is(err, wire.ErrTimeout):
			s.gap()
		case err != nil:
			d.mu.Lock()
			d.err = d.lost(err)
			d.mu.Unlock()
			d.end()
			return
		default:
			s.feed(buf[:n])
			clear(buf[:n])
		}
		d.hand(&s)
	}
}

// hand passes on what was taken apart: replies to whoever asked, codes to Scan.
func (d *Dev) hand(s *stream) {
	for _, r := range s.replies {
		select {
		case d.replies <- r:
		default:
		}
	}
	for _, c := range s.codes {
		d.keep(c)
	}
	s.replies, s.codes = nil, nil
}

// keep holds a code for the next Scan. Of more than a few, the oldest go.
func (d *Dev) keep(c linecode.Code) {
	for {
		select {
		case d.codes <- shown{c, time.Now()}:
			return
		default:
		}
		select {
		case <-d.codes:
		default:
		}
	}
}

// ended tells why the pump has ended.
func (d *Dev) ended() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(d.err, hal.ErrGone) {
		return d.err
	}
	return errHalted
}

func (d *Dev) lost(err error) error {
	if errors.Is(err, hal.ErrGone) {
		return fmt.Errorf("gm65: %w", err)
	}
	return err
}

var (
	_ conn.Resource = (*Dev)(nil)
	_ hal.Scanner   = (*Dev)(nil)
	_ hal.Prober    = (*Dev)(nil)
)
