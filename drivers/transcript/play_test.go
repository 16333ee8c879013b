package transcript_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// judge is a test that may fail without failing this one.
type judge struct {
	said []string
	ends []func()
}

func (j *judge) Helper() {}
func (j *judge) Errorf(format string, args ...any) {
	j.said = append(j.said, fmt.Sprintf(format, args...))
}
func (j *judge) Cleanup(f func()) { j.ends = append(j.ends, f) }

// end ends the judged test.
func (j *judge) end() {
	for _, f := range j.ends {
		f()
	}
}

// blames reports whether the verdict is want: nothing, or one sentence with it.
func (j *judge) blames(want string) bool {
	if want == "" {
		return len(j.said) == 0
	}
	return len(j.said) == 1 && strings.Contains(j.said[0], want)
}

func parse(t *testing.T, text string) transcript.Conversation {
	t.Helper()
	cs, err := transcript.Parse(strings.NewReader(text))
	if err != nil || len(cs) != 1 {
		t.Fatalf("%d conversations, %v, want one", len(cs), err)
	}
	return cs[0]
}

// driver asks one question as a driver would, if it has one, and gives what it
// hears then up to the last byte, 0D.
func driver(line net.Conn, question string) string {
	if question != "" {
		if _, err := io.WriteString(line, question); err != nil {
			return err.Error()
		}
	}
	var heard []byte
	for b := make([]byte, 1); len(heard) == 0 || heard[len(heard)-1] != '\r'; {
		if _, err := line.Read(b); err != nil {
			return err.Error()
		}
		heard = append(heard, b...)
	}
	return string(heard)
}

const questions = `
== questions
! for the reader
> "who"
< "me" 0D
~ 2s
< "late" 0D
> "why"
< "so" 0D
`

func TestDevicePlaysItsSide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j judge
		line := transcript.Device(&j, parse(t, questions))
		if got := driver(line, "who"); got != "me\r" {
			t.Errorf("%q, want me", got)
		}
		start := time.Now()
		if got := driver(line, ""); got != "late\r" || time.Since(start) != 2*time.Second {
			t.Errorf("%q after %v, want late after 2s", got, time.Since(start))
		}
		if got := driver(line, "why"); got != "so\r" {
			t.Errorf("%q, want so", got)
		}
		// After the last step it is silent, and the line stays open.
		_ = line.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err := line.Read(make([]byte, 1)); n != 0 || errors.Is(err, io.EOF) {
			t.Errorf("%d bytes, %v after the last step, want silence", n, err)
		}
		j.end()
		if !j.blames("") {
			t.Errorf("a driver that did as written was blamed: %q", j.said)
		}
	})
}

func TestDeviceBlamesADriver(t *testing.T) {
	tests := []struct {
		what, text string
		drive      func(line net.Conn)
		want       string
	}{
		{"that sends another byte", questions, func(line net.Conn) { _, _ = io.WriteString(line, "whu") }, `"questions": line 4: got 77 68 75, want 77 68 6F`},
		{"that sends too little", questions, func(line net.Conn) { _, _ = io.WriteString(line, "wh"); time.Sleep(time.Hour) }, "line 4: got 77 68, want 77 68 6F"},
		{"that sends nothing", questions, func(net.Conn) { time.Sleep(time.Hour) }, "line 4: got , want"},
		{"that does not read", questions, func(line net.Conn) { _, _ = io.WriteString(line, "who"); time.Sleep(time.Hour) }, "line 5: the driver does not read"},
		{"that ends early", questions, func(line net.Conn) { driver(line, "who"); driver(line, "") }, "line 8: got , want"},
		{"that sends more than was written", "> 01", func(line net.Conn) { _, _ = line.Write([]byte{1, 2}) }, "the driver sent 02 after the last step"},
		{"with a transcript of a bus", "i2c 5A > 07", func(net.Conn) {}, "line 1: an i2c step cannot be played"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j judge
				line := transcript.Device(&j, parse(t, tt.text))
				tt.drive(line)
				_ = line.SetDeadline(time.Now())
				j.end()
				if !j.blames(tt.want) {
					t.Errorf("%q, want one sentence with %q", j.said, tt.want)
				}
			})
		})
	}
}

func TestHostBlamesADevice(t *testing.T) {
	lying := errors.New("no card to lay")
	tests := []struct {
		what, text string
		serve      func(line net.Conn)
		event      func(string) error
		want       string
	}{
		{"but not one that does as written", "! lay\n> 01\n~ 5s\n< 02", func(line net.Conn) { answer(line, 2) }, func(string) error { return nil }, ""},
		{"that answers another byte", "> 01\n< 02", func(line net.Conn) { answer(line, 3) }, nil, `"" line 2: got 03, want 02`},
		{"that answers too little", "> 01\n< 02 03", func(line net.Conn) { answer(line, 2) }, nil, "line 2: got 02, want 02 03"},
		{"that answers more than was written", "> 01\n< 02", func(line net.Conn) { answer(line, 2); _, _ = line.Write([]byte{9}) }, nil, "the device sent 09 after the last step"},
		{"that does not listen", "> 01", func(net.Conn) {}, nil, "line 1: "},
		{"that something could not happen to", "! lay", func(net.Conn) {}, func(string) error { return lying }, "line 1: no card to lay"},
		{"with an event for nobody", "> 01\n! lay", func(line net.Conn) { answer(line) }, nil, `line 2: event "lay" and nobody`},
		{"with a transcript of a bus", "i2c 5A > 07", func(net.Conn) {}, nil, "line 1: an i2c step cannot be played"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j judge
				host, far := net.Pipe()
				done := make(chan struct{})
				go func() { defer close(done); tt.serve(far) }()
				transcript.Host(&j, parse(t, tt.text), host, tt.event)
				if _, err := host.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the line gives %v afterwards, want it closed", err)
				}
				<-done
				if !j.blames(tt.want) {
					t.Errorf("%q, want one sentence with %q, or silence if that is empty", j.said, tt.want)
				}
			})
		})
	}
}

// answer takes one byte and sends those given.
func answer(line net.Conn, b ...byte) {
	if _, err := line.Read(make([]byte, 1)); err == nil && len(b) > 0 {
		_, _ = line.Write(b)
	}
}

func TestHostTellsItsEventsInOrder(t *testing.T) {
	host, far := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, far) }()
	var events []string
	transcript.Host(t, parse(t, "! lay card\n> 01\n! lift card"), host, func(s string) error {
		events = append(events, s)
		return nil
	})
	if got, want := strings.Join(events, ", "), "lay card, lift card"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}
