package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/digital-sentinel/sentinel/hal"
)

// HasPassageSensor implements hal.PassageSensor.
func (d *Dev) HasPassageSensor() bool { return d.passage != nil }

// WaitPassage implements hal.PassageSensor. One active pulse of the sensor is
// one body; a body that stands in the sensor when the watch begins is none.
func (d *Dev) WaitPassage(ctx context.Context) error {
	if d.passage == nil {
		return errors.New("relay: no passage sensor is wired")
	}
	w := d.watching()
	if err := w.over(ctx); err != nil {
		return err
	}
	select {
	case <-d.bodies:
		return nil
	case <-ctx.Done():
	case <-w.done:
	}
	return w.over(ctx)
}

// HasFireInput implements hal.FireInput.
func (d *Dev) HasFireInput() bool { return d.fire != nil }

// WaitFire implements hal.FireInput. It goes by the level, not by the edge: a
// loop that was torn before the call is told at once.
func (d *Dev) WaitFire(ctx context.Context, was bool) (bool, error) {
	if d.fire == nil {
		return was, errors.New("relay: no fire loop is wired")
	}
	w := d.watching()
	select {
	case <-w.known:
	case <-ctx.Done():
	case <-w.done:
	}
	for {
		if err := w.over(ctx); err != nil {
			return was, err
		}
		d.mu.Lock()
		now, turned := d.burning, d.turned
		d.mu.Unlock()
		if now != was {
			return now, nil
		}
		select {
		case <-turned:
		case <-ctx.Done():
		case <-w.done:
		}
	}
}

//

// watch is one life of the pumps, from New or the first use to Halt.
type watch struct {
	done  chan struct{} // closed at the end: by Halt, or by a lost pin
	known chan struct{} // closed when the fire loop has been looked at
	pumps sync.WaitGroup

	mu  sync.Mutex
	err error // why it ended; set before done is closed
}

// errHalted is what a call ended by Halt returns.
var errHalted = errors.New("relay: halted")

// watching gives the running watch, or starts one.
func (d *Dev) watching() *watch {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watch != nil {
		return d.watch
	}
	w := &watch{done: make(chan struct{}), known: make(chan struct{})}
	d.watch = w
	for len(d.bodies) > 0 {
		<-d.bodies // they belong to the life before
	}
	if in := d.passage; in != nil {
		w.pumps.Go(func() { w.stop(in.pump(w.done, in.first(), d.body)) })
	}
	if in := d.fire; in != nil {
		w.pumps.Go(func() {
			level := in.first()
			d.loop(level)
			close(w.known)
			w.stop(in.pump(w.done, level, d.loop))
		})
	}
	return w
}

// lost tells why the running watch ended by itself.
func (d *Dev) lost() error {
	d.mu.Lock()
	w := d.watch
	d.mu.Unlock()
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// body is called with each new level of the passage sensor.
func (d *Dev) body(l gpio.Level) {
	if l == d.passage.idle {
		return
	}
	select {
	case d.bodies <- struct{}{}:
	default: // nobody has asked for sixteen bodies: the rest is not news
	}
}

// loop is called with each new level of the fire loop.
func (d *Dev) loop(l gpio.Level) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.burning = l != d.fire.idle
	close(d.turned)
	d.turned = make(chan struct{})
}

// over tells why a call must return, nil if it must not.
func (w *watch) over(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-w.done:
	default:
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// stop ends the watch; the first reason stays. A nil reason is a pump that
// ended because the watch had.
func (w *watch) stop(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && w.err == nil {
		w.err = err
		close(w.done)
	}
}

// end stops the pumps and waits for them, but not for ever: a pin that does
// not keep the limit it is given must not hang Halt.
func (w *watch) end() {
	w.stop(errHalted)
	ended := make(chan struct{})
	go func() { w.pumps.Wait(); close(ended) }()
	limit := time.NewTimer(500 * time.Millisecond)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
	}
}

// input is one input line.
type input struct {
	pin      gpio.PinIn
	idle     gpio.Level
	debounce time.Duration
}

// listen makes the pin an input, pulled to the level that a torn wire is to be
// read as.
func (in input) listen(torn gpio.Level) (*input, error) {
	if in.pin == nil {
		return nil, nil
	}
	pull := gpio.PullDown
	if torn == gpio.High {
		pull = gpio.PullUp
	}
	if err := in.pin.In(pull, gpio.BothEdges); err != nil {
		return nil, fmt.Errorf("relay: input %s: %w", in.pin.Name(), hal.Gone(err))
	}
	return &in, nil
}

// first is the level the line starts from. A level other than idle counts only
// if it stays: one spike at start-up must not be a fire.
func (in *input) first() gpio.Level {
	if now := in.pin.Read(); now == in.idle || !in.steady(now) {
		return in.idle
	}
	return !in.idle
}

// pump calls changed with every new level that stays for the debounce time. It
// returns nil when done is closed, or why the pin is lost. The level is read
// at least every tick, so a missed edge costs a moment and not a fire.
func (in *input) pump(done chan struct{}, level gpio.Level, changed func(gpio.Level)) error {
	for {
		select {
		case <-done:
			return nil
		default:
		}
		if err := in.wait(tick); err != nil {
			return err
		}
		if now := in.pin.Read(); now != level && in.steady(now) {
			level = now
			changed(level)
		}
	}
}

// steady reports whether the line keeps the level for the debounce time.
func (in *input) steady(level gpio.Level) bool {
	end := time.Now().Add(in.debounce)
	for left := in.debounce; left > 0; left = time.Until(end) {
		if in.wait(left) != nil || in.pin.Read() != level {
			return false // a lost pin shows itself again in pump
		}
	}
	return true
}

// wait waits for an edge, at most for d, which is never 0 (periph's kernel
// pins take that for "for ever"). A pin that returns early without an edge, or
// one that reports edges without end, must not make us spin.
func (in *input) wait(d time.Duration) error {
	start := time.Now()
	if in.pin.WaitForEdge(d) {
		time.Sleep(edgeRest)
		return nil
	}
	if p, ok := in.pin.(interface{ Err() error }); ok {
		if err := p.Err(); err != nil {
			return fmt.Errorf("relay: input %s: %w", in.pin.Name(), hal.Gone(err))
		}
	}
	if left := d - time.Since(start); left > 0 {
		time.Sleep(left)
	}
	return nil
}

const (
	tick     = 50 * time.Millisecond
	edgeRest = time.Millisecond
)
