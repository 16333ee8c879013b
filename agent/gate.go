package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/durable"
	"github.com/digital-sentinel/sentinel/hal"
)

// gate is the way through: one release at a time, the passage that follows
// it, and the fire loop that beats everything.
//
//	          release                 body, or time is up
//	closed ────────────► released ──────────────────────► closed
//	   │                     │
//	   └──── fire ───────────┴──► open until a person resets it
type gate struct {
	a       *Agent
	watches sync.WaitGroup
	bodies  chan struct{} // one per body the sensor saw

	mu      sync.Mutex
	running chan struct{} // closed when the present release is over; nil: none
	ended   time.Time     // when the last release was over
	loop    bool          // the fire loop is open now
	fire    bool          // fire was seen and nobody has reset it
	extra   int           // bodies without a release
}

func newGate(a *Agent) *gate { return &gate{a: a, bodies: make(chan struct{}, 16)} }

// use watches an opened gate: its fire loop and its passage sensor.
func (g *gate) use(ctx context.Context, p *part, d hal.Gate) {
	var watches sync.WaitGroup
	if f, ok := d.(hal.FireInput); ok && f.HasFireInput() {
		watches.Go(func() { g.watchFire(ctx, p, d, f) })
	}
	if s, ok := d.(hal.PassageSensor); ok && s.HasPassageSensor() {
		watches.Go(func() { g.watchPassage(ctx, p, d, s) })
	}
	if pr, ok := d.(hal.Prober); ok {
		watches.Go(func() { g.a.probe(ctx, p, d, pr.Probe) })
	}
	watches.Wait()
}

// free waits until no release is running.
func (g *gate) free(ctx context.Context) error {
	for {
		g.mu.Lock()
		running := g.running
		g.mu.Unlock()
		if running == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-running:
		}
	}
}

// release opens for one visitor and watches the passage in the background.
// The caller has written the record.
func (g *gate) release(ctx context.Context, visit string) error {
	p, dev := g.a.find(Gate)
	d, ok := dev.(hal.Gate)
	if !ok {
		return errors.New("there is no gate to release")
	}
	if g.burning() {
		return errors.New("the fire loop is open: the gate is not commanded")
	}
	g.discardBodies()
	over := make(chan struct{})
	g.mu.Lock()
	g.running = over
	g.mu.Unlock()
	hold := g.a.o.Timing.Release
	if err := d.Release(ctx, hold); err != nil {
		p.report(d, err)
		g.end(over)
		return err
	}
	g.a.hub.emit(Happening{Type: "release", Visit: visit})
	g.watches.Go(func() {
		defer g.end(over)
		g.passage(ctx, d, visit, hold)
	})
	return nil
}

// passage waits for the body that the release was for, locks behind it, and
// writes down what was seen.
func (g *gate) passage(ctx context.Context, d hal.Gate, visit string, hold time.Duration) {
	s, ok := d.(hal.PassageSensor)
	if !ok || !s.HasPassageSensor() {
		_ = pause(ctx, hold) // nothing is seen, nothing is recorded
		return
	}
	seen := checkin.NotTaken
	limit := time.NewTimer(hold + g.a.o.Timing.Settle)
	defer limit.Stop()
	select {
	case <-ctx.Done():
		seen = checkin.Unseen
	case <-limit.C:
	case <-g.bodies:
		seen = checkin.Taken
		g.follow(ctx)
	}
	if l, ok := d.(hal.Locker); ok {
		_ = l.Lock(context.WithoutCancel(ctx)) // it also locks by itself
	}
	g.a.lane.recordPassage(visit, seen)
}

// follow gives the arm time to settle behind a visitor; whoever comes through
// in that time had no verdict.
func (g *gate) follow(ctx context.Context) {
	settle := time.NewTimer(g.a.o.Timing.Settle)
	defer settle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-settle.C:
			return
		case <-g.bodies:
			g.tailgating()
		}
	}
}

// tailgating says that a body went through that had no verdict. The alarm
// stays up for ten seconds, long enough for a guard to turn round.
func (g *gate) tailgating() {
	g.a.o.Log.Warn("tailgating: a second body went through one release")
	g.a.hub.raise("tailgating")
	time.AfterFunc(10*time.Second, func() { g.a.hub.clear("tailgating") })
}

func (g *gate) end(over chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running == over {
		g.running, g.ended = nil, time.Now()
		close(over)
	}
}

// wait waits for the passages that are being watched.
func (g *gate) wait() { g.watches.Wait() }

// halt puts the gate to rest now.
func (g *gate) halt() error {
	_, dev := g.a.find(Gate)
	if l, ok := dev.(hal.Locker); ok {
		return l.Lock(context.Background())
	}
	return nil
}

// watchPassage hands every body to whoever waits for one. A body that nobody
// waits for went through without a release: right after one it is a
// tailgater, later it is counted.
func (g *gate) watchPassage(ctx context.Context, p *part, d hal.Gate, s hal.PassageSensor) {
	for {
		if err := s.WaitPassage(ctx); err != nil {
			p.report(d, err)
			return
		}
		g.mu.Lock()
		running, since := g.running != nil, time.Since(g.ended)
		free := !running && !g.fire
		if free {
			g.extra++
		}
		g.mu.Unlock()
		switch {
		case running:
			select {
			case g.bodies <- struct{}{}:
			default: // a crowd: it was said already
			}
		case free && since < time.Second:
			g.tailgating()
		case free:
			g.a.hub.emit(Happening{Type: "passage", State: "without-release"})
		}
	}
}

func (g *gate) discardBodies() {
	for {
		select {
		case <-g.bodies:
		default:
			return
		}
	}
}

// watchFire follows the fire loop. Fire latches: the agent stops commanding
// the gate until a person resets it.
func (g *gate) watchFire(ctx context.Context, p *part, d hal.Gate, f hal.FireInput) {
	open := false
	for {
		now, err := f.WaitFire(ctx, open)
		if err != nil {
			p.report(d, err)
			return
		}
		open = now
		g.mu.Lock()
		g.loop = open
		first := open && !g.fire
		g.fire = g.fire || open
		g.mu.Unlock()
		if first {
			g.a.o.Log.Warn("fire loop is open: the lane stands open until it is reset")
			g.keepFire(true)
			g.a.hub.raise("fire")
		}
		g.a.lane.refresh()
	}
}

// burning reports whether fire was seen and not reset.
func (g *gate) burning() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fire
}

// resetFire is the person's word that the fire is over.
func (g *gate) resetFire() error {
	g.mu.Lock()
	if g.loop {
		g.mu.Unlock()
		return errors.New("the fire loop is still open: close it (or mend its wire), then reset again")
	}
	was := g.fire
	g.fire = false
	g.mu.Unlock()
	if was {
		g.keepFire(false)
		g.a.hub.clear("fire")
		g.a.o.Log.Warn("fire was reset by a person")
		g.a.lane.refresh()
	}
	return nil
}

// fireFile marks a fire that nobody has reset: it outlives a restart.
const fireFile = "fire"

func (g *gate) loadFire() error {
	if exists(g.a.statePath(fireFile)) {
		g.fire = true
		g.a.hub.raise("fire")
	}
	return nil
}

func (g *gate) keepFire(on bool) {
	path := g.a.statePath(fireFile)
	if path == "" {
		return
	}
	var err error
	if on {
		err = durable.WriteFile(path, []byte(g.a.o.Clock.Now().UTC().Format(time.RFC3339)+"\n"), 0o600)
	} else {
		err = durable.Remove(path)
	}
	if err != nil {
		g.a.o.Log.Error("keeping the fire mark", "err", fmt.Errorf("%s: %w", path, err))
	}
}
