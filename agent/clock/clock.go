// Package clock is the one place where the agent's wall time, boot time and
// trust in the clock come from. main makes a Clock and hands it down; timers
// are not its business (they run on Go's own, which tests make virtual).
package clock

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Clock tells the time and how far to believe it.
type Clock struct {
	// Wall is the wall clock.
	Wall func() time.Time
	// Boot is the time since boot, through suspend.
	Boot func() time.Duration
	// BootID is different after every boot.
	BootID string
	// Floor is a time that has surely passed: when the program was built, or
	// the last time that was kept. A wall clock before it is not believable.
	Floor time.Time
	// Trusted says that the wall clock is good by itself: a battery keeps it, or
	// the machine synchronises it with somebody the operator trusts.
	Trusted bool

	known known
}

// System returns the machine's own clock. Kernel: /proc/uptime counts through
// suspend (CLOCK_BOOTTIME) with a resolution of 10 ms; boot_id is random for
// each boot. Where /proc is missing, boot time counts from the start of the
// process.
func System(floor time.Time) *Clock {
	start := time.Now()
	return &Clock{
		Wall:   time.Now,
		Boot:   func() time.Duration { return uptime(start) },
		BootID: bootID(),
		Floor:  floor,
	}
}

// Follow lets a test bench move the clock: it connects to the unix socket at
// path and reads lines
//
//	offset DURATION [boot DURATION] [id WORD]
//
// how far the wall clock and the time since boot are to stand ahead of the
// machine's, and what this boot is to be called. It returns after the first
// line, and follows the others until ctx ends or the bench says something else.
// Kiosks in service have no such socket: the configuration refuses it.
func (c *Clock) Follow(ctx context.Context, path string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	// Before the first read: a bench that says nothing must not hang the kiosk.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var m moved
	lines := bufio.NewScanner(conn)
	if err := m.read(lines); err != nil {
		stop()
		_ = conn.Close()
		return fmt.Errorf("clock: %w", err)
	}
	wall, boot := c.Wall, c.Boot
	c.Wall = func() time.Time { return wall().Add(time.Duration(m.wall.Load())) }
	c.Boot = func() time.Duration { return boot() + time.Duration(m.boot.Load()) }
	if m.id != "" {
		c.BootID = m.id
	}
	go func() {
		defer conn.Close() // so that the bench hears of a line that was none
		defer stop()
		for m.read(lines) == nil {
		}
	}()
	return nil
}

// Now returns the wall time.
func (c *Clock) Now() time.Time { return c.Wall() }

// Believable reports whether it is known what time it is: the interval is
// bounded.
func (c *Clock) Believable() bool { return c.Interval().Bounded() }

// Agrees reports whether the wall clock lies within what is known of the time.
// A kiosk whose wall clock does not goes on by what is known, and raises an
// alarm.
func (c *Clock) Agrees() bool {
	wall, i := c.Wall(), c.Interval()
	return !wall.Before(i.Lo.Add(-around)) && (!i.Bounded() || !wall.After(i.Hi.Add(around)))
}

// Stamp takes the time of an event. Where it is known what time it is, that is
// the time, and trusted: the wall clock as far as it agrees, else the nearest time
// that does. Else it is what the wall clock shows.
func (c *Clock) Stamp() checkin.Stamp {
	stamp := checkin.Stamp{Wall: c.Wall().UTC(), Boot: c.elapsed(), BootID: c.BootID, Trusted: c.Believable()}
	if stamp.Trusted {
		stamp.Wall = c.Best().UTC()
	}
	return stamp
}

//

// moved is how a bench has moved the clock.
type moved struct {
	wall, boot atomic.Int64
	id         string // of the boot, from the first line
}

// read reads one line of a bench's clock.
func (m *moved) read(lines *bufio.Scanner) error {
	if !lines.Scan() {
		return errors.Join(errors.New("the bench has hung up"), lines.Err())
	}
	words := strings.Fields(lines.Text())
	wrong := fmt.Errorf("%q is no offset", lines.Text())
	if len(words)%2 != 0 || len(words) == 0 || words[0] != "offset" {
		return wrong
	}
	for i := 0; i < len(words); i += 2 {
		d, err := time.ParseDuration(words[i+1])
		switch {
		case words[i] == "id" && m.id == "":
			m.id = words[i+1]
		case words[i] == "id":
		case err != nil:
			return wrong
		case words[i] == "offset":
			m.wall.Store(int64(d))
		case words[i] == "boot":
			m.boot.Store(int64(d))
		default:
			return wrong
		}
	}
	return nil
}

func uptime(start time.Time) time.Duration {
	b, err := os.ReadFile("/proc/uptime")
	first, _, ok := bytes.Cut(b, []byte(" "))
	if err != nil || !ok {
		return time.Since(start)
	}
	seconds, err := strconv.ParseFloat(string(first), 64)
	if err != nil {
		return time.Since(start)
	}
	return time.Duration(seconds * float64(time.Second))
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return uuid.NewString()
	}
	return strings.TrimSpace(string(b))
}
