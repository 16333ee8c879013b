package host

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/hal"
)

// OutPin is an output line. Levels are logical: on an active-low line High is
// the active state, electrically low. Close gives the line up and leaves its
// level alone; what the chip then makes of it is the chip's affair, so a gate
// is put to rest before.
type OutPin interface {
	gpio.PinOut
	io.Closer
}

// InPin is an input line, with logical levels as OutPin. Halt and Close wake a
// WaitForEdge, whose limit is conn's: 0 looks and returns, -1 is for ever.
type InPin interface {
	gpio.PinIn
	io.Closer
	// Err says that the line is lost, or closed; Read then gives the last level
	// and WaitForEdge returns false at once.
	Err() error
}

// OpenOut claims the line at addr as an output whose first level is initial:
// it is never anything else in between. An error of the pin's Out wraps
// hal.ErrGone.
func OpenOut(addr string, initial gpio.Level, activeLow bool) (OutPin, error) {
	a, err := parsePin(addr)
	if err != nil {
		return nil, err
	}
	p := &outPin{name: a.String(), number: -1}
	if a.Kind == GPIO {
		p.line, p.number, err = claimOut(a, initial, activeLow)
	} else {
		p.line, err = dialOut(a, initial, activeLow)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// OpenIn claims the line at addr as an input that reports both edges; In
// narrows them, or changes the pull.
func OpenIn(addr string, pull gpio.Pull, activeLow bool) (InPin, error) {
	a, err := parsePin(addr)
	if err != nil {
		return nil, err
	}
	claim := claimIn
	if a.Kind == Unix {
		claim = dialIn
	}
	return newInPin(a, activeLow, claim, pull)
}

//

// outLine is what the two kinds of output have in common.
type outLine interface {
	out(gpio.Level) error
	Close() error
}

// outPin is an output line as periph wants it.
type outPin struct {
	name   string
	number int
	line   outLine
}

func (p *outPin) String() string   { return p.name }
func (p *outPin) Name() string     { return p.name }
func (p *outPin) Number() int      { return p.number }
func (p *outPin) Function() string { return "Out" }
func (p *outPin) Halt() error      { return nil }
func (p *outPin) Close() error     { return p.line.Close() }

// Out implements gpio.PinOut.
func (p *outPin) Out(l gpio.Level) error {
	if err := p.line.out(l); err != nil {
		return hal.Gone(fmt.Errorf("host: %s: %w", p.name, err))
	}
	return nil
}

// PWM implements gpio.PinOut.
func (p *outPin) PWM(gpio.Duty, physic.Frequency) error {
	return fmt.Errorf("host: %s: no PWM on this line", p.name)
}

// inLine is what the two kinds of input have in common. read may ask the
// hardware; ok false means that the last reported level must do.
type inLine interface {
	read() (l gpio.Level, ok bool, err error)
	Close() error
}

// claim claims a as an input and reports each change to the pin, the first
// level before it returns.
type claim func(a Address, activeLow bool, pull gpio.Pull, p *inPin) (line inLine, number int, err error)

// inPin is an input line as periph wants it. It waits on channels only.
type inPin struct {
	addr      Address
	activeLow bool
	claim     claim

	mu     sync.Mutex
	line   inLine
	number int
	pull   gpio.Pull
	edge   gpio.Edge
	level  gpio.Level
	err    error
	halted chan struct{} // closed and renewed by Halt and In

	edges chan struct{} // room for one: edges nobody waited for are one edge
	gone  chan struct{} // closed when err is set
}

func newInPin(a Address, activeLow bool, c claim, pull gpio.Pull) (*inPin, error) {
	p := &inPin{
		addr: a, activeLow: activeLow, claim: c, edge: gpio.BothEdges, pull: pull,
		halted: make(chan struct{}), edges: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	line, number, err := c(a, activeLow, pull, p)
	if err != nil {
		return nil, err
	}
	p.line, p.number = line, number
	p.forget()
	return p, nil
}

func (p *inPin) String() string         { return p.addr.String() }
func (p *inPin) Name() string           { return p.addr.String() }
func (p *inPin) Number() int            { return p.number }
func (p *inPin) Function() string       { return "In" }
func (p *inPin) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// Pull implements gpio.PinIn.
func (p *inPin) Pull() gpio.Pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pull
}

// In implements gpio.PinIn. Another pull claims the line anew, for the kernel
// changes no line that reports edges. It wakes a WaitForEdge.
func (p *inPin) In(pull gpio.Pull, edge gpio.Edge) error {
	if err := p.Halt(); err != nil {
		return err
	}
	p.mu.Lock()
	p.edge = edge
	same, old := pull == p.pull || pull == gpio.PullNoChange, p.line
	p.mu.Unlock()
	if !same {
		_ = old.Close()
		line, _, err := p.claim(p.addr, p.activeLow, pull, p)
		if err != nil {
			p.lose(err)
			return err
		}
		p.mu.Lock()
		p.line, p.pull = line, pull
		p.mu.Unlock()
		if p.Err() != nil { // Close came in between and has closed the old line
			_ = line.Close()
		}
	}
	p.forget()
	return p.Err()
}

// Read implements gpio.PinIn. A lost line keeps its last level: ask Err.
func (p *inPin) Read() gpio.Level {
	p.mu.Lock()
	line, level, err := p.line, p.level, p.err
	p.mu.Unlock()
	if err != nil {
		return level
	}
	l, ok, err := line.read()
	switch {
	case err != nil:
		p.lose(err)
		// The library's watcher spins on a chip that was pulled out; closing the
		// line ends it.
		_ = line.Close()
	case ok:
		return l
	}
	return level
}

// WaitForEdge implements gpio.PinIn.
func (p *inPin) WaitForEdge(limit time.Duration) bool {
	p.mu.Lock()
	halted := p.halted
	p.mu.Unlock()
	if p.Err() != nil {
		return false
	}
	select {
	case <-p.edges:
		return true
	default:
	}
	var over <-chan time.Time
	if limit >= 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-p.edges:
		return true
	case <-over:
	case <-halted:
	case <-p.gone:
	}
	return false
}

// Halt wakes a WaitForEdge. The line stays open.
func (p *inPin) Halt() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.halted)
	p.halted = make(chan struct{})
	return nil
}

// Close gives the line up and wakes a WaitForEdge.
func (p *inPin) Close() error {
	p.mu.Lock()
	line := p.line
	p.mu.Unlock()
	p.lose(errClosed)
	return line.Close()
}

// Err is described at InPin.
func (p *inPin) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// changed is called by the line with each level.
func (p *inPin) changed(l gpio.Level) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.level
	p.level = l
	want := p.edge == gpio.BothEdges || p.edge == gpio.RisingEdge && bool(l) || p.edge == gpio.FallingEdge && !bool(l)
	if l == was || !want {
		return
	}
	select {
	case p.edges <- struct{}{}:
	default:
	}
}

// lose ends the pin; the first reason stays.
func (p *inPin) lose(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = fmt.Errorf("host: %v: %w", p.addr, err)
	if !errors.Is(err, errClosed) {
		p.err = hal.Gone(p.err)
	}
	close(p.gone)
}

// forget drops an edge that belongs to the time before.
func (p *inPin) forget() {
	select {
	case <-p.edges:
	default:
	}
}

var (
	_ OutPin = &outPin{}
	_ InPin  = &inPin{}
	_ claim  = claimIn
	_ claim  = dialIn
)
