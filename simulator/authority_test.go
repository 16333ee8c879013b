package simulator_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator"
	"github.com/digital-sentinel/sentinel/simulator/authority"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// TestWhoCame: what a kiosk has sealed and the platform holds, the authority
// opens after two approvals, and nobody else has it in clear.
func TestWhoCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(scenarioDate))
		b, err := simulator.New(simulator.Opts{Front: simulator.Memory})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		dir := t.TempDir()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		o := authority.Opts{Dir: filepath.Join(dir, "authority"), Now: time.Now}
		recipient, err := authority.Init(o)
		must(err)
		must(os.WriteFile(filepath.Join(b.Dir(), "authority.age"), []byte(recipient+"\n"), 0o600))
		must(b.Start(t.Context()))
		panel := simulator.NewPanel(b)
		for _, line := range []string{
			"person wang id=11010519491231002X name=王小明 colour=green nat=1h",
			"card wang", "expect verdict granted within=10s", "wait 5s",
		} {
			must(panel.Do(t.Context(), line))
		}
		var file bytes.Buffer
		for _, r := range list(t, b, backend.Checkins) {
			line, err := checkin.EncodeRecord(&r)
			must(err)
			file.Write(append(line, '\n'))
		}
		for _, clear := range []string{"王小明", "11010519491231002X"} {
			if strings.Contains(file.String(), clear) {
				t.Errorf("the platform has %s in clear", clear)
			}
		}
		a, err := authority.Open(o)
		must(err)
		defer a.Close()
		must(a.Name("zhao", filepath.Join(dir, "zhao.key")))
		must(a.Name("qian", filepath.Join(dir, "qian.key")))
		id, err := a.Request("li", "case 7", file.Bytes())
		must(err)
		must(a.Approve(id, "zhao", filepath.Join(dir, "zhao.key")))
		must(a.Approve(id, "qian", filepath.Join(dir, "qian.key")))
		var out bytes.Buffer
		must(a.Decrypt(id, file.Bytes(), &out))
		var who authority.Opened
		must(json.Unmarshal(out.Bytes(), &who))
		if who.Name != "王小明" || who.Value != "11010519491231002X" || who.Kind != checkin.ResidentID || who.Venue != "bench-venue" {
			t.Errorf("it was %+v", who)
		}
	})
}
