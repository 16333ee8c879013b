// Package syn6288 drives a SYN6288 or XFS5152CE speech module on a serial
// line.
//
//	FD | length, 2 bytes | command | parameter | text, at most 200 | XOR
//
// The length counts what follows it. The XOR is over every earlier byte; an
// XFS5152CE has none, else the two are alike as far as this driver goes.
//
// # Supports
//
// Mandarin prompts in GBK, cut at punctuation into frames that are spoken one
// after another; the volume; cutting off an older prompt.
//
// # Does not support
//
// Background music, voices and speeds, changing the baud rate, sleep, the BUSY
// pin. Characters that GBK does not have are left out, and so are '[' and ']':
// the module takes [v10] and its kin inside a name for a command.
//
// # Wiring
//
// UART, 9600 8N1, 3.3 V levels. The module sends 41 for a good frame, 45 for a
// bad one, 4E busy, 4F idle (also unasked, at the end of speech), 4A after
// power-up.
//
// # Source
//
// SYN6288 data sheet of 2016-03-09; XFS5152CE from public examples only.
package syn6288

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

// Variant is the kind of module.
type Variant byte

// The variants.
const (
	SYN6288 Variant = iota
	XFS5152CE
)

// Opts is how the module is used. The zero value is a SYN6288 as shipped.
type Opts struct {
	// Variant decides about the check byte and the volume's range.
	Variant Variant
	// Volume is 1–16 (XFS5152CE 1–10) and is sent with every frame, because a
	// module that lost power has forgotten it; 0 leaves it as shipped, 10.
	Volume int
}

// Dev is one module. Play may be called by several goroutines.
type Dev struct {
	line    wire.Line
	variant Variant
	volume  string // tag before every frame

	turn  chan struct{} // who has the token uses the line, and owns readyAt
	ready time.Time     // not before that may the next frame go out

	mu     sync.Mutex
	newest *speech // the last one that was begun
}

// New asks the module for its status. One that does not answer gives an error
// that wraps hal.ErrGone.
func New(ctx context.Context, line wire.Line, opts Opts) (*Dev, error) {
	d := &Dev{line: line, variant: opts.Variant, turn: make(chan struct{}, 1)}
	most := 16
	switch opts.Variant {
	case SYN6288:
	case XFS5152CE:
		most = 10
	default:
		return nil, fmt.Errorf("syn6288: variant %d is neither SYN6288 nor XFS5152CE", opts.Variant)
	}
	if opts.Volume < 0 || opts.Volume > most {
		return nil, fmt.Errorf("syn6288: volume %d, want 1–%d, or 0 to leave it", opts.Volume, most)
	}
	if opts.Volume > 0 {
		d.volume = fmt.Sprintf("[v%d]", opts.Volume)
	}
	if _, err := d.status(ctx); err != nil {
		return nil, named(err)
	}
	d.turn <- struct{}{}
	return d, nil
}

// String names the module.
func (d *Dev) String() string {
	if d.variant == XFS5152CE {
		return "syn6288{XFS5152CE}"
	}
	return "syn6288{SYN6288}"
}

// Play implements hal.Speaker: it speaks p.Text. A prompt in which nothing can
// be spoken is an error. When ctx ends, the frame that is being spoken goes on
// to its end: only a newer Play or Halt cuts it off.
func (d *Dev) Play(ctx context.Context, p hal.Prompt) error {
	pieces, err := split(p.Text, maxText-len(d.volume))
	if err != nil {
		return named(err)
	}
	s := d.begin(ctx)
	defer s.cancel(nil)
	err = d.say(s, pieces)
	switch context.Cause(s) {
	case errCut:
		return nil
	case errHalted:
		return errHalted
	}
	if ctx.Err() != nil && !errors.Is(err, hal.ErrGone) {
		return ctx.Err()
	}
	return named(err)
}

// Probe asks the module for its status, unless it is speaking: then the end of
// speech will tell.
func (d *Dev) Probe(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-d.turn:
	default:
		return nil
	}
	defer d.give()
	if _, err := d.status(ctx); err != nil {
		return named(err)
	}
	return nil
}

// Halt ends every Play with an error and stops the speech.
func (d *Dev) Halt() error {
	d.mu.Lock()
	if d.newest != nil {
		d.newest.cancel(errHalted)
	}
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), haltLimit)
	defer cancel()
	select {
	case <-d.turn:
	case <-ctx.Done():
		return errors.New("syn6288: the line is blocked: speech goes on")
	}
	defer d.give()
	// The answer is only waited for so that nobody takes it for the next one's.
	if err := d.send(ctx, cmdStop, nil); err != nil {
		return named(err)
	}
	if _, err := d.reply(ctx, answerLimit); err != nil && !errors.Is(err, wire.ErrTimeout) {
		return named(err)
	}
	return nil
}

//

// speech is one Play: its context ends also when a newer one begins, or at
// Halt.
type speech struct {
	context.Context
	cancel context.CancelCauseFunc
}

var (
	errCut    = errors.New("syn6288: cut off by a newer prompt")
	errHalted = errors.New("syn6288: halted")
)

// begin makes a speech the newest and cuts off the one before.
func (d *Dev) begin(ctx context.Context) *speech {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &speech{ctx, cancel}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.newest != nil {
		d.newest.cancel(errCut)
	}
	d.newest = s
	return s
}

// say speaks the pieces one after another. The older speech gives up the line
// as soon as it is cut off; the module itself is cut off by our first frame.
func (d *Dev) say(s *speech, pieces []piece) error {
	if err := s.Err(); err != nil {
		return err
	}
	select {
	case <-d.turn:
	case <-s.Done():
		return s.Err()
	}
	defer d.give()
	for _, p := range pieces {
		if err := s.Err(); err != nil {
			return err
		}
		if err := d.speak(s, p); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dev) give() { d.turn <- struct{}{} }

// named puts the driver's name before an error of the line.
func named(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("syn6288: %w", err)
}

var (
	_ hal.Speaker = &Dev{}
	_ hal.Prober  = &Dev{}
)
