package simulator

import (
	"context"
	"fmt"
	"net"
	"strings"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"

	"github.com/digital-sentinel/sentinel/drivers"
	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/simulator/front"
)

// memoryWires are the wires of the memory front: the same far ends, without a
// kernel between them and the drivers.
type memoryWires struct {
	serial map[string]*front.MemorySerial
	buses  map[string]*front.I2C
	board  *front.GPIO
}

func newMemoryWires() *memoryWires {
	return &memoryWires{serial: map[string]*front.MemorySerial{}, buses: map[string]*front.I2C{}}
}

// Serial implements drivers.Wires.
func (w *memoryWires) Serial(_ context.Context, address string, _ int) (drivers.Line, error) {
	m, ok := w.serial[address]
	if !ok {
		return nil, fmt.Errorf("there is no wire %s", address)
	}
	var c net.Conn
	c, err := m.Dial()
	if err != nil {
		return nil, hal.Gone(err)
	}
	return c, nil
}

// I2C implements drivers.Wires.
func (w *memoryWires) I2C(_ context.Context, address string) (i2c.BusCloser, error) {
	b, ok := w.buses[address]
	if !ok {
		return nil, fmt.Errorf("there is no wire %s", address)
	}
	return memoryBus{b.Bus()}, nil
}

// Out implements drivers.Wires.
func (w *memoryWires) Out(_ context.Context, address string, first gpio.Level) (drivers.PinOut, error) {
	p, err := w.board.Out(lineOf(address), first)
	if err != nil {
		return nil, hal.Gone(err)
	}
	return p, nil
}

// In implements drivers.Wires.
func (w *memoryWires) In(_ context.Context, address string, pull gpio.Pull) (drivers.PinIn, error) {
	p, err := w.board.In(lineOf(address))
	if err != nil {
		return nil, hal.Gone(err)
	}
	return p, p.In(pull, gpio.BothEdges)
}

// lineOf is what stands behind the # of an address.
func lineOf(address string) string {
	_, line, _ := strings.Cut(address, "#")
	return line
}

// memoryBus is a bus that its owner may close.
type memoryBus struct{ i2c.Bus }

func (memoryBus) Close() error { return nil }

// Tx tells a bus that was pulled out as a lost device.
func (b memoryBus) Tx(addr uint16, w, r []byte) error {
	err := b.Bus.Tx(addr, w, r)
	if err == front.ErrUnplugged {
		return hal.Gone(err)
	}
	return err
}

var _ drivers.Wires = (*memoryWires)(nil)
