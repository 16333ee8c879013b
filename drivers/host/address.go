package host

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Kind is the form an address has.
type Kind string

// The forms of an address; package comment.
const (
	Path Kind = "path"
	USB  Kind = "usb"
	I2C  Kind = "i2c"
	GPIO Kind = "gpio"
	Unix Kind = "unix"
	TCP  Kind = "tcp"
)

// Address is a parsed address. Which fields are set depends on Kind.
type Address struct {
	Kind Kind
	// Path is the device node (Path) or the socket (Unix).
	Path string
	// VID and PID are four upper-case hex digits each, Serial may be empty (USB).
	VID, PID, Serial string
	// Host and Port are of TCP.
	Host, Port string
	// Bus is the number or name of a kernel bus (I2C).
	Bus string
	// Chip is a label or name (GPIO); Line a line's number or name (GPIO), or
	// its name (Unix, may be empty).
	Chip, Line string
}

// longest is the longest address that is looked at.
const longest = 512

// Parse reads an address of any form. An error says what is wrong and, where
// it can be guessed, what was meant.
func Parse(s string) (Address, error) {
	if reason := unprintable(s); reason != "" {
		return Address{}, wrong(s, reason)
	}
	form, rest, _ := strings.Cut(s, ":")
	switch {
	case strings.HasPrefix(s, "/"):
		return parsePath(s)
	case form == "unix":
		return parseUnix(s, rest)
	case form == "tcp":
		return parseTCP(s, rest)
	case form == "i2c":
		return parseI2C(s, rest)
	case form == "gpio":
		return parseGPIO(s, rest)
	case len(form) == 4 && hex16(form) != "":
		return parseUSB(s, rest)
	}
	return Address{}, wrong(s, "has none of the forms /dev/NAME, VID:PID, VID:PID:SERIAL, i2c:BUS, gpio:CHIP/LINE, unix:PATH, tcp:HOST:PORT"+meant(s))
}

// String is the address as it is written in the configuration.
func (a Address) String() string {
	switch a.Kind {
	case USB:
		if a.Serial != "" {
			return a.VID + ":" + a.PID + ":" + a.Serial
		}
		return a.VID + ":" + a.PID
	case I2C:
		return "i2c:" + a.Bus
	case GPIO:
		return "gpio:" + a.Chip + "/" + a.Line
	case TCP:
		return "tcp:" + net.JoinHostPort(a.Host, a.Port)
	case Unix:
		if a.Line != "" {
			return "unix:" + a.Path + "#" + a.Line
		}
		return "unix:" + a.Path
	}
	return a.Path
}

//

// parsing reads s and checks that it has one of the forms a wire of the named
// kind can have.
func parsing(s, wire, want string, kinds ...Kind) (Address, error) {
	a, err := Parse(s)
	if err != nil {
		return a, err
	}
	for _, k := range kinds {
		if a.Kind == k {
			return a, nil
		}
	}
	return a, wrong(s, "is no address of "+wire+": want "+want)
}

func parseSerial(s string) (Address, error) {
	a, err := parsing(s, "a serial line", "/dev/NAME, VID:PID:SERIAL, unix:PATH or tcp:HOST:PORT", Path, USB, Unix, TCP)
	if err == nil && a.Line != "" {
		return a, wrong(s, "names a GPIO line behind '#'; a serial line is unix:"+a.Path)
	}
	return a, err
}

func parseBus(s string) (Address, error) {
	a, err := parsing(s, "an I²C bus", "i2c:BUS, unix:PATH or tcp:HOST:PORT", I2C, Unix, TCP)
	if err == nil && a.Line != "" {
		return a, wrong(s, "names a GPIO line behind '#'; an I²C bus is unix:"+a.Path)
	}
	return a, err
}

// parsePin refuses TCP in words of its own: a gate must not hang on a network.
func parsePin(s string) (Address, error) {
	a, err := parsing(s, "a GPIO line", "gpio:CHIP/LINE or unix:PATH#LINE (never over TCP)", GPIO, Unix)
	if err == nil && a.Line == "" {
		return a, wrong(s, "does not name the line: want "+a.String()+"#LINE")
	}
	return a, err
}

func parsePath(s string) (Address, error) {
	if s != path.Clean(s) || s == "/" {
		return Address{}, wrong(s, "is no plain path: did you mean "+strconv.Quote(path.Clean(s))+"?")
	}
	return Address{Kind: Path, Path: s}, nil
}

func parseUSB(s, rest string) (Address, error) {
	pid, serial, more := strings.Cut(rest, ":")
	a := Address{Kind: USB, VID: hex16(s[:4]), PID: hex16(pid), Serial: serial}
	switch {
	case a.PID == "":
		return Address{}, wrong(s, "is no VID:PID: the product must be four hex digits, as in 1A86:7523")
	case more && serial == "":
		return Address{}, wrong(s, "has an empty serial number: want "+a.String()+" or "+a.String()+":SERIAL")
	case len(serial) > 126: // a USB string descriptor has 255 bytes, two of them header
		return Address{}, wrong(s, "has a serial number of more than 126 characters")
	}
	return a, nil
}

func parseUnix(s, rest string) (Address, error) {
	p, line, named := strings.Cut(rest, "#")
	switch {
	case p == "":
		return Address{}, wrong(s, "has no path: want unix:PATH")
	case p[0] == '@': // Go would take it for the abstract name space, which has no permissions
		return Address{}, wrong(s, "begins with '@': want a path in the file system")
	case len(p) > 107: // sun_path of unix(7) has 108 bytes with the NUL
		return Address{}, wrong(s, "has a path longer than 107 bytes")
	case named && !lineName(line):
		return Address{}, wrong(s, "has no line name of 1 to 32 characters without space behind '#'")
	}
	return Address{Kind: Unix, Path: p, Line: line}, nil
}

func parseTCP(s, rest string) (Address, error) {
	host, port, err := net.SplitHostPort(rest)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || perr != nil || n == 0 || strings.ContainsAny(host, "/#[] ") {
		return Address{}, wrong(s, "is no tcp:HOST:PORT with a port of 1 to 65535, as in tcp:127.0.0.1:3333")
	}
	return Address{Kind: TCP, Host: host, Port: strconv.FormatUint(n, 10)}, nil
}

func parseI2C(s, rest string) (Address, error) {
	if rest == "" || strings.TrimSpace(rest) != rest {
		return Address{}, wrong(s, "names no bus: want i2c:1 or i2c:NAME")
	}
	return Address{Kind: I2C, Bus: rest}, nil
}

// parseGPIO splits at the last slash: labels of expanders may hold one.
func parseGPIO(s, rest string) (Address, error) {
	i := strings.LastIndexByte(rest, '/')
	if i <= 0 || i == len(rest)-1 {
		return Address{}, wrong(s, "is no gpio:CHIP/LINE, as in gpio:gpiochip0/17 or gpio:pinctrl-bcm2711/GPIO17")
	}
	return Address{Kind: GPIO, Chip: rest[:i], Line: rest[i+1:]}, nil
}

// meant guesses what an operator was thinking of.
func meant(s string) string {
	guess := ""
	switch chip, line, split := strings.Cut(s, "/"); {
	case strings.HasPrefix(s, "tty"), strings.HasPrefix(s, "serial/"):
		guess = "/dev/" + s
	case strings.HasPrefix(s, "dev/"):
		guess = "/" + s
	case strings.HasPrefix(s, "i2c-"):
		guess = "i2c:" + s[4:]
	case strings.HasPrefix(s, "gpiochip") && split:
		guess = "gpio:" + chip + "/" + line
	case strings.HasPrefix(s, "usb:"):
		guess = s[4:]
	case strings.HasPrefix(s, "localhost:"), strings.HasPrefix(s, "127."):
		guess = "tcp:" + s
	case strings.HasSuffix(s, ".sock"):
		guess = "unix:" + s
	default:
		return ""
	}
	return "; did you mean " + strconv.Quote(guess) + "?"
}

// unprintable says why s cannot be an address at all, or "".
func unprintable(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > longest:
		return "is longer than 512 bytes"
	case strings.IndexFunc(s, func(r rune) bool { return !strconv.IsPrint(r) || r == '\uFFFD' }) >= 0:
		return "holds a character that cannot be printed"
	}
	return ""
}

// wrong names the address and what is wrong with it.
func wrong(s, reason string) error {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Errorf("host: address %+q %s", s, reason)
}

// hex16 is s in upper case if it is four hex digits, else "".
func hex16(s string) string {
	if len(s) != 4 || strings.Trim(s, "0123456789abcdefABCDEF") != "" {
		return ""
	}
	return strings.ToUpper(s)
}

// lineName reports whether s can name a line in the remote protocol.
func lineName(s string) bool {
	return len(s) >= 1 && len(s) <= 32 &&
		strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) < 0
}

func loopbackName(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
