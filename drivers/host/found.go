package host

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/warthog618/go-gpiocdev"

	"github.com/digital-sentinel/sentinel/hal"
)

// Found is something that is plugged in. Fields that the machine does not tell
// are empty.
type Found struct {
	// Address is what to write in the configuration. Of a GPIO chip it ends in
	// "/LINE", for the line's name or number.
	Address string
	// Kind says whose address it is: Path or USB (serial), I2C or GPIO.
	Kind Kind
	// Node is the file in /dev, which may be another one after a replug.
	Node string
	// VID, PID, Serial and Product are a USB device's.
	VID, PID, Serial, Product string
	// Label is the bus's or the chip's name.
	Label string
	// Lines is the number of a chip's lines.
	Lines int
}

// Devices lists what is plugged in: serial ports, then I²C buses, then GPIO
// chips. It needs no privilege, opens no port, and takes a missing part of the
// machine for a machine without it.
func Devices() []Found {
	m := machine("/")
	return slices.Concat(m.serialPorts(), m.buses(), m.chips())
}

//

// machine is the root of the file system that holds dev and sys.
//
// The serial library has an enumerator. It is not used: to list the ports it
// opens every ttyS and sets it to 9600 baud, which a running line at another
// speed would not survive under root, and it can hang for 30 s in closing one
// (go-serial issue 104). Reading sysfs disturbs nobody.
type machine string

func (m machine) path(elem ...string) string {
	return filepath.Join(append([]string{string(m)}, elem...)...)
}

// names lists a folder, in natural order: i2c-2 before i2c-10.
func (m machine) names(elem ...string) []string {
	entries, err := os.ReadDir(m.path(elem...))
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return names
}

// text reads an attribute of sysfs: at most 256 bytes, made printable, for
// serial and product are what a stranger's device says of itself.
func (m machine) text(elem ...string) string {
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		return ""
	}
	s := strings.ToValidUTF8(string(b[:min(len(b), 256)]), "?")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) && r != '\n' {
			return '?'
		}
		return r
	}, s))
}

// serialPorts lists the ports that have hardware behind them. Virtual consoles
// and pseudo-terminals have no "device" in sysfs; a ttyS of type 0 is a number
// that the kernel keeps for a port it has not found.
func (m machine) serialPorts() []Found {
	var ports []Found
	for _, name := range m.names("sys/class/tty") {
		dir := m.path("sys/class/tty", name)
		dev, err := filepath.EvalSymlinks(filepath.Join(dir, "device"))
		if err != nil || strings.HasPrefix(name, "ttyS") && m.text(dir, "type") == "0" {
			continue
		}
		f := Found{Kind: Path, Node: "/dev/" + name}
		if usb := m.usbParent(dev); usb != "" {
			f.Kind = USB
			f.VID, f.PID = hex16(m.text(usb, "idVendor")), hex16(m.text(usb, "idProduct"))
			f.Serial, f.Product = m.text(usb, "serial"), m.text(usb, "product")
		}
		ports = append(ports, f)
	}
	for i := range ports {
		ports[i].Address = m.address(ports[i], ports)
	}
	return ports
}

// usbParent climbs from a port's device to the USB device that holds it: past
// the interface and, of a usb-serial adapter, the port. "" means not USB.
func (m machine) usbParent(dev string) string {
	for range 5 {
		if m.text(dev, "idVendor") != "" {
			return dev
		}
		dev = filepath.Dir(dev)
	}
	return ""
}

// address is the most lasting address that means this port and no other:
// VID:PID:SERIAL, VID:PID, the link by its place on the bus, the node.
func (m machine) address(f Found, all []Found) string {
	if a := (Address{Kind: USB, VID: f.VID, PID: f.PID, Serial: f.Serial}); f.VID != "" && f.PID != "" {
		if b, err := parseSerial(a.String()); err == nil && a == b && len(matching(a, all)) == 1 {
			return a.String()
		}
	}
	for _, link := range m.names("dev/serial/by-path") {
		to, err := os.Readlink(m.path("dev/serial/by-path", link))
		if err == nil && filepath.Base(to) == filepath.Base(f.Node) {
			return "/dev/serial/by-path/" + link
		}
	}
	return f.Node
}

// findUSB finds the one port that a means.
func (m machine) findUSB(a Address) (Found, error) {
	all := m.serialPorts()
	switch fs := matching(a, all); {
	case len(fs) == 1:
		return fs[0], nil
	case len(fs) > 1:
		var list []string
		for _, f := range fs {
			list = append(list, f.Node+" (serial number "+strconv.Quote(f.Serial)+")")
		}
		return Found{}, fmt.Errorf("host: %v means %s: add the serial number, or write a path of /dev/serial/by-path", a, strings.Join(list, " and "))
	}
	return Found{}, hal.Gone(fmt.Errorf("host: no serial port %v is plugged in", a))
}

// matching lists the ports that a means; an address without a serial number
// means them all.
func matching(a Address, all []Found) []Found {
	var fs []Found
	for _, f := range all {
		if f.VID == a.VID && f.PID == a.PID && (a.Serial == "" || f.Serial == a.Serial) {
			fs = append(fs, f)
		}
	}
	return fs
}

// buses lists the I²C buses that i2c-dev offers.
func (m machine) buses() []Found {
	var buses []Found
	for _, name := range m.names("sys/class/i2c-dev") {
		n, ok := strings.CutPrefix(name, "i2c-")
		if _, err := strconv.ParseUint(n, 10, 16); !ok || err != nil {
			continue
		}
		buses = append(buses, Found{
			Address: "i2c:" + n, Kind: I2C, Node: "/dev/" + name,
			Label: m.text(m.path("sys/class/i2c-dev", name), "name"),
		})
	}
	return buses
}

// chips lists the GPIO chips. The label is only to be had by opening the chip,
// which changes nothing; without the right to, the name must do.
func (m machine) chips() []Found {
	var chips []Found
	for _, name := range m.names("dev") {
		if !strings.HasPrefix(name, "gpiochip") {
			continue
		}
		f := Found{Address: "gpio:" + name + "/LINE", Kind: GPIO, Node: "/dev/" + name}
		if c, err := gpiocdev.NewChip(m.path("dev", name)); err == nil {
			f.Label, f.Lines = c.Label, c.Lines()
			_ = c.Close()
		}
		chips = append(chips, f)
	}
	for i, f := range chips {
		unique := 0
		for _, g := range chips {
			if g.Label == f.Label {
				unique++
			}
		}
		if a, err := parsePin("gpio:" + f.Label + "/LINE"); err == nil && unique == 1 && f.Label != "unknown" {
			chips[i].Address = a.String()
		}
	}
	return chips
}
