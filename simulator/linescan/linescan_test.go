package linescan_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/simulator/fault"
	"github.com/digital-sentinel/sentinel/simulator/linescan"
)

// serve runs s on a line and gives the host's end.
func serve(t *testing.T, s *linescan.Scanner) net.Conn {
	host := transcript.Serve(t.Context(), t, s.Serve)
	synctest.Wait() // it knows its line
	return host
}

func TestTranscripts(t *testing.T) {
	cs, err := transcript.Load("../../drivers/linescan/testdata/linescan.transcript")
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) < 9 {
		t.Fatalf("%d conversations, want at least 9", len(cs))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := linescan.New(linescan.Opts{Suffix: suffix(t, c)})
				transcript.Host(t, c, serve(t, s), func(event string) error { return happen(t, s, event) })
			})
		})
	}
}

// suffix is the scanner's setting for a conversation.
func suffix(t *testing.T, c transcript.Conversation) string {
	t.Helper()
	for _, s := range c.Steps {
		switch arg, ok := strings.CutPrefix(s.Event, "suffix "); {
		case !ok:
		case arg == "none":
			return arg
		default:
			text, err := strconv.Unquote(arg)
			if err != nil {
				t.Fatalf("%s: %v", arg, err)
			}
			return text
		}
	}
	return ""
}

// happen makes happen what an event line says.
func happen(t *testing.T, s *linescan.Scanner, event string) error {
	switch verb, arg, _ := strings.Cut(event, " "); verb {
	case "scan", "suffix": // what is asked of the driver, and what is set already
		return nil
	case "split":
		n, err := strconv.Atoi(arg)
		s.Faults.Order(fault.Split, n)
		return err
	case "show":
		code, err := strconv.Unquote(arg)
		go show(t, s, code)
		return err
	}
	return fmt.Errorf("%q is no event", event)
}

func show(t *testing.T, s *linescan.Scanner, code string) {
	t.Helper()
	if err := s.Show([]byte(code)); err != nil {
		t.Errorf("Show() = %v", err)
	}
}

// hear returns what the scanner has sent within d.
func hear(t *testing.T, host net.Conn, d time.Duration) string {
	t.Helper()
	var all []byte
	buf := make([]byte, 64)
	_ = host.SetReadDeadline(time.Now().Add(d))
	for {
		n, err := host.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			return string(all)
		}
	}
}

func TestFaultsSpoilCodes(t *testing.T) {
	for kind, want := range map[fault.Kind]string{
		fault.Silence:  "",
		fault.Short:    "HS-",
		fault.Checksum: "HS-1\r\x5F",
		fault.Noise:    "\xFF\xAA\xAA\x00\x7EHS-1\r\n",
		fault.Slow:     "",
		fault.Split:    "HS-1\r\n",
	} {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := linescan.New(linescan.Opts{})
				s.Faults.Order(kind, 1)
				host := serve(t, s)
				go show(t, s, "HS-1")
				if got := hear(t, host, time.Second); got != want {
					t.Errorf("sent %q, want %q", got, want)
				}
				_ = hear(t, host, 2*time.Second) // what comes late
				go show(t, s, "HS-2")
				if got := hear(t, host, time.Second); got != "HS-2\r\n" {
					t.Errorf("sent %q after the fault, want HS-2", got)
				}
			})
		})
	}
}

func TestDecodingTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := linescan.New(linescan.RealTiming())
		start := time.Now()
		show(t, s, "HS-1") // nobody listens, and that is no error
		if got := time.Since(start); got != 100*time.Millisecond {
			t.Errorf("took %v, want 100ms", got)
		}
	})
}

func TestOrdersAreNotUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := linescan.New(linescan.Opts{})
		host := serve(t, s)
		if _, err := host.Write([]byte("\x7E\x00\x07\x01\x00\xE2\x01\x77\x91")); err != nil {
			t.Fatal(err)
		}
		if got := hear(t, host, time.Minute); got != "" {
			t.Errorf("sent %q, want nothing", got)
		}
	})
}

func TestServeEndsWithItsContextAndMayBeCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := linescan.New(linescan.Opts{})
		for range 2 {
			host, far := net.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			time.AfterFunc(500*time.Millisecond, func() { show(t, s, "HS-1") })
			heard := make(chan string, 1)
			go func() { heard <- hear(t, host, time.Minute) }()
			if err := s.Serve(ctx, far); err != nil {
				t.Errorf("Serve() = %v, want nil", err)
			}
			cancel()
			if got := <-heard; got != "HS-1\r\n" {
				t.Errorf("sent %q, want HS-1", got)
			}
			s.PowerCycle()
		}
		host, far := net.Pipe()
		_ = host.Close()
		if err := s.Serve(t.Context(), far); err == nil {
			t.Error("Serve() = nil on a dead line, want its error")
		}
		if err := s.Show([]byte("HS-1")); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("Show() = %v on a dead line, want the line's error", err)
		}
	})
}
