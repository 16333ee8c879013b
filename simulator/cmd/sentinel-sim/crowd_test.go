package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/simulator"
	"github.com/digital-sentinel/sentinel/simulator/crowd"
)

// run runs a command with arguments, and returns what it prints.
func run(cmd *cobra.Command, args ...string) (string, error) {
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.Execute()
	return out.String(), err
}

func TestCrowdCommandsRefuse(t *testing.T) {
	for _, tt := range []struct {
		name string
		cmd  *cobra.Command
		args string
		want string
	}{
		{"nobody", winterCommand(), "--people 0", "--people is 1 to 1000000"},
		{"too many", replayCommand(), "--people 1000001 visitor", "--people is 1 to 1000000"},
		{"more fevers than people", winterCommand(), "--fever-share 1.5", "--fever-share is 0 to 1"},
		{"fevers that are no number", winterCommand(), "--fever-share NaN", "--fever-share is 0 to 1"},
		{"a venue of no class", replayCommand(), "--class palace visitor", `not "palace"`},
		{"a day that is none", replayCommand(), "--at 2022-02-30 visitor", "--at"},
		{"a policy that is not shipped", replayCommand(), "nowhere", "public-place"},
		{"no policy", replayCommand(), "", "at least 1"},
		{"a crowd of nobody", crowdCommand(), "--kiosks 0", "1 to 100000 kiosks"},
		{"kiosks without records", crowdCommand(), "--records 0", "1 to 1000000 records"},
		{"more than all calls twice", crowdCommand(), "--twice 1.5", "0 to 1"},
		{"a store that is none", crowdCommand(), "--kiosks 1 --store floppy", `"floppy"`},
	} {
		if _, err := run(tt.cmd, strings.Fields(tt.args)...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestCrowdCommandsPrint(t *testing.T) {
	for _, tt := range []struct {
		name string
		cmd  *cobra.Command
		args string
		want []string
	}{
		{"winter", winterCommand(), "--people 300 --seed 2",
			[]string{"300 people, ", "seed 2", simulator.RawOffset, simulator.NoLimits, simulator.Kiosk, "heated lobby", "5 min and more"}},
		{"the winter model", winterCommand(), "--help",
			[]string{"no measurement", "domain C-12", "domain C-13", "domain C-14", "domain D-10", "hardware 3.5", "ours"}},
		{"replay", replayCommand(), "--people 300 --at 2022-06-02 public-place residential",
			[]string{"300 people", "assumed", "2022-06-02 00:00", "nat-expired", "public-place → residential", "people a second"}},
		{"crowd", crowdCommand(), "--kiosks 3 --records 20",
			[]string{"3 with 60 records", "60 (100.0 %), 0 left", "0 lost, 0 doubled, 0 strange, 0 rejected"}},
		{"a clean upload", crowdCommand(), "--clean-upload --for 100ms --store memory",
			[]string{"unique records", "0 lost, 0 doubled"}},
		{"replay at an hour", replayCommand(), "--people 3 --at 2022-06-02T08:30:00Z visitor", []string{"2022-06-02 16:30"}},
	} {
		got, err := run(tt.cmd, strings.Fields(tt.args)...)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", tt.name, want, got)
			}
		}
	}
}

func TestCrowdCommandsPrintJSON(t *testing.T) {
	out, err := run(winterCommand(), "--people", "200", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var w simulator.WinterReport
	if err := json.Unmarshal([]byte(out), &w); err != nil || w.People != 200 || len(w.Doors) != 2 {
		t.Errorf("winter: %+v, error %v", w, err)
	}
	out, err = run(crowdCommand(), "--kiosks", "2", "--records", "10", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var c crowd.Report
	if err := json.Unmarshal([]byte(out), &c); err != nil || c.Drained != 20 || !c.Once() {
		t.Errorf("crowd: %+v, error %v", c, err)
	}
	out, err = run(replayCommand(), "visitor", "--people", "200", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var r simulator.ReplayReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.People != 200 || len(r.Policies) != 1 || r.Policies[0].At.IsZero() {
		t.Errorf("replay: %+v, error %v", r, err)
	}
}
