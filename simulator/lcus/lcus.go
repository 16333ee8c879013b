// Package lcus is the far end of an LCUS USB relay board: it reads four-byte
// frames from a serial line and switches up to eight relays.
//
//	A0 | channel | state 00 off, 01 on | sum of the three, low byte
//
// # Simulated
//
// Strict frames: anything else costs one byte, and the next start is looked
// for behind it. The board sends nothing, as most of its kind.
//
// # Not simulated
//
// The status query of some boards, states above 01, the CH340's own quirks.
package lcus

import (
	"context"
	"io"
	"sync"

	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// Opts is what the board is like. The zero value is an LCUS-8 that nobody
// watches.
type Opts struct {
	// Channels is the number of relays, 1–8; 0 means 8.
	Channels int
	// OnRelay is called when a relay changes, without locks held.
	OnRelay func(ch int, on bool)
}

// Board is one board. It is safe for concurrent use.
type Board struct {
	// Faults are taken by frames that come in, for no answer goes out: a frame
	// met by any fault but Slow and Split is missed by the board.
	Faults fault.Plan

	opts Opts

	mu sync.Mutex
	on [maxChannels + 1]bool
}

// New gives a board with all relays off.
func New(opts Opts) *Board {
	if opts.Channels < 1 || opts.Channels > maxChannels {
		opts.Channels = maxChannels
	}
	return &Board{opts: opts}
}

// Serve reads frames until the line dies, whose error it returns, or until ctx
// ends; then it closes the line and returns nil. The relays stay as they are:
// the line is not the board's power.
func (b *Board) Serve(ctx context.Context, line io.ReadWriteCloser) error {
	stop := context.AfterFunc(ctx, func() { _ = line.Close() })
	defer stop()
	var p parser
	buf := make([]byte, 256)
	for {
		n, err := line.Read(buf)
		for _, c := range p.push(buf[:n]) {
			b.obey(c)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// On reports whether the relay of a channel has pulled in.
func (b *Board) On(ch int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return ch >= 1 && ch <= maxChannels && b.on[ch]
}

// PowerCycle drops every relay, as pulling out the USB plug does.
func (b *Board) PowerCycle() {
	for ch := 1; ch <= maxChannels; ch++ {
		b.set(ch, false)
	}
}

//

const maxChannels = 8

func (b *Board) obey(c command) {
	switch b.Faults.Take() {
	case fault.None, fault.Slow, fault.Split:
	default:
		return
	}
	if c.channel <= b.opts.Channels {
		b.set(c.channel, c.on)
	}
}

func (b *Board) set(ch int, on bool) {
	b.mu.Lock()
	changed := b.on[ch] != on
	b.on[ch] = on
	b.mu.Unlock()
	if changed && b.opts.OnRelay != nil {
		b.opts.OnRelay(ch, on)
	}
}

// command is one good frame.
type command struct {
	channel int
	on      bool
}

// parser finds good frames in a stream. It keeps at most three bytes.
type parser struct{ rest []byte }

func (p *parser) push(b []byte) []command {
	var cs []command
	p.rest = append(p.rest, b...)
	for len(p.rest) >= 4 {
		f := p.rest
		if f[0] != 0xA0 || f[3] != f[0]+f[1]+f[2] || f[1] < 1 || f[1] > maxChannels || f[2] > 1 {
			p.rest = p.rest[1:]
			continue
		}
		cs = append(cs, command{int(f[1]), f[2] == 1})
		p.rest = p.rest[4:]
	}
	p.rest = append([]byte(nil), p.rest...)
	return cs
}
