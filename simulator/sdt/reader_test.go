package sdt

import (
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// The requests of the fact sheet, 1.3, as printed.
const (
	readID    = "AAAAAA9669 0003 12FF EE"
	find      = "AAAAAA9669 0003 2001 22"
	choose    = "AAAAAA9669 0003 2002 21"
	read      = "AAAAAA9669 0003 3001 32"
	readAll   = "AAAAAA9669 0003 3010 23"
	addresses = "AAAAAA9669 0003 3003 30"
)

func bytesOf(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// ask sends a request and gives the status of the answer, 0 for none within
// five seconds.
func ask(line net.Conn, request string) byte {
	_ = line.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := line.Write(bytesOf(request)); err != nil {
		return 0
	}
	got := hear(line)
	if len(got) < 11 {
		return 0
	}
	return got[9]
}

// hear gives what comes until the line is quiet for 100 ms.
func hear(line net.Conn) []byte {
	var all []byte
	buf := make([]byte, 4096)
	_ = line.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		n, err := line.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			return all
		}
		_ = line.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	}
}

func TestTheSequence(t *testing.T) {
	type step struct {
		request string
		want    byte
	}
	lay := func(r *Reader) { _ = r.Lay(cards["resident"]) }
	tests := []struct {
		what   string
		refind bool
		before func(*Reader)
		steps  []step
		then   func(*Reader)
		after  []step
	}{
		{"nothing lies there", false, func(*Reader) {}, []step{{find, noCard}, {choose, notChosen}, {read, readFailed}}, nil, nil},
		{"in its order", false, lay, []step{{find, found}, {choose, done}, {read, done}}, nil, nil},
		{"select without find", false, lay, []step{{choose, notChosen}, {find, found}}, nil, nil},
		{"read without select", false, lay, []step{{find, found}, {read, readFailed}, {choose, notChosen}}, nil, nil},
		{"read twice, and its addresses", false, lay, []step{{find, found}, {choose, done}, {read, done}, {addresses, noItem}, {readAll, done}}, nil, nil},
		{"read, and not found until it is lifted", false, lay, []step{{find, found}, {choose, done}, {read, done}, {find, noCard}}, lay, []step{{find, found}}},
		{"found until it is read", false, lay, []step{{find, found}, {find, found}, {choose, done}, {find, found}}, nil, nil},
		{"read, and found again", true, lay, []step{{find, found}, {choose, done}, {read, done}, {find, found}, {choose, done}, {read, done}}, nil, nil},
		{"lifted after find", false, lay, []step{{find, found}}, (*Reader).Lift, []step{{choose, notChosen}, {find, noCard}}},
		{"lifted after select", false, lay, []step{{find, found}, {choose, done}}, (*Reader).Lift, []step{{read, readFailed}, {find, noCard}}},
		{"another one after select", false, lay, []step{{find, found}, {choose, done}}, lay, []step{{read, readFailed}, {find, found}}},
		{"the power fails after select", false, lay, []step{{find, found}, {choose, done}}, (*Reader).PowerCycle, []step{{read, readFailed}, {find, found}}},
		{"the power fails after a read", false, lay, []step{{find, found}, {choose, done}, {read, done}, {find, noCard}}, (*Reader).PowerCycle, []step{{find, found}}},
		{"it cannot be read", false, func(r *Reader) { _ = r.LayFailing(cards["J"], 0x31) }, []step{{find, found}, {choose, done}, {read, 0x31}, {read, readFailed}, {find, found}}, lay, []step{{find, found}, {choose, done}, {read, done}}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := New(Opts{Refind: tt.refind})
				tt.before(r)
				host := serve(t, r)
				check := func(steps []step) {
					for i, s := range steps {
						if got := ask(host, s.request); got != s.want {
							t.Errorf("step %d, %s: %02X, want %02X", i+1, s.request, got, s.want)
						}
					}
				}
				check(tt.steps)
				if tt.then != nil {
					tt.then(r)
				}
				check(tt.after)
			})
		})
	}
}

func TestEveryCommandIsAnswered(t *testing.T) {
	tests := []struct {
		what, request string
		want          byte
	}{
		{"reset", "AAAAAA9669 0003 10FF EC", done},
		{"status", "AAAAAA9669 0003 11FF ED", done},
		{"number", readID, done},
		{"bytes per radio frame", "AAAAAA9669 0004 61FF 50 CA", done},
		{"115200 baud", "AAAAAA9669 0003 6000 63", done},
		{"9600 baud", "AAAAAA9669 0003 6004 67", done},
		{"newest address", addresses, noItem},
		{"management number", "AAAAAA9669 0003 3005 36", noItem},
		{"a command of the future", "AAAAAA9669 0003 7001 72", badCommand},
		{"a wrong check byte", "AAAAAA9669 0003 2001 23", badSum},
		{"a length without a command", "AAAAAA9669 0001 01", badLength},
		{"a length of nothing", "AAAAAA9669 0000", badLength},
		{"behind noise", "00 AA AA 69 " + find, noCard},
		{"behind a length that no request has", "AAAAAA9669 0041 " + find, noCard},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			if got := ask(serve(t, New(Opts{})), tt.request); got != tt.want {
				t.Errorf("%s: %02X, want %02X", tt.what, got, tt.want)
			}
		})
	}
}

func TestWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Opts{})
		host := serve(t, r)
		wants := func(when string, want bool) {
			t.Helper()
			if got := r.WasRead(); got != want {
				t.Errorf("%s: WasRead() = %v, want %v", when, got, want)
			}
		}
		wants("nothing lies there", false)
		if err := r.Lay(cards["resident"]); err != nil {
			t.Fatal(err)
		}
		ask(host, find)
		ask(host, choose)
		wants("before it was read", false)
		ask(host, read)
		wants("after it was read", true)
		r.Lift()
		wants("after it was lifted", false)
		if err := r.Lay(cards["resident"]); err != nil {
			t.Fatal(err)
		}
		wants("another one", false)
	})
}

// A fault spoils the answer on the wire and nothing else: the reader has done
// what it was asked.
func TestFaults(t *testing.T) {
	whole := bytesOf("AAAAAA9669 0008 0000 9F 00000000 97")
	wrong := slices.Clone(whole)
	wrong[len(wrong)-1] ^= 0x55
	tests := []struct {
		kind  fault.Kind
		want  []byte
		takes time.Duration
	}{
		{fault.None, whole, 0},
		{fault.Silence, nil, 0},
		{fault.Short, whole[:7], 0},
		{fault.Checksum, wrong, 0},
		{fault.Noise, append([]byte{0xFF, 0xAA, 0xAA, 0x00, 0x7E}, whole...), 0},
		{fault.Slow, whole, 2 * time.Second},
		{fault.Split, whole, 20 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(string(tt.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := New(Opts{})
				if err := r.Lay(cards["resident"]); err != nil {
					t.Fatal(err)
				}
				r.Faults.Order(tt.kind, 1)
				host := serve(t, r)
				start := time.Now()
				_, _ = host.Write(bytesOf(find))
				got := hear(host)
				took := time.Since(start) - 100*time.Millisecond
				if tt.want == nil {
					took = 0 // it was waited for in vain
				}
				if !slices.Equal(got, tt.want) || took != tt.takes {
					t.Errorf("% X after %v, want % X after %v", got, took, tt.want, tt.takes)
				}
				if got := ask(host, choose); got != done {
					t.Errorf("select answers %02X behind the fault, want 90", got)
				}
			})
		})
	}
}

func TestFaultsAreTakenInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Opts{})
		host := serve(t, r)
		r.Faults.Order(fault.Silence, 2)
		r.Faults.Order(fault.Checksum, 1)
		for i, want := range []int{0, 0, 11, 11} {
			_, _ = host.Write(bytesOf(find))
			if got := hear(host); len(got) != want || want > 0 && (got[10] == 0x84) != (i == 3) {
				t.Errorf("answer %d: % X, want %d bytes", i+1, got, want)
			}
		}
	})
}

func TestUnpluggedInTheMiddleOfAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Opts{})
		host, far := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- r.Serve(t.Context(), far) }()
		_, _ = host.Write(bytesOf(readID))
		_, _ = io.ReadFull(host, make([]byte, 9))
		_ = host.Close()
		if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Serve() = %v, want that the line is closed", err)
		}
	})
}

func TestTiming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(RealTiming())
		if err := r.Lay(cards["resident"]); err != nil {
			t.Fatal(err)
		}
		host := serve(t, r)
		total := time.Duration(0)
		for _, request := range []string{find, choose, read} {
			start := time.Now()
			if got := ask(host, request); got != done && got != found {
				t.Errorf("%s answers %02X", request, got)
			}
			total += time.Since(start) - 100*time.Millisecond
		}
		if want := 900 * time.Millisecond; total != want {
			t.Errorf("a card takes %v, want %v", total, want)
		}
	})
}

func TestAReaderEndsInTheMiddleOfItsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Opts{Find: time.Hour})
		if err := r.Lay(cards["resident"]); err != nil {
			t.Fatal(err)
		}
		host := serve(t, r)
		_, _ = host.Write(bytesOf(find))
		_ = host.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := host.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes, %v within a minute, want none", n, err)
		}
		// The end of the test's context has to end the reader, hour or no hour.
	})
}
