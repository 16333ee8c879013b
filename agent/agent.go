// Package agent is the kiosk's program: it opens the devices, lets visitors
// pass one after the other, and delivers what happened.
//
// # The loops
//
// Run starts them all, ends them all with its context, and waits for them all:
// the lane (lane.go), one supervisor per device (parts.go), the queue's drain,
// one more for each recipient of reports, and the heartbeat. What passes by
// itself is retried inside its loop; a device that is gone is closed, shown, and
// opened again.
//
// # The rule
//
// A record is on the disk before its verdict has any effect outside. If power
// fails between the two there is a record without a passage, never a passage
// without a record. A verdict that cannot be recorded opens nothing.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/agent/screen"
	"github.com/digital-sentinel/sentinel/agent/scrub"
)

// Verifier asks who a credential belongs to and what the authority says.
type Verifier interface {
	// Verify answers within two seconds whatever the platform does. If the
	// status is not Known, the reason says why.
	Verify(ctx context.Context, c checkin.Credential) (checkin.Status, checkin.Reason)
}

// Queue keeps records until they are delivered.
type Queue interface {
	// PutAll returns once the records are on the disk: all of them, or none.
	PutAll(ctx context.Context, entries ...queue.Entry) ([]checkin.ID, error)
	Stats() queue.Stats
	Requeue(ctx context.Context) (int, error)
	// Err tells why nothing can be written any more; nil while all is well.
	Err() error
}

// Opts is everything an Agent is made of.
type Opts struct {
	Version   string
	Device    string // id of this kiosk
	Lane      string
	Direction string // in or out
	Venue     string // id
	Class     checkin.VenueClass
	StateDir  string

	// Codes is what signed codes are judged by at the moment. If it is nil, or
	// gives nil, no code can be judged, and each is for a person.
	Codes func() *credential.Codes

	Policy   *checkin.Policy
	Patterns credential.Patterns
	Parts    []Part
	Timing   Timing

	Verifier Verifier
	Queue    Queue
	// Drain delivers the queue until ctx ends; nil delivers nothing.
	Drain func(ctx context.Context) error
	// Reports deliver the refusals to one recipient each until ctx ends, by his
	// name: one loop each, so that none waits for another.
	Reports map[string]func(ctx context.Context) error
	// Refresh keeps the signed cache fresh until ctx ends; nil: there is none.
	// RefreshNow does it once, at somebody's word.
	Refresh    func(ctx context.Context) error
	RefreshNow func(ctx context.Context) error
	// Cache says how the signed cache is; nil: there is none.
	Cache func() CacheStatus
	// Heartbeat tells the platform how the kiosk is; nil tells nobody.
	Heartbeat func(ctx context.Context, s Status) error

	// Scrub overwrites what those who have left, and are held by nobody, have left
	// in memory (scrub.Memory); nil does nothing.
	Scrub func()

	// Alarms are up from the start: what was wrong before there was an agent.
	Alarms []string

	Screen *screen.Server
	Clock  *clock.Clock
	Log    *slog.Logger
}

// Timing is how long the phases of a visit may take. Zero fields take the
// defaults of DefaultTiming.
type Timing struct {
	Window  time.Duration // from the credential to the last temperature reading
	Closer  time.Duration // until the visitor is asked to come closer
	Repeat  time.Duration // the same credential within it is one visit
	Release time.Duration // how long the gate stays unlocked
	Settle  time.Duration // from a body to locking again, and for a tailgater to show
	Show    time.Duration // how long a verdict stays on the screen
	Beat    time.Duration // between heartbeats
	Call    time.Duration // until a call for a guard counts as unanswered
	// HostWait is how long a visitor's host is waited for, HostPoll how often
	// the platform is asked about him meanwhile.
	HostWait, HostPoll time.Duration
	// WarmUp is how long after its opening a thermometer is not believed; the
	// default is not at all.
	WarmUp time.Duration
}

// DefaultTiming is what design.md and the product's tests assume.
func DefaultTiming() Timing {
	return Timing{
		Window: 4 * time.Second, Closer: time.Second, Repeat: 2 * time.Second,
		Release: 3 * time.Second, Settle: 400 * time.Millisecond,
		Show: 4 * time.Second, Beat: 15 * time.Second, Call: 30 * time.Second,
		HostWait: time.Minute, HostPoll: 2 * time.Second,
	}
}

// Agent runs one lane.
type Agent struct {
	o     Opts
	parts []*part
	hub   *hub
	lane  *lane
	gate  *gate
	desk  *desk
	codes *codes
	voice sync.WaitGroup

	scrubs scrub.Scrubber

	inForce atomic.Pointer[checkin.Policy]
	started time.Time
	halted  atomic.Bool
}

// New puts an Agent together. Nothing is opened before Run.
func New(o Opts) (*Agent, error) {
	if o.Policy == nil || o.Queue == nil || o.Verifier == nil || o.Clock == nil {
		return nil, fmt.Errorf("agent needs a policy, a queue, a verifier and a clock")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Timing = o.Timing.withDefaults()
	a := &Agent{o: o, hub: newHub(o.Clock), started: o.Clock.Now()}
	for _, p := range o.Parts {
		a.parts = append(a.parts, &part{Part: p, state: DeviceOpening})
	}
	a.inForce.Store(o.Policy)
	a.gate = newGate(a)
	a.desk = newDesk(a)
	a.lane = newLane(a)
	a.codes = newCodes(a)
	for _, name := range o.Alarms {
		a.hub.raise(name)
	}
	if err := a.gate.loadFire(); err != nil {
		return nil, err
	}
	return a, nil
}

// Run runs the agent until ctx ends, then puts the devices to rest. It returns
// nil after an orderly end.
func (a *Agent) Run(ctx context.Context) error {
	a.o.Log.Info("starting", "version", a.o.Version, "device", a.o.Device, "lane", a.o.Lane,
		"policy", a.policy().ID, "policy_version", a.policy().Version, "devices", len(a.parts))
	a.lane.show(screen.View{State: screen.Starting})

	var loops sync.WaitGroup
	for _, p := range a.parts {
		loops.Go(func() { a.supervise(ctx, p) })
	}
	if a.o.Drain != nil {
		loops.Go(func() { a.drain(ctx, "the platform", a.o.Drain) })
	}
	for recipient, deliver := range a.o.Reports {
		loops.Go(func() { a.drain(ctx, recipient, deliver) })
	}
	if a.o.Refresh != nil {
		loops.Go(func() { _ = a.o.Refresh(ctx) }) // it logs what goes wrong, and goes on
	}
	if a.o.Heartbeat != nil {
		loops.Go(func() { a.heartbeat(ctx) })
	}
	loops.Go(func() { a.watchQueue(ctx) })
	loops.Go(func() { a.lane.run(ctx) })
	if a.o.Scrub != nil {
		loops.Go(func() { a.scrubs.Run(ctx, a.scrub) })
	}
	loops.Wait()
	a.gate.wait()
	a.desk.wait()
	a.voice.Wait()
	a.o.Log.Info("stopped")
	return nil
}

// SetPolicy puts a policy in force, from the next verdict on. A visit that is
// running is decided by one of the two.
func (a *Agent) SetPolicy(p *checkin.Policy) {
	was := a.inForce.Swap(p)
	if was.ID == p.ID && was.Version == p.Version && len(was.Rules) == len(p.Rules) {
		return
	}
	a.o.Log.Info("policy in force", "policy", p.ID, "policy_version", p.Version)
	a.hub.emit(Happening{Type: "policy", Name: p.ID, Rule: fmt.Sprint(p.Version)})
}

// SetAlarm puts an alarm up or takes it down.
func (a *Agent) SetAlarm(name string, up bool) {
	if up {
		a.hub.raise(name)
		return
	}
	a.hub.clear(name)
}

// policy is the one in force.
func (a *Agent) policy() *checkin.Policy { return a.inForce.Load() }

// Halt puts the gate to rest and closes the lane until the agent is restarted.
func (a *Agent) Halt() error {
	a.halted.Store(true)
	err := a.gate.halt()
	a.lane.refresh()
	return err
}

//

func (t Timing) withDefaults() Timing {
	d := DefaultTiming()
	for _, f := range []struct{ v, d *time.Duration }{
		{&t.Window, &d.Window}, {&t.Closer, &d.Closer}, {&t.Repeat, &d.Repeat},
		{&t.Release, &d.Release}, {&t.Settle, &d.Settle}, {&t.Show, &d.Show}, {&t.Beat, &d.Beat},
		{&t.Call, &d.Call}, {&t.HostWait, &d.HostWait}, {&t.HostPoll, &d.HostPoll},
	} {
		if *f.v == 0 {
			*f.v = *f.d
		}
	}
	return t
}

func (a *Agent) drain(ctx context.Context, to string, deliver func(context.Context) error) {
	if err := deliver(ctx); err != nil && ctx.Err() == nil {
		a.o.Log.Error("delivery has stopped", "to", to, "err", err)
	}
}

// heartbeat tells the platform every Beat how the kiosk is. A failure is not
// logged each time: Status shows the link.
func (a *Agent) heartbeat(ctx context.Context) {
	tick := time.NewTicker(a.o.Timing.Beat)
	defer tick.Stop()
	for {
		short, cancel := context.WithTimeout(ctx, a.o.Timing.Beat)
		err := a.o.Heartbeat(short, a.Status())
		cancel()
		if ctx.Err() == nil {
			a.lane.link(err == nil)
			a.watchClock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchClock keeps what is known of the time on the disk, and tells when the
// wall clock contradicts it.
func (a *Agent) watchClock() {
	if err := a.o.Clock.Save(); err != nil {
		a.o.Log.Warn("keeping the time", "err", err)
	}
	if a.o.Clock.Agrees() {
		a.hub.clear("clock")
		return
	}
	a.hub.raise("clock")
}

// scrub does it, and tells what it costs.
func (a *Agent) scrub() {
	start := time.Now()
	a.o.Scrub()
	a.o.Log.Debug("memory scrubbed", "took", time.Since(start))
}

// statePath names a file in the state folder; empty if there is none.
func (a *Agent) statePath(name string) string {
	if a.o.StateDir == "" {
		return ""
	}
	return filepath.Join(a.o.StateDir, name)
}

// exists reports whether the file is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return path != "" && err == nil
}
