// Package relay is the far end of a gate: its mechanics, its fire loop and its
// passage sensor, as seen from three electrical lines. simulator/lcus and any
// other relay board can drive the same gate.
//
// # Simulated
//
// A gate that is open while its unlock line is active; a fire loop that, torn,
// opens the gate in hardware whatever the line says; a sensor that gives one
// pulse for every body that goes through; the time the magnet needs.
//
// # Not simulated
//
// An arm that locks by itself behind one body, two directions, force.
package relay

import (
	"slices"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// Opts is what the gate is like. The zero value is the driver's zero wiring: a
// high level unlocks, the sensor and the closed loop pull low; and it moves at
// once. Callbacks may be nil and are called without locks held.
type Opts struct {
	// ActiveLow, PassageActive and FireClosed are the polarities, as in the
	// driver's options.
	ActiveLow     bool
	PassageActive gpio.Level
	FireClosed    gpio.Level
	// PullIn is how long the line must be active before the gate opens. A
	// shorter pulse is not seen.
	PullIn time.Duration
	// Body is how long one body stays in the sensor; 0 means 100 ms, for a
	// pulse without length would be none. Half of it again passes before the
	// next body can follow.
	Body time.Duration

	// OnChange is called when the gate opens and when it shuts.
	OnChange func(open bool)
	// OnPassage is called with each new level of the sensor's line.
	OnPassage func(gpio.Level)
	// OnFire is called with each new level of the fire loop.
	OnFire func(gpio.Level)
}

// RealTiming is a gate whose magnet needs 50 ms, so that the customary 100 ms
// pulse is seen, and a person who takes 300 ms through the beam. The first is
// derived from one relay project's note, the second is our guess.
func RealTiming() Opts {
	return Opts{PullIn: 50 * time.Millisecond, Body: 300 * time.Millisecond}
}

// keptReleases bounds the history.
const keptReleases = 4096

// Gate is one gate. It is safe for concurrent use.
type Gate struct {
	opts Opts

	walk chan struct{} // whoever walks; a channel, since virtual time waits for a mutex for ever

	mu       sync.Mutex
	line     gpio.Level
	magnet   bool // has pulled in
	pull     *time.Timer
	fire     bool
	open     bool // as last told
	releases []time.Time
}

// New gives a shut gate whose line is inactive and whose fire loop is closed.
func New(opts Opts) *Gate {
	if opts.Body == 0 {
		opts.Body = 100 * time.Millisecond
	}
	return &Gate{opts: opts, line: gpio.Level(opts.ActiveLow), walk: make(chan struct{}, 1)}
}

// Drive gives the unlock line a level.
func (g *Gate) Drive(l gpio.Level) {
	g.mu.Lock()
	if l == g.line {
		g.mu.Unlock()
		return
	}
	g.line = l
	if g.pull != nil {
		g.pull.Stop()
		g.pull = nil
	}
	switch active := bool(l) != g.opts.ActiveLow; {
	case !active:
		g.magnet = false
	case g.opts.PullIn == 0:
		g.pullIn()
	default:
		g.pull = time.AfterFunc(g.opts.PullIn, g.pulledIn(l))
	}
	g.tell()
}

// SetFire tears the fire loop, or mends it. A torn loop opens the gate
// whatever the line says.
func (g *Gate) SetFire(fire bool) {
	g.mu.Lock()
	if fire == g.fire {
		g.mu.Unlock()
		return
	}
	g.fire = fire
	g.tell()
	if g.opts.OnFire != nil {
		g.opts.OnFire(g.FireLevel())
	}
}

// Walk makes one body walk up to the gate and reports whether it got through.
// It takes one and a half times Opts.Body then; bodies go one after another.
func (g *Gate) Walk() bool {
	g.walk <- struct{}{}
	defer func() { <-g.walk }()
	if !g.Open() {
		return false
	}
	g.sense(g.opts.PassageActive)
	time.Sleep(g.opts.Body)
	g.sense(!g.opts.PassageActive)
	time.Sleep(g.opts.Body / 2)
	return true
}

// Open reports whether one can walk through.
func (g *Gate) Open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.magnet || g.fire
}

// FireLevel is the level of the fire loop now, PassageLevel that of a sensor
// with nobody in it: what the host's pins read at the start.
func (g *Gate) FireLevel() gpio.Level {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opts.FireClosed != gpio.Level(g.fire)
}

// PassageLevel is described at FireLevel.
func (g *Gate) PassageLevel() gpio.Level { return !g.opts.PassageActive }

// Releases tells when the line opened the gate, the latest 4096; openings by
// the fire loop are none.
func (g *Gate) Releases() []time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.releases)
}

//

// pulledIn is what the timer does, unless the line has moved since.
func (g *Gate) pulledIn(l gpio.Level) func() {
	return func() {
		g.mu.Lock()
		if g.pull == nil || g.line != l {
			g.mu.Unlock()
			return
		}
		g.pull = nil
		g.pullIn()
		g.tell()
	}
}

// pullIn is called with the lock held.
func (g *Gate) pullIn() {
	g.magnet = true
	g.releases = append(g.releases, time.Now())
	if n := len(g.releases) - keptReleases; n > 0 {
		g.releases = slices.Delete(g.releases, 0, n)
	}
}

// tell says whether the gate has opened or shut. It gives up the lock.
func (g *Gate) tell() {
	open := g.magnet || g.fire
	changed := open != g.open
	g.open = open
	g.mu.Unlock()
	if changed && g.opts.OnChange != nil {
		g.opts.OnChange(open)
	}
}

func (g *Gate) sense(l gpio.Level) {
	if g.opts.OnPassage != nil {
		g.opts.OnPassage(l)
	}
}
