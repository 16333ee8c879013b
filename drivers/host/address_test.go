package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Address
		out  string // if it is not in
	}{
		{in: "/dev/ttyUSB0", want: Address{Kind: Path, Path: "/dev/ttyUSB0"}},
		{in: "/run/bench/scanner", want: Address{Kind: Path, Path: "/run/bench/scanner"}},
		{in: "1a86:7523", want: Address{Kind: USB, VID: "1A86", PID: "7523"}, out: "1A86:7523"},
		{in: "0403:6001:A50285BI", want: Address{Kind: USB, VID: "0403", PID: "6001", Serial: "A50285BI"}},
		{in: "0403:6001:00:1b:c5", want: Address{Kind: USB, VID: "0403", PID: "6001", Serial: "00:1b:c5"}},
		{in: "unix:/run/x.sock", want: Address{Kind: Unix, Path: "/run/x.sock"}},
		{in: "unix:board.sock#FIRE", want: Address{Kind: Unix, Path: "board.sock", Line: "FIRE"}},
		{in: "tcp:127.0.0.1:03333", want: Address{Kind: TCP, Host: "127.0.0.1", Port: "3333"}, out: "tcp:127.0.0.1:3333"},
		{in: "tcp:[::1]:3333", want: Address{Kind: TCP, Host: "::1", Port: "3333"}},
		{in: "i2c:1", want: Address{Kind: I2C, Bus: "1"}},
		{in: "i2c:bcm2835 (i2c@7e804000)", want: Address{Kind: I2C, Bus: "bcm2835 (i2c@7e804000)"}},
		{in: "gpio:gpiochip0/17", want: Address{Kind: GPIO, Chip: "gpiochip0", Line: "17"}},
		{in: "gpio:a/b/LINE 3", want: Address{Kind: GPIO, Chip: "a/b", Line: "LINE 3"}},
	} {
		got, err := Parse(tt.in)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("Parse(%q) = %v, %s", tt.in, err, diff)
		}
		if tt.out == "" {
			tt.out = tt.in
		}
		if got.String() != tt.out {
			t.Errorf("Parse(%q).String() = %q, want %q", tt.in, got, tt.out)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", "is empty"},
		{strings.Repeat("x", 513), "longer than 512"},
		{"/dev/tty\nUSB0", "cannot be printed"},
		{"ttyUSB0", `did you mean "/dev/ttyUSB0"?`},
		{"dev/ttyUSB0", `did you mean "/dev/ttyUSB0"?`},
		{"i2c-1", `did you mean "i2c:1"?`},
		{"gpiochip0/17", `did you mean "gpio:gpiochip0/17"?`},
		{"usb:1a86:7523", `did you mean "1a86:7523"?`},
		{"localhost:3333", `did you mean "tcp:localhost:3333"?`},
		{"x.sock", `did you mean "unix:x.sock"?`},
		{"COM3", "has none of the forms"},
		{"/dev/../etc/passwd", `did you mean "/etc/passwd"?`},
		{"/dev/ttyS0/", `did you mean "/dev/ttyS0"?`},
		{"1a86:75", "four hex digits"},
		{"1a86:75zz", "four hex digits"},
		{"1a86:7523:", "empty serial number"},
		{"1a86:7523:" + strings.Repeat("x", 127), "more than 126"},
		{"unix:", "has no path"},
		{"unix:@abstract", "begins with '@'"},
		{"unix:/" + strings.Repeat("x", 107), "longer than 107"},
		{"unix:/x#", "no line name"},
		{"unix:/x#a b", "no line name"},
		{"unix:/x#" + strings.Repeat("L", 33), "no line name"},
		{"tcp:127.0.0.1", "tcp:HOST:PORT"},
		{"tcp::3333", "tcp:HOST:PORT"},
		{"tcp:127.0.0.1:0", "1 to 65535"},
		{"tcp:127.0.0.1:65536", "1 to 65535"},
		{"i2c:", "names no bus"},
		{"gpio:17", "gpio:CHIP/LINE"},
		{"gpio:/17", "gpio:CHIP/LINE"},
		{"gpio:gpiochip0/", "gpio:CHIP/LINE"},
	} {
		if got, err := Parse(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %v, %v, want an error with %q", tt.in, got, err, tt.want)
		}
	}
}

func TestAnAddressMustFitTheWire(t *testing.T) {
	for _, tt := range []struct {
		name  string
		parse func(string) (Address, error)
		in    string
		want  string // "" means it fits
	}{
		{"a serial line takes a path", parseSerial, "/dev/ttyS1", ""},
		{"a serial line is not on I²C", parseSerial, "i2c:1", "is no address of a serial line"},
		{"a serial line has no line name", parseSerial, "unix:/x#L", "names a GPIO line"},
		{"a bus takes a socket", parseBus, "unix:/x", ""},
		{"a bus is no tty", parseBus, "/dev/ttyS1", "is no address of an I²C bus"},
		{"a bus has no line name", parseBus, "unix:/x#L", "names a GPIO line"},
		{"a pin takes a chip", parsePin, "gpio:a/b", ""},
		{"a pin needs its name", parsePin, "unix:/x", "want unix:/x#LINE"},
		{"a pin is never on TCP", parsePin, "tcp:127.0.0.1:1", "never over TCP"},
	} {
		_, err := tt.parse(tt.in)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: error = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"/dev/ttyUSB0", "1a86:7523:x", "unix:/a#b", "unix:a", "tcp:[::1]:1", "tcp:a:1", "i2c:1",
		"gpio:a/b", "gpio:a/b/c", "i2c-1", "usb:1", "\xff", "unix:/a#b#c", "tcp:[fe80::1%eth0]:1", "0000:0000",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			if text := err.Error(); strings.ContainsAny(text, "\n\r\x00\x1b") || len(text) > 1400 {
				t.Errorf("Parse(%q): error not fit for a log: %q", s, text)
			}
			return
		}
		b, err := Parse(a.String())
		if err != nil || a != b {
			t.Errorf("Parse(%q) = %#v, but its String gives %#v, %v", s, a, b, err)
		}
	})
}
