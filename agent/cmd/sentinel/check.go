package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"periph.io/x/conn/v3"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/cmd/kiosk"
	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/drivers"
	"github.com/digital-sentinel/sentinel/hal"
)

// finding is one line of check.
type finding struct {
	Level string `json:"level"` // OK, WARN or FAIL
	What  string `json:"what"`
	Is    string `json:"is"`
	Do    string `json:"do,omitempty"` // what to do about it
}

const (
	levelOK   = "OK"
	levelWarn = "WARN"
	levelFail = "FAIL"
)

func (c *command) check() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "open every device and the platform, and say what to do",
		Long: `check opens every configured device, takes a reading where there is one, asks
the platform, and prints one line each, with what to do about a failure. Beside
a running kiosk, which has the devices, it reports what that one says.

Exit code 0: nothing failed (warnings do not count); 1: something did.`,
		Example: "  sentinel check --config /etc/sentinel/sentinel.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			return c.report(c.findings(cmd.Context(), config), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *command) report(list []finding, asJSON bool) error {
	bad := false
	for _, f := range list {
		bad = bad || f.Level == levelFail
		if asJSON {
			continue
		}
		c.printf("%-5s %-12s %s\n", f.Level, f.What, f.Is)
		if f.Do != "" {
			c.printf("      %-12s → %s\n", "", f.Do)
		}
	}
	if asJSON {
		if err := printJSON(c, list); err != nil {
			return err
		}
	}
	if bad {
		return errFailed
	}
	return nil
}

func (c *command) findings(ctx context.Context, config *configs.Config) []finding {
	clk, err := c.clock(ctx, config)
	if err != nil {
		return []finding{{levelFail, "clock", err.Error(), "start the bench first, or take clock: out of the configuration"}}
	}
	list := []finding{checkClock(clk), checkState(config), checkPolicy(config), checkRecipient(config), checkTrust(config)}
	if config.Bench {
		list = append(list, finding{levelWarn, "bench", "this configuration is a bench's", "take bench: true out before the kiosk is put into service"})
	}
	list = append(list, c.checkPlatform(ctx, config, clk))
	var s agent.Status
	err = ask(ctx, config, http.MethodGet, "/v1/status", &s)
	if err != nil && !errors.Is(err, errNoAgent) {
		return append(list, finding{levelFail, "sentinel", err.Error(), "run this as the user of the unit, or restart the kiosk; its devices were left alone"})
	}
	if err == nil {
		list = append(list, finding{levelOK, "sentinel", "a kiosk runs here and has the devices; this is what it says", ""})
		for _, d := range s.Devices {
			list = append(list, running(d))
		}
		return list
	}
	for i := range config.Devices {
		list = append(list, checkDevice(ctx, config, &config.Devices[i])...)
	}
	if len(config.Devices) == 0 {
		list = append(list, finding{levelWarn, "devices", "none is configured", "sentinel devices lists what is plugged in"})
	}
	return list
}

func running(d agent.DeviceStatus) finding {
	if d.State == agent.DeviceReady {
		return finding{levelOK, d.Name, d.Is, ""}
	}
	return finding{levelFail, d.Name, string(d.State) + ": " + d.Err, "check its plug and its power; the kiosk opens it again by itself"}
}

func checkClock(clk *clock.Clock) finding {
	now := clk.Now().Format(time.DateTime)
	if !clk.Agrees() {
		return finding{levelFail, "clock", now + " cannot be right", "set the clock: enable chrony or systemd-timesyncd, and see that the network is up"}
	}
	return finding{levelOK, "clock", now, ""}
}

func checkState(config *configs.Config) finding {
	if err := os.MkdirAll(config.State, 0o700); err != nil {
		return finding{levelFail, "state", err.Error(), "make the folder for the user that runs sentinel"}
	}
	probe := filepath.Join(config.State, ".check")
	err := os.WriteFile(probe, []byte("check\n"), 0o600)
	_ = os.Remove(probe)
	if err != nil {
		return finding{levelFail, "state", err.Error(), "give the folder to the user that runs sentinel, and see that its disk has room"}
	}
	return finding{levelOK, "state", config.State + " can be written", ""}
}

func checkPolicy(config *configs.Config) finding {
	p, err := kiosk.LoadPolicy(config.Policy)
	if err != nil {
		return finding{levelFail, "policy", err.Error(), "mend the policy file"}
	}
	return finding{levelOK, "policy", fmt.Sprintf("%s version %d, %d rules", p.ID, p.Version, len(p.Rules)), ""}
}

func checkRecipient(config *configs.Config) finding {
	if _, err := kiosk.Recipient(config); err != nil {
		return finding{levelFail, "recipient", err.Error(), "put the authority's age public key (age1…) there, as the platform gave it"}
	}
	return finding{levelOK, "recipient", "identities are sealed to the authority's key", ""}
}

func (c *command) checkPlatform(ctx context.Context, config *configs.Config, clk *clock.Clock) finding {
	const what = "platform"
	client, err := kiosk.Client(config, kiosk.Env{Version: version, Clock: clk})
	if err != nil {
		return finding{levelFail, what, err.Error(), "put the files there that the platform gave at enrolment"}
	}
	defer client.Close()
	start := time.Now()
	if err := client.Heartbeat(ctx, api.Heartbeat{}); err != nil {
		return finding{levelFail, what, err.Error(), "check the address, the network, and whether the certificate is still valid; visitors get manual until it answers"}
	}
	return finding{levelOK, what, fmt.Sprintf("%s answers in %v", config.Platform.URLs[0], time.Since(start).Round(time.Millisecond)), ""}
}

// checkDevice opens one device, takes a reading, and puts it to rest.
func checkDevice(ctx context.Context, config *configs.Config, d *configs.Device) []finding {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	start := time.Now()
	o, err := drivers.Open(ctx, d, config.Gate.Rest, drivers.HostWires(config.Insecure))
	if err != nil {
		return []finding{{levelFail, d.Name, err.Error(), advice(d)}}
	}
	is, err := describe(ctx, o.Dev)
	err = errors.Join(err, o.Dev.Halt(), o.Close())
	if err != nil {
		return []finding{{levelFail, d.Name, err.Error(), advice(d)}}
	}
	list := []finding{{levelOK, d.Name, fmt.Sprintf("%s, in %v", is, time.Since(start).Round(time.Millisecond)), ""}}
	if d.Role() == "gate" {
		list = append(list, gateSafety(config, d, selfTimed(o)))
	}
	return list
}

// describe names a device, with one reading where that is harmless.
func describe(ctx context.Context, dev conn.Resource) (string, error) {
	is := dev.String()
	if d, ok := dev.(hal.Identified); ok && d.DeviceID() != "" {
		is += ", number " + d.DeviceID()
	}
	if t, ok := dev.(hal.Thermometer); ok {
		r, err := t.Measure(ctx)
		if err != nil {
			return is, err
		}
		is += fmt.Sprintf(", sees %s, ambient %s", r.Object, r.Ambient)
	}
	if p, ok := dev.(hal.Prober); ok {
		return is, p.Probe(ctx)
	}
	return is, nil
}

// gateSafety says what holds the gate when the agent cannot.
func gateSafety(config *configs.Config, d *configs.Device, timed bool) finding {
	if timed {
		return finding{levelOK, d.Name, "its board ends a release by itself, also if this computer stops", ""}
	}
	return finding{
		levelWarn, d.Name, "a release ends by this computer's timer: after a SIGKILL or a loss of power in the middle of one, the line stays as the board leaves it",
		"wire the relay so that it falls back to the resting position (" + config.Gate.Rest + ") without power; the unit file's ExecStopPost runs sentinel halt after a crash",
	}
}

// advice is what usually helps with a driver's device.
func advice(d *configs.Device) string {
	switch d.Role() {
	case "scanner":
		return "check the plug; sentinel devices lists what is there; a scanner in keyboard mode must be set to serial by its manual's setting code"
	case "idreader":
		return "check the plug and the reader's lamp; sentinel devices lists what is there; leave baud out to let the driver look for the speed"
	case "thermometer":
		return "check the I²C wires (SDA, SCL, 3.3 V, ground) and that the bus is enabled; i2cdetect shows the sensor at 5a"
	case "speaker":
		return "check TX and RX (they cross), power and baud"
	case "gate":
		return "check the address; the user that runs sentinel must be in the groups gpio or dialout"
	}
	return "check its plug and its power"
}
