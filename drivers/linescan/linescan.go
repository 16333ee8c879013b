// Package linescan reads any scanner that sends its codes as lines: USB
// CDC-ACM, USB-serial and RS-232 scanners of every make.
//
// # Supports
//
// Codes of up to 4096 bytes with any bytes in them, ended by CR, LF, CR LF or a
// silence, with or without STX and ETX. A longer code is told as such.
//
// # Does not support
//
// Settings: a scanner without a protocol keeps what its manual's setting codes
// gave it. Set it to serial output, a line end, and continuous or sensor mode,
// and then switch setting by barcode off. Keyboard scanners.
//
// # Wiring
//
// 9600 8N1 unless configured; CDC-ACM ignores the speed.
//
// # Source
//
// Common practice; hardware facts section 2.5.
package linescan

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

// Opts is how a scanner is read.
type Opts struct {
	Gap time.Duration // silence that ends a code without a line end; 0 is 60 ms
}

// Dev is one scanner. A goroutine reads the line from New to Halt, because the
// scanner speaks unasked.
type Dev struct {
	line   wire.Line
	gap    time.Duration
	codes  chan shown // for Scan, while they are fresh
	life   context.Context
	end    context.CancelFunc
	pumped sync.WaitGroup

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

// New begins to read the line. Nothing tells whether a scanner is there.
func New(line wire.Line, o Opts) (*Dev, error) {
	if o.Gap < 0 {
		return nil, fmt.Errorf("linescan: a gap of %v", o.Gap)
	}
	d := &Dev{line: line, gap: o.Gap, codes: make(chan shown, kept)}
	if d.gap == 0 {
		d.gap = defaultGap
	}
	d.life, d.end = context.WithCancel(context.Background())
	d.pumped.Go(d.pump)
	return d, nil
}

// String names the driver.
func (d *Dev) String() string { return "linescan" }

// Halt ends the reading of the line, and every Scan.
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
	for {
		select {
		case c := <-d.codes:
			if time.Since(c.at) <= hal.Grace {
				return hal.Code{Data: c.Data, Truncated: c.Truncated}, nil
			}
		case <-ctx.Done():
			return hal.Code{}, ctx.Err()
		case <-d.life.Done():
			return hal.Code{}, d.ended()
		}
	}
}

//

// errHalted is what a call returns that Halt has ended.
var errHalted = errors.New("linescan: halted")

// pump reads the line until it is lost or Halt ends it.
func (d *Dev) pump() {
	var s linecode.Splitter
	buf := make([]byte, 1024)
	for {
		limit := time.Duration(0)
		if s.Pending() {
			limit = d.gap
		}
		n, err := wire.Read(d.life, d.line, buf, limit)
		switch {
		case errors.Is(err, wire.ErrTimeout):
			d.hand(s.Flush())
		case err != nil:
			d.stop(err)
			return
		}
		for _, b := range buf[:n] {
			d.hand(s.Put(b))
		}
		clear(buf[:n])
	}
}

func (d *Dev) hand(c linecode.Code, ok bool) {
	if ok {
		d.keep(c)
	}
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

// stop notes why the pump ends.
func (d *Dev) stop(err error) {
	d.mu.Lock()
	d.err = err
	d.mu.Unlock()
	d.end()
}

// ended tells why the pump has ended. Halt wakes a Scan before the pump knows.
func (d *Dev) ended() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(d.err, hal.ErrGone) {
		return fmt.Errorf("linescan: %w", d.err)
	}
	return errHalted
}

var (
	_ conn.Resource = (*Dev)(nil)
	_ hal.Scanner   = (*Dev)(nil)
)
