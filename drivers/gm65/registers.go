package gm65

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

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
	// A trigger is repeated before the module's own limit (5 s by default) ends.
	triggerEvery = 3 * time.Second
	sameCode     = 0x80 | 10 // one second
)

var bauds = []int{9600, 115200, 57600, 38400, 19200}

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

// Probe implements hal.Prober: a module that is silent, or that has forgotten
// its settings because its power failed, is gone, and is set up again when it is
// opened the next time.
func (d *Dev) Probe(ctx context.Context) error {
	data, err := d.ask(ctx, typeRead, zoneMode, 1)
	switch {
	case errors.Is(err, wire.ErrTimeout):
		return fmt.Errorf("gm65: the module has fallen silent: %w", hal.ErrGone)
	case err != nil:
		return err
	case data[0]&0x03 != byte(d.mode)-1:
		return fmt.Errorf("gm65: the module has forgotten its settings: %w", hal.ErrGone)
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
