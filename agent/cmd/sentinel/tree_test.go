package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/drivers/host"
)

// TestEveryCommandExplainsItself: a line in the list, and --help that ends well.
func TestEveryCommandExplainsItself(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s: no line for the list of commands", cmd.CommandPath())
		}
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		var out bytes.Buffer
		if code := Run(t.Context(), args, quiet(&out)); code != exitOK {
			t.Errorf("%v ends with %d", args, code)
		}
		if !strings.Contains(out.String(), "Usage:\n  "+cmd.CommandPath()) {
			t.Errorf("%v does not tell how to use it:\n%s", args, out.String())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand(quiet(nil)))
}

// TestTheUnitCallsWhatExists: systemd learns of a renamed command only when a
// kiosk does not start, or, of ExecStopPost, when a gate stays open.
func TestTheUnitCallsWhatExists(t *testing.T) {
	unit, err := os.ReadFile("../../../configs/sentinel@.service")
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]string{}
	for line := range strings.Lines(string(unit)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.HasPrefix(key, "Exec") {
			calls[key] = value
		}
	}
	for key, want := range map[string]string{
		"ExecStartPre": "sentinel config check", "ExecStart": "sentinel run", "ExecStopPost": "sentinel halt",
	} {
		words := strings.Fields(strings.ReplaceAll(calls[key], "%i", "north"))
		if len(words) == 0 {
			t.Errorf("%s: nothing is called", key)
			continue
		}
		cmd, args, err := rootCommand(quiet(nil)).Find(words[1:])
		if err != nil || cmd.CommandPath() != want {
			t.Errorf("%s calls %v (%v), want %s", key, words, err, want)
			continue
		}
		if err := cmd.ParseFlags(args); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestDevicesCanBePasted: what devices prints is good under a configuration
// with a gate, but for the one GPIO line that only the operator knows.
func TestDevicesCanBePasted(t *testing.T) {
	kiosk, err := os.ReadFile("../../../configs/desk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	above, _, ok := strings.Cut(string(kiosk), "\ndevices:")
	if !ok {
		t.Fatal("desk.yaml has no devices")
	}
	var out bytes.Buffer
	c := &command{env: quiet(&out)}
	c.printDevices([]host.Found{
		{Address: "1A86:7523:A50285BI", Kind: host.USB, Node: "/dev/ttyUSB0", VID: "1A86", PID: "7523", Product: `USB Serial: "#1" - {x}`},
		{Address: "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0", Kind: host.Path, Node: "/dev/ttyACM0"},
		{Address: "/dev/ttyS0", Kind: host.Path, Node: "/dev/ttyS0"},
		{Address: "i2c:1", Kind: host.I2C, Node: "/dev/i2c-1", Label: "bcm2835 (i2c@7e804000)"},
		{Address: "gpio:pinctrl-bcm2711/LINE", Kind: host.GPIO, Node: "/dev/gpiochip0", Label: "pinctrl-bcm2711", Lines: 58},
	})
	config, problems := configs.Parse([]byte(above+"\n"+out.String()+"gate: {rest: locked}\n"), "pasted.yaml")
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", configs.Invalid(problems), out.String())
	}
	var got []string
	for i := range config.Devices {
		got = append(got, config.Devices[i].Name+" "+config.Devices[i].Address)
	}
	want := strings.Join([]string{
		"scanner 1A86:7523:A50285BI",
		"scanner-2 /dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0",
		"scanner-3 /dev/ttyS0",
		"thermometer i2c:1",
		"gate gpio:pinctrl-bcm2711/LINE",
	}, "\n")
	if strings.Join(got, "\n") != want {
		t.Errorf("pasted devices are\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	if !strings.Contains(out.String(), "58 lines; put the line's name or number for LINE") {
		t.Errorf("nothing says what LINE is:\n%s", out.String())
	}
}

// quiet is surroundings without anything in them.
func quiet(out *bytes.Buffer) Env {
	if out == nil {
		out = &bytes.Buffer{}
	}
	return Env{Stdin: strings.NewReader(""), Stdout: out, Stderr: out, Getenv: func(string) string { return "" }}
}

func TestCheckTrust(t *testing.T) {
	spoilt := filepath.Join(t.TempDir(), "root.json")
	if err := os.WriteFile(spoilt, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ root, level, want string }{
		{"", levelWarn, "no signed cache"},
		{spoilt + ".not", levelFail, "no such file"},
		{spoilt, levelFail, "trust.root"},
	} {
		c := &configs.Config{}
		c.Trust.Root = tt.root
		if f := checkTrust(c); f.Level != tt.level || !strings.Contains(f.Is, tt.want) || f.Do == "" {
			t.Errorf("%q: %+v, want %s with %q", tt.root, f, tt.level, tt.want)
		}
	}
}
