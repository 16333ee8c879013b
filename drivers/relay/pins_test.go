package relay

import (
	"errors"
	"slices"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

// line is a pin whose level a test sets, and which can be torn out.
type line struct {
	name  string
	edges chan struct{}

	mu    sync.Mutex
	level gpio.Level
	pull  gpio.Pull
	moves []move // of an output
	start time.Time
	gone  error
}

type move struct {
	at    time.Duration
	level gpio.Level
}

func newLine(name string, l gpio.Level) *line {
	return &line{name: name, level: l, edges: make(chan struct{}, 1), start: time.Now()}
}

func (l *line) String() string                        { return l.name }
func (l *line) Name() string                          { return l.name }
func (l *line) Number() int                           { return 1 }
func (l *line) Function() string                      { return "" }
func (l *line) Halt() error                           { return nil }
func (l *line) Pull() gpio.Pull                       { return l.pull }
func (l *line) DefaultPull() gpio.Pull                { return gpio.PullNoChange }
func (l *line) PWM(gpio.Duty, physic.Frequency) error { return errors.New("no PWM") }

func (l *line) In(p gpio.Pull, e gpio.Edge) error {
	l.pull = p
	if e != gpio.BothEdges {
		return errors.New("only both edges")
	}
	return l.Err()
}

func (l *line) Read() gpio.Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.level
}

func (l *line) WaitForEdge(d time.Duration) bool {
	if l.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.edges:
		return l.Err() == nil
	case <-t.C:
		return false
	}
}

func (l *line) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}

func (l *line) Out(v gpio.Level) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone != nil {
		return l.gone
	}
	if len(l.moves) == 0 || v != l.level {
		l.moves = append(l.moves, move{time.Since(l.start), v})
	}
	l.level = v
	return nil
}

// moved is what an output did so far.
func (l *line) moved() []move {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.moves)
}

// set gives an input a level.
func (l *line) set(v gpio.Level) {
	l.mu.Lock()
	l.level = v
	l.mu.Unlock()
	l.edge()
}

func (l *line) edge() {
	select {
	case l.edges <- struct{}{}:
	default:
	}
}

func (l *line) unplug() {
	l.mu.Lock()
	l.gone = errors.New("no such device")
	l.mu.Unlock()
	l.edge()
}

// deaf is a pin that takes no notice of the limit.
type deaf struct {
	*line
	wake chan struct{}
}

func (d deaf) WaitForEdge(time.Duration) bool { <-d.wake; return false }
