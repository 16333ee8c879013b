// Package syn6288 is the far end of a speech module: it takes frames from a
// serial line and says what it would speak.
//
//	FD | length, 2 bytes | command | parameter | text | XOR (not XFS5152CE)
//
// # Simulated
//
// Frames, checked strictly: a bad one is answered by 45 and skipped byte by
// byte to the next start. Speaking in GB2312, GBK, BIG5 or Unicode, with the
// volume tag obeyed and every other tag swallowed; stop; status; busy and
// idle; a newer speech cuts off the older, which then ends without a 4F; 4A
// after power-up.
//
// # Not simulated
//
// Sound, music, the limit of 8 ms between bytes, what the baud rate does to
// the time of a frame. Pause, resume, sleep and baud are accepted and change
// nothing.
package syn6288

import (
	"context"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// Opts is what the module is like. The zero value is a SYN6288 that speaks in
// no time. Callbacks may be nil and are called without locks held.
type Opts struct {
	// XFS makes it an XFS5152CE: no check byte, up to 4 KB of text.
	XFS bool
	// PerRune is how long it speaks a character.
	PerRune time.Duration
	// BareStatus answers a status query by 4E or 4F alone, without a 41 before
	// it; one source has it so, another not.
	BareStatus bool

	// OnSpeak is called when it begins to speak, with the text less its tags.
	OnSpeak func(text string)
	// OnDone is called when it has spoken to the end; a speech that is cut off
	// has no end.
	OnDone func(text string)
}

// RealTiming is a module at its normal speed, about four characters a second
// (our estimate: the driver reckons with 300 ms a character).
func RealTiming() Opts { return Opts{PerRune: 250 * time.Millisecond} }

// Speaker is one module. It is safe for concurrent use.
type Speaker struct {
	// Faults spoils the next answers.
	Faults fault.Plan

	opts Opts

	mu     sync.Mutex
	out    chan []byte // answers to the line that is being served; nil without one
	speech *speech     // nil when idle
	volume int
	reject int
	ready  bool // a 4A is owed
}

// speech is one text being spoken. Its timer is nil where it takes no time.
type speech struct {
	text  string
	timer *time.Timer
}

// asShipped is the volume of a new module.
const asShipped = 10

// New gives an idle module.
func New(opts Opts) *Speaker { return &Speaker{opts: opts, volume: asShipped} }

// Serve obeys the line until it dies, whose error it returns, or until ctx
// ends; then it closes the line and returns nil. One line at a time. A speech
// goes on without its line.
func (s *Speaker) Serve(ctx context.Context, line io.ReadWriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = line.Close()
		close(closed)
	})
	out := make(chan []byte, 64)
	var writer sync.WaitGroup
	writer.Go(func() { s.write(ctx, line, out) })
	s.plug(out)
	err := s.read(line)
	s.plug(nil)
	ended := ctx.Err() != nil
	if stop() {
		_ = line.Close() // or a writer that blocks would never end
	} else {
		<-closed
	}
	cancel()
	writer.Wait()
	if ended {
		return nil
	}
	return err
}

// Speaking reports whether it speaks, and what.
func (s *Speaker) Speaking() (text string, speaking bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.speech == nil {
		return "", false
	}
	return s.speech.text, true
}

// Volume is what the last volume tag said, 0–16.
func (s *Speaker) Volume() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.volume
}

// Reject makes the module take the next n frames as spoilt on the line.
func (s *Speaker) Reject(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reject = n
}

// PowerCycle falls silent, forgets the volume, and says 4A.
func (s *Speaker) PowerCycle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hush()
	s.volume, s.reject, s.ready = asShipped, 0, true
	s.greet()
}

//

// plug sets the way for answers; nil is no line.
func (s *Speaker) plug(out chan []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = out
	s.greet()
}

// greet says 4A if one is owed and there is a line. The caller has the lock.
func (s *Speaker) greet() {
	if s.ready && s.out != nil {
		s.ready = false
		s.send(ready)
	}
}

// send queues one answer. A host that never reads loses what does not fit, as
// on a real line. The caller has the lock.
func (s *Speaker) send(answer ...byte) {
	select {
	case s.out <- answer:
	default: // also without a line: nothing goes into a nil channel
	}
}

// write sends the answers until ctx ends or the line dies.
func (s *Speaker) write(ctx context.Context, line io.Writer, out chan []byte) {
	for {
		select {
		case <-ctx.Done():
			return
		case answer := <-out:
			err := s.Faults.Send(answer, func(b []byte) error {
				_, err := line.Write(b)
				return err
			})
			if err != nil {
				return
			}
		}
	}
}

// read obeys frames until the line dies.
func (s *Speaker) read(line io.Reader) error {
	p := parser{xfs: s.opts.XFS}
	buf := make([]byte, 512)
	for {
		n, err := line.Read(buf)
		p.push(buf[:n])
		for {
			f, found := p.next()
			if !found {
				break
			}
			s.take(f)
		}
		if err != nil {
			return err
		}
	}
}

// take obeys one frame, or rejects it.
func (s *Speaker) take(f frame) {
	s.mu.Lock()
	if s.reject > 0 && f.ok {
		s.reject--
		f.ok = false
	}
	text, volume, ok := "", 0, f.ok
	if ok && f.cmd == cmdSpeak {
		text, volume, ok = decode(f.data)
	}
	if !ok {
		s.send(rejected)
		s.mu.Unlock()
		return
	}
	switch f.cmd {
	case cmdSpeak:
		s.mu.Unlock()
		s.speak(text, volume)
		return
	case cmdStop:
		s.hush()
		s.send(accepted)
	case cmdStatus:
		s.status()
	default:
		s.send(accepted)
	}
	s.mu.Unlock()
}

// status answers a query. The caller has the lock.
func (s *Speaker) status() {
	state := byte(idle)
	if s.speech != nil {
		state = busy
	}
	if s.opts.BareStatus {
		s.send(state)
		return
	}
	s.send(accepted, state)
}

// hush cuts the speech off. The caller has the lock.
func (s *Speaker) hush() {
	if s.speech != nil && s.speech.timer != nil {
		s.speech.timer.Stop()
	}
	s.speech = nil
}

// speak begins to speak; a frame that only sets the volume has no text, and is
// over at once. Only Serve calls it, so no two begin together.
func (s *Speaker) speak(text string, volume int) {
	s.mu.Lock()
	s.hush()
	if volume >= 0 {
		s.volume = volume
	}
	s.send(accepted)
	s.mu.Unlock()
	if text != "" && s.opts.OnSpeak != nil {
		s.opts.OnSpeak(text)
	}
	sp := &speech{text: text}
	length := time.Duration(utf8.RuneCountInString(text)) * s.opts.PerRune
	s.mu.Lock()
	s.speech = sp
	if length > 0 {
		sp.timer = time.AfterFunc(length, func() { s.end(sp) })
	}
	s.mu.Unlock()
	if length == 0 {
		s.end(sp)
	}
}

// end ends sp, unless it was cut off.
func (s *Speaker) end(sp *speech) {
	s.mu.Lock()
	if s.speech != sp {
		s.mu.Unlock()
		return
	}
	s.speech = nil
	s.send(idle)
	s.mu.Unlock()
	if sp.text != "" && s.opts.OnDone != nil {
		s.opts.OnDone(sp.text)
	}
}
