package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

// Serial is an open line. Whoever opened it closes it; drivers get the Line.
// One whose speed can be changed is a wire.BaudSetter too.
type Serial interface {
	wire.Line
	io.Closer
}

// SerialOpts is how a line is opened. The zero value is 9600 baud, 8N1, and no
// TCP to other machines.
type SerialOpts struct {
	// Baud is the speed, 50 to 4,000,000; 0 means 9600. Sockets have none.
	Baud int
	// Insecure permits tcp: addresses of other machines: whoever is on the way
	// can then read and forge what devices say.
	Insecure bool
}

// OpenSerial opens the line at addr. What piled up in a port before is thrown
// away. An error that wraps hal.ErrGone means that nothing is there now.
func OpenSerial(ctx context.Context, addr string, o SerialOpts) (Serial, error) {
	a, err := parseSerial(addr)
	if err != nil {
		return nil, err
	}
	if o.Baud == 0 {
		o.Baud = 9600
	}
	if err := checkBaud(o.Baud); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch a.Kind {
	case Unix, TCP:
		return dial(ctx, a, o.Insecure)
	case USB:
		f, err := machine("/").findUSB(a)
		if err != nil {
			return nil, err
		}
		return openPort(f.Node, a, o.Baud)
	}
	return openPort(a.Path, a, o.Baud)
}

//

// openPort opens a node of the kernel's and puts it behind a port.
func openPort(node string, a Address, baud int) (Serial, error) {
	if err := roomForDescriptors(); err != nil {
		return nil, err
	}
	dev, err := serial.Open(node, &serial.Mode{BaudRate: baud})
	if err != nil {
		return nil, opening(a, plain(err))
	}
	if err := errors.Join(dev.SetReadTimeout(tick), dev.ResetInputBuffer()); err != nil {
		_ = dev.Close()
		return nil, opening(a, err)
	}
	return newPort(a.String(), dev), nil
}

// roomForDescriptors keeps the library from falling on its face: it reads with
// select(2), and a descriptor of 1024 or more panics there. Go raises the soft
// limit at start, so a busy process gets such numbers. The port and its pipe
// take three; some are left for openings at the same time.
func roomForDescriptors() error {
	const last = 1024 - 64
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("host: no descriptor for a serial port: %w", err)
	}
	_ = unix.Close(fd)
	if fd > last {
		return fmt.Errorf("host: %d descriptors are open, a serial port needs one below 1024", fd)
	}
	return nil
}

// plain gives the library's error codes the standard meanings.
func plain(err error) error {
	var pe *serial.PortError
	if !errors.As(err, &pe) {
		return err // the errno as it came
	}
	switch pe.Code() {
	case serial.PermissionDenied:
		return fs.ErrPermission
	case serial.PortBusy:
		return errors.New("another program has it open")
	case serial.PortClosed:
		return errUnplugged
	case serial.InvalidSerialPort:
		return fmt.Errorf("it is no serial port: %w", err)
	}
	return err
}

func checkBaud(baud int) error {
	if baud < 50 || baud > 4_000_000 {
		return fmt.Errorf("host: %d baud, want 50 to 4,000,000", baud)
	}
	return nil
}

// SetBaud implements wire.BaudSetter. It takes effect at once: bytes that are
// still on their way out go at the new speed.
func (p *port) SetBaud(baud int) error {
	if err := checkBaud(baud); err != nil {
		return err
	}
	if closed(p.done) {
		return p.err
	}
	m, ok := p.dev.(interface{ SetMode(*serial.Mode) error })
	if !ok {
		return errors.New("host: " + p.name + " has no speed")
	}
	if err := m.SetMode(&serial.Mode{BaudRate: baud}); err != nil {
		if errors.Is(err, unix.EIO) || errors.Is(err, unix.ENODEV) {
			p.lose(hal.Gone(p.named(err)))
			return p.err
		}
		return p.named(err)
	}
	return nil
}

// tick is how long one read of the library lasts. It bounds Close: the reader
// is never pulled out of a read but leaves at the end of it. (The library does
// wake a read on Close, but closes the descriptor first; a reader that is just
// about to read would then read from whatever got the number next.)
const tick = 50 * time.Millisecond

// errUnplugged is what the library's "Port has been closed" means when we have
// not closed it: a read of nothing from a readable line.
var errUnplugged = errors.New("unplugged")

var (
	_ Serial          = &port{}
	_ wire.BaudSetter = &port{}
)
