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

	"github.com/digital-sentinel/sentinel/drivers/linescan"
	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/haltest"
)

func TestTranscripts(t *testing.T) {
	cs, err := transcript.Load("testdata/linescan.transcript")
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) < 9 {
		t.Fatalf("%d conversations, want at least 9", len(cs))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, err := linescan.New(transcript.Device(t, c), linescan.Opts{})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Halt()
				for _, s := range c.Steps {
					if text, ok := strings.CutPrefix(s.Event, "scan "); ok {
						wantScan(t, d, text)
					}
				}
				wantNothing(t, d)
			})
		})
	}
}

// wantScan wants that Scan gives the quoted text.
func wantScan(t *testing.T, d *linescan.Dev, quoted string) {
	t.Helper()
	want, err := strconv.Unquote(quoted)
	if err != nil {
		t.Fatalf("%s: %v", quoted, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got, err := d.Scan(ctx); err != nil || got.Truncated || string(got.Data) != want {
		t.Errorf("Scan() = %q, %v, want %q", got.Data, err, want)
	}
}

// wantNothing wants that no code is waiting or comes.
func wantNothing(t *testing.T, d *linescan.Dev) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if got, err := d.Scan(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Scan() = %q, %v, want context.DeadlineExceeded", got.Data, err)
	}
}

// open gives a driver, and the function that sends to it.
func open(t *testing.T, o linescan.Opts) (d *linescan.Dev, far net.Conn, send func(...string)) {
	t.Helper()
	host, far := net.Pipe()
	d, err := linescan.New(host, o)
	if err != nil {
		t.Fatal(err)
	}
	return d, far, func(pieces ...string) {
		for _, p := range pieces {
			_, _ = far.Write([]byte(p))
		}
	}
}

func TestContract(t *testing.T) {
	haltest.TestScanner(t, func(t *testing.T) haltest.Rig {
		d, far, send := open(t, linescan.Opts{})
		return haltest.Rig{
			Dev:     d,
			Present: func() { send("HALTEST-1\r\n") },
			Unplug:  func() { _ = far.Close() },
			Close:   func() { _ = far.Close() },
		}
	})
}

func TestAGapBelowNothingIsRefused(t *testing.T) {
	// A read of this line would be a panic.
	if _, err := linescan.New(nil, linescan.Opts{Gap: -1}); err == nil {
		t.Error("New() = nil, want an error")
	}
}

func TestCodesOfEveryLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, send := open(t, linescan.Opts{})
		defer d.Halt()
		for name, n := range map[string]int{"one byte": 1, "the largest QR code": 2953, "the limit": 4096, "too long": 4097, "far too long": 20000} {
			for _, end := range []string{"\r", "\n", "\r\n"} {
				go send(strings.Repeat("7", n), end, "HS-1"+end)
				got, err := d.Scan(t.Context())
				switch {
				case err != nil:
					t.Errorf("%s, %q: %v", name, end, err)
				case n > 4096 && (!got.Truncated || len(got.Data) != 0):
					t.Errorf("%s, %q: %v, want no data and Truncated", name, end, got)
				case n <= 4096 && string(got.Data) != strings.Repeat("7", n):
					t.Errorf("%s, %q: %v, want all of %d bytes", name, end, got, n)
				}
				wantScan(t, d, `"HS-1"`)
			}
		}
	})
}

func TestASilenceEndsACode(t *testing.T) {
	for name, tt := range map[string]struct{ gap, want time.Duration }{
		"by default":    {0, 60 * time.Millisecond},
		"as configured": {25 * time.Millisecond, 25 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _, send := open(t, linescan.Opts{Gap: tt.gap})
				defer d.Halt()
				start := time.Now()
				go func() {
					for _, piece := range []string{"HS", "-", "1"} { // one code still
						send(piece)
						time.Sleep(tt.want - time.Millisecond)
					}
				}()
				wantScan(t, d, `"HS-1"`)
				if got, want := time.Since(start), 3*tt.want-2*time.Millisecond; got != want {
					t.Errorf("given after %v, want %v", got, want)
				}
			})
		})
	}
}

// A silence ends a code that is too long as well, and its tail is not another.
func TestACodeTooLongAndNoLineEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, send := open(t, linescan.Opts{})
		defer d.Halt()
		go send(strings.Repeat("7", 5000))
		if got, err := d.Scan(t.Context()); err != nil || !got.Truncated {
			t.Errorf("Scan() = %v, %v, want one that is too long", got, err)
		}
		wantNothing(t, d)
	})
}

func TestOfManyCodesTheNewestAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, send := open(t, linescan.Opts{})
		defer d.Halt()
		send("1\r2\r3\r4\r5\r", "6\r7\r8\r9\r10\r")
		synctest.Wait()
		for _, want := range strings.Fields("3 4 5 6 7 8 9 10") {
			wantScan(t, d, `"`+want+`"`)
		}
		wantNothing(t, d)
	})
}

func TestNoErrorNamesACode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, far, send := open(t, linescan.Opts{})
		defer d.Halt()
		send("11010519491231002X")
		_ = far.Close()
		_, err := d.Scan(t.Context())
		if !errors.Is(err, hal.ErrGone) || strings.Contains(err.Error(), "1101") {
			t.Errorf("Scan() = %v, want hal.ErrGone and no code", err)
		}
	})
}

func ExampleNew() {
	line, scanner := net.Pipe() // a serial line in earnest
	go func() { _, _ = scanner.Write([]byte("HS-1\r\n")) }()
	d, err := linescan.New(line, linescan.Opts{})
	if err != nil {
		return
	}
	defer d.Halt()
	code, err := d.Scan(context.Background())
	fmt.Println(code, err) // a code is never printed, only its length
	// Output: code(4 bytes) <nil>
}
