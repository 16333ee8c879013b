package kiosk_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/cmd/kiosk"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/drivers"
	"github.com/digital-sentinel/sentinel/hal"
)

// wires are the serial lines of a machine, by address; it has nothing else.
type wires map[string]drivers.Line

var errNotThere = errors.New("not there")

func (w wires) Serial(_ context.Context, address string, _ int) (drivers.Line, error) {
	if line, ok := w[address]; ok {
		return line, nil
	}
	return nil, errNotThere
}

func (wires) I2C(context.Context, string) (i2c.BusCloser, error) { return nil, errNotThere }

func (wires) Out(context.Context, string, gpio.Level) (drivers.PinOut, error) {
	return nil, errNotThere
}

func (wires) In(context.Context, string, gpio.Pull) (drivers.PinIn, error) { return nil, errNotThere }

func TestParts(t *testing.T) {
	c := &configs.Config{Devices: []configs.Device{
		{Name: "scanner", Driver: "linescan"}, {Name: "idreader", Driver: "sdt"}, {Name: "thermometer", Driver: "mlx90614"},
		{Name: "speaker", Driver: "syn6288"}, {Name: "gate", Driver: "relay"},
	}}
	var got []string
	for _, p := range kiosk.Parts(c, wires{}) {
		got = append(got, p.Name+" is a "+string(p.Role))
	}
	want := []string{
		"scanner is a scanner", "idreader is a idreader", "thermometer is a thermometer",
		"speaker is a speaker", "gate is a gate",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

// TestPartsThatDoNotOpen: the error names the device as the operator wrote it.
func TestPartsThatDoNotOpen(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    configs.Device
		want string
	}{
		{"an unknown driver", configs.Device{Name: "gate", Driver: "lcus2", Address: "/dev/ttyUSB0"},
			`gate (lcus2 on /dev/ttyUSB0): there is no driver "lcus2"`},
		{"a wire that is not there", configs.Device{Name: "scanner", Driver: "linescan", Address: "/dev/ttyACM0"},
			"scanner (linescan on /dev/ttyACM0): not there"},
		{"a bus that is not there", configs.Device{Name: "thermometer", Driver: "mlx90614", Address: "i2c:1"},
			"thermometer (mlx90614 on i2c:1): not there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parts := kiosk.Parts(&configs.Config{Devices: []configs.Device{tt.d}}, wires{})
			dev, closeWires, err := parts[0].Open(t.Context())
			if err == nil || err.Error() != tt.want || dev != nil || closeWires != nil {
				t.Errorf("Open() = %v, %v, want %s", dev, err, tt.want)
			}
		})
	}
}

// TestAPartOpensWithItsWires, each device with its own of several, and gives
// them back.
func TestAPartOpensWithItsWires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		first := make(chan []byte)
		go func() {
			var f [4]byte
			_, _ = io.ReadFull(far, f[:])
			first <- f[:]
		}()
		c := &configs.Config{Gate: configs.Gate{Rest: "locked"}, Devices: []configs.Device{
			{Name: "scanner", Driver: "linescan", Address: "nowhere"},
			{Name: "gate", Driver: "lcus", Address: "here", Channel: 2},
		}}
		var gate agent.Part
		for _, p := range kiosk.Parts(c, wires{"here": near}) {
			if p.Role == agent.Gate {
				gate = p
			}
		}
		done := make(chan error)
		go func() {
			dev, closeWires, err := gate.Open(t.Context())
			if _, ok := dev.(hal.Gate); !ok {
				err = errors.Join(err, errors.New("it is no gate"))
			}
			done <- errors.Join(err, closeWires())
		}()
		if got := <-first; got[1] != 2 || got[2] != 0 {
			t.Errorf("the board is told % X, want channel 2 to be locked", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the line is not given back: %v", err)
		}
	})
}

// TestCodesAreToldApart as configured; what is left out keeps its default.
func TestCodesAreToldApart(t *testing.T) {
	base := credential.DefaultPatterns()
	if diff := cmp.Diff(base, kiosk.Patterns(&configs.Codes{})); diff != "" {
		t.Errorf("nothing configured (-want +got):\n%s", diff)
	}
	got := kiosk.Patterns(&configs.Codes{Personal: []string{"a:"}, Relative: []string{"b:"}, Venue: []string{"c:"}, Paper: []string{"d:"},
		Issuers: map[string][]string{"anhui": {"e:"}}})
	want := base
	want.Personal, want.Relative, want.Venue, want.Paper = []string{"a:"}, []string{"b:"}, []string{"c:"}, []string{"d:"}
	want.Issuers = map[string][]string{"anhui": {"e:"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("all configured (-want +got):\n%s", diff)
	}
	if len(base.Personal) == 0 || strings.HasPrefix(base.Personal[0], "a:") {
		t.Errorf("the defaults are %v now", base.Personal)
	}
}
