package syn6288

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

// speak sends one piece and waits until it has been spoken. A frame that the
// module rejects was spoilt on the line, and is sent once more.
func (d *Dev) speak(ctx context.Context, p piece) error {
	for try := 1; ; try++ {
		err := d.order(ctx, p)
		if err == nil {
			err = d.finish(ctx, p)
		}
		if !errors.Is(err, errRejected) || try == 2 {
			return err
		}
	}
}

// order sends one piece and waits for its acknowledgement. The wait is bounded
// and not cut short by ctx: an acknowledgement left on the line would be taken
// for that of the next frame, and every prompt after would end too early.
func (d *Dev) order(ctx context.Context, p piece) error {
	text := append([]byte{encodingGBK}, d.volume...)
	if err := d.send(ctx, cmdSpeak, append(text, p.gbk...)); err != nil {
		return err
	}
	limit := time.NewTimer(time.Until(d.ready) + answerLimit)
	defer limit.Stop()
	for {
		r, err := d.reply(context.WithoutCancel(ctx), time.Until(d.ready)+answerLimit)
		switch {
		case errors.Is(err, wire.ErrTimeout):
			return d.unheard(ctx)
		case err != nil:
			return err
		case r == accepted:
			return nil
		case r == rejected:
			return errRejected
		}
		select {
		case <-limit.C:
			return errors.New("the module talks and does not acknowledge")
		default: // an idle of the speech before, or noise
		}
	}
}

// unheard finds out what became of a frame whose acknowledgement was lost: a
// module that speaks now has taken it.
func (d *Dev) unheard(ctx context.Context) error {
	r, err := d.status(ctx)
	if err == nil && r == idle {
		return errRejected
	}
	return err
}

// finish waits for the end of speech. The module says it unasked; where that
// got lost, an estimate runs out and the module is asked.
func (d *Dev) finish(ctx context.Context, p piece) error {
	for range maxAsked {
		end := time.Now().Add(time.Duration(p.runes)*perRune + margin)
		for {
			r, err := d.reply(ctx, max(time.Until(end), time.Millisecond))
			if errors.Is(err, wire.ErrTimeout) {
				break
			}
			switch {
			case err != nil:
				return err
			case r == idle:
				d.after(idleGap)
				return nil
			case r == rejected:
				return errRejected
			case r == restarted:
				return errors.New("the module restarted while it spoke")
			}
			if !time.Now().Before(end) {
				break
			}
		}
		if r, err := d.status(ctx); err != nil || r == idle {
			return err
		}
	}
	return errors.New("the module stays busy")
}

// status asks whether the module speaks: it returns busy or idle. After two
// questions without an answer the module is gone.
func (d *Dev) status(ctx context.Context) (byte, error) {
	for range 2 {
		if err := d.send(ctx, cmdStatus, nil); err != nil {
			return 0, err
		}
		r, err := d.answer(ctx)
		if !errors.Is(err, wire.ErrTimeout) {
			return r, err
		}
	}
	return 0, hal.Gone(wire.ErrTimeout)
}

// answer reads the answer to a status query. Some modules send an
// acknowledgement before it, so that alone is none; one that has just been
// switched on is idle.
func (d *Dev) answer(ctx context.Context) (byte, error) {
	end := max(time.Until(d.ready), 0) + answerLimit
	for stop := time.Now().Add(end); ; {
		left := time.Until(stop)
		if left <= 0 {
			return 0, wire.ErrTimeout
		}
		r, err := d.reply(ctx, left)
		switch {
		case err != nil:
			return 0, err
		case r == busy, r == idle:
			return r, nil
		case r == restarted:
			return idle, nil
		}
	}
}

// errRejected is a frame that the module did not take.
var errRejected = errors.New("the module rejected a frame")

// send writes one frame when the module can take it: the bytes before have
// gone through the line, and 8 ms more (data sheet, frame spacing). What the
// module said meanwhile is about an earlier frame and is thrown away.
func (d *Dev) send(ctx context.Context, cmd byte, data []byte) error {
	if err := d.quiet(ctx); err != nil {
		return err
	}
	f, err := frame(d.variant, cmd, data)
	if err != nil {
		return err
	}
	if err := wire.Write(ctx, d.line, f, writeLimit); err != nil {
		return err
	}
	d.after(time.Duration(len(f))*byteTime + frameGap)
	return nil
}

// quiet waits until the next frame may go out, and not for ever on a line that
// never falls quiet (a wrong baud rate, another device).
func (d *Dev) quiet(ctx context.Context) error {
	_, err := wire.Drain(ctx, d.line, max(time.Until(d.ready), frameGap), quietLimit)
	return err
}

// after keeps the next frame back for at least t.
func (d *Dev) after(t time.Duration) { d.ready = time.Now().Add(t) }

// reply reads one byte that means something; others are noise.
func (d *Dev) reply(ctx context.Context, limit time.Duration) (byte, error) {
	end := time.Now().Add(limit)
	for {
		var b [1]byte
		if _, err := wire.Read(ctx, d.line, b[:], max(time.Until(end), time.Millisecond)); err != nil {
			return 0, err
		}
		if known(b[0]) {
			return b[0], nil
		}
		if !time.Now().Before(end) {
			return 0, wire.ErrTimeout
		}
	}
}

// frame builds one frame; data is the parameter and the text, or nothing.
func frame(v Variant, cmd byte, data []byte) ([]byte, error) {
	if len(data) > 1+maxText {
		return nil, fmt.Errorf("text of %d bytes, want at most %d", len(data)-1, maxText)
	}
	n := 1 + len(data)
	if v == SYN6288 {
		n++
	}
	f := append([]byte{start, byte(n >> 8), byte(n), cmd}, data...)
	if v == SYN6288 {
		var x byte
		for _, b := range f {
			x ^= b
		}
		f = append(f, x)
	}
	return f, nil
}

func known(b byte) bool {
	switch b {
	case restarted, accepted, rejected, busy, idle:
		return true
	}
	return false
}

// Bytes of the wire.
const (
	start = 0xFD

	cmdSpeak  = 0x01
	cmdStop   = 0x02
	cmdStatus = 0x21

	encodingGBK = 0x01

	restarted = 0x4A
	accepted  = 0x41
	rejected  = 0x45
	busy      = 0x4E
	idle      = 0x4F

	maxText = 200
)

// Times. Those of the data sheet are the first three.
const (
	byteTime = 1042 * time.Microsecond // ten bits at 9600 baud
	frameGap = 8 * time.Millisecond
	idleGap  = time.Millisecond

	answerLimit = 300 * time.Millisecond
	quietLimit  = 2 * time.Second
	writeLimit  = time.Second
	haltLimit   = 2 * time.Second
	perRune     = 300 * time.Millisecond // a slow reader's share of one character
	margin      = time.Second            // to begin, and to be late
	maxAsked    = 4
)
