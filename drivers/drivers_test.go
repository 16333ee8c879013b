package drivers_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c/i2ctest"

	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/drivers"
	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/hal"
)

// device is a device of that driver on the address "w".
func device(driver string) *configs.Device {
	return &configs.Device{Name: "part", Driver: driver, Address: "w"}
}

// TestEveryDriverHasACase: a driver that a configuration may name is one that
// Open knows. The names are those that the checker lists.
func TestEveryDriverHasACase(t *testing.T) {
	_, problems := configs.Parse([]byte("devices:\n  - driver: nosuch\n"), "k.yaml")
	var names []string
	for _, p := range problems {
		if _, list, ok := strings.Cut(p.What, `"nosuch" is none of `); ok {
			names = strings.Split(list, ", ")
		}
	}
	if len(names) == 0 {
		t.Fatalf("the checker lists no drivers: %v", problems)
	}
	for _, name := range names {
		b := newBench()
		b.refuse = "w"
		_, err := drivers.Open(t.Context(), device(name), "locked", b)
		if !errors.Is(err, errRefused) {
			t.Errorf("%s: got %v, want the wire's own error", name, err)
		}
	}
}

// TestOpen opens what can be opened without a long conversation.
func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		name  string
		d     configs.Device
		bench func(t *testing.T, b *bench)
		role  func(conn.Resource) bool
		baud  int
	}{
		{"a scanner of lines at the usual speed", configs.Device{Driver: "linescan"}, nil, is[hal.Scanner], 9600},
		{"a scanner of lines at its own speed", configs.Device{Driver: "linescan", Baud: 115200}, nil, is[hal.Scanner], 115200},
		{"a relay board", configs.Device{Driver: "lcus", Channel: 8}, talks("> A0 08 00 A8", "> A0 08 00 A8"), is[hal.Gate], 9600},
		{"a voice module", configs.Device{Driver: "syn6288"}, talks("> FD 00 02 21 DE", "< 41 4F", "> FD 00 02 02 FD"), is[hal.Speaker], 9600},
		{"a thermometer", configs.Device{Driver: "mlx90614"}, func(_ *testing.T, b *bench) {
			b.bus = &i2ctest.Playback{Ops: []i2ctest.IO{{Addr: 0x5A, W: []byte{0x24}, R: []byte{0xFF, 0xFF, 0xD6}}}}
		}, is[hal.Thermometer], 0},
		{"a relay", configs.Device{Driver: "relay"}, nil, is[hal.Gate], 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.line = func() net.Conn { return silent(t) }
				if tt.bench != nil {
					tt.bench(t, b)
				}
				tt.d.Name, tt.d.Address = "part", "w"
				o, err := drivers.Open(t.Context(), &tt.d, "locked", b)
				if err != nil {
					t.Fatal(err)
				}
				if !tt.role(o.Dev) {
					t.Errorf("%T does not do what the role %s asks for", o.Dev, tt.d.Role())
				}
				if got := b.bauds["w"]; got != tt.baud {
					t.Errorf("the line was opened at %d baud, want %d", got, tt.baud)
				}
				if err := errors.Join(o.Dev.Halt(), o.Close()); err != nil {
					t.Error(err)
				}
				if left := b.unclosed(); len(left) > 0 {
					t.Errorf("after Close: %v", left)
				}
			})
		})
	}
}

// TestAGateIsAtRestFromTheFirstMoment: the level that the kernel is given when
// the line is claimed, and the one after Halt. There is nothing in between.
func TestAGateIsAtRestFromTheFirstMoment(t *testing.T) {
	for _, tt := range []struct {
		name      string
		rest      string
		activeLow bool
		want      gpio.Level
	}{
		{"locked, high unlocks", "locked", false, gpio.Low},
		{"locked, low unlocks", "locked", true, gpio.High},
		{"open, high unlocks", "open", false, gpio.High},
		{"open, low unlocks", "open", true, gpio.Low},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				d := device("relay")
				d.ActiveLow, d.Passage, d.Fire = tt.activeLow, "passage", "fire"
				o, err := drivers.Open(t.Context(), d, tt.rest, b)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(o.Dev.Halt(), o.Close()); err != nil {
					t.Error(err)
				}
				for _, l := range b.pins["w"].levels {
					if l != tt.want {
						t.Errorf("levels are %v, want %v all the time", b.pins["w"].levels, tt.want)
					}
				}
				for _, in := range []string{"passage", "fire"} {
					if got := b.pulls[in]; got != gpio.PullUp {
						t.Errorf("%s is pulled %v: a torn wire must read high", in, got)
					}
				}
			})
		})
	}
}

// TestNoWireIsLeftOpen: whatever fails, at the first wire, at a later one or in
// the driver, all that was opened is closed, and the error names the device.
func TestNoWireIsLeftOpen(t *testing.T) {
	gone := i2ctest.Playback{DontPanic: true} // nobody acknowledges
	for _, tt := range []struct {
		name   string
		d      configs.Device
		refuse string
		opened int
	}{
		{"no card reader answers", configs.Device{Driver: "sdt"}, "", 1},
		{"no QR module answers", configs.Device{Driver: "gm65"}, "", 1},
		{"no voice module answers", configs.Device{Driver: "syn6288"}, "", 1},
		{"no voice module of the other kind answers", configs.Device{Driver: "xfs5152"}, "", 1},
		{"no sensor acknowledges", configs.Device{Driver: "mlx90614"}, "", 1},
		{"the driver refuses its options", configs.Device{Driver: "lcus", Channel: 9}, "", 1},
		{"the release line is taken", configs.Device{Driver: "relay", Passage: "p", Fire: "f"}, "w", 0},
		{"the passage line is taken", configs.Device{Driver: "relay", Passage: "p", Fire: "f"}, "p", 1},
		{"the fire line is taken", configs.Device{Driver: "relay", Passage: "p", Fire: "f"}, "f", 2},
		{"no such driver", configs.Device{Driver: "nosuch"}, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.refuse, b.bus = tt.refuse, &gone
				b.line = func() net.Conn { return silent(t) }
				tt.d.Name, tt.d.Address = "part", "w"
				o, err := drivers.Open(t.Context(), &tt.d, "locked", b)
				if err == nil {
					t.Fatalf("%v is open", o.Dev)
				}
				if len(b.opened) != tt.opened {
					t.Errorf("%d wires were opened, want %d", len(b.opened), tt.opened)
				}
				if left := b.unclosed(); len(left) > 0 {
					t.Errorf("after the error: %v", left)
				}
				if want := "part (" + tt.d.Driver + " on w): "; !strings.HasPrefix(err.Error(), want) {
					t.Errorf("error is %q, want it to begin with %q", err, want)
				}
				if tt.refuse != "" && !errors.Is(err, errRefused) {
					t.Errorf("error %v does not wrap the wire's", err)
				}
			})
		})
	}
}

// TestWiresAreClosedLastFirst: the release line of a gate is given up last, so
// that its level holds as long as possible.
func TestWiresAreClosedLastFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		d := device("relay")
		d.Passage, d.Fire = "p", "f"
		o, err := drivers.Open(t.Context(), d, "locked", b)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(o.Dev.Halt(), o.Close(), o.Close()); err != nil {
			t.Error(err)
		}
		slices.SortFunc(b.opened, func(x, y *owned) int { return x.at - y.at })
		var got []string
		for _, w := range b.opened {
			got = append(got, w.address)
		}
		if want := "f p w"; strings.Join(got, " ") != want {
			t.Errorf("wires were closed in the order %v, want %s", got, want)
		}
		if left := b.unclosed(); len(left) > 0 {
			t.Errorf("after a second Close: %v", left)
		}
	})
}

// TestAnEndedContextOpensNothing: the supervisor that is told to stop is not
// held up by a device that does not answer.
func TestAnEndedContextOpensNothing(t *testing.T) {
	for _, driver := range []string{"sdt", "gm65", "syn6288", "lcus"} {
		t.Run(driver, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				b := newBench()
				b.line = func() net.Conn { return silent(t) }
				start := time.Now()
				_, err := drivers.Open(ctx, device(driver), "locked", b)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want the context's error", err)
				}
				if d := time.Since(start); d > 0 {
					t.Errorf("it took %v", d)
				}
				if left := b.unclosed(); len(left) > 0 {
					t.Errorf("after the error: %v", left)
				}
			})
		})
	}
}

//

// is reports whether a device does what the interface T asks for.
func is[T conn.Resource](dev conn.Resource) bool {
	_, ok := dev.(T)
	return ok
}

// talks sets the bench's line to a device with these steps of a transcript, the
// last of them at Halt.
func talks(steps ...string) func(*testing.T, *bench) {
	return func(t *testing.T, b *bench) {
		t.Helper()
		cs, err := transcript.Parse(strings.NewReader(strings.Join(steps, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		b.line = func() net.Conn { return transcript.Device(t, cs[0]) }
	}
}
