package sdt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

// exchange sends a command and returns the answer. A spoilt answer, or a
// reader that saw a spoilt command, is asked again; a reader that is silent
// for several exchanges is gone.
func (d *Dev) exchange(ctx context.Context, command uint16, limit time.Duration) (reply, error) {
	for range tries {
		bad := d.parse.bad
		r, err := d.exchange1(ctx, command, limit+d.slow)
		switch {
		case err == nil:
			d.silent = 0
			if !r.misheard() {
				return r, outOfOrder(r.status)
			}
		case !errors.Is(err, wire.ErrTimeout):
			return reply{}, err
		case d.parse.bad == bad:
			// Nothing whole came: asking a silent reader again at once would
			// keep the visitor waiting three times as long.
			d.silent++
			if d.silent >= lostAfter {
				return reply{}, fmt.Errorf("sdt: the reader has fallen silent: %w", hal.ErrGone)
			}
			return reply{}, err
		}
	}
	return reply{}, wire.ErrTimeout
}

// exchange1 is one attempt. What is still on the line is thrown away first: a
// late answer must not pass for the next one.
func (d *Dev) exchange1(ctx context.Context, command uint16, limit time.Duration) (reply, error) {
	defer d.parse.reset()
	if err := d.settle(ctx); err != nil {
		return reply{}, err
	}
	if err := wire.Write(ctx, d.line, request(command), 0); err != nil {
		return reply{}, lost(err)
	}
	deadline := time.Now().Add(limit)
	var buf [chunk]byte
	defer clear(buf[:])
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return reply{}, wire.ErrTimeout
		}
		n, err := wire.Read(ctx, d.line, buf[:], left)
		if err != nil {
			return reply{}, lost(err)
		}
		bad := d.parse.bad
		d.parse.feed(buf[:n])
		// One read may bring a late answer and the one that is waited for.
		for r, ok := d.parse.next(); ok; r, ok = d.parse.next() {
			if fits(command, r) {
				return r, nil
			}
			clear(r.data)
		}
		if d.parse.bad > bad && len(d.parse.buf) < len(preamble) {
			return reply{}, wire.ErrTimeout // a whole answer came, and it lied: ask again now
		}
	}
}

// settle waits until the line is quiet, and not for ever on one that never is:
// another device, or a wrong speed.
func (d *Dev) settle(ctx context.Context) error {
	_, err := wire.Drain(ctx, d.line, quiet, babbleLimit+d.slow)
	if err != nil && ctx.Err() == nil && !errors.Is(err, hal.ErrGone) {
		return fmt.Errorf("sdt: %w", err)
	}
	return lost(err)
}

// fits reports whether r can be the answer to command: a read has data, the
// others have none or a few bytes, and only find says "found".
func fits(command uint16, r reply) bool {
	switch {
	case r.status == Found:
		return command == cmdFind
	case r.status != Done:
		return true
	case command == cmdReadText:
		return len(r.data) > 16
	case command == cmdFind:
		return false
	}
	return len(r.data) <= 16
}

// outOfOrder makes an error of a status with which a reader says that it will
// read no card at all. Taken for "no card" it would wait for ever, looking well.
func outOfOrder(s Status) error {
	if s == selfTest || s == noLicence {
		return fmt.Errorf("sdt: %v", s)
	}
	return nil
}

// lost gives the wire's error the driver's name, but for the ones that callers
// compare.
func lost(err error) error {
	if errors.Is(err, hal.ErrGone) {
		return fmt.Errorf("sdt: %w", err)
	}
	return err
}
