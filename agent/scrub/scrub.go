// Package scrub overwrites what is left of people in the memory of a program
// that goes on running. A stolen kiosk may still have power, and Go leaves an
// object that nobody holds as it is until its place is used again.
//
// # What it needs
//
// The program is linked with -X runtime.godebugDefault=clobberfree=1,gcshrinkstackoff=1
// (Makefile), or runs with that GODEBUG (unit file). With clobberfree the
// collector overwrites every object that it frees; without, Memory only gives
// whole free pages back to the kernel. With gcshrinkstackoff a stack is not
// moved while it waits, which would leave its old place as it was.
//
// # What it does not do
//
// What somebody still holds stays: it is for its holder to let go. Registers,
// the kernel's buffers of lines and sockets, and swap are not reached. Go 1.26's
// runtime/secret does more for stacks, and needs an experimental toolchain.
package scrub

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// depth is how much of a stack Stack overwrites. Nothing between a reader and
// the queue goes deeper; a stack of this size has pages of its own, which go
// back to the kernel with its goroutine.
const depth = 32 << 10

// Stack overwrites what calls that have returned have left on the stack of the
// goroutine that calls it. A goroutine that handles people calls it first, while
// its stack is clean, so that it need not grow with somebody's number on it; and
// again when that somebody has been served.
//
//go:noinline
func Stack() {
	var room [depth]byte
	wipe(&room)
}

// wipe is a call of its own, or the compiler would see that nobody reads room.
//
//go:noinline
func wipe(room *[depth]byte) { clear(room[:]) }

// Memory collects what nobody holds, and gives free pages back to the kernel:
// twice, because a sync.Pool keeps what it has over one collection. Others run
// on meanwhile.
func Memory() {
	runtime.GC()
	debug.FreeOSMemory()
}

// Scrubber scrubs some time after people were there. Its zero value is ready.
type Scrubber struct {
	last  atomic.Int64 // Unix nanoseconds of the last trace of a person
	first atomic.Int64 // of the first one since the last scrub; 0: there is none
}

// How a Scrubber waits.
const (
	After = 3 * time.Second  // since the last trace of a person
	Limit = 30 * time.Second // since the first one, however busy it is
	Again = 9 * time.Second  // from a scrub to one more
	look  = time.Second
)

// Touched notes that a person's number, name or code was in memory, or was let
// go of just now.
func (s *Scrubber) Touched() {
	now := time.Now().UnixNano()
	s.last.Store(now)
	s.first.CompareAndSwap(0, now)
}

// Run calls memory (Memory, but for tests) whenever it is due, and some time
// later once more, until ctx ends: what was still held the first time, by a call
// that was about to return, is free by then.
func (s *Scrubber) Run(ctx context.Context, memory func()) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	var again time.Time // zero: not needed
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			switch {
			case s.due(now):
				s.first.Store(0)
				again = now.Add(Again)
			case !again.IsZero() && !now.Before(again):
				again = time.Time{}
			default:
				continue
			}
		}
		memory()
	}
}

//

func (s *Scrubber) due(now time.Time) bool {
	first, last := s.first.Load(), s.last.Load()
	if first == 0 {
		return false
	}
	since := func(t int64) time.Duration { return now.Sub(time.Unix(0, t)) }
	return since(last) >= After || since(first) >= Limit
}
