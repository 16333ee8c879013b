// Package linescan is the far end of a scanner that sends lines and takes no
// orders.
package linescan

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// Opts is how the scanner behaves. The zero value ends codes with CR LF and
// reads them at once.
type Opts struct {
	Suffix string        // "" is CR LF; "none" is no suffix at all
	Decode time.Duration // how long it takes to read a code
}

// RealTiming is a scanner that needs 100 ms for a code on a phone's screen (our
// estimate).
func RealTiming() Opts { return Opts{Decode: 100 * time.Millisecond} }

// Scanner is one scanner. It is safe for concurrent use.
type Scanner struct {
	// Faults spoils the next codes.
	Faults fault.Plan

	opts Opts

	mu   sync.Mutex
	line io.Writer
}

// New gives a scanner.
func New(opts Opts) *Scanner {
	switch opts.Suffix {
	case "":
		opts.Suffix = "\r\n"
	case "none":
		opts.Suffix = ""
	}
	return &Scanner{opts: opts}
}

// PowerCycle forgets nothing: the scanner keeps no state.
func (s *Scanner) PowerCycle() {}

// Show holds a code up.
func (s *Scanner) Show(code []byte) error {
	if s.opts.Decode > 0 {
		time.Sleep(s.opts.Decode)
	}
	s.mu.Lock()
	line := s.line
	s.mu.Unlock()
	if line == nil {
		return nil // nobody listens
	}
	return s.Faults.Send(append(bytes.Clone(code), s.opts.Suffix...), func(b []byte) error {
		_, err := line.Write(b)
		return err
	})
}

// Serve sends codes on line until the line dies or ctx ends. What the host
// sends is not understood and thrown away.
func (s *Scanner) Serve(ctx context.Context, line io.ReadWriteCloser) error {
	stop := context.AfterFunc(ctx, func() { _ = line.Close() })
	defer stop()
	s.mu.Lock()
	s.line = line
	s.mu.Unlock()
	buf := make([]byte, 512)
	for {
		_, err := line.Read(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, io.ErrNoProgress) {
			return err
		}
	}
}
