// Package host is the only door to the machine: serial ports, I²C buses and
// GPIO lines, opened by the address that stands in the configuration.
//
// # Addresses
//
//	/dev/ttyUSB0           serial port, or a link to one (a pseudo-terminal)
//	1A86:7523              USB serial port by vendor and product, hex, wherever
//	1A86:7523:A50285BI     it is plugged in; with its serial number
//	i2c:1                  kernel bus by number, or by the adapter's name
//	gpio:CHIP/LINE         CHIP by label or name, LINE by name or number
//	unix:PATH              a far end on a unix socket; of a GPIO line
//	unix:PATH#LINE         with the line's name
//	tcp:HOST:PORT          serial or I²C, on this machine only unless Insecure
//
// # What a lost device looks like
//
// Every wire tells its loss as an error that wraps hal.ErrGone, once it is used
// or waited for; a device that is not there at Open gives the same. Nobody
// listens for hot-plug events: the supervisor polls by opening again.
//
// # The remote I²C protocol
//
// A stream; numbers are big-endian. The host asks, the far end answers, one
// transaction at a time:
//
//	request = addr u16, write-length u16, read-length u16, write-length bytes
//	answer  = status u8, length u16, length bytes
//
// Addresses are 0000–03FF, lengths at most 4096. Status 0 is done, and length
// equals read-length. Status 1 is a transaction that failed on the far bus (not
// acknowledged, say), and the bytes are the reason in UTF-8, at most 200 of
// them. Everything else, and silence of one second, loses the wire.
//
// # The remote GPIO protocol
//
// One connection is one line. Text, each line ended by LF, at most 128 bytes:
//
//	host                     far end
//	out NAME 0|1             ok | error REASON      claims an output
//	set 0|1                  ok | error REASON      as often as wanted
//
//	in NAME keep|float|down|up
//	                         ok | error REASON      claims an input
//	                         level 0|1              at once, then each change
//
// NAME is 1–32 printable ASCII characters without space and '#'. Levels are
// electrical: what is active low is the host's affair. Closing the connection
// gives the line up; an output keeps its level then, as most chips do when the
// kernel takes a line back from a killed process.
//
// # Does not support
//
// Modem lines (a pseudo-terminal has none), parity and stop bits other than
// 8N1, SMBus calls, open-drain outputs, hot-plug events.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
)

// dialLimit bounds the opening of a socket: a bridge on this machine answers
// at once or not at all.
const dialLimit = 2 * time.Second

// dial connects to the unix or tcp address a.
func dial(ctx context.Context, a Address, insecure bool) (net.Conn, error) {
	network, target := "unix", a.Path
	if a.Kind == TCP {
		network, target = "tcp", net.JoinHostPort(a.Host, a.Port)
		if !insecure && !loopbackName(a.Host) {
			return nil, fmt.Errorf("host: %v is not on this machine: want 127.0.0.1 or localhost, or insecure: true", a)
		}
	}
	d := net.Dialer{Timeout: dialLimit}
	c, err := d.DialContext(ctx, network, target)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, opening(a, err)
	}
	// "localhost" is what the machine's tables make of it.
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok && !insecure && !t.IP.IsLoopback() {
		_ = c.Close()
		return nil, fmt.Errorf("host: %v leads to %v, which is not this machine", a, t.IP)
	}
	return c, nil
}

// opening words an error of opening a. What is not there is gone, and what an
// operator can mend is said.
func opening(a Address, err error) error {
	err = fmt.Errorf("host: opening %v: %w", a, err)
	switch {
	case slices.ContainsFunc(absent, func(e error) bool { return errors.Is(err, e) }):
		return hal.Gone(err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (is this user in the group that owns it: dialout, i2c or gpio?)", err)
	}
	return err
}

// absent is what the kernel and a far end say when nobody is there.
var absent = []error{
	fs.ErrNotExist, syscall.ENODEV, syscall.ENXIO, syscall.EIO,
	syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, os.ErrDeadlineExceeded,
}
