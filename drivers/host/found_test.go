package host

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/hal"
)

// bench is a machine with one of each: a CH340 without a serial number, two
// FTDI adapters of which one has no number of its own, a CDC-ACM scanner, a
// UART of the board, a ttyS without hardware.
var bench = map[string]string{
	"sys/devices/usb1/1-1/idVendor":               "1a86\n",
	"sys/devices/usb1/1-1/idProduct":              "7523\n",
	"sys/devices/usb1/1-1/product":                "USB\x1b[31m Serial\n",
	"sys/devices/usb1/1-1/1-1:1.0/ttyUSB0/tty/x":  "",
	"sys/class/tty/ttyUSB0/device":                "->../../../devices/usb1/1-1/1-1:1.0/ttyUSB0",
	"sys/devices/usb1/1-2/idVendor":               "0403\n",
	"sys/devices/usb1/1-2/idProduct":              "6001\n",
	"sys/devices/usb1/1-2/serial":                 "A50285BI\n",
	"sys/devices/usb1/1-2/1-2:1.0/ttyUSB10/tty/x": "",
	"sys/class/tty/ttyUSB10/device":               "->../../../devices/usb1/1-2/1-2:1.0/ttyUSB10",
	"sys/devices/usb1/1-3/idVendor":               "0403\n",
	"sys/devices/usb1/1-3/idProduct":              "6001\n",
	"sys/devices/usb1/1-3/1-3:1.0/ttyUSB2/tty/x":  "",
	"sys/class/tty/ttyUSB2/device":                "->../../../devices/usb1/1-3/1-3:1.0/ttyUSB2",
	"sys/devices/usb1/1-4/idVendor":               "28e9\n",
	"sys/devices/usb1/1-4/idProduct":              "018a\n",
	"sys/devices/usb1/1-4/serial":                 "00:1B\n",
	"sys/devices/usb1/1-4/1-4:1.0/x":              "",
	"sys/class/tty/ttyACM0/device":                "->../../../devices/usb1/1-4/1-4:1.0",
	"sys/devices/soc/uart/x":                      "",
	"sys/class/tty/ttyAMA0/device":                "->../../../devices/soc/uart",
	"sys/devices/isa/x":                           "",
	"sys/class/tty/ttyS0/device":                  "->../../../devices/isa",
	"sys/class/tty/ttyS0/type":                    "0\n",
	"sys/class/tty/tty1/x":                        "",
	"sys/class/tty/ttyUSB9/device":                "->../../../devices/pulled/out",
	"dev/serial/by-path/pci-0-usb-0:3:1.0-port0":  "->../../ttyUSB2",
	"sys/class/i2c-dev/i2c-10/name":               "bcm2835 (i2c@7e205000)\n",
	"sys/class/i2c-dev/i2c-1/name":                "CP2112 SMBus Bridge\n",
	"sys/class/i2c-dev/i2c-2/name":                "CP2112 SMBus Bridge\n",
	"sys/class/i2c-dev/stray":                     "",
	"dev/gpiochip0":                               "no chip, but a name",
}

func TestSerialPorts(t *testing.T) {
	want := []Found{
		{Address: "28E9:018A:00:1B", Kind: Path, Node: "/dev/ttyACM0", VID: "28E9", PID: "018A", Serial: "00:1B"},
		{Address: "/dev/ttyAMA0", Kind: Path, Node: "/dev/ttyAMA0"},
		{Address: "1A86:7523", Kind: Path, Node: "/dev/ttyUSB0", VID: "1A86", PID: "7523", Product: "USB?[31m Serial"},
		{Address: "/dev/serial/by-path/pci-0-usb-0:3:1.0-port0", Kind: Path, Node: "/dev/ttyUSB2", VID: "0403", PID: "6001"},
		{Address: "0403:6001:A50285BI", Kind: Path, Node: "/dev/ttyUSB10", VID: "0403", PID: "6001", Serial: "A50285BI"},
	}
	for i := range want {
		if want[i].VID != "" {
			want[i].Kind = USB
		}
	}
	if diff := cmp.Diff(want, tree(t, bench).serialPorts()); diff != "" {
		t.Error(diff)
	}
}

func TestFindUSB(t *testing.T) {
	m := tree(t, bench)
	for _, tt := range []struct{ addr, node, want string }{
		{addr: "0403:6001:A50285BI", node: "/dev/ttyUSB10"},
		{addr: "1a86:7523", node: "/dev/ttyUSB0"},
		{addr: "28e9:018a:00:1B", node: "/dev/ttyACM0"},
		{addr: "0403:6001", want: `means /dev/ttyUSB2 (serial number "") and /dev/ttyUSB10 (serial number "A50285BI")`},
		{addr: "0403:6001:other", want: "plugged in"},
	} {
		a, err := parseSerial(tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		f, err := m.findUSB(a)
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) || tt.want == "" && f.Node != tt.node {
			t.Errorf("%s: %q, %v, want %q or an error with %q", tt.addr, f.Node, err, tt.node, tt.want)
		}
	}
}

func TestBusesAndChips(t *testing.T) {
	m := tree(t, bench)
	want := []Found{
		{Address: "i2c:1", Kind: I2C, Node: "/dev/i2c-1", Label: "CP2112 SMBus Bridge"},
		{Address: "i2c:2", Kind: I2C, Node: "/dev/i2c-2", Label: "CP2112 SMBus Bridge"},
		{Address: "i2c:10", Kind: I2C, Node: "/dev/i2c-10", Label: "bcm2835 (i2c@7e205000)"},
	}
	if diff := cmp.Diff(want, m.buses()); diff != "" {
		t.Error(diff)
	}
	want = []Found{{Address: "gpio:gpiochip0/LINE", Kind: GPIO, Node: "/dev/gpiochip0"}}
	if diff := cmp.Diff(want, m.chips()); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct {
		bus  string
		n    int
		want string
	}{
		{bus: "7", n: 7},
		{bus: "i2c-7", n: 7},
		{bus: "bcm2835 (i2c@7e205000)", n: 10},
		{bus: "CP2112 SMBus Bridge", want: "the buses 1 and 2"},
		{bus: "nowhere", want: "CP2112"},
	} {
		n, err := m.findBus(Address{Kind: I2C, Bus: tt.bus})
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) || tt.want == "" && (err != nil || n != tt.n) {
			t.Errorf("%q: %d, %v, want %d or an error with %q", tt.bus, n, err, tt.n, tt.want)
		}
	}
}

func TestAMachineWithoutAnything(t *testing.T) {
	m := machine(t.TempDir())
	if n := len(m.serialPorts()) + len(m.buses()) + len(m.chips()); n != 0 {
		t.Errorf("%d devices, want none", n)
	}
	for _, f := range Devices() { // of this machine, whatever it has
		if _, err := Parse(f.Address); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if _, err := OpenI2C("i2c:nowhere at all", I2COpts{}); !errors.Is(err, hal.ErrGone) {
		t.Errorf("OpenI2C = %v, want hal.ErrGone", err)
	}
	if _, err := OpenI2C("i2c:65000", I2COpts{}); !errors.Is(err, hal.ErrGone) {
		t.Errorf("OpenI2C = %v, want hal.ErrGone", err)
	}
	if _, err := OpenOut("gpio:no such chip/1", false, false); !errors.Is(err, hal.ErrGone) {
		t.Errorf("OpenOut = %v, want hal.ErrGone", err)
	}
}
