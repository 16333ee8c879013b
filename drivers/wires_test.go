package drivers_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/drivers"
)

// errRefused is what a wire that cannot be had gives.
var errRefused = errors.New("nobody is on this wire")

// bench hands out wires in memory and remembers them.
type bench struct {
	refuse string            // the address that cannot be opened
	line   func() net.Conn   // what a serial line leads to
	bus    *i2ctest.Playback // what an I²C bus leads to
	opened []*owned          // in their order
	pins   map[string]*pin   // by address
	bauds  map[string]int    // asked for, by address
	pulls  map[string]gpio.Pull
}

// owned is a wire as its owner sees it.
type owned struct {
	address string
	closed  int
	order   *int // counts closings, over all wires
	at      int  // this one's number among them
}

func (o *owned) Close() error {
	o.closed++
	*o.order++
	o.at = *o.order
	return nil
}

func newBench() *bench {
	return &bench{pins: map[string]*pin{}, bauds: map[string]int{}, pulls: map[string]gpio.Pull{}}
}

func (b *bench) open(address string) (*owned, error) {
	if address == b.refuse {
		return nil, errRefused
	}
	o := &owned{address: address, order: new(int)}
	if len(b.opened) > 0 {
		o.order = b.opened[0].order
	}
	b.opened = append(b.opened, o)
	return o, nil
}

// unclosed tells which wires were not closed once.
func (b *bench) unclosed() []string {
	var list []string
	for _, o := range b.opened {
		if o.closed != 1 {
			list = append(list, fmt.Sprintf("%s closed %d times", o.address, o.closed))
		}
	}
	return list
}

func (b *bench) Serial(_ context.Context, address string, baud int) (drivers.Line, error) {
	o, err := b.open(address)
	if err != nil {
		return nil, err
	}
	b.bauds[address] = baud
	return struct {
		lineOnly
		*owned
	}{b.line(), o}, nil
}

func (b *bench) I2C(_ context.Context, address string) (i2c.BusCloser, error) {
	o, err := b.open(address)
	if err != nil {
		return nil, err
	}
	return struct {
		busOnly
		*owned
	}{b.bus, o}, nil
}

func (b *bench) Out(_ context.Context, address string, first gpio.Level) (drivers.PinOut, error) {
	o, err := b.open(address)
	if err != nil {
		return nil, err
	}
	return b.pin(o, first), nil
}

func (b *bench) In(_ context.Context, address string, pull gpio.Pull) (drivers.PinIn, error) {
	o, err := b.open(address)
	if err != nil {
		return nil, err
	}
	b.pulls[address] = pull
	return b.pin(o, gpio.Low), nil
}

func (b *bench) pin(o *owned, first gpio.Level) *pin {
	p := &pin{owned: o, levels: []gpio.Level{first}}
	b.pins[o.address] = p
	return p
}

// lineOnly and busOnly hide the Close of what is below: it is the test's.
type lineOnly interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

type busOnly interface {
	String() string
	Tx(addr uint16, w, r []byte) error
	SetSpeed(f physic.Frequency) error
}

// silent makes a line whose far end takes everything and says nothing.
func silent(t *testing.T) net.Conn {
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			if _, err := far.Read(buf); err != nil {
				return
			}
		}
	}()
	return near
}

// pin is a line whose levels are kept.
type pin struct {
	*owned
	mu     sync.Mutex
	levels []gpio.Level
}

func (p *pin) String() string                        { return p.address }
func (p *pin) Name() string                          { return p.address }
func (p *pin) Number() int                           { return -1 }
func (p *pin) Function() string                      { return "" }
func (p *pin) Halt() error                           { return nil }
func (p *pin) Pull() gpio.Pull                       { return gpio.PullNoChange }
func (p *pin) DefaultPull() gpio.Pull                { return gpio.PullNoChange }
func (p *pin) PWM(gpio.Duty, physic.Frequency) error { return errors.New("no PWM") }
func (p *pin) In(gpio.Pull, gpio.Edge) error         { return nil }

func (p *pin) WaitForEdge(limit time.Duration) bool {
	time.Sleep(limit)
	return false
}

func (p *pin) Read() gpio.Level { return p.last() }

func (p *pin) Out(l gpio.Level) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.levels = append(p.levels, l)
	return nil
}

func (p *pin) last() gpio.Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.levels[len(p.levels)-1]
}

var _ drivers.Wires = &bench{}
