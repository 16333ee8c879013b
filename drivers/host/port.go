package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/digital-sentinel/sentinel/hal"
)

// port gives a serial port of the library the deadlines of a net.Conn, and
// keeps its calls from hanging the agent. The traps it stands over:
//
//   - A write blocks for ever when the far side stops draining: a write has no
//     time-out in the kernel, and closing the descriptor does not free it.
//     Hence a goroutine of its own; when the deadline passes, the port is lost,
//     the goroutine is left to the kernel, and it ends when the device goes.
//   - A read's time-out is (0, nil): a tick, and no end of file.
//   - close(2) waits up to 30 s for output that does not drain
//     (go-serial issue 104). Hence Close has a limit of its own.
//   - A write that is interrupted or comes out short is the caller's affair.
//   - A blocked read is not told of the loss if a write notices it first.
//
// The reader hands over what it has read by an unbuffered channel: at most one
// chunk waits in this process, the rest in the kernel, where an overflow is
// what it is on every serial line.
type port struct {
	name string
	dev  io.ReadWriteCloser

	rd, wr deadline
	done   chan struct{} // closed when the port is lost or closed
	err    error         // why; set before done is closed
	losing sync.Once

	rmu  sync.Mutex // one Read at a time
	rest []byte     // of the chunk last handed over
	in   chan []byte

	wmu   sync.Mutex // one Write at a time
	out   chan []byte
	wrote chan error
	sent  atomic.Int64 // bytes of the running write that the kernel took

	poisoned atomic.Bool
	pumps    sync.WaitGroup
	closing  sync.Once
	closeErr error
}

// newPort starts the two goroutines, which end at Close or at the port's loss.
// dev's Read must return at least every tick.
func newPort(name string, dev io.ReadWriteCloser) *port {
	p := &port{
		name: name, dev: dev, done: make(chan struct{}),
		in: make(chan []byte), out: make(chan []byte), wrote: make(chan error, 1),
	}
	p.pumps.Go(p.reader)
	p.pumps.Go(p.writer)
	return p
}

// Read implements net.Conn's Read.
func (p *port) Read(b []byte) (int, error) {
	p.rmu.Lock()
	defer p.rmu.Unlock()
	passed := p.rd.wait()
	if closed(passed) && !closed(p.done) {
		return 0, os.ErrDeadlineExceeded
	}
	if closed(p.done) && errors.Is(p.err, os.ErrClosed) {
		return 0, p.err
	}
	if len(p.rest) == 0 { // a lost port still gives what it had read
		select {
		case p.rest = <-p.in:
		case <-p.done:
			return 0, p.err
		case <-passed:
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(b, p.rest)
	clear(p.rest[:n]) // it may be somebody's number
	p.rest = p.rest[n:]
	return n, nil
}

// Write implements net.Conn's Write, but for one thing: after a write that was
// stopped half-way by its deadline the port is lost.
func (p *port) Write(b []byte) (int, error) {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	passed := p.wr.wait()
	switch {
	case closed(p.done):
		return 0, p.err
	case closed(passed):
		return 0, os.ErrDeadlineExceeded // nothing has begun, so nothing is lost
	}
	p.sent.Store(0)
	select {
	case p.out <- slices.Clone(b): // b is the caller's again when we return
	case <-p.done:
		return 0, p.err
	}
	select {
	case err := <-p.wrote:
		return p.written(err)
	case <-p.done:
		return int(p.sent.Load()), p.err
	case <-passed:
	}
	// A context that ends just while the kernel takes the bytes is no reason to
	// throw the port away: a healthy write takes microseconds.
	select {
	case err := <-p.wrote:
		return p.written(err)
	case <-p.done:
	case <-time.After(grace):
	}
	p.poisoned.Store(true)
	p.lose(hal.Gone(p.named(errors.New("the device takes no more bytes"))))
	return int(p.sent.Load()), os.ErrDeadlineExceeded
}

// SetReadDeadline implements net.Conn.
func (p *port) SetReadDeadline(t time.Time) error { return p.setDeadline(&p.rd, t) }

// SetWriteDeadline implements net.Conn.
func (p *port) SetWriteDeadline(t time.Time) error { return p.setDeadline(&p.wr, t) }

// Close wakes every blocked call and returns within a second and a half, also
// when the kernel does not let go of the port. What was written goes out.
func (p *port) Close() error {
	p.closing.Do(func() {
		p.lose(p.named(os.ErrClosed))
		ended := make(chan error, 1)
		go func() { ended <- p.close() }()
		select {
		case p.closeErr = <-ended:
		case <-time.After(closeLimit):
			p.closeErr = p.named(errors.New("the kernel does not let go of the port"))
		}
	})
	return p.closeErr
}

// String names the port by its address.
func (p *port) String() string { return p.name }

//

// close closes the device when its goroutines have ended, or would not.
func (p *port) close() error {
	ended := make(chan struct{})
	go func() { p.pumps.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(2 * tick):
	}
	if f, ok := p.dev.(interface{ ResetOutputBuffer() error }); ok && p.poisoned.Load() {
		_ = f.ResetOutputBuffer() // or close waits for bytes that nobody takes
	}
	return p.dev.Close()
}

// reader hands over what comes in until the port is lost or closed.
func (p *port) reader() {
	buf := make([]byte, 4096)
	for !closed(p.done) {
		n, err := p.dev.Read(buf)
		if n > 0 {
			select {
			case p.in <- slices.Clone(buf[:n]):
			case <-p.done:
				return
			}
			clear(buf[:n])
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			p.lose(hal.Gone(p.named(plain(err))))
			return
		}
	}
}

// writer writes what Write hands over until the port is lost or closed.
func (p *port) writer() {
	for {
		select {
		case b := <-p.out:
			p.wrote <- p.writeAll(b) // has room: one Write at a time
		case <-p.done:
			return
		}
	}
}

func (p *port) writeAll(b []byte) error {
	for len(b) > 0 {
		if closed(p.done) {
			return p.err // the descriptor's number may be another file's by now
		}
		n, err := p.dev.Write(b[:min(len(b), chunk)])
		p.sent.Add(int64(n))
		b = b[n:]
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		case err == nil && n == 0:
			return io.ErrNoProgress
		}
	}
	return nil
}

// written is the end of a write that the kernel has answered.
func (p *port) written(err error) (int, error) {
	n := int(p.sent.Load())
	if err == nil {
		return n, nil
	}
	p.lose(hal.Gone(p.named(plain(err))))
	return n, p.err
}

func (p *port) setDeadline(d *deadline, t time.Time) error {
	if closed(p.done) {
		return p.err
	}
	d.set(t)
	return nil
}

// lose ends the port for every caller; the first reason stays.
func (p *port) lose(err error) {
	p.losing.Do(func() {
		p.err = err
		close(p.done)
	})
}

func (p *port) named(err error) error { return fmt.Errorf("host: %s: %w", p.name, err) }

const (
	chunk      = 512 // at most so much still goes out of a write that was given up
	grace      = 20 * time.Millisecond
	closeLimit = 1500 * time.Millisecond
)
