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
// the module forgets them with its power, and New writes them again.
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

// Registers, called zones.
const (
	zoneMode     = 0x0000 // b1-0: 0 manual, 1 command, 2 continuous, 3 induction
	zoneTrigger  = 0x0002 // b0: look now
	zoneBarcode  = 0x0003 // b0: setting by barcode
	zoneSameCode = 0x0013 // b7 on, b6-0 in 0.1 s: the same code is sent again after
	zoneVersion  = 0x00E2
)

const (
	typeRead  = 0x07
	typeWrite = 0x08

	replyLimit = 300 * time.Millisecond
	tries      = 3
	defaultGap = 60 * time.Millisecond
	// A trigger is repeated before the module's own limit (5 s by default) ends.
	triggerEvery = 3 * time.Second
	sameCode     = 0x80 | 10 // one second
)

var bauds = []int{9600, 115200, 57600, 38400, 19200}

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

// begin finds the speed and writes the settings.
func (d *Dev) begin(ctx context.Context, baud int) error {
	if err := d.find(ctx, baud); err != nil {
		return err
	}
	for _, set := range []struct {
		zone        uint16
		mask, value byte
	}{
		{zoneMode, 0x03, byte(d.mode) - 1},
		{zoneBarcode, 0x01, 0x00},
		{zoneSameCode, 0xFF, sameCode},
	} {
		if err := d.ensure(ctx, set.zone, set.mask, set.value); err != nil {
			return err
		}
	}
	return nil
}

// find asks for the software version until a speed answers.
func (d *Dev) find(ctx context.Context, baud int) error {
	try := bauds
	setter, can := d.line.(wire.BaudSetter)
	if baud != 0 || !can {
		try = []int{baud}
	}
	var err error
	for _, b := range try {
		if can && b != 0 {
			if err := setter.SetBaud(b); err != nil {
				return fmt.Errorf("gm65: setting %d baud: %w", b, hal.Gone(err))
			}
		}
		var data []byte
		if data, err = d.ask(ctx, typeRead, zoneVersion, 1); err == nil {
			d.version = data[0]
			return nil
		}
		if !errors.Is(err, wire.ErrTimeout) {
			return err
		}
	}
	at := fmt.Sprintf("at %v baud", try)
	if try[0] == 0 {
		at = "at the line's own speed"
	}
	return fmt.Errorf("gm65: the module does not answer %s: check its wires and power, and that it is set to serial output", at)
}

// ensure writes a register if its bits under mask differ from value.
func (d *Dev) ensure(ctx context.Context, zone uint16, mask, value byte) error {
	data, err := d.ask(ctx, typeRead, zone, 1)
	if err != nil {
		return fmt.Errorf("gm65: reading zone %04X: %w", zone, err)
	}
	if data[0]&mask == value {
		return nil
	}
	if _, err := d.ask(ctx, typeWrite, zone, data[0]&^mask|value); err != nil {
		return fmt.Errorf("gm65: writing zone %04X: %w", zone, err)
	}
	return nil
}

func (d *Dev) trigger(ctx context.Context) error {
	_, err := d.ask(ctx, typeWrite, zoneTrigger, 1)
	if errors.Is(err, wire.ErrTimeout) {
		return nil // it is told again; a lost line is seen by the pump
	}
	return err
}

// ask sends a command, up to three times, and returns the reply's data.
func (d *Dev) ask(ctx context.Context, kind byte, zone uint16, data byte) ([]byte, error) {
	select {
	case d.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-d.asking }()
	err := error(wire.ErrTimeout)
	for try := range tries {
		var r reply
		r, err = d.ask1(ctx, command(kind, zone, data))
		switch {
		case errors.Is(err, wire.ErrTimeout), err == nil && r.kind == replyBadCRC:
			err = wire.ErrTimeout
			continue
		case err != nil:
			return nil, err
		case r.kind == replyOK && len(r.data) == 1:
			if try > 0 && zone != zoneTrigger {
				d.settle(ctx)
			}
			return r.data, nil
		case r.kind == replyInvalid:
			return nil, fmt.Errorf("gm65: the module does not know zone %04X", zone)
		}
		err = wire.ErrTimeout // a reply to something else
	}
	return nil, err
}

// settle waits for the answers to the tries that were given up. A reply does
// not say what it answers: a late one would pass for the next register's value,
// and setting by barcode for switched off. No trigger waits for it, since all
// triggers are acknowledged alike.
func (d *Dev) settle(ctx context.Context) {
	limit := time.NewTimer(replyLimit)
	defer limit.Stop()
	select {
	case <-limit.C:
	case <-ctx.Done():
	case <-d.life.Done():
	}
}

// ask1 is one attempt.
func (d *Dev) ask1(ctx context.Context, frame []byte) (reply, error) {
	for len(d.replies) > 0 {
		<-d.replies // late ones
	}
	if err := wire.Write(ctx, d.line, frame, 0); err != nil {
		return reply{}, d.lost(err)
	}
	limit := time.NewTimer(replyLimit)
	defer limit.Stop()
	select {
	case r := <-d.replies:
		return r, nil
	case <-limit.C:
		return reply{}, wire.ErrTimeout
	case <-ctx.Done():
		return reply{}, ctx.Err()
	case <-d.life.Done():
		return reply{}, d.ended()
	}
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
)
