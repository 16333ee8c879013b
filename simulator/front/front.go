// Package front is the far side of the wires that drivers/host opens: it lends
// a simulated device to an agent as a pseudo-terminal, as a unix socket, or in
// memory, and pulls it out and plugs it in.
//
//	wire    pty          socket         memory
//	serial  PTY          SerialSocket   MemorySerial    all three are Ports
//	I²C     -            I2C            I2C.Bus
//	GPIO    -            GPIO           GPIO.Out, GPIO.In
//
// A front is plugged in when it is made. Its Serve runs the device until the
// context ends, and then pulls it out; the socket and link are gone after it.
// Everything in memory waits on channels and timers only, so it holds under
// testing/synctest, if it was made inside the bubble.
//
// # What is simulated
//
// The loss of a wire at any moment, also while the host is writing; bytes that
// nobody listens to, which are lost as on a real line and never hang a device;
// a line that belongs to one host at a time.
//
// # What is not
//
// Baud rates and line noise (simulator/fault has the latter), modem lines, I²C
// clock stretching, the voltage of a line that nobody drives.
//
// # Protocols
//
// I²C and GPIO speak the remote protocols that drivers/host describes; its
// testdata/*.transcript are the treaty, and both sides are tested by them.
package front

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Port is one serial wire.
type Port interface {
	// Addr is what the agent's configuration calls the wire.
	Addr() string
	// Serve calls serve, a device's own Serve, with every life of the line: a
	// pseudo-terminal lives from Plug to Unplug, a connection until one side
	// closes it. One at a time. It returns nil when ctx ends.
	Serve(ctx context.Context, serve func(context.Context, io.ReadWriteCloser) error) error
	// Plug plugs the device in. It is not an error if it is.
	Plug() error
	// Unplug pulls it out: the host's end is dead at once. It may be called
	// from a callback of the device.
	Unplug()
}

// ErrUnplugged is what a wire in memory gives while its device is pulled out.
var ErrUnplugged = errors.New("unplugged")

//

// patience is how long a device waits for a host that does not read. A real
// device waits not at all, but a host's buffer is bigger than a pipe's.
const patience = time.Second

// conn is what the three fronts have under them.
type conn interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// line is the device's end of a serial wire. A device may ask it for a
// SetReadDeadline; a Write is bounded by itself.
type line struct {
	conn
	patience time.Duration

	// A channel and no mutex: virtual time waits for a mutex for ever.
	writing chan struct{}
}

func newLine(c conn, patience time.Duration) *line {
	return &line{conn: c, patience: patience, writing: make(chan struct{}, 1)}
}

// Write sends p. What the host does not take in time is lost on the way, which
// a device never learns.
func (l *line) Write(p []byte) (int, error) {
	l.writing <- struct{}{}
	defer func() { <-l.writing }()
	if err := l.conn.SetWriteDeadline(time.Now().Add(l.patience)); err != nil {
		return 0, err
	}
	n, err := l.conn.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return len(p), nil
	}
	return n, err
}

// SetWriteDeadline hides the one below.
func (l *line) SetWriteDeadline(time.Time) error {
	return errors.New("a device's write is bounded by itself")
}

// plug is the state that every front has: plugged in or not, and a way to wait
// for the next change.
type plug struct {
	mu      sync.Mutex
	in      bool
	changed chan struct{}
}

// set tells everybody who waits; it is called with the lock held.
func (p *plug) set(in bool) {
	p.in = in
	if p.changed != nil {
		close(p.changed)
	}
	p.changed = make(chan struct{})
}

// next gives the channel that is closed at the next change; it is called with
// the lock held.
func (p *plug) next() chan struct{} {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// atEnd calls f when ctx ends. stop must be called; after it f does not run any
// more, or it would pull out what somebody has plugged in again.
func atEnd(ctx context.Context, f func()) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() { f(); close(done) })
	return func() {
		if !cancel() {
			<-done
		}
	}
}
