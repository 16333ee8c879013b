package clock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/durable"
)

// What a kiosk knows of the time is an interval, not an instant.
//
// Lo is the latest time that somebody trusted has signed, plus what has passed
// since by the clock that nobody can set. It only rises, and outlives a restart.
// Hi is the last answer of the platform to a question with our own nonce, plus
// what has passed since, plus drift; after a reboot nothing bounds it, unless the
// board's own clock is trusted. Whoever wants to grant something must find it
// valid over the whole of [Lo, Hi].
//
// The wall clock plays no part in it unless it is trusted: it can be set by
// anybody, and a dead battery sets it to 1970.
type Interval struct {
	Lo, Hi time.Time // Hi is zero if nothing bounds it
}

// Bounded reports whether there is a latest time that it can be.
func (i Interval) Bounded() bool { return !i.Hi.IsZero() }

// Limits of the interval.
const (
	// drift is how wrong a board's oscillator may be: 100 ppm are common, and
	// temperature doubles them.
	drift = 200e-6
	// margin is added to Hi: the platform's own clock is not perfect.
	margin = 2 * time.Second
	// jump is how far a signed time may lie ahead of everything known. One that
	// lies further (a mistake, or a stolen key) would lock every door; it takes
	// an answer of the platform to our own nonce to go so far.
	jump = 24 * time.Hour
	// around is how far two honest clocks may differ before it is told.
	around = 5 * time.Minute
	// bound is how wrong a trusted wall clock is taken to be, to either side: more
	// would leave no moment at which a phone's code is surely fresh.
	bound = time.Minute
	// saveEvery is how far Lo rises before it is written again.
	saveEvery = 10 * time.Minute
)

// ErrJump is returned by Heard for a time that lies too far ahead.
var ErrJump = errors.New("clock: a signed time lies more than a day ahead of all that is known; only the platform's own answer moves the clock so far")

// known is what the interval is made from. The zero value knows nothing.
type known struct {
	mu     sync.Mutex
	lo     time.Time
	loBoot time.Duration // when lo was heard, since boot
	hi     time.Time     // zero: nothing
	hiBoot time.Duration
	path   string
	saved  time.Time // Lo as it stands on the disk; zero: write it at once
}

// kept is what outlives a restart: Lo always, Hi as long as it is the same boot.
type kept struct {
	Lo     time.Time     `json:"lo"`
	Hi     time.Time     `json:"hi,omitzero"`
	HiBoot time.Duration `json:"hi_boot_ns,omitempty"`
	BootID string        `json:"boot_id,omitempty"`
}

// Interval returns what is known of the present time.
func (c *Clock) Interval() Interval {
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	return c.interval()
}

// Best is the wall clock where it lies within what is known, else the nearest
// time that does. Certificates are judged by it: a kiosk whose clock was lost
// must still reach the platform, which tells it the time.
func (c *Clock) Best() time.Time {
	wall, i := c.Wall(), c.Interval()
	switch {
	case wall.Before(i.Lo):
		return i.Lo
	case i.Bounded() && wall.After(i.Hi):
		return i.Hi
	}
	return wall
}

// Heard takes a time that somebody trusted has signed: it has passed. A time of
// a visitor's phone is none.
func (c *Clock) Heard(t time.Time) error {
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	now := c.interval()
	latest := now.Hi
	if latest.IsZero() {
		latest = now.Lo
	}
	switch {
	case !t.After(now.Lo):
		return nil
	case t.After(latest.Add(jump)):
		return ErrJump
	}
	c.rise(t)
	return nil
}

// Answered takes the platform's time out of an answer to our own nonce, which
// was asked so long ago: it was sent after the question and before now. It is
// the one thing that can also take Lo back, after a signed time that was wrong
// has driven it ahead. Answered reports whether that was so, by more than the
// two clocks' error.
func (c *Clock) Answered(t time.Time, took time.Duration) (recovered bool) {
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	recovered = c.interval().Lo.After(t.Add(took + around))
	k := &c.known
	if k.hi.IsZero() {
		k.saved = time.Time{} // a restart in this boot shall know it
	}
	k.lo, k.loBoot = t, c.elapsed()
	k.hi, k.hiBoot = t.Add(took), c.elapsed()
	if recovered {
		k.saved = time.Time{} // write it at once: the wrong one is on the disk
	}
	return recovered
}

// Keep reads the Lo that an earlier run has kept at path, and Save keeps it
// there. A file that cannot be read is said so and counts as none: what it
// protects is a clock that was set back.
func (c *Clock) Keep(path string) error {
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	c.known.path = path
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var was kept
	if err == nil {
		err = json.Unmarshal(data, &was)
	}
	if err != nil {
		return fmt.Errorf("clock: the kept time in %s is not usable and is begun anew: %w", path, err)
	}
	if was.BootID == c.BootID && was.BootID != "" && was.HiBoot <= c.elapsed() {
		c.known.saved = was.Lo
		c.known.hi, c.known.hiBoot = was.Hi, was.HiBoot
	}
	if was.Lo.After(c.interval().Lo) {
		c.rise(was.Lo)
	}
	return nil
}

// Save keeps what is known if Lo has risen by ten minutes since it was kept, or
// was taken back, or nothing was kept in this boot.
func (c *Clock) Save() error {
	c.known.mu.Lock()
	now := kept{c.interval().Lo.UTC(), c.known.hi.UTC(), c.known.hiBoot, c.BootID}
	saved, path := c.known.saved, c.known.path
	c.known.mu.Unlock()
	if path == "" || !saved.IsZero() && now.Lo.Sub(saved) < saveEvery {
		return nil
	}
	data, err := json.Marshal(now)
	if err == nil {
		err = durable.WriteFile(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("clock: keeping the time: %w", err)
	}
	c.known.mu.Lock()
	c.known.saved = now.Lo
	c.known.mu.Unlock()
	return nil
}

//

// interval is Interval with the lock held.
func (c *Clock) interval() Interval {
	k, boot := &c.known, c.elapsed()
	i := Interval{Lo: c.Floor}
	if !k.lo.IsZero() {
		passed := boot - k.loBoot
		if lo := k.lo.Add(passed - scaled(passed)); lo.After(i.Lo) {
			i.Lo = lo
		}
	}
	if !k.hi.IsZero() {
		passed := boot - k.hiBoot
		i.Hi = k.hi.Add(passed + scaled(passed) + margin)
	}
	if c.Trusted {
		i.believe(c.Wall())
	}
	return i
}

// believe takes a trusted wall clock into account, unless it contradicts what
// was signed.
func (i *Interval) believe(wall time.Time) {
	if wall.Before(i.Lo.Add(-around)) || i.Bounded() && wall.After(i.Hi.Add(around)) {
		return
	}
	if lo := wall.Add(-bound); lo.After(i.Lo) {
		i.Lo = lo
	}
	if hi := wall.Add(bound); !i.Bounded() || hi.Before(i.Hi) {
		i.Hi = hi
	}
	if i.Hi.Before(i.Lo) {
		i.Hi = i.Lo
	}
}

// rise sets Lo. The lock is held.
func (c *Clock) rise(t time.Time) {
	c.known.lo, c.known.loBoot = t, c.elapsed()
	if hi := c.known.hi; !hi.IsZero() && c.interval().Hi.Before(t) {
		c.known.hi, c.known.hiBoot = t, c.elapsed() // the signature is right, the oscillator was not
	}
}

// elapsed is the time since boot; a clock without one stands still.
func (c *Clock) elapsed() time.Duration {
	if c.Boot == nil {
		return 0
	}
	return c.Boot()
}

func scaled(d time.Duration) time.Duration { return time.Duration(float64(d) * drift) }
