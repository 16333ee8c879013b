package syn6288

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/haltest"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

func TestTranscripts(t *testing.T) {
	opts := map[string]Opts{
		"volume 11":                   {Volume: 11},
		"XFS5152CE has no check byte": {Variant: XFS5152CE},
	}
	wrong := map[string]string{"a frame rejected twice is an error": "rejected"}
	cs, err := transcript.Load("testdata/syn6288.transcript")
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) < 13 {
		t.Fatalf("%d conversations, want at least 13", len(cs))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, err := New(t.Context(), transcript.Device(t, c), opts[c.Name])
				if err != nil {
					t.Fatal(err)
				}
				halted := say(t, d, c.Steps)
				for i, err := range halted.errs {
					switch want := wrong[c.Name]; {
					case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
						t.Errorf("prompt %d: %v, want an error with %q", i+1, err, want)
					case want == "" && err != nil && !(halted.by && errors.Is(err, errHalted)):
						t.Errorf("prompt %d: %v, want no error", i+1, err)
					}
				}
			})
		})
	}
}

type said struct {
	errs []error
	by   bool // halt was called
}

// say does what a conversation asks of the driver, each step ten minutes after
// the one before unless that is a prompt to be cut off.
func say(t *testing.T, d *Dev, steps []transcript.Step) said {
	t.Helper()
	var s said
	var plays sync.WaitGroup
	var mu sync.Mutex
	cut := false
	for _, step := range steps {
		cut = cut || strings.HasPrefix(step.Event, "cut ")
	}
	for _, step := range steps {
		switch verb, arg, _ := strings.Cut(step.Event, " "); verb {
		case "say":
			plays.Go(func() {
				err := d.Play(t.Context(), hal.Prompt{ID: "test", Text: arg})
				mu.Lock()
				defer mu.Unlock()
				s.errs = append(s.errs, err)
			})
			time.Sleep(time.Second)
			if !cut {
				plays.Wait()
			}
		case "halt":
			s.by = true
			if err := d.Halt(); err != nil {
				t.Errorf("Halt() = %v", err)
			}
		}
	}
	plays.Wait()
	return s
}

// The vectors of the fact sheet, 4.1 and 4.2.
func TestFrame(t *testing.T) {
	tests := []struct {
		what string
		v    Variant
		cmd  byte
		data []byte
		want []byte
	}{
		{"GB2312", SYN6288, 1, []byte{0, 0xD3, 0xEE, 0xD2, 0xF4, 0xCC, 0xEC, 0xCF, 0xC2}, []byte{0xFD, 0, 0x0B, 1, 0, 0xD3, 0xEE, 0xD2, 0xF4, 0xCC, 0xEC, 0xCF, 0xC2, 0xC1}},
		{"GBK", SYN6288, 1, []byte{1, 0xD3, 0xEE, 0xD2, 0xF4, 0xCC, 0xEC, 0xCF, 0xC2}, []byte{0xFD, 0, 0x0B, 1, 1, 0xD3, 0xEE, 0xD2, 0xF4, 0xCC, 0xEC, 0xCF, 0xC2, 0xC0}},
		{"GBK, music 1", SYN6288, 1, []byte{9, 0xD3, 0xEE, 0xD2, 0xF4, 0xCC, 0xEC, 0xCF, 0xC2}, []byte{0xFD, 0, 0x0B, 1, 9, 0xD3, 0xEE, 0xD2, 0xF4, 0xCC, 0xEC, 0xCF, 0xC2, 0xC8}},
		{"GBK, music 15", SYN6288, 1, []byte{0x79, 0xD3, 0xEE, 0xD2, 0xF4, 0xCC, 0xEC, 0xCF, 0xC2}, []byte{0xFD, 0, 0x0B, 1, 0x79, 0xD3, 0xEE, 0xD2, 0xF4, 0xCC, 0xEC, 0xCF, 0xC2, 0xB8}},
		{"BIG5", SYN6288, 1, []byte{2, 0xA6, 0x74, 0xAD, 0xB5, 0xA4, 0xD1, 0xA4, 0x55}, []byte{0xFD, 0, 0x0B, 1, 2, 0xA6, 0x74, 0xAD, 0xB5, 0xA4, 0xD1, 0xA4, 0x55, 0xBB}},
		{"Unicode, as printed", SYN6288, 1, []byte{3, 0x8B, 0xED, 0x97, 0xF3, 0x59, 0x29, 0x4E, 0x0B}, []byte{0xFD, 0, 0x0B, 1, 3, 0x8B, 0xED, 0x97, 0xF3, 0x59, 0x29, 0x4E, 0x0B, 0xC3}},
		{"Unicode, as meant", SYN6288, 1, []byte{3, 0x5B, 0x87, 0x97, 0xF3, 0x59, 0x29, 0x4E, 0x0B}, []byte{0xFD, 0, 0x0B, 1, 3, 0x5B, 0x87, 0x97, 0xF3, 0x59, 0x29, 0x4E, 0x0B, 0x79}},
		{"volume 11", SYN6288, 1, []byte("\x01[v11]"), []byte{0xFD, 0, 8, 1, 1, 0x5B, 0x76, 0x31, 0x31, 0x5D, 0x85}},
		{"please pass", SYN6288, 1, []byte{1, 0xC7, 0xEB, 0xCD, 0xA8, 0xD0, 0xD0}, []byte{0xFD, 0, 9, 1, 1, 0xC7, 0xEB, 0xCD, 0xA8, 0xD0, 0xD0, 0xBD}},
		{"status", SYN6288, 0x21, nil, []byte{0xFD, 0, 2, 0x21, 0xDE}},
		{"stop", SYN6288, 2, nil, []byte{0xFD, 0, 2, 2, 0xFD}},
		{"pause", SYN6288, 3, nil, []byte{0xFD, 0, 2, 3, 0xFC}},
		{"resume", SYN6288, 4, nil, []byte{0xFD, 0, 2, 4, 0xFB}},
		{"sleep", SYN6288, 0x88, nil, []byte{0xFD, 0, 2, 0x88, 0x77}},
		{"9600 baud", SYN6288, 0x31, []byte{0}, []byte{0xFD, 0, 3, 0x31, 0, 0xCF}},
		{"19200 baud", SYN6288, 0x31, []byte{1}, []byte{0xFD, 0, 3, 0x31, 1, 0xCE}},
		{"38400 baud", SYN6288, 0x31, []byte{2}, []byte{0xFD, 0, 3, 0x31, 2, 0xCD}},
		{"XFS5152CE, please pass", XFS5152CE, 1, []byte{1, 0xC7, 0xEB, 0xCD, 0xA8, 0xD0, 0xD0}, []byte{0xFD, 0, 8, 1, 1, 0xC7, 0xEB, 0xCD, 0xA8, 0xD0, 0xD0}},
		{"XFS5152CE, stop", XFS5152CE, 2, nil, []byte{0xFD, 0, 1, 2}},
		{"XFS5152CE, status", XFS5152CE, 0x21, nil, []byte{0xFD, 0, 1, 0x21}},
	}
	for _, tt := range tests {
		if got, err := frame(tt.v, tt.cmd, tt.data); err != nil || !bytes.Equal(got, tt.want) {
			t.Errorf("%s: % X, %v, want % X", tt.what, got, err, tt.want)
		}
	}
	if _, err := frame(SYN6288, cmdSpeak, make([]byte, 202)); err == nil {
		t.Error("a text of 201 bytes was framed, want an error")
	}
	full, err := frame(SYN6288, cmdSpeak, make([]byte, 201))
	if err != nil || len(full) != 206 {
		t.Errorf("a text of 200 bytes gives %d bytes, %v, want 206", len(full), err)
	}
}

// chip is a module that speaks 100 ms a byte and acknowledges everything.
type chip struct {
	line net.Conn

	mu     sync.Mutex
	speech *time.Timer
	frames [][]byte
	times  []time.Time
	mute   bool // answers nothing
}

func newChip(t *testing.T) (*chip, net.Conn) {
	host, far := net.Pipe()
	c := &chip{line: far}
	go c.serve()
	t.Cleanup(func() { _ = host.Close(); _ = far.Close() })
	return c, host
}

func (c *chip) serve() {
	for {
		head := make([]byte, 3)
		if _, err := io.ReadFull(c.line, head); err != nil {
			return
		}
		body := make([]byte, int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(c.line, body); err != nil {
			return
		}
		c.take(append(head, body...))
	}
}

func (c *chip) take(f []byte) {
	c.mu.Lock()
	c.frames, c.times = append(c.frames, f), append(c.times, time.Now())
	mute := c.mute
	speaking := c.speech != nil && f[3] == cmdStatus
	if f[3] != cmdStatus && c.speech != nil {
		c.speech.Stop()
		c.speech = nil
	}
	c.mu.Unlock()
	switch {
	case mute:
	case f[3] == cmdStatus && speaking:
		_, _ = c.line.Write([]byte{busy})
	case f[3] == cmdStatus:
		_, _ = c.line.Write([]byte{idle})
	default:
		_, _ = c.line.Write([]byte{accepted})
	}
	if f[3] != cmdSpeak || mute {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.speech = time.AfterFunc(time.Duration(len(f))*100*time.Millisecond, func() {
		c.mu.Lock()
		c.speech = nil
		c.mu.Unlock()
		_, _ = c.line.Write([]byte{idle})
	})
}

func (c *chip) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.speech != nil {
		c.speech.Stop()
	}
	_ = c.line.Close()
}

func TestContract(t *testing.T) {
	haltest.TestSpeaker(t, func(t *testing.T) haltest.Rig {
		c, host := newChip(t)
		d, err := New(t.Context(), host, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		return haltest.Rig{Dev: d, Unplug: c.close, Close: func() { c.close(); _ = host.Close() }}
	})
}

func TestOptsAreChecked(t *testing.T) {
	for name, o := range map[string]Opts{
		"volume 17":               {Volume: 17},
		"volume below 0":          {Volume: -1},
		"volume 11 of an XFS":     {Variant: XFS5152CE, Volume: 11},
		"a variant of the future": {Variant: 2},
	} {
		if _, err := New(t.Context(), nil, o); err == nil {
			t.Errorf("%s: New() = nil, want an error", name)
		}
	}
}

func TestASilentModuleIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, host := newChip(t)
		c.mute = true
		if _, err := New(t.Context(), host, Opts{}); !errors.Is(err, hal.ErrGone) {
			t.Errorf("New() = %v, want hal.ErrGone", err)
		}
		c.mu.Lock()
		c.mute = false
		c.mu.Unlock()
		d, err := New(t.Context(), host, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Probe(t.Context()); err != nil {
			t.Errorf("Probe() = %v, want nil", err)
		}
		c.mu.Lock()
		c.mute = true
		c.mu.Unlock()
		if err := d.Play(t.Context(), hal.Prompt{Text: "请通行"}); !errors.Is(err, hal.ErrGone) {
			t.Errorf("Play() = %v, want hal.ErrGone", err)
		}
		if err := d.Probe(t.Context()); !errors.Is(err, hal.ErrGone) {
			t.Errorf("Probe() = %v, want hal.ErrGone", err)
		}
	})
}

func TestFramesAreSpaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, host := newChip(t)
		d, err := New(t.Context(), host, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // each cuts off the one before, while that is still on the wire
			go func() { _ = d.Play(t.Context(), hal.Prompt{Text: "请出示您的健康码"}) }()
			time.Sleep(30 * time.Millisecond)
		}
		if err := d.Play(t.Context(), hal.Prompt{Text: "请通行"}); err != nil {
			t.Fatal(err)
		}
		if len(c.frames) != 5 {
			t.Fatalf("%d frames, want 5", len(c.frames))
		}
		for i := 1; i < len(c.times); i++ {
			least := time.Duration(len(c.frames[i-1]))*time.Second*10/9600 + 8*time.Millisecond
			if gap := c.times[i].Sub(c.times[i-1]); gap < least {
				t.Errorf("frame %d came %v after the one before, want at least %v", i, gap, least)
			}
		}
	})
}

func TestOfManyPromptsTheNewestIsSpokenToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, host := newChip(t)
		d, err := New(t.Context(), host, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		errs := make(chan error, 10)
		for i := range 10 {
			go func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				errs <- d.Play(t.Context(), hal.Prompt{Text: strings.Repeat("请通行", 10)})
			}()
		}
		for i := range 10 {
			if err := <-errs; err != nil {
				t.Errorf("Play() = %v", err)
			}
			if i == 8 && time.Since(start) > time.Second {
				t.Errorf("nine prompts were cut off after %v, want 1s", time.Since(start))
			}
		}
		last := len(c.frames) - 1
		if want := time.Duration(len(c.frames[last])) * 100 * time.Millisecond; time.Since(c.times[last]) < want {
			t.Errorf("the last prompt returned after %v, want %v", time.Since(c.times[last]), want)
		}
	})
}

func TestACancelledPromptReturnsAndTheNextIsNotMistaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, host := newChip(t)
		d, err := New(t.Context(), host, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := d.Play(ctx, hal.Prompt{Text: "请出示您的健康码"}); err != context.DeadlineExceeded {
			t.Errorf("Play() = %v, want context.DeadlineExceeded", err)
		}
		if got := time.Since(start); got != 500*time.Millisecond {
			t.Errorf("returned after %v, want 500ms", got)
		}
		time.Sleep(10 * time.Second) // its idle is on the line by now
		start = time.Now()
		if err := d.Play(t.Context(), hal.Prompt{Text: "请通行"}); err != nil {
			t.Errorf("Play() = %v", err)
		}
		if got := time.Since(start); got < 1200*time.Millisecond {
			t.Errorf("returned after %v, before the speech was over", got)
		}
		c.close()
	})
}

func TestALineThatNeverFallsQuietIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, far := net.Pipe()
		var noise sync.WaitGroup
		defer noise.Wait()
		defer host.Close()
		noise.Go(func() {
			for {
				if _, err := far.Write([]byte{0x55}); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
		start := time.Now()
		_, err := New(t.Context(), host, Opts{})
		if err == nil || errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 3*time.Second {
			t.Errorf("New() = %v after %v, want an error of its own within 3s", err, time.Since(start))
		}
	})
}

// script is a line whose far end says the next of its pieces after every
// frame, and where silence costs no time.
type script struct {
	say    [][]byte
	now    []byte
	writes int
	heard  []byte
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.now) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, s.now)
	s.heard = append(s.heard, s.now[:n]...)
	s.now = s.now[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.writes++
	if len(s.say) > 0 {
		s.now, s.say = append(s.now, s.say[0]...), s.say[1:]
	}
	return len(p), nil
}

func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

func FuzzReplies(f *testing.F) {
	f.Add([]byte{idle, 0xFF, accepted, idle})
	f.Add([]byte{accepted, busy, 0xFF, rejected, 0xFF, accepted, 0xFF, busy, 0xFF, idle})
	f.Add([]byte{restarted, 0xFF, 0xFF, idle, 0xFF, accepted, rejected})
	f.Fuzz(func(t *testing.T, said []byte) {
		s := &script{say: bytes.Split(said, []byte{0xFF})}
		d, err := New(t.Context(), s, Opts{})
		if err != nil {
			return
		}
		s.heard, s.writes = nil, 0
		err = d.Play(t.Context(), hal.Prompt{Text: "请通行"})
		if err == nil && !bytes.ContainsAny(s.heard, "\x4F\x4A") {
			t.Errorf("spoken to the end after % X", s.heard)
		}
		if s.writes > 24 {
			t.Errorf("%d frames for one prompt", s.writes)
		}
	})
}

var _ wire.Line = &script{}
