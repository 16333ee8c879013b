package front

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

// Bus is a bus with simulated chips on it; any i2c.Bus is one.
type Bus interface {
	// Tx is one transaction: w is written, then r is filled.
	Tx(addr uint16, w, r []byte) error
}

// I2C lends a bus to agents, over a unix socket or in memory.
type I2C struct {
	socket
	bus Bus
	// turn is held during a transaction: a bus does one at a time.
	turn chan struct{}
}

// NewI2C plugs in the bus at the socket path; "" is in memory only.
func NewI2C(path string, bus Bus) (*I2C, error) {
	b := &I2C{socket: socket{path: path}, bus: bus, turn: make(chan struct{}, 1)}
	return b, b.Plug()
}

// Serve serves the socket until ctx ends.
func (b *I2C) Serve(ctx context.Context) error {
	var hosts sync.WaitGroup
	defer hosts.Wait()
	return b.serve(ctx, func(c net.Conn) {
		hosts.Go(func() {
			defer b.drop(c)
			b.answer(c)
		})
	})
}

// Bus gives the host's end in memory. While the bus is pulled out every
// transaction gives ErrUnplugged.
func (b *I2C) Bus() i2c.Bus { return memoryBus{b} }

//

type memoryBus struct{ b *I2C }

func (m memoryBus) String() string                  { return "memory bus" }
func (m memoryBus) SetSpeed(physic.Frequency) error { return nil }

func (m memoryBus) Tx(addr uint16, w, r []byte) error {
	if !m.b.plugged() {
		return ErrUnplugged
	}
	return m.b.tx(addr, w, r)
}

func (b *I2C) tx(addr uint16, w, r []byte) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	return b.bus.Tx(addr, w, r)
}

// answer serves one host, until it hangs up or leaves the protocol.
func (b *I2C) answer(c net.Conn) {
	for {
		q, err := readI2CRequest(c)
		if err != nil {
			return
		}
		status, body := byte(i2cDone), make([]byte, q.read)
		if err := b.tx(q.addr, q.write, body); err != nil {
			status, body = i2cFailed, []byte(err.Error())
			body = body[:min(len(body), maxReason)]
		}
		p := binary.BigEndian.AppendUint16([]byte{status}, uint16(len(body)))
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		if _, err := c.Write(append(p, body...)); err != nil {
			return
		}
	}
}

type i2cRequest struct {
	addr  uint16
	write []byte
	read  int
}

// readI2CRequest reads one request. Nothing is allocated before the lengths
// have been looked at.
func readI2CRequest(r io.Reader) (i2cRequest, error) {
	var head [6]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return i2cRequest{}, err
	}
	q := i2cRequest{addr: binary.BigEndian.Uint16(head[0:])}
	write := int(binary.BigEndian.Uint16(head[2:]))
	q.read = int(binary.BigEndian.Uint16(head[4:]))
	if q.addr > maxAddr || write > maxTransfer || q.read > maxTransfer {
		return i2cRequest{}, errors.New("request outside the protocol")
	}
	q.write = make([]byte, write)
	_, err := io.ReadFull(r, q.write)
	return q, err
}

// The numbers of the protocol; package comment of drivers/host.
const (
	maxAddr     = 0x3FF
	maxTransfer = 4096
	maxReason   = 200
	i2cDone     = 0
	i2cFailed   = 1
)

var _ i2c.Bus = memoryBus{}
