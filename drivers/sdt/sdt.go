// Package sdt reads resident-ID cards through a reader with a SAM module that
// speaks the SDT protocol (SAM_V, SAM_A) on a serial line.
//
// # Supports
//
// Find, select and read text of all four card layouts: resident, the J permit
// of Hong Kong, Macao and Taiwan residents, and the I and Y cards of foreign
// permanent residents. Every checksum is checked; a stream with noise, halves
// and wrong lengths is resynchronised; statuses become typed reasons. The speed
// is looked for if it is not given. DeviceID is the SAM's number.
//
// # Does not support
//
// The photo (its WLT format needs a licensed decoder) and fingerprints: neither
// is decoded, fingerprints are never asked for. USB readers without a serial
// port. Nothing in the protocol says that a card has left: presence is a policy
// here (see ReadCard).
//
// # Wiring
//
// UART 8N1, 115200 from the factory (9600 to 115200), or a USB-serial bridge.
// The reader needs its own 5 V supply of 500 mA; a card read is when it fails
// on a weak one.
//
// # Source
//
// GA/T 467 and GA/T 490 as public documentation gives them; the byte layouts
// and vectors are collected in this project's hardware facts, sections 1.2 to
// 1.13. Nothing here was tried on a real reader yet.
package sdt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

// Opts is how a reader is used. The zero value is a reader as shipped.
type Opts struct {
	// Baud is the line's speed. 0 looks for it, if the line can change speed.
	Baud int
	// Poll lies between two looks for a card; 0 means 300 ms, which is within
	// what every known host does (100 ms to 1 s).
	Poll time.Duration
}

// Dev is one reader.
type Dev struct {
	line wire.Line
	poll time.Duration
	slow time.Duration // how much longer an answer takes at the line's speed
	id   string

	parse  parser
	silent int // exchanges in a row without any good answer

	last   [sha256.Size]byte // of the card handed up last
	seen   time.Time         // when it was found last; zero: none
	empty  time.Time         // since when there is no card; zero: there is one
	unread time.Time         // until when an unreadable card is not told again

	mu   sync.Mutex
	life context.Context // ended and renewed by Halt
	end  context.CancelFunc
}

// Limits of the protocol's stages, at 115200 baud (fact sheet 7).
const (
	findLimit   = time.Second
	readLimit   = 3 * time.Second
	probeLimit  = 300 * time.Millisecond
	quiet       = 2 * time.Millisecond // a line without rubbish is quiet for so long
	babbleLimit = 2 * time.Second      // and a line with it falls quiet within this
	tries       = 3
	lostAfter   = 3 // silent exchanges: the reader is gone
	defaultPoll = 300 * time.Millisecond
	// A card is gone when no card was found for so long. Shorter gaps occur
	// while it lies: readers lose it for a moment.
	leftAfter = time.Second
	// A card that was not seen for so long is new whatever the reader said.
	forgetAfter = 10 * time.Second
	unreadHold  = 2 * time.Second
)

// bauds are tried in this order: factory speed first.
var bauds = []int{115200, 9600, 57600, 38400, 19200}

// New asks the reader for its number. A line on which nothing answers gives an
// error that wraps hal.ErrGone and says what was tried.
func New(ctx context.Context, line wire.Line, o Opts) (*Dev, error) {
	if o.Baud < 0 || o.Poll < 0 {
		return nil, fmt.Errorf("sdt: baud %d, poll %v, want none below zero", o.Baud, o.Poll)
	}
	d := &Dev{line: line, poll: o.Poll, parse: newParser()}
	if d.poll == 0 {
		d.poll = defaultPoll
	}
	d.life, d.end = context.WithCancel(context.Background())
	try := bauds
	setter, can := line.(wire.BaudSetter)
	if o.Baud != 0 || !can {
		try = []int{o.Baud}
	}
	for _, baud := range try {
		if can && baud != 0 {
			if err := setter.SetBaud(baud); err != nil {
				return nil, fmt.Errorf("sdt: setting %d baud: %w", baud, hal.Gone(err))
			}
		}
		d.slow = slowness(baud)
		switch err := d.identify(ctx); {
		case err == nil:
			d.silent = 0
			return d, nil
		case !errors.Is(err, wire.ErrTimeout):
			return nil, err
		}
	}
	if try[0] == 0 {
		return nil, fmt.Errorf("sdt: no reader answers at the line's own speed: %w", hal.ErrGone)
	}
	return nil, fmt.Errorf("sdt: no reader answers at %v baud: %w", try, hal.ErrGone)
}

// String names the reader by its SAM's number.
func (d *Dev) String() string { return "sdt{" + d.id + "}" }

// DeviceID returns the SAM's number, as printed on the reader.
func (d *Dev) DeviceID() string { return d.id }

// Halt ends a running ReadCard.
func (d *Dev) Halt() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
	d.life, d.end = context.WithCancel(context.Background())
	return nil
}

// ReadCard implements hal.CardReader.
//
// The same card is handed up again only after no card was found for a second,
// or it was not seen for ten: readers differ in whether they find a card that
// stays lying, and none says that it left. A card that cannot be read is told
// at most every two seconds while it lies.
func (d *Dev) ReadCard(ctx context.Context) (hal.Card, error) {
	ctx, cancel := d.alive(ctx)
	defer cancel()
	for {
		card, ok, err := d.readCard1(ctx)
		if err != nil || ok {
			return card, ended(ctx, err)
		}
		if err := sleep(ctx, d.poll); err != nil {
			return hal.Card{}, ended(ctx, err)
		}
	}
}

//

// errHalted is what a call returns that Halt has ended.
var errHalted = errors.New("sdt: halted")

// alive returns a context that ends with ctx or at the next Halt.
func (d *Dev) alive(ctx context.Context) (context.Context, context.CancelFunc) {
	d.mu.Lock()
	life := d.life
	d.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(life, func() { cancel(errHalted) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// ended replaces a bare "cancelled" by Halt's own error.
func ended(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errHalted) {
		return errHalted
	}
	return err
}

// readCard1 looks for a card once, and reads it. No card, the same card and
// an answer that got lost are all "not yet".
func (d *Dev) readCard1(ctx context.Context) (hal.Card, bool, error) {
	now := time.Now()
	r, err := d.exchange(ctx, cmdFind, findLimit)
	switch {
	case errors.Is(err, wire.ErrTimeout):
		return hal.Card{}, false, nil
	case err != nil:
		return hal.Card{}, false, err
	case r.status != Found:
		d.noCard(now)
		return hal.Card{}, false, nil
	}
	d.cardThere(now)
	if now.Before(d.unread) {
		return hal.Card{}, false, nil
	}
	for _, step := range []struct {
		command uint16
		limit   time.Duration
	}{{cmdSelect, findLimit}, {cmdReadText, readLimit}} {
		// After any failure the sequence begins again at find.
		r, err = d.exchange(ctx, step.command, step.limit)
		switch {
		case errors.Is(err, wire.ErrTimeout):
			return hal.Card{}, false, nil
		case err != nil:
			return hal.Card{}, false, err
		case r.status != Done:
			return hal.Card{}, false, d.failed(r.status)
		}
	}
	return d.handUp(r.data)
}

// handUp decodes an answer to 30 01, unless the card was handed up already.
func (d *Dev) handUp(data []byte) (hal.Card, bool, error) {
	defer clear(data)
	text, err := textOf(data)
	if err != nil {
		d.parse.bad++
		return hal.Card{}, false, nil // not the answer to this question
	}
	sum := sha256.Sum256(text)
	again := !d.seen.IsZero() && sum == d.last
	d.last, d.seen = sum, time.Now()
	if again {
		return hal.Card{}, false, nil
	}
	return decode(text), true, nil
}

// noCard notes that no card was found; after a while the last one has left.
func (d *Dev) noCard(now time.Time) {
	if d.empty.IsZero() {
		d.empty = now
	}
	d.unread = time.Time{}
	if now.Sub(d.empty) >= leftAfter {
		d.seen = time.Time{}
	}
}

func (d *Dev) cardThere(now time.Time) {
	d.empty = time.Time{}
	if now.Sub(d.seen) > forgetAfter {
		d.seen = time.Time{}
	}
}

// failed turns the status of a card that was there into a reason. A status
// that is about the reader, or the line, is no card's fault: the next round
// tries again.
func (d *Dev) failed(s Status) error {
	reasons := map[Status]hal.CardReason{
		NotChosen: hal.CardPulled, NoCard: hal.CardPulled, cardRead: hal.CardUnreadable,
		cardRandom: hal.CardUnreadable, cardType: hal.CardUnrecognised,
		cardAuth: hal.CardRejected, samAuth: hal.CardRejected, infoCheck: hal.CardRejected,
	}
	reason, ok := reasons[s]
	if !ok {
		return nil
	}
	d.unread = time.Now().Add(unreadHold)
	return &hal.CardError{Reason: reason, Status: byte(s)}
}

// identify reads the SAM's number: 16 bytes, little-endian.
func (d *Dev) identify(ctx context.Context) error {
	for range 2 {
		r, err := d.exchange1(ctx, cmdSAMID, probeLimit+d.slow)
		if errors.Is(err, wire.ErrTimeout) {
			continue
		}
		if err != nil {
			return err
		}
		if r.misheard() {
			continue
		}
		if r.status != Done || len(r.data) < 16 {
			return fmt.Errorf("sdt: the reader has no number: %v", r.status)
		}
		le := binary.LittleEndian
		d.id = fmt.Sprintf("%02d.%02d-%08d-%010d-%010d", le.Uint16(r.data), le.Uint16(r.data[2:]),
			le.Uint32(r.data[4:]), le.Uint32(r.data[8:]), le.Uint32(r.data[12:]))
		return nil
	}
	return wire.ErrTimeout
}

// slowness is how much longer the longest answer takes than at 115200 baud:
// 1295 bytes of ten bits each.
func slowness(baud int) time.Duration {
	if baud <= 0 || baud >= 115200 {
		return 0
	}
	return 1295 * 10 * time.Second / time.Duration(baud)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

var (
	_ conn.Resource  = (*Dev)(nil)
	_ hal.CardReader = (*Dev)(nil)
	_ hal.Identified = (*Dev)(nil)
)
