// Package pulse keeps time for a gate that cannot keep it itself: it unlocks,
// locks again when the time has run out, refuses a second release meanwhile,
// and puts the gate to rest when halted. Drivers of relays share it.
//
//	           Release                      time is up, Lock, Halt
//	at rest ────────────► released ────────────────────────────────► at rest
//	   │                     │
//	   └──── wire error ─────┴──► lost: refuses every release for ever
//
// A gate whose wire failed is in an unknown state. It is never unlocked again
// by the same Gate: the supervisor opens a new one, and New puts it to rest.
// Putting it to rest is still tried, for that is the safe direction.
//
// A rest of Open means that the gate stands open while nobody commands it, as
// the fire rules of some venues ask for. A release of such a gate changes
// nothing on the wire: it writes the open level once more and keeps the window
// in which a second one is refused, so that visits are counted alike.
package pulse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
)

// Rest is the position of a gate that nobody commands. It has no default: the
// zero value is refused, because only the venue's fire rules can tell.
type Rest byte

// The resting positions.
const (
	Locked Rest = iota + 1
	Open
)

// Drive brings the gate's wire to unlocked or locked. It returns when the
// level or the frame is out, after 1 s at the latest, and is never called
// twice at once.
type Drive func(ctx context.Context, unlocked bool) error

// Opts is how the gate is used.
type Opts struct {
	// Rest is the resting position, Locked or Open.
	Rest Rest
	// Least is the shortest release the gate's mechanics can follow.
	Least time.Duration
}

// Gate is one gate and its running release. It is safe for concurrent use.
type Gate struct {
	drive  Drive
	atRest bool // what drive is given at rest
	least  time.Duration

	turn    chan struct{} // holds one token; who has it may drive, and owns the two below
	running *release
	lost    error

	mu   sync.Mutex
	life context.Context // ended and renewed by Halt
	end  context.CancelFunc
}

// release is one running release.
type release struct{ timer *time.Timer }

// New puts the gate to rest before anything else.
func New(ctx context.Context, drive Drive, opts Opts) (*Gate, error) {
	if opts.Rest != Locked && opts.Rest != Open {
		return nil, errors.New("no resting position given: locked or open")
	}
	g := &Gate{drive: drive, atRest: opts.Rest == Open, least: opts.Least, turn: make(chan struct{}, 1)}
	g.life, g.end = context.WithCancel(context.Background())
	if err := drive(ctx, g.atRest); err != nil {
		return nil, err
	}
	g.turn <- struct{}{}
	return g, nil
}

// Release unlocks, and locks again after at most d, whatever becomes of ctx.
// It returns hal.ErrBusy during a release, and an error for a d that is
// shorter than Opts.Least.
func (g *Gate) Release(ctx context.Context, d time.Duration) error {
	if d <= 0 || d < g.least {
		return fmt.Errorf("a release of %v is shorter than %v, the least the gate follows", d, g.least)
	}
	c := g.begin(ctx)
	defer c.end()
	if err := g.take(c); err != nil {
		return err
	}
	defer g.give()
	switch {
	case g.lost != nil:
		return g.lost
	case g.running != nil:
		return hal.ErrBusy
	}
	return g.release(c, d)
}

// Lock ends a running release; it is not an error if none runs.
func (g *Gate) Lock(ctx context.Context) error {
	c := g.begin(ctx)
	defer c.end()
	if err := g.take(c); err != nil {
		return err
	}
	defer g.give()
	if g.lost != nil {
		return g.lost
	}
	if g.running == nil {
		return nil
	}
	return g.settle()
}

// Probe writes the present position once more. Nothing moves, and a lost wire
// shows itself before the next visitor stands there.
func (g *Gate) Probe(ctx context.Context) error {
	c := g.begin(ctx)
	defer c.end()
	if err := g.take(c); err != nil {
		return err
	}
	defer g.give()
	if g.lost != nil {
		return g.lost
	}
	if g.running != nil {
		return nil // its end will tell
	}
	return g.settle()
}

// Halt ends calls that wait, ends a running release and puts the gate to rest.
// A Release that begins after Halt is a new command and is obeyed.
func (g *Gate) Halt() error {
	g.mu.Lock()
	g.end()
	g.life, g.end = context.WithCancel(context.Background())
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	defer cancel()
	if err := g.take(call{Context: ctx, life: context.Background()}); err != nil {
		return errors.New("the wire is blocked: the gate's position is not known")
	}
	defer g.give()
	return g.settle()
}

//

// ErrHalted is what a call ended by Halt returns.
var ErrHalted = errors.New("halted")

// limit bounds the attempts to put the gate to rest.
const limit = 2 * time.Second

// tries is how often that is attempted when the wire is slow, not lost.
const tries = 3

// release unlocks. The timer is set first, so that d counts from before the
// gate moves: "at most d" holds also where the wire is slow. Its end waits for
// our turn to be over.
func (g *Gate) release(c call, d time.Duration) error {
	r := &release{}
	g.running = r
	r.timer = time.AfterFunc(d, func() { g.expire(r) })
	err := g.drive(c, true)
	if err == nil {
		return nil
	}
	if over := c.over(); over != nil && !errors.Is(err, hal.ErrGone) {
		err = over
	}
	// Half a command may have gone out: nobody knows where the gate is.
	if rest := g.settle(); rest != nil {
		return rest
	}
	return err
}

// expire ends r, unless something else has.
func (g *Gate) expire(r *release) {
	<-g.turn
	defer g.give()
	if g.running == r {
		_ = g.settle() // kept in lost
	}
}

// settle ends a running release and puts the gate to rest. The caller has the
// turn. It has a limit of its own instead of a context: locking is not to be
// cancelled. An error that stays makes the gate lost.
func (g *Gate) settle() error {
	if g.running != nil {
		g.running.timer.Stop()
		g.running = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	for range tries {
		if err = g.drive(ctx, g.atRest); err == nil {
			return nil
		}
		if errors.Is(err, hal.ErrGone) {
			break
		}
	}
	g.lost = hal.Gone(err)
	return g.lost
}

// take waits for the turn. A call that is over does not get it, not even if
// the turn came free at the same moment: after Halt nothing may unlock.
func (g *Gate) take(c call) error {
	if err := c.over(); err != nil {
		return err
	}
	select {
	case <-g.turn:
	case <-c.Done():
		return c.over()
	}
	if err := c.over(); err != nil {
		g.give()
		return err
	}
	return nil
}

func (g *Gate) give() { g.turn <- struct{}{} }

// call is one call's context, which also ends with the life it began in.
type call struct {
	context.Context
	life context.Context
	end  func()
}

// begin gives a call that the next Halt ends.
func (g *Gate) begin(ctx context.Context) call {
	g.mu.Lock()
	life := g.life
	g.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(life, cancel)
	return call{ctx, life, func() { stop(); cancel() }}
}

// over tells why the call is over, nil if it is not. The life is asked first,
// and directly: it ends before Halt goes on.
func (c call) over() error {
	if c.life.Err() != nil {
		return ErrHalted
	}
	return c.Err()
}

var _ hal.Locker = &Gate{}
