// Package wire is a serial line as a driver sees it: bytes in both directions,
// each direction with a deadline.
//
// A driver uses a line and does not own it: there is no Close here. Whoever
// opened the line (drivers/host, a test, the bench) closes it. An in-memory
// net.Conn is a Line too.
package wire

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
)

// Line is a serial line. A read or write that passes its deadline gives an
// error for which errors.Is(err, os.ErrDeadlineExceeded) holds; every other
// error means that the line is lost.
type Line interface {
	io.ReadWriter
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// BaudSetter is a Line whose speed can be changed. A line without it (a
// pseudo-terminal bridge, a socket) runs at whatever speed it has.
type BaudSetter interface {
	SetBaud(baud int) error
}

// ErrTimeout is returned by Read and Write when the limit passed and the
// context had not ended.
var ErrTimeout = errors.New("no answer in time")

// writeLimit bounds a write when the caller gives no limit: a healthy line
// takes 4 KB at 9600 baud in 4.3 s.
const writeLimit = 5 * time.Second

// past is a deadline that has gone by, to wake a blocked call.
var past = time.Unix(1, 0)

// Read reads what is there into p, waiting at most limit for the first byte
// (limit 0: until ctx ends). It returns ctx's error, ErrTimeout, or an error
// that wraps hal.ErrGone. One reader at a time.
func Read(ctx context.Context, l Line, p []byte, limit time.Duration) (int, error) {
	n := 0
	err := within(ctx, l.SetReadDeadline, limit, func() (err error) {
		n, err = l.Read(p)
		return err
	})
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// Write writes all of p, or returns ctx's error, ErrTimeout after limit
// (0: five seconds), or an error that wraps hal.ErrGone. A peer that stops
// draining can therefore not hang the caller.
func Write(ctx context.Context, l Line, p []byte, limit time.Duration) error {
	if limit == 0 {
		limit = writeLimit
	}
	return within(ctx, l.SetWriteDeadline, limit, func() error {
		_, err := l.Write(p)
		return err
	})
}

// Drain throws away what is waiting on the line, until it has been quiet for
// the given time. It returns how many bytes there were. A line that does not
// fall quiet within limit (another device, a wrong speed) is an error, and not
// gone.
func Drain(ctx context.Context, l Line, quiet, limit time.Duration) (int, error) {
	var buf [512]byte
	defer clear(buf[:]) // it may have been somebody's record
	end := time.Now().Add(limit)
	for total := 0; ; {
		n, err := Read(ctx, l, buf[:], quiet)
		if errors.Is(err, ErrTimeout) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		if total += n; total > maxDrain || time.Now().After(end) {
			return total, errors.New("the line never falls quiet")
		}
	}
}

//

// maxDrain bounds what is thrown away where no time passes.
const maxDrain = 1 << 20

// within runs op with a deadline that is limit away and that the end of ctx
// brings forward.
func within(ctx context.Context, setDeadline func(time.Time) error, limit time.Duration, op func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	if err := setDeadline(deadline); err != nil {
		return hal.Gone(err)
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = setDeadline(past) // op itself reports a lost line
		close(woken)
	})
	err := op()
	if !stop() {
		<-woken // or the late wake-up would spoil the next call's deadline
	}
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return hal.Gone(err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return ErrTimeout
}
