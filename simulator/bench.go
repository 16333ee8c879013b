// Package simulator is everything around a kiosk: the far ends of its devices,
// the reference platform, the people, and the scenario language that moves
// them. The agent in the middle is the real one; it cannot tell.
//
// A Bench is one kiosk on one set of far ends. Its front says how devices are
// attached: on pseudo-terminals and sockets to the unmodified sentinel program
// (PTY), or in memory to an agent in this process (Memory), which runs in
// virtual time under go test.
package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"filippo.io/age"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
	"github.com/digital-sentinel/sentinel/simulator/flash"
)

// Front is how devices are attached.
type Front string

// The fronts.
const (
	PTY    Front = "pty"
	Memory Front = "memory" // only under go test, in virtual time
)

// Opts is what a bench is made of. The zero value is a turnstile of an office
// under the policy public-place, on pseudo-terminals, without delays.
type Opts struct {
	Front    Front
	Profile  string        // turnstile, floor, wall, desk or handheld
	Policy   string        // a shipped one
	Class    string        // venue class
	Guard    string        // present, remote or none; empty: as the policy says
	Sentinel string        // path of the agent's program; empty: beside this program
	Real     bool          // devices take the time that real ones take
	Fast     bool          // no temperature window, one reading: to measure the agent
	Screen   string        // address of the visitor's page; empty: a free port
	Settle   time.Duration // from a body to locking again; 0: the agent's default
	Card     bool          // the state folder lies on a card that can be cut off and filled, where one can be had
	Version  string

	// Log takes every word that the agent says, at level debug; nil keeps the
	// last ones only. Heard gets the body of every request to the platform, by
	// the path of its call; it may not keep it. They are for tests that look for
	// what must not be there, on the front PTY.
	Log   io.Writer
	Heard func(path string, body []byte)
}

// Bench is one kiosk and all its far ends.
type Bench struct {
	o     Opts
	dir   string
	facts *facts

	pki       *backend.PKI
	authority *age.X25519Identity
	platform  *backend.Platform
	publisher *backend.Publisher
	faults    *backend.Faults
	server    *backend.Server
	url       string

	devices []*device
	wires   *memoryWires
	far     farEnds
	kiosk   kioskRunner
	seen    *observer
	card    *flash.FS // what the state folder lies on; nil: an ordinary disk
	noCard  error     // why it does, although a card was asked for

	platformOffset, kioskOffset, bootOffset atomic.Int64
	boots                                   atomic.Int64  // how often the board was without power
	unset                                   atomic.Bool   // the next start has no believable clock
	clockMoved                              chan struct{} // closed and replaced when an offset changes
	clockMu                                 sync.Mutex
	began                                   time.Time

	memoryMu       sync.Mutex
	memoryPlatform *backend.MemoryListener

	ctx  context.Context
	stop context.CancelFunc
	runs sync.WaitGroup
}

// kioskID is the id of every bench's kiosk.
const kioskID = "bench-kiosk"

// New makes a bench in a folder of its own and starts nothing.
func New(o Opts) (*Bench, error) {
	for _, d := range []struct {
		field *string
		value string
	}{{&o.Profile, "turnstile"}, {&o.Policy, "public-place"}, {&o.Class, "office"}, {&o.Screen, "127.0.0.1:0"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if o.Front == "" {
		o.Front = PTY
	}
	dir, err := os.MkdirTemp("", "sentinel-bench-")
	if err != nil {
		return nil, fmt.Errorf("making the bench's folder: %w", err)
	}
	b := &Bench{o: o, dir: dir, facts: newFacts(), faults: &backend.Faults{}, clockMoved: make(chan struct{}), began: time.Now()}
	b.seen = newObserver(b.facts)
	b.ctx, b.stop = context.WithCancel(context.Background())
	if err := b.build(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// build makes keys, platform, far ends and configuration.
func (b *Bench) build() (err error) {
	if b.pki, err = backend.NewPKI(kioskID, time.Now()); err != nil {
		return err
	}
	if b.authority, err = age.GenerateX25519Identity(); err != nil {
		return err
	}
	b.platform = backend.New(backend.Opts{
		Key: b.pki.Statement, KeyID: b.pki.KeyID, Now: b.platformNow,
		OnRecord: func(r checkin.Record, again bool) {
			state := "stored"
			if again {
				state = "again"
			}
			b.facts.add(Fact{Kind: "record", Name: string(r.Event.Kind), State: state})
		},
		Recipients: Recipients(), OnReport: b.seeReport,
	})
	if err := b.listen(); err != nil {
		return err
	}
	if err := b.publishing(); err != nil {
		return err
	}
	b.wires = newMemoryWires()
	if err := b.assemble(); err != nil {
		return err
	}
	if err := b.insertCard(); err != nil {
		return err
	}
	return b.configure()
}

// Start brings the far ends and the platform up, starts the kiosk, and returns
// when it is ready for the first visitor.
func (b *Bench) Start(ctx context.Context) error {
	for _, d := range b.devices {
		b.runs.Go(func() { _ = d.serve(b.ctx) })
	}
	if err := b.server.Up(); err != nil {
		return fmt.Errorf("starting the platform: %w", err)
	}
	if err := b.prepareKiosk(); err != nil {
		return err
	}
	b.runs.Go(func() { b.seen.follow(b.ctx) })
	return b.StartAgent(ctx)
}

// readyLimit is how long an agent may take to be ready.
const readyLimit = 20 * time.Second

// StartAgent starts the agent and waits until it is ready.
func (b *Bench) StartAgent(ctx context.Context) error {
	if b.unset.Load() {
		b.reboot()
	}
	mark := b.facts.mark()
	if err := b.kiosk.start(); err != nil {
		return err
	}
	_, err := b.facts.wait(ctx, mark, time.Now().Add(readyLimit), func(f Fact) bool {
		return f.Kind == "screen" && f.Name != "starting" || f.Kind == "agent" && f.State == "ended"
	})
	if ctx.Err() != nil {
		return err
	}
	if err != nil || !b.kiosk.running() {
		return fmt.Errorf("the agent is not ready: %s", b.kiosk.words())
	}
	return b.awaitDevices(ctx)
}

// awaitDevices waits until every device was tried once: a kiosk serves with
// the first reader, a story begins with all of them.
func (b *Bench) awaitDevices(ctx context.Context) error {
	for limit := time.Now().Add(readyLimit); time.Now().Before(limit); {
		s, err := b.seen.status(ctx)
		opening := slices.ContainsFunc(s.Devices, func(d agent.DeviceStatus) bool { return d.State == agent.DeviceOpening })
		if err == nil && !opening {
			return nil
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("some devices are still being opened: %s", b.kiosk.words())
}

// KillAgent ends the agent as SIGKILL does.
func (b *Bench) KillAgent() error { return b.kiosk.kill() }

// StopAgent asks the agent to end, and waits for it.
func (b *Bench) StopAgent() error { return b.kiosk.stop() }

// AgentPID is the process that the agent runs as; 0 if it is none of its own.
func (b *Bench) AgentPID() int {
	if k, ok := b.kiosk.(*childKiosk); ok && k.running() {
		return k.pid()
	}
	return 0
}

// Close ends everything and removes the bench's folder.
func (b *Bench) Close() error {
	var err error
	if b.kiosk != nil {
		err = b.kiosk.stop()
	}
	b.stop()
	if b.server != nil {
		b.server.Down()
	}
	b.far.liftAll()
	b.runs.Wait()
	return errors.Join(err, b.ejectCard(), os.RemoveAll(b.dir))
}

// Dir is the bench's folder.
func (b *Bench) Dir() string { return b.dir }

// Platform is the reference platform, for people to be added.
func (b *Bench) Platform() *backend.Platform { return b.platform }

// ScreenURL is where the visitor's page is; empty if there is none.
func (b *Bench) ScreenURL() string {
	data, _ := b.readState("screen.url")
	return strings.TrimSpace(string(data))
}

//

func (b *Bench) state() string { return filepath.Join(b.dir, "state") }

func (b *Bench) platformNow() time.Time {
	return time.Now().Add(time.Duration(b.platformOffset.Load()))
}

// moveClock lets time pass, for the kiosk and for the platform; or, if both is
// not set, somebody sets the kiosk's wall clock, which moves nothing else.
func (b *Bench) moveClock(d time.Duration, both bool) {
	b.clockMu.Lock()
	defer b.clockMu.Unlock()
	b.kioskOffset.Add(int64(d))
	if both {
		b.platformOffset.Add(int64(d))
		b.bootOffset.Add(int64(d))
	}
	close(b.clockMoved)
	b.clockMoved = make(chan struct{})
}

func (b *Bench) setMemoryPlatform(l *backend.MemoryListener) {
	b.memoryMu.Lock()
	defer b.memoryMu.Unlock()
	b.memoryPlatform = l
}

func (b *Bench) dialMemoryPlatform(ctx context.Context) (net.Conn, error) {
	b.memoryMu.Lock()
	l := b.memoryPlatform
	b.memoryMu.Unlock()
	return l.Dial(ctx)
}

// bootID is what the kiosk's kernel calls this boot.
func (b *Bench) bootID() string { return fmt.Sprintf("bench-boot-%d", b.boots.Load()) }

// reboot is a board that was without power: it counts from its own start again,
// and its clock may have been lost.
func (b *Bench) reboot() {
	b.clockMu.Lock()
	defer b.clockMu.Unlock()
	b.boots.Add(1)
	if b.unset.Swap(false) {
		b.kioskOffset.Store(int64(time.Until(lostClock)))
	}
	close(b.clockMoved)
	b.clockMoved = make(chan struct{})
}

// lostClock is what a board's clock shows whose battery is empty.
var lostClock = time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC)

// setPlatform orders a fault, and takes the listener down or up with it.
func (b *Bench) setPlatform(f backend.Fault) error {
	if err := b.faults.Set(f); err != nil {
		return err
	}
	if b.faults.Down() {
		b.server.Down()
		return nil
	}
	return b.server.Up()
}

// device finds a device by its name in the scenario language.
func (b *Bench) device(name string) (*device, error) {
	for _, d := range b.devices {
		if d.name == name {
			return d, nil
		}
	}
	known := []string{"scanner", "idreader", "thermometer", "speaker", "gate", "lamp", "camera"}
	base, _, _ := strings.Cut(name, "-")
	if slices.Contains(known, base) {
		return nil, &errNotAvailable{fmt.Sprintf("the profile %s has no %s here", b.o.Profile, name)}
	}
	return nil, fmt.Errorf("%q is no device; there are %s", name, strings.Join(known, ", "))
}

func (b *Bench) has(name string) error {
	_, err := b.device(name)
	return err
}

func (b *Bench) hasGate() bool { return b.has("gate") == nil }

// gateOpen reports whether a body could walk through now.
func (b *Bench) gateOpen() bool { return b.far.gateOpen() }

// idle reports whether the agent serves nobody.
func (b *Bench) idle(ctx context.Context) bool {
	s, err := b.seen.status(ctx)
	return err == nil && !s.Busy
}

// counts is what `expect records` compares.
type counts struct{ stored, delivered, duplicate int }

// records counts visit records: on the kiosk, where its own counters outlive
// delivery, and at the platform.
func (b *Bench) records(ctx context.Context) (counts, error) {
	at, err := b.platform.Store().Count(ctx, backend.Checkins)
	if err != nil {
		return counts{}, err
	}
	c := counts{delivered: at.Visits, duplicate: at.Duplicate}
	if b.kiosk.running() {
		s, err := b.seen.status(ctx)
		if err != nil {
			return c, err
		}
		c.stored = s.Queue.Stored[string(checkin.KindVisit)]
		return c, nil
	}
	s, err := b.readQueue()
	c.stored = s.Stored[string(checkin.KindVisit)]
	return c, err
}

func (b *Bench) people() []panelPerson {
	var list []panelPerson
	for _, p := range b.platform.People() {
		list = append(list, panelPerson{p.Ref, fmt.Sprintf("%s %s (%s)", p.Ref, checkin.MaskName(p.Name), p.Colour)})
	}
	return list
}

func (b *Bench) panelDevices() []panelDevice {
	var list []panelDevice
	for _, d := range b.devices {
		list = append(list, panelDevice{d.name, d.plugged.Load()})
	}
	return list
}

func (b *Bench) platformState() string { return b.faults.State() }

func (b *Bench) agentRuns() bool { return b.kiosk.running() }

func (b *Bench) last() lastSeen {
	b.seen.mu.Lock()
	defer b.seen.mu.Unlock()
	return b.seen.last
}
