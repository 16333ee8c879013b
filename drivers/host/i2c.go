package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/host/v3/sysfs"

	"github.com/digital-sentinel/sentinel/hal"
)

// I2COpts is how a bus is opened. The zero value refuses other machines.
type I2COpts struct {
	// Insecure permits tcp: addresses of other machines.
	Insecure bool
}

// OpenI2C opens the bus at addr. A transaction that only failed (nobody
// acknowledged, say) is a plain error; a lost bus wraps hal.ErrGone.
func OpenI2C(addr string, o I2COpts) (i2c.BusCloser, error) {
	a, err := parseBus(addr)
	if err != nil {
		return nil, err
	}
	if a.Kind == I2C {
		return openKernelBus(a)
	}
	c, err := dial(context.Background(), a, o.Insecure)
	if err != nil {
		return nil, err
	}
	return newRemoteBus(a.String(), c), nil
}

//

// kernelBus is a bus of i2c-dev. periph does not wrap the kernel's errors, so
// whether the whole adapter has gone (a USB one was pulled) is read off its
// node.
type kernelBus struct {
	*sysfs.I2C
	node string
}

func openKernelBus(a Address) (i2c.BusCloser, error) {
	n, err := machine("/").findBus(a)
	if err != nil {
		return nil, err
	}
	node := "/dev/i2c-" + strconv.Itoa(n)
	f, err := os.OpenFile(node, os.O_RDWR, 0) // for an error that can be told apart
	if err != nil {
		return nil, opening(a, err)
	}
	_ = f.Close()
	bus, err := sysfs.NewI2C(n)
	if err != nil {
		return nil, opening(a, err)
	}
	return &kernelBus{bus, node}, nil
}

// Tx implements i2c.Bus.
func (b *kernelBus) Tx(addr uint16, w, r []byte) error {
	err := b.I2C.Tx(addr, w, r)
	if err == nil {
		return nil
	}
	if _, serr := os.Stat(b.node); errors.Is(serr, os.ErrNotExist) {
		return hal.Gone(err)
	}
	return err
}

// findBus gives the number of the bus that a means: by number, by node name,
// or by the name of its adapter.
func (m machine) findBus(a Address) (int, error) {
	if n, err := strconv.ParseUint(strings.TrimPrefix(a.Bus, "i2c-"), 10, 16); err == nil {
		return int(n), nil
	}
	var hits, names []string
	for _, f := range m.buses() {
		if names = append(names, strconv.Quote(f.Label)); f.Label == a.Bus {
			hits = append(hits, f.Address[len("i2c:"):])
		}
	}
	switch len(hits) {
	case 1:
		n, err := strconv.Atoi(hits[0])
		return n, err
	case 0:
		return 0, hal.Gone(fmt.Errorf("host: no I²C bus %q here; there are %s", a.Bus, listed(names)))
	}
	return 0, fmt.Errorf("host: %q is the name of the buses %s: write i2c:NUMBER", a.Bus, strings.Join(hits, " and "))
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// remoteBus speaks the protocol of the package comment. Answers carry nothing
// that ties them to a request, so after the first thing out of order the
// connection is closed and the bus is lost.
type remoteBus struct {
	name string

	mu   sync.Mutex
	conn net.Conn
	err  error // why the bus is lost
}

func newRemoteBus(name string, c net.Conn) *remoteBus { return &remoteBus{name: name, conn: c} }

// String names the bus by its address.
func (b *remoteBus) String() string { return b.name }

// SetSpeed implements i2c.Bus. The speed is the far end's affair.
func (b *remoteBus) SetSpeed(physic.Frequency) error { return nil }

// Tx implements i2c.Bus. It takes at most a second.
func (b *remoteBus) Tx(addr uint16, w, r []byte) error {
	if addr > maxAddr || len(w) > maxTransfer || len(r) > maxTransfer {
		return fmt.Errorf("host: %s: address %03X, %d bytes to write, %d to read; want at most 3FF, 4096, 4096", b.name, addr, len(w), len(r))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	reason, err := b.tx(addr, w, r)
	switch {
	case err != nil:
		_ = b.conn.Close()
		b.err = hal.Gone(fmt.Errorf("host: %s: %w", b.name, err))
		return b.err
	case reason != "":
		return fmt.Errorf("host: %s: address %02X: %s", b.name, addr, reason)
	}
	return nil
}

// Close gives the connection up, and wakes a transaction.
func (b *remoteBus) Close() error {
	err := b.conn.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = fmt.Errorf("host: %s: %w", b.name, os.ErrClosed)
	}
	return err
}

// tx is one exchange. reason is why the far bus refused; err loses the wire.
func (b *remoteBus) tx(addr uint16, w, r []byte) (reason string, err error) {
	if err := b.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return "", err
	}
	if _, err := b.conn.Write(i2cRequest(addr, w, len(r))); err != nil {
		return "", err
	}
	return readI2CAnswer(b.conn, r)
}

func i2cRequest(addr uint16, w []byte, read int) []byte {
	p := binary.BigEndian.AppendUint16(nil, addr)
	p = binary.BigEndian.AppendUint16(p, uint16(len(w)))
	p = binary.BigEndian.AppendUint16(p, uint16(read))
	return append(p, w...)
}

// readI2CAnswer reads one answer, whose bytes go into r.
func readI2CAnswer(from io.Reader, r []byte) (reason string, err error) {
	var head [3]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return "", err
	}
	n := int(binary.BigEndian.Uint16(head[1:]))
	switch status := head[0]; {
	case status == i2cDone && n == len(r):
		_, err := io.ReadFull(from, r)
		return "", err
	case status == i2cFailed && n <= maxReason:
		text := make([]byte, n)
		_, err := io.ReadFull(from, text)
		return tidy(string(text)), err
	default:
		return "", fmt.Errorf("answer with status %d and %d bytes is not in the protocol", status, n)
	}
}

// tidy makes a far end's words fit for a log.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if s == "" {
		return "failed without a reason"
	}
	return s
}

// The numbers of the two remote protocols.
const (
	maxAddr     = 0x3FF
	maxTransfer = 4096
	maxReason   = 200
	i2cDone     = 0
	i2cFailed   = 1

	answerLimit = time.Second
)

var (
	_ i2c.BusCloser = &kernelBus{}
	_ i2c.BusCloser = &remoteBus{}
)
