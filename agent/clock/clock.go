// Package clock is the one place where the agent's wall time, boot time and
// trust in the clock come from. main makes a Clock and hands it down; timers
// are not its business (they run on Go's own, which tests make virtual).
package clock

import (
	"bytes"
	"os"
	"strconv"
	"strings"
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
