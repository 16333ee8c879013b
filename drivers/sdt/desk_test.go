package sdt

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// samID is the number of fact sheet 1.7.
var samID = []byte{0x05, 0x00, 0x01, 0x00, 0x25, 0x3B, 0x34, 0x01, 0x4E, 0x61, 0xBC, 0x00, 0x78, 0x56, 0x34, 0x12}

// answer builds an answer as the fact sheet, 1.2, describes one.
func answer(s Status, data ...byte) []byte {
	f := []byte{0xAA, 0xAA, 0xAA, 0x96, 0x69, 0, 0, 0, 0, byte(s)}
	f = append(f, data...)
	binary.BigEndian.PutUint16(f[5:], uint16(len(f)-7+1))
	var sum byte
	for _, b := range f[5:] {
		sum ^= b
	}
	return append(f, sum)
}

// recordAnswer takes the answer to a read out of the transcript: the last one
// before the driver reads a card of that kind.
func recordAnswer(t testing.TB, kind string) []byte {
	t.Helper()
	for _, c := range load(t) {
		var said []byte
		for _, s := range c.Steps {
			switch {
			case s.Kind == '>':
				said = nil
			case s.Kind == '<':
				said = append(said, s.Bytes...)
			case s.Event == "driver reads "+kind && !strings.Contains(c.Name, "noise"):
				return said
			}
		}
	}
	t.Fatalf("nobody reads %s", kind)
	return nil
}

// desk is a reader at the far end of a pipe. It finds a card as long as it
// lies, and checks nothing.
type desk struct {
	line  net.Conn
	loops sync.WaitGroup

	mu    sync.Mutex
	card  []byte            // the answer to a read; nil: no card
	says  map[uint16][]byte // answers in the place of the right ones
	mute  bool
	late  time.Duration // of those
	asked []uint16
	timed []*time.Timer
}

func newDesk() (net.Conn, *desk) {
	host, far := net.Pipe()
	r := &desk{line: far}
	r.loops.Go(r.serve)
	return host, r
}

func (r *desk) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *desk) lay(card []byte) { r.set(func() { r.card = card }) }

func (r *desk) unplug() { _ = r.line.Close() }

// after does something later, unless the desk has ended by then.
func (r *desk) after(wait time.Duration, do func()) {
	r.set(func() { r.timed = append(r.timed, time.AfterFunc(wait, do)) })
}

func (r *desk) end() {
	r.unplug()
	r.set(func() {
		for _, t := range r.timed {
			t.Stop()
		}
	})
	r.loops.Wait()
}

// count tells how often a command came, and forgets it.
func (r *desk) count(command uint16) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, c := range r.asked {
		if c == command {
			n++
		}
	}
	r.asked = nil
	return n
}

func (r *desk) serve() {
	f := make([]byte, 10)
	for {
		if _, err := io.ReadFull(r.line, f); err != nil {
			return
		}
		said, late := r.reply(binary.BigEndian.Uint16(f[7:]))
		switch {
		case said == nil:
		case late > 0:
			r.after(late, func() { _, _ = r.line.Write(said) })
		default:
			_, _ = r.line.Write(said)
		}
	}
}

func (r *desk) reply(command uint16) ([]byte, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, command)
	if r.mute {
		return nil, 0
	}
	if said, ok := r.says[command]; ok {
		return said, r.late
	}
	switch {
	case command == cmdSAMID:
		return answer(Done, samID...), 0
	case r.card == nil:
		return answer(NoCard), 0
	case command == cmdFind:
		return answer(Found, 0, 0, 0, 0), 0
	case command == cmdSelect:
		return answer(Done, 0, 0, 0, 0, 0, 0, 0, 0), 0
	}
	return r.card, 0
}

// instant is a line on which everything, and silence too, takes no time.
type instant struct {
	answers map[uint16][]byte
	next    [][]byte // what is said first, one piece a command
	now     []byte
	asked   int
}

func (i *instant) Write(p []byte) (int, error) {
	i.asked++
	if len(i.next) > 0 {
		i.now, i.next = append(i.now, i.next[0]...), i.next[1:]
		return len(p), nil
	}
	i.now = append(i.now[:0], i.answers[binary.BigEndian.Uint16(p[7:])]...)
	return len(p), nil
}

func (i *instant) Read(p []byte) (int, error) {
	if len(i.now) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, i.now)
	i.now = i.now[n:]
	return n, nil
}

func (i *instant) SetReadDeadline(time.Time) error  { return nil }
func (i *instant) SetWriteDeadline(time.Time) error { return nil }
