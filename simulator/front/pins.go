package front

import (
	"errors"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

// OutPin is the host's end of an output in memory.
type OutPin struct {
	pin
	owner *owner
}

// InPin is the host's end of an input in memory. It waits on channels and
// timers only.
type InPin struct {
	pin
	owner *owner
	edges chan struct{}

	mu     sync.Mutex
	level  gpio.Level
	pull   gpio.Pull
	edge   gpio.Edge
	closed bool
	halted chan struct{} // closed and renewed by Halt and In
}

// Out claims a line as an output whose first level is initial.
func (g *GPIO) Out(name string, initial gpio.Level) (*OutPin, error) {
	o := &owner{out: true}
	if _, err := g.claim(name, o, initial); err != nil {
		return nil, err
	}
	return &OutPin{pin{g, name}, o}, nil
}

// In claims a line as an input that reports both edges.
func (g *GPIO) In(name string) (*InPin, error) {
	p := &InPin{
		pin: pin{g, name}, edges: make(chan struct{}, 1),
		edge: gpio.BothEdges, halted: make(chan struct{}),
	}
	p.owner = &owner{tell: p.tell}
	if _, err := g.claim(name, p.owner, gpio.Low); err != nil {
		return nil, err
	}
	p.forget()
	return p, nil
}

// Out implements gpio.PinOut. Of a board that was pulled out, also one that is
// back by now, it gives ErrUnplugged.
func (p *OutPin) Out(l gpio.Level) error { return p.board.drive(p.name, p.owner, l) }

// PWM implements gpio.PinOut.
func (p *OutPin) PWM(gpio.Duty, physic.Frequency) error {
	return errors.New("no PWM on a simulated line")
}

// Halt implements conn.Resource.
func (p *OutPin) Halt() error { return nil }

// Function implements pin.Pin.
func (p *OutPin) Function() string { return "Out" }

// Close gives the line up; its level stays.
func (p *OutPin) Close() error {
	p.board.release(p.name, p.owner)
	return nil
}

// In implements gpio.PinIn. It wakes a WaitForEdge.
func (p *InPin) In(pull gpio.Pull, edge gpio.Edge) error {
	p.mu.Lock()
	p.pull, p.edge = pull, edge
	p.mu.Unlock()
	p.forget()
	return errors.Join(p.Halt(), p.Err())
}

// Read implements gpio.PinIn.
func (p *InPin) Read() gpio.Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.level
}

// WaitForEdge implements gpio.PinIn: 0 looks and returns, -1 is for ever.
func (p *InPin) WaitForEdge(limit time.Duration) bool {
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
	case <-p.owner.lost:
	}
	return false
}

// Err says that the line is lost or given up.
func (p *InPin) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.owner.lost:
		return ErrUnplugged
	default:
	}
	if p.closed {
		return errors.New("line given up")
	}
	return nil
}

// Halt implements conn.Resource: it wakes a WaitForEdge.
func (p *InPin) Halt() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.halted)
	p.halted = make(chan struct{})
	return nil
}

// Function implements pin.Pin.
func (p *InPin) Function() string { return "In" }

// Pull implements gpio.PinIn.
func (p *InPin) Pull() gpio.Pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pull
}

// DefaultPull implements gpio.PinIn.
func (p *InPin) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// Close gives the line up and wakes a WaitForEdge.
func (p *InPin) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.board.release(p.name, p.owner)
	return p.Halt()
}

//

// pin is what both ends have in common.
type pin struct {
	board *GPIO
	name  string
}

func (p pin) String() string { return p.name }
func (p pin) Name() string   { return p.name }
func (p pin) Number() int    { return -1 }

// tell is called with the first level and with each change.
func (p *InPin) tell(l gpio.Level) {
	p.mu.Lock()
	p.level = l
	want := p.edge == gpio.BothEdges || p.edge == gpio.RisingEdge && bool(l) || p.edge == gpio.FallingEdge && !bool(l)
	p.mu.Unlock()
	if !want {
		return
	}
	select {
	case p.edges <- struct{}{}:
	default:
	}
}

// forget drops an edge that belongs to the time before.
func (p *InPin) forget() {
	select {
	case <-p.edges:
	default:
	}
}

var (
	_ gpio.PinOut = &OutPin{}
	_ gpio.PinIn  = &InPin{}
)
