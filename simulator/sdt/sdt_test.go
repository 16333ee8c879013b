package sdt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/simulator/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs r on a line and gives the host's end.
func serve(t *testing.T, r *Reader) net.Conn {
	return transcript.Serve(t.Context(), t, r.Serve)
}

// cards are those of the transcript.
var cards = map[string]Card{
	"resident": {
		Name: "张三", Sex: "1", Ethnic: "01", Birth: "19491231", Address: "北京市朝阳区测试路1号",
		Number: "11010519491231002X", Issuer: "北京市公安局朝阳分局", From: "20200101", To: "长期",
	},
	"unknown": {
		Type: 'Z', Name: "张三", Sex: "1", Ethnic: "01", Birth: "19491231", Address: "北京市朝阳区测试路1号",
		Number: "11010519491231002X", Issuer: "北京市公安局朝阳分局", From: "20200101", To: "长期",
	},
	"J": {
		Type: 'J', Name: "测试人", Sex: "2", Birth: "19940823", Address: "广东省深圳市测试路2号", Number: "810000199408230021",
		Issuer: "深圳市公安局", From: "20200101", To: "20250101", PassNumber: "H12345678", Count: "01",
	},
	"I": {
		Type: 'I', Name: "测试", EnglishName: "SAMPLE, TEST", Sex: "1", Birth: "19810803", Number: "CAN110081080310",
		Nationality: "CAN", From: "20180101", To: "20280101", Version: "01", Authority: "1100",
	},
	"Y": {
		Type: 'Y', Name: "测试", EnglishName: "MARGARETHE ALEXANDRA WILHELMINA OF SAMPLETOWN", Sex: "1", Count: "00",
		Birth: "19850101", Number: "932682198501010017", Nationality: "682", From: "20240101", To: "20340101", OldNumber: "007",
	},
}

func TestTranscripts(t *testing.T) {
	cs, err := transcript.Load("../../drivers/sdt/testdata/sdt.transcript")
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) < 27 {
		t.Errorf("%d conversations, want at least 27", len(cs))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := New(Opts{Refind: strings.Contains(c.Steps[0].Event, "finds again")})
				line := &badLine{Conn: serve(t, r)}
				transcript.Host(t, c, line, func(event string) error { return happen(r, line, event) })
			})
		})
	}
}

// happen makes an event of the transcript happen to a reader or its line.
func happen(r *Reader, line *badLine, event string) error {
	verb, rest, _ := strings.Cut(event, " ")
	switch verb {
	case "driver": // what the other twin is asked
		return nil
	case "a": // a reader that finds again: see TestTranscripts
		return nil
	case "lift":
		r.Lift()
		return nil
	case "lay":
		return lay(r, rest)
	case "fault":
		name, count, _ := strings.Cut(rest, " ")
		n := 1
		if count != "" {
			n, _ = strconv.Atoi(count)
		}
		kind, err := fault.Parse(name)
		r.Faults.Order(kind, n)
		return err
	case "the":
		return line.happen(rest)
	}
	return fmt.Errorf("%q is no event", event)
}

func lay(r *Reader, what string) error {
	name, how, _ := strings.Cut(what, ", ")
	name, status, fails := strings.Cut(name, " that ends with ")
	c, ok := cards[name]
	if !ok {
		return fmt.Errorf("%q is no card", name)
	}
	if fails {
		n, err := strconv.ParseUint(status, 16, 8)
		return errors.Join(err, r.LayFailing(c, byte(n)))
	}
	pull, ok := map[string]Stage{"": Whole, "pulled after find": AfterFind, "pulled after select": AfterSelect}[how]
	if !ok {
		return fmt.Errorf("%q is no stage", how)
	}
	return r.LayUntil(c, pull)
}

// badLine spoils what the host sends, when a transcript says so.
type badLine struct {
	net.Conn
	spoil map[int]byte // by place in the next request
	deaf  bool         // the speeds differ: nothing arrives
}

func (l *badLine) happen(event string) error {
	switch event {
	case "checksum of a request is spoilt":
		l.spoil = map[int]byte{9: 0x55}
	case "length of a request is spoilt":
		l.spoil = map[int]byte{6: 0x01} // 2 in the place of 3
	case "line runs at 115200 baud":
		l.deaf = true // the reader of that transcript is set to 9600
	case "line runs at 9600 baud":
		l.deaf = false
	default:
		return fmt.Errorf("%q does not happen to a line", event)
	}
	return nil
}

func (l *badLine) Write(p []byte) (int, error) {
	if l.deaf {
		return len(p), nil
	}
	p = bytes.Clone(p)
	for at, bits := range l.spoil {
		p[at] ^= bits
	}
	l.spoil = nil
	return l.Conn.Write(p)
}

func TestServeEndsWithItsContextAndMayBeCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Opts{})
		for range 2 {
			host, far := net.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			go func() { _ = ask(host, find) }()
			if err := r.Serve(ctx, far); err != nil {
				t.Errorf("Serve() = %v, want nil", err)
			}
			cancel()
			if _, err := far.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("the line gives %v, want it closed", err)
			}
			_ = host.Close()
		}
		host, far := net.Pipe()
		_ = host.Close()
		if err := r.Serve(t.Context(), far); err == nil {
			t.Error("Serve() = nil on a dead line, want its error")
		}
	})
}

func TestTheCardOutlivesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Opts{})
		if err := r.Lay(cards["resident"]); err != nil {
			t.Fatal(err)
		}
		for range 2 { // unplugged, and plugged in again
			host, far := net.Pipe()
			ended := make(chan error, 1)
			go func() { ended <- r.Serve(t.Context(), far) }()
			if got := ask(host, find); got != found {
				t.Errorf("find answers %02X, want 9F", got)
			}
			_ = host.Close()
			if err := <-ended; err == nil {
				t.Error("Serve() = nil when the line was pulled, want its error")
			}
		}
	})
}

func TestRequestsThatComeInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := serve(t, New(Opts{}))
		for _, b := range slicesOf([]byte("\xAA\xAA\xAA\x96\x69\x00\x03\x20\x01\x22"), 1) {
			_, _ = host.Write(b)
			time.Sleep(10 * time.Millisecond)
		}
		if got := hear(host); got[9] != noCard {
			t.Errorf("% X, want no card", got)
		}
	})
}

func slicesOf(b []byte, n int) [][]byte {
	var all [][]byte
	for ; len(b) > 0; b = b[min(n, len(b)):] {
		all = append(all, b[:min(n, len(b))])
	}
	return all
}
