package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"periph.io/x/conn/v3"

	"github.com/digital-sentinel/sentinel/agent/scrub"
	"github.com/digital-sentinel/sentinel/hal"
)

// Role is what a device is for.
type Role string

// The roles.
const (
	Scanner     Role = "scanner"
	CardReader  Role = "idreader"
	Thermometer Role = "thermometer"
	Speaker     Role = "speaker"
	Gate        Role = "gate"
)

// Part is one configured device and how to open it.
type Part struct {
	Name string // unique: scanner, scanner-2, …
	Role Role
	// Open opens the device; the device has the interface of its role. close
	// gives its wires back, after Halt.
	Open func(ctx context.Context) (dev conn.Resource, close func() error, err error)
}

// DeviceState is how a device is.
type DeviceState string

// The device states.
const (
	DeviceOpening DeviceState = "opening"
	DeviceReady   DeviceState = "ready"
	DeviceGone    DeviceState = "gone"
)

// How a supervisor waits: the first retry is quick, because a replugged cable
// is back within a second; the last is slow, because a dead device stays dead.
const (
	retryFirst = 500 * time.Millisecond
	retryLast  = 10 * time.Second
	probeEvery = 2 * time.Second
	openLimit  = 20 * time.Second
)

// part is a Part and its present life.
type part struct {
	Part

	mu     sync.Mutex
	dev    conn.Resource
	lost   chan struct{} // closed when the present dev is gone
	state  DeviceState
	since  time.Time // when the present dev was opened
	name   string    // String of the last device opened
	err    string
	opened int
}

// device returns the opened device, or nil.
func (p *part) device() conn.Resource {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dev
}

// settled reports whether the present device has been open for so long.
func (p *part) settled(d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.since) >= d
}

// report tells the supervisor of err; a device that is gone is given up.
func (p *part) report(dev conn.Resource, err error) {
	if !errors.Is(err, hal.ErrGone) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dev != dev || dev == nil {
		return // an earlier life
	}
	p.dev, p.err = nil, err.Error()
	close(p.lost)
}

// supervise keeps p open until ctx ends.
func (a *Agent) supervise(ctx context.Context, p *part) {
	wait := retryFirst
	for ctx.Err() == nil {
		start := time.Now()
		a.supervise1(ctx, p)
		if time.Since(start) > openLimit {
			wait = retryFirst
		}
		// Half to all of wait: devices behind one hub do not knock in step.
		if pause(ctx, wait/2+rand.N(wait/2)) != nil {
			return
		}
		wait = min(2*wait, retryLast)
	}
}

// supervise1 is one life of p, from opening to loss.
func (a *Agent) supervise1(ctx context.Context, p *part) {
	opening, cancel := context.WithTimeout(ctx, openLimit)
	dev, closeWires, err := p.Open(opening)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			a.deviceGone(p, err)
		}
		return
	}
	lost := a.deviceReady(p, dev)
	life, end := context.WithCancel(ctx)
	var users sync.WaitGroup
	users.Go(func() { a.use(life, p, dev) })
	select {
	case <-ctx.Done():
	case <-lost:
	}
	end()
	_ = dev.Halt() // also ends a call that does not watch its context
	users.Wait()
	err = closeWires()
	p.mu.Lock()
	p.dev = nil
	p.mu.Unlock()
	if ctx.Err() == nil {
		a.deviceGone(p, err)
	}
}

// use runs what a device of p's role does by itself.
func (a *Agent) use(ctx context.Context, p *part, dev conn.Resource) {
	prober, probes := dev.(hal.Prober)
	switch d := dev.(type) {
	case hal.Scanner:
		var probing sync.WaitGroup
		if probes {
			probing.Go(func() { a.probe(ctx, p, dev, prober.Probe) })
		}
		a.readCodes(ctx, p, d)
		probing.Wait()
	case hal.CardReader:
		a.readCards(ctx, p, d)
	case hal.Gate:
		a.gate.use(ctx, p, d)
	case hal.Thermometer:
		a.probe(ctx, p, dev, func(ctx context.Context) error {
			_, err := d.Measure(ctx)
			return err
		})
	default:
		if probes {
			a.probe(ctx, p, dev, prober.Probe)
		}
	}
}

// probe asks a quiet device every two seconds whether it is still there.
func (a *Agent) probe(ctx context.Context, p *part, dev conn.Resource, ask func(context.Context) error) {
	for pause(ctx, probeEvery) == nil {
		if a.lane.examining() {
			continue // the visitor comes first, and finds out himself
		}
		p.report(dev, ask(ctx))
	}
}

func (a *Agent) readCodes(ctx context.Context, p *part, d hal.Scanner) {
	scrub.Stack()
	for {
		code, err := d.Scan(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, hal.ErrGone):
			p.report(d, err)
			return
		case err != nil:
			a.complain(p, "reading a code", err)
			_ = pause(ctx, retryFirst)
		default:
			a.lane.presentCode(p.Name, code)
		}
		scrub.Stack()
	}
}

func (a *Agent) readCards(ctx context.Context, p *part, d hal.CardReader) {
	scrub.Stack()
	for {
		err := a.readCard1(ctx, p, d)
		var unread *hal.CardError
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, hal.ErrGone):
			p.report(d, err)
			return
		case errors.As(err, &unread):
			a.o.Log.Info("card not read", "device", p.Name, "why", unread)
			a.lane.cardUnread()
		case err != nil:
			a.complain(p, "reading a card", err)
			_ = pause(ctx, retryFirst)
		}
		scrub.Stack()
	}
}

// readCard1 reads one card and hands it on. It is no part of its loop: a card is
// a large value, and would stay in the loop's frame until the next one.
//
//go:noinline
func (a *Agent) readCard1(ctx context.Context, p *part, d hal.CardReader) error {
	card, err := d.ReadCard(ctx)
	if err == nil {
		a.lane.presentCard(p.Name, card)
	}
	return err
}

// complain tells what a device that is there complains of, once: a reader
// without its licence says the same twice a second for ever.
func (a *Agent) complain(p *part, doing string, err error) {
	p.mu.Lock()
	again := p.err == err.Error()
	p.err = err.Error()
	p.mu.Unlock()
	if !again {
		a.o.Log.Warn(doing, "device", p.Name, "err", err)
	}
}

func (a *Agent) deviceReady(p *part, dev conn.Resource) <-chan struct{} {
	p.mu.Lock()
	p.dev, p.state, p.err, p.name = dev, DeviceReady, "", dev.String()
	p.lost, p.since = make(chan struct{}), time.Now()
	lost := p.lost
	p.opened++
	p.mu.Unlock()
	a.o.Log.Info("device ready", "device", p.Name, "is", dev.String())
	a.hub.emit(Happening{Type: "device", Device: p.Name, State: string(DeviceReady)})
	a.settleDeviceAlarm()
	a.lane.refresh()
	return lost
}

func (a *Agent) deviceGone(p *part, err error) {
	p.mu.Lock()
	first := p.state != DeviceGone
	p.state = DeviceGone
	if err != nil {
		p.err = err.Error()
	}
	why := p.err
	p.mu.Unlock()
	if !first {
		return // it was said when it happened
	}
	a.o.Log.Warn("device gone; trying again until it is back", "device", p.Name, "err", why)
	a.hub.emit(Happening{Type: "device", Device: p.Name, State: string(DeviceGone)})
	a.settleDeviceAlarm()
	a.lane.refresh()
}

// settleDeviceAlarm keeps the alarm device-gone up while any device is gone.
func (a *Agent) settleDeviceAlarm() {
	for _, p := range a.parts {
		p.mu.Lock()
		gone := p.state == DeviceGone
		p.mu.Unlock()
		if gone {
			a.hub.raise("device-gone")
			return
		}
	}
	a.hub.clear("device-gone")
}

// find returns the first opened device of a role, and its part; nil, nil if
// none is ready.
func (a *Agent) find(r Role) (*part, conn.Resource) {
	for _, p := range a.parts {
		if p.Role != r {
			continue
		}
		if dev := p.device(); dev != nil {
			return p, dev
		}
	}
	return nil, nil
}

// configured reports whether a device of that role belongs to the kiosk.
func (a *Agent) configured(r Role) bool {
	for _, p := range a.parts {
		if p.Role == r {
			return true
		}
	}
	return false
}

// pause waits for d or until ctx ends, and returns ctx's error then.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
