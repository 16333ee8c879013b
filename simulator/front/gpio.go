package front

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// GPIOOpts is what the board is like. The zero value has every line that is
// asked for, up to 64, and nobody watches.
type GPIOOpts struct {
	// Names are the board's lines; none means any.
	Names []string
	// OnOutput is called with every level a host gives an output, also one it
	// has already, and first of all when it claims the line. No locks are held.
	OnOutput func(name string, l gpio.Level)
}

// GPIO is a board of lines, over a unix socket and in memory. Levels are
// electrical. A line belongs to one host at a time; an output keeps its level
// when its host goes, as after SIGKILL. It is safe for concurrent use.
type GPIO struct {
	socket
	opts GPIOOpts

	lines  sync.Mutex // never held while anything waits
	byName map[string]*pinState
}

// pinState is one line.
type pinState struct {
	level  gpio.Level
	driven bool // has been an output
	owner  *owner
}

// owner is a host's claim of a line.
type owner struct {
	out  bool
	tell func(gpio.Level) // of an input; must not block
	free chan struct{}    // closed when the claim is given up
	lost chan struct{}    // closed when the board is pulled out
}

const maxLines = 64

// NewGPIO plugs in a board at the socket path; "" is in memory only.
func NewGPIO(path string, opts GPIOOpts) (*GPIO, error) {
	opts.Names = slices.Clone(opts.Names)
	g := &GPIO{socket: socket{path: path}, opts: opts, byName: map[string]*pinState{}}
	return g, g.Plug()
}

// LineAddr is what the agent's configuration calls the line.
func (g *GPIO) LineAddr(name string) string { return g.Addr() + "#" + name }

// Output is the level that a host has last given the line; ok is false if none
// ever has.
func (g *GPIO) Output(name string) (l gpio.Level, ok bool) {
	g.lines.Lock()
	defer g.lines.Unlock()
	s := g.byName[name]
	if s == nil || !s.driven {
		return gpio.Low, false
	}
	return s.level, true
}

// SetInput gives the line a level, which the host that has claimed it as an
// input learns. On an output it does nothing: the host drives harder.
func (g *GPIO) SetInput(name string, l gpio.Level) error {
	g.lines.Lock()
	defer g.lines.Unlock()
	s, err := g.state(name)
	switch {
	case err != nil:
		return err
	case s.owner != nil && s.owner.out:
		return nil
	}
	if s.level != l && s.owner != nil {
		s.owner.tell(l)
	}
	s.level = l
	return nil
}

// Unplug pulls the board out: every claim is lost, every level stays.
func (g *GPIO) Unplug() {
	g.socket.Unplug()
	g.lines.Lock()
	defer g.lines.Unlock()
	for _, s := range g.byName {
		if s.owner != nil {
			close(s.owner.lost)
			close(s.owner.free)
			s.owner = nil
		}
	}
}

//

// takeOver is how long a claim waits for the former owner: the socket of a
// killed agent is closed by the kernel, but the news takes a moment.
const takeOver = 200 * time.Millisecond

// claim makes o the line's owner and gives its level.
func (g *GPIO) claim(name string, o *owner, initial gpio.Level) (gpio.Level, error) {
	limit := time.NewTimer(takeOver)
	defer limit.Stop()
	for {
		l, former, err := g.claim1(name, o, initial)
		if former == nil {
			if err == nil && o.out {
				g.told(name, l)
			}
			return l, err
		}
		select {
		case <-former.free:
		case <-limit.C:
			return gpio.Low, fmt.Errorf("line %s is in use", name)
		}
	}
}

// claim1 is one attempt; former is who has the line.
func (g *GPIO) claim1(name string, o *owner, initial gpio.Level) (l gpio.Level, former *owner, err error) {
	g.lines.Lock()
	defer g.lines.Unlock()
	s, err := g.state(name)
	switch {
	case err != nil:
		return gpio.Low, nil, err
	case !g.plugged():
		return gpio.Low, nil, ErrUnplugged
	case s.owner != nil:
		return gpio.Low, s.owner, nil
	}
	o.free, o.lost = make(chan struct{}), make(chan struct{})
	s.owner = o
	if o.out {
		s.level, s.driven = initial, true
	} else if o.tell != nil {
		o.tell(s.level)
	}
	return s.level, nil, nil
}

// release gives a claim up.
func (g *GPIO) release(name string, o *owner) {
	g.lines.Lock()
	defer g.lines.Unlock()
	if s := g.byName[name]; s != nil && s.owner == o {
		close(o.free)
		s.owner = nil
	}
}

// drive sets an output.
func (g *GPIO) drive(name string, o *owner, l gpio.Level) error {
	g.lines.Lock()
	s := g.byName[name]
	if s == nil || s.owner != o {
		g.lines.Unlock()
		return ErrUnplugged
	}
	s.level = l
	g.lines.Unlock()
	g.told(name, l)
	return nil
}

func (g *GPIO) told(name string, l gpio.Level) {
	if g.opts.OnOutput != nil {
		g.opts.OnOutput(name, l)
	}
}

// state finds a line, or makes it; it is called with the lock held.
func (g *GPIO) state(name string) (*pinState, error) {
	if s := g.byName[name]; s != nil {
		return s, nil
	}
	switch {
	case !lineName(name):
		return nil, errors.New("no name of a line")
	case g.opts.Names != nil && !slices.Contains(g.opts.Names, name):
		return nil, fmt.Errorf("no line %s", name)
	case len(g.byName) >= maxLines:
		return nil, fmt.Errorf("more than %d lines", maxLines)
	}
	s := &pinState{}
	g.byName[name] = s
	return s, nil
}

// lineName reports whether s can name a line in the protocol.
func lineName(s string) bool {
	return len(s) >= 1 && len(s) <= 32 &&
		!slices.ContainsFunc([]byte(s), func(c byte) bool { return c <= ' ' || c > '~' || c == '#' })
}
