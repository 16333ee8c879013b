package haltest_test

import (
	"context"
	"errors"
	"sync"
	"time"
	"unicode/utf8"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/haltest"
)

// toy is a device without a wire. It keeps the contract, but for the one
// promise that breaks names.
type toy struct {
	breaks string

	mu     sync.Mutex
	halts  int
	halted chan struct{} // closed by the first Halt
	gone   chan struct{} // closed by Unplug
	closed chan struct{} // closed by Close: whoever hangs goes home
}

func newToy(breaks string) *toy {
	return &toy{breaks: breaks, halted: make(chan struct{}), gone: make(chan struct{}), closed: make(chan struct{})}
}

func (d *toy) String() string {
	switch d.breaks {
	case "has no name":
		return ""
	case "has a name of two lines":
		return "toy\n1"
	}
	return "toy"
}

func (d *toy) Halt() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.halts++; d.halts == 1 {
		close(d.halted)
	}
	if d.breaks == "fails its Halt" || d.breaks == "fails a second Halt" && d.halts > 1 {
		return errors.New("toy: halted badly")
	}
	return nil
}

func (d *toy) Probe(ctx context.Context) error {
	switch d.breaks {
	case "probes in vain":
		return errors.New("toy: no answer")
	case "probes what is not there":
		return nil
	}
	return d.lost()
}

// lost is the error of a line that is cut.
func (d *toy) lost() error {
	select {
	case <-d.gone:
	default:
		return nil
	}
	if d.breaks == "calls a lost line an error" {
		return errors.New("toy: input/output error")
	}
	return hal.ErrGone
}

// begin is how every call begins.
func (d *toy) begin(ctx context.Context) error {
	if ctx.Err() != nil {
		return d.ended(ctx)
	}
	return d.lost()
}

// ended is the error of a context that has ended.
func (d *toy) ended(ctx context.Context) error {
	switch d.breaks {
	case "ignores its context":
		return nil
	case "hides its context's error":
		return errors.New("toy: interrupted")
	case "takes its time":
		time.Sleep(2 * time.Second)
	}
	return ctx.Err()
}

// wait waits for what a visitor does; true means that he did it.
func (d *toy) wait(ctx context.Context, shown <-chan struct{}) (bool, error) {
	if err := d.begin(ctx); err != nil {
		return false, err
	}
	halted, gone := d.halted, d.gone
	switch d.breaks {
	case "blocks through Halt":
		halted = nil
	case "blocks on a dead line":
		gone = nil
	}
	select {
	case <-shown:
		return true, nil
	case <-ctx.Done():
		return false, d.ended(ctx)
	case <-halted:
		if d.breaks == "is content to be halted" {
			return false, nil
		}
		return false, errors.New("toy: halted")
	case <-gone:
		return false, d.lost()
	case <-d.closed:
		return false, hal.ErrGone
	}
}

// rig is what all toys have in common.
func (d *toy) rig(dev conn.Resource) haltest.Rig {
	return haltest.Rig{
		Dev: dev, Unplug: func() { close(d.gone) }, Close: func() { close(d.closed) },
		AtRest: func() bool { return true },
	}
}

type scanner struct {
	*toy
	shown chan struct{}
}

func openScanner(breaks string) haltest.Rig {
	s := scanner{newToy(breaks), make(chan struct{}, 1)}
	r := s.rig(s)
	r.Present = func() { s.shown <- struct{}{} }
	return r
}

func (s scanner) Scan(ctx context.Context) (hal.Code, error) {
	if s.breaks != "keeps a code for ever" {
		select {
		case <-s.shown: // while nobody asked
		default:
		}
	}
	if ok, err := s.wait(ctx, s.shown); !ok {
		return hal.Code{}, err
	}
	if s.breaks == "cuts a code short" {
		return hal.Code{Data: []byte("HALTEST-")}, nil
	}
	return hal.Code{Data: []byte("HALTEST-1")}, nil
}

type cardReader struct {
	*toy
	laid chan struct{}
}

func openCardReader(breaks string) haltest.Rig {
	c := cardReader{newToy(breaks), make(chan struct{}, 1)}
	r := c.rig(c)
	r.Present = func() { c.laid <- struct{}{} }
	return r
}

func (c cardReader) ReadCard(ctx context.Context) (hal.Card, error) {
	ok, err := c.wait(ctx, c.laid)
	if !ok || c.breaks == "reads half a card" {
		return hal.Card{}, err
	}
	return hal.Card{Type: hal.Resident, Number: "11010519491231002X"}, nil
}

type thermometer struct{ *toy }

func openThermometer(breaks string) haltest.Rig {
	d := thermometer{newToy(breaks)}
	return d.rig(d)
}

func (d thermometer) Measure(ctx context.Context) (hal.Reading, error) {
	if err := d.begin(ctx); err != nil {
		return hal.Reading{}, err
	}
	r := hal.Reading{Object: 33*physic.Celsius + physic.ZeroCelsius, Ambient: 20*physic.Celsius + physic.ZeroCelsius}
	switch d.breaks {
	case "forgets the zero of its scale":
		r.Object -= physic.ZeroCelsius
	case "gives a number that failed its check":
		return r, errors.New("toy: checksum")
	}
	return r, nil
}

// speaker says five words a second.
type speaker struct {
	*toy
	saying chan *saying // holds the present prompt
}

// saying is one prompt that is being said.
type saying struct {
	once sync.Once
	end  chan struct{}
	cut  bool // by a newer one
}

func (s *saying) finish(cut bool) {
	s.once.Do(func() {
		s.cut = cut
		close(s.end)
	})
}

func openSpeaker(breaks string) haltest.Rig {
	s := speaker{newToy(breaks), make(chan *saying, 1)}
	s.saying <- &saying{end: make(chan struct{})}
	return s.rig(s)
}

func (s speaker) Play(ctx context.Context, p hal.Prompt) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	older, newer := <-s.saying, &saying{end: make(chan struct{})}
	s.saying <- newer
	if s.breaks != "says everything to its end" {
		older.finish(true)
	}
	length := time.Duration(utf8.RuneCountInString(p.Text)) * 200 * time.Millisecond
	time.AfterFunc(length, func() { newer.finish(false) })
	said, err := s.wait(ctx, newer.end)
	if said && newer.cut && s.breaks == "calls a cut an error" {
		return errors.New("toy: cut off")
	}
	return err
}

// gate unlocks and locks again.
type gate struct {
	*toy

	state sync.Mutex
	open  bool
	timer *time.Timer
	locks int
}

func openGate(breaks string) haltest.Rig {
	g := &gate{toy: newToy(breaks)}
	r := g.rig(g)
	r.AtRest = func() bool {
		g.state.Lock()
		defer g.state.Unlock()
		return !g.open
	}
	return r
}

func (g *gate) Release(ctx context.Context, d time.Duration) error {
	if err := g.begin(ctx); err != nil {
		return err
	}
	g.state.Lock()
	defer g.state.Unlock()
	if g.timer != nil {
		if g.breaks == "extends a release" {
			g.timer.Reset(d)
		}
		if g.breaks == "releases twice" {
			return nil
		}
		return hal.ErrBusy
	}
	g.open = g.breaks != "never opens"
	g.timer = time.AfterFunc(d, func() { g.lock(g.breaks == "stays open") })
	if g.breaks == "locks only while its context lives" {
		timer := g.timer
		context.AfterFunc(ctx, func() { timer.Stop() })
	}
	return nil
}

func (g *gate) lock(open bool) {
	g.state.Lock()
	defer g.state.Unlock()
	if g.timer != nil {
		g.timer.Stop()
	}
	g.open, g.timer = g.open && open, nil
}

func (g *gate) Lock(context.Context) error {
	g.lock(g.breaks == "locks nothing")
	if g.locks++; g.locks > 1 && g.breaks == "minds a second Lock" {
		return errors.New("toy: locked already")
	}
	return nil
}

func (g *gate) Halt() error {
	g.lock(g.breaks == "halts open")
	return g.toy.Halt()
}

var (
	_ hal.Scanner     = scanner{}
	_ hal.CardReader  = cardReader{}
	_ hal.Thermometer = thermometer{}
	_ hal.Speaker     = speaker{}
	_ hal.Gate        = (*gate)(nil)
	_ hal.Locker      = (*gate)(nil)
	_ hal.Prober      = (*toy)(nil)
)
