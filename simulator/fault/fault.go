// Package fault holds the faults that a scenario orders from a simulated
// device: each spoils the device's next answers on the wire, and nothing else.
package fault

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is a way in which an answer goes wrong.
type Kind string

// The faults. None means that the answer is left alone.
const (
	None     Kind = ""
	Silence  Kind = "silence"  // the answer never comes
	Short    Kind = "short"    // the answer stops half-way
	Checksum Kind = "checksum" // the last byte is wrong
	Noise    Kind = "noise"    // five stray bytes come before the answer
	Slow     Kind = "slow"     // the answer comes two seconds late
	Split    Kind = "split"    // the answer comes in two pieces, 20 ms apart
)

// kinds lists every fault.
var kinds = []Kind{Silence, Short, Checksum, Noise, Slow, Split}

// Parse reads the name of a fault.
func Parse(s string) (Kind, error) {
	if slices.Contains(kinds, Kind(s)) {
		return Kind(s), nil
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return None, fmt.Errorf("%q is no fault; the faults are %s", s, strings.Join(names, ", "))
}

// Plan is the faults ordered from one device. The zero Plan orders none. It is
// safe for concurrent use.
type Plan struct {
	mu   sync.Mutex
	next []Kind
}

// Order spoils the next n answers, at most a thousand, after those already
// ordered.
func (p *Plan) Order(k Kind, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range min(n, 1000) {
		p.next = append(p.next, k)
	}
}

// Take returns the fault for the answer about to be sent, and crosses it off.
func (p *Plan) Take() Kind {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.next) == 0 {
		return None
	}
	k := p.next[0]
	p.next = p.next[1:]
	return k
}

// Send sends frame as the next fault orders, in one or more calls of write. It
// sleeps where the fault is about time.
func (p *Plan) Send(frame []byte, write func([]byte) error) error {
	switch p.Take() {
	case Silence:
		return nil
	case Short:
		return write(frame[:len(frame)/2])
	case Checksum:
		bad := slices.Clone(frame)
		if len(bad) > 0 {
			bad[len(bad)-1] ^= 0x55
		}
		return write(bad)
	case Noise:
		return write(slices.Concat([]byte{0xFF, 0xAA, 0xAA, 0x00, 0x7E}, frame))
	case Slow:
		time.Sleep(2 * time.Second)
	case Split:
		if err := write(frame[:len(frame)/2]); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
		frame = frame[len(frame)/2:]
	}
	return write(frame)
}
