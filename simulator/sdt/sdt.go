// Package sdt is the far end of an SDT line: an ID-card reader with a SAM, and
// the cards that people lay on it.
//
// It answers every command of the protocol, keeps the sequence find, select,
// read, and forgets it when a card is lifted or the power fails. It does not
// hold real cards: photo and fingerprints are opaque zeros.
package sdt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// Opts is how the reader behaves. The zero value answers at once.
type Opts struct {
	// SAMID is the 16 bytes of the SAM's number; the zero value is the one of
	// the published vector.
	SAMID [16]byte
	// Refind makes the reader find a card that stays lying again and again;
	// others answer "no card" once it was read, until it is lifted.
	Refind bool
	// Find, Select and Read are how long each takes.
	Find, Select, Read time.Duration
}

// RealTiming is a reader that needs 0.9 s for a card: the chip's work, without
// the wire's 0.11 s for 1295 bytes. The domain's limit for a whole read is
// 1.5 s; the split is our estimate.
func RealTiming() Opts {
	return Opts{Find: 30 * time.Millisecond, Select: 70 * time.Millisecond, Read: 800 * time.Millisecond}
}

// Stage is a point in the sequence of a read.
type Stage int

// The stages, as far as a card can come.
const (
	Whole         Stage = iota // the card stays until it is lifted
	AfterFind                  // it is pulled away before select
	AfterSelect                // it is pulled away before read
	sequenceFound = 1
	sequenceDone  = 2
)

// Reader is one reader. It is safe for concurrent use.
type Reader struct {
	// Faults spoils the next answers.
	Faults fault.Plan

	opts Opts

	mu    sync.Mutex
	card  *[256]byte // what lies on it
	pull  Stage      // when the card is pulled away by itself
	fails byte       // the status that reading it ends with; 0: it is read
	stage int        // of the sequence
	read  bool       // the card was read since it was laid down
}

// New gives a reader with nothing on it.
func New(opts Opts) *Reader {
	if opts.SAMID == [16]byte{} {
		opts.SAMID = [16]byte{0x05, 0x00, 0x01, 0x00, 0x25, 0x3B, 0x34, 0x01, 0x4E, 0x61, 0xBC, 0x00, 0x78, 0x56, 0x34, 0x12}
	}
	return &Reader{opts: opts}
}

// Lay puts a card on the reader, in the place of one that lies there.
func (r *Reader) Lay(c Card) error { return r.LayUntil(c, Whole) }

// LayUntil puts a card on the reader that is pulled away at a stage of its
// reading.
func (r *Reader) LayUntil(c Card, pull Stage) error { return r.lay(c, pull, 0) }

// LayFailing puts a card on the reader that is found and selected, and whose
// reading ends with status: 41 for a chip that cannot be read, 31 and 32 for
// one that fails authentication.
func (r *Reader) LayFailing(c Card, status byte) error { return r.lay(c, Whole, status) }

// Lift takes the card away.
func (r *Reader) Lift() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.card, r.stage = nil, 0
}

// WasRead reports whether the card that lies there was read whole.
func (r *Reader) WasRead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.card != nil && r.read
}

// PowerCycle forgets the sequence; the card stays where it lies.
func (r *Reader) PowerCycle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stage, r.read = 0, false
}

// Serve answers on line until the line dies or ctx ends.
func (r *Reader) Serve(ctx context.Context, line io.ReadWriteCloser) error {
	stop := context.AfterFunc(ctx, func() { _ = line.Close() })
	defer stop()
	var buf []byte
	chunk := make([]byte, 512)
	for {
		n, err := line.Read(chunk)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) || n == 0 && err != nil {
			return err
		}
		buf = append(buf, chunk[:n]...)
		for {
			request, rest, ok := nextRequest(buf)
			buf = rest
			if !ok {
				break
			}
			if err := r.answer(ctx, request, line); err != nil {
				return err
			}
		}
	}
}

//

var preamble = []byte{0xAA, 0xAA, 0xAA, 0x96, 0x69}

// The statuses that the reader gives.
const (
	done, found, noCard, notChosen = 0x90, 0x9F, 0x80, 0x81
	badSum, badLength, badCommand  = 0x10, 0x11, 0x21
	readFailed, noItem             = 0x41, 0x91
)

// maxRequest bounds a request; the longest known has 4 bytes.
const maxRequest = 64

// nextRequest takes the first frame out of buf: CMD, PARA, data and checksum.
// A frame that is not whole yet stays in rest.
func nextRequest(buf []byte) (request, rest []byte, ok bool) {
	for {
		at := bytes.Index(buf, preamble)
		if at < 0 {
			return nil, buf[max(0, len(buf)-len(preamble)+1):], false
		}
		buf = buf[at:]
		if len(buf) < 7 {
			return nil, buf, false
		}
		n := int(binary.BigEndian.Uint16(buf[5:]))
		if n > maxRequest {
			buf = buf[1:]
			continue
		}
		if len(buf) < 7+n {
			return nil, buf, false
		}
		return buf[5 : 7+n], buf[7+n:], true
	}
}

// answer carries one request out. request begins with LEN.
func (r *Reader) answer(ctx context.Context, request []byte, line io.Writer) error {
	status, data, wait := r.carryOut(request)
	if wait > 0 && pause(ctx, wait) != nil {
		return nil
	}
	return r.Faults.Send(frame(status, data), func(b []byte) error {
		_, err := line.Write(b)
		return err
	})
}

// carryOut changes the state and gives the answer and how long it takes.
func (r *Reader) carryOut(request []byte) (status byte, data []byte, wait time.Duration) {
	if len(request) < 5 {
		return badLength, nil, 0
	}
	if xor(request[:len(request)-1]) != request[len(request)-1] {
		return badSum, nil, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch command := binary.BigEndian.Uint16(request[2:]); command {
	case 0x10FF, 0x11FF, 0x61FF, 0x6000, 0x6001, 0x6002, 0x6003, 0x6004:
		return done, nil, 0
	case 0x12FF:
		return done, r.opts.SAMID[:], 0
	case 0x2001:
		return r.find()
	case 0x2002:
		return r.choose()
	case 0x3001, 0x3010:
		return r.readCard(command == 0x3010)
	case 0x3003, 0x3005:
		return noItem, nil, 0
	}
	return badCommand, nil, 0
}

func (r *Reader) lay(c Card, pull Stage, fails byte) error {
	text, err := c.Record()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.card, r.pull, r.fails, r.stage, r.read = &text, pull, fails, 0, false
	return nil
}

func (r *Reader) find() (byte, []byte, time.Duration) {
	r.stage = 0
	if r.card == nil || (r.read && !r.opts.Refind) {
		return noCard, nil, 0
	}
	r.stage = sequenceFound
	if r.pull == AfterFind {
		r.card = nil
	}
	return found, make([]byte, 4), r.opts.Find
}

func (r *Reader) choose() (byte, []byte, time.Duration) {
	if r.card == nil || r.stage < sequenceFound {
		r.stage = 0
		return notChosen, nil, r.opts.Select
	}
	r.stage = sequenceDone
	if r.pull == AfterSelect {
		r.card = nil
	}
	return done, make([]byte, 8), r.opts.Select
}

// readCard answers 30 01, and 30 10 of a card without fingerprints.
func (r *Reader) readCard(prints bool) (byte, []byte, time.Duration) {
	if r.card == nil || r.stage < sequenceDone {
		r.stage = 0
		return readFailed, nil, r.opts.Read
	}
	if r.fails != 0 {
		r.stage = 0
		return r.fails, nil, r.opts.Read
	}
	r.read = true // and it stays selected: 30 03 may follow, or 30 01 once more
	picture := photo()
	data := binary.BigEndian.AppendUint16(nil, uint16(len(r.card)))
	data = binary.BigEndian.AppendUint16(data, uint16(len(picture)))
	if prints {
		data = append(data, 0, 0)
	}
	data = append(data, r.card[:]...)
	return done, append(data, picture...), r.opts.Read
}

// frame builds an answer.
func frame(status byte, data []byte) []byte {
	f := append([]byte(nil), preamble...)
	f = binary.BigEndian.AppendUint16(f, uint16(4+len(data)))
	f = append(f, 0, 0, status)
	f = append(f, data...)
	return append(f, xor(f[5:]))
}

func xor(b []byte) byte {
	var x byte
	for _, v := range b {
		x ^= v
	}
	return x
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
