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
// path and reads lines "offset DURATION", how far the wall clock is to stand
// ahead of the machine's. It returns after the first line, and follows the
// others until ctx ends or the bench says something else. Kiosks in service have no such socket: the
// configuration refuses it.
func (c *Clock) Follow(ctx context.Context, path string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	// Before the first read: a bench that says nothing must not hang the kiosk.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var offset atomic.Int64
	lines := bufio.NewScanner(conn)
	if err := readOffset(lines, &offset); err != nil {
		stop()
		_ = conn.Close()
		return fmt.Errorf("clock: %w", err)
	}
	wall := c.Wall
	c.Wall = func() time.Time { return wall().Add(time.Duration(offset.Load())) }
	go func() {
		defer conn.Close() // so that the bench hears of a line that was none
		defer stop()
		for readOffset(lines, &offset) == nil {
		}
	}()
	return nil
}

// Now returns the wall time.
func (c *Clock) Now() time.Time { return c.Wall() }

// Believable reports whether the wall clock can be right.
func (c *Clock) Believable() bool { return !c.Wall().Before(c.Floor) }

// Stamp takes the time of an event.
func (c *Clock) Stamp() checkin.Stamp {
	return checkin.Stamp{
		Wall: c.Wall().UTC(), Boot: c.Boot(), BootID: c.BootID, Trusted: c.Believable(),
	}
}

//

// readOffset reads one line of a bench's clock.
func readOffset(lines *bufio.Scanner, offset *atomic.Int64) error {
	if !lines.Scan() {
		return errors.Join(errors.New("the bench has hung up"), lines.Err())
	}
	text, ok := strings.CutPrefix(lines.Text(), "offset ")
	d, err := time.ParseDuration(text)
	if !ok || err != nil {
		return fmt.Errorf("%q is no offset", lines.Text())
	}
	offset.Store(int64(d))
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
