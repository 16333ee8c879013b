package simulator_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/simulator"
	"github.com/digital-sentinel/sentinel/simulator/flash"
)

// verbose tells every story, not only those that fail.
var verbose = flag.Bool("story", false, "print every scenario's story")

// scenarioDate is when the stories happen in virtual time, whose clock begins
// in the year 2000: certificates and policies are of this year.
var scenarioDate = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// needsProcess are the scenarios that kill the agent or harm its disk: in memory
// they must say that they are not available. A test that is left out is named here, and run
// on the pty front by TestScenariosOnPTY.
var needsProcess = []string{"clock-lost-with-the-power", "disk-filled-and-freed", "disk-full-and-back", "fire-outlives-a-restart", "killed-after-the-verdict", "power-cut", "power-cut-with-unsynced-data", "report-after-a-kill"}

func scenarios(t *testing.T) []*simulator.Scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d scenarios found (%v), want at least 25", len(files), err)
	}
	var all []*simulator.Scenario
	for _, f := range files {
		s, err := simulator.LoadScenario(f)
		if err != nil {
			t.Fatal(err)
		}
		s.Name = strings.TrimSuffix(filepath.Base(f), ".txt")
		all = append(all, s)
	}
	return all
}

// TestScenariosInMemory plays every scenario on the real drivers and the real
// agent in virtual time.
func TestScenariosInMemory(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.Name, func(t *testing.T) {
			want := simulator.Held
			for _, n := range needsProcess {
				if n == s.Name {
					want = simulator.NotAvailable
				}
			}
			var story bytes.Buffer
			var got simulator.Result
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(scenarioDate))
				got = simulator.Play(t.Context(), s, simulator.Opts{Front: simulator.Memory}, &story)
			})
			if got != want {
				t.Errorf("result %d, want %d\n%s", got, want, story.String())
			} else if *verbose {
				t.Log(story.String())
			}
		})
	}
}

// overwrites is what the shipped program's runtime is told (agent/scrub).
const overwrites = "clobberfree=1,gcshrinkstackoff=1"

// sentinel builds the agent's program once, for the tests that need the child
// process. The race detector of this test does not reach into it.
func sentinel(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sentinel")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X runtime.godebugDefault="+overwrites, "-o", path, "../agent/cmd/sentinel").CombinedOutput()
	if err != nil {
		t.Fatalf("building the agent: %v\n%s", err, out)
	}
	return path
}

// TestScenariosOnPTY plays what needs a real process, and a few others, on
// pseudo-terminals with the unmodified program; sentinel-sim play plays all.
func TestScenariosOnPTY(t *testing.T) {
	if _, err := os.Stat("/dev/ptmx"); err != nil {
		t.Fatalf("there are no pseudo-terminals here: %v", err)
	}
	program := sentinel(t)
	pick := append([]string{"granted-by-card", "scanner-unplugged", "platform-loses-replies", "tailgating"}, needsProcess...)
	t.Run("all", func(t *testing.T) {
		for _, s := range scenarios(t) {
			for _, name := range pick {
				if name != s.Name {
					continue
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					var story bytes.Buffer
					got := simulator.Play(t.Context(), s, simulator.Opts{Front: simulator.PTY, Sentinel: program}, &story)
					if got == simulator.NotAvailable && strings.Contains(story.String(), flash.ErrUnavailable.Error()) && os.Getenv("SENTINEL_NEED_FUSE") == "" {
						t.Skipf("skipped: %s", story.String())
					}
					if got != simulator.Held {
						t.Errorf("result %d, want held\n%s", got, story.String())
					}
				})
			}
		}
	})
}

func TestScenariosThatAreWrongSaySo(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"an unknown verb", "dance", `x:1: "dance" is no verb; the verbs are backend,`},
		{"a key that the verb has not", "person wang age=3", "x:1: person has no age=; write: person REF"},
		{"too many words", "wait 1s 2s", "x:1: wait takes 1 to 1 words; write: wait 5s"},
		{"a quote that does not end", `scan "abc`, "x:1: a quote does not end"},
		{"a key twice", "venue class=office class=housing", "x:1: class= stands twice"},
		{"all lines at once", "dance\nsing", "\nx:2: "},
		{"nothing", "# only a comment\n", "x: no command in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := simulator.ParseScenario(strings.NewReader(tt.text), "x")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestControlsFail: expects that do not hold must fail, or a green run proves
// nothing; and what cannot be done is never a pass.
func TestControlsFail(t *testing.T) {
	head := "venue policy=residential\nperson wang id=11010519491231002X colour=green\n"
	for _, tt := range []struct {
		name, text string
		want       simulator.Result
	}{
		{"a verdict that was not made", head + "scan person wang\nexpect verdict refused", simulator.Failed},
		{"a reason that was not given", head + "scan person wang\nexpect verdict granted reason=exempt", simulator.Failed},
		{"a gate that opened", head + "scan person wang\nexpect gate shut", simulator.Failed},
		{"a gate that stayed shut", head + "scan \"x\"\nexpect gate released", simulator.Failed},
		{"words that were not said", head + "scan person wang\nexpect said fever", simulator.Failed},
		{"records that are not there", head + "scan person wang\nexpect records stored=2", simulator.Failed},
		{"an alarm that is quiet", head + "scan person wang\nexpect alarm tailgating within=1s", simulator.Failed},
		{"a device that is well", head + "scan person wang\nexpect device scanner gone within=1s", simulator.Failed},
		{"a person that is not there", head + "scan person nobody", simulator.Failed},
		{"a disk that is not there to be freed", head + "free disk", simulator.NotAvailable},
		{"a disk that cannot be filled here", head + "fill disk", simulator.NotAvailable},
		{"a report of somebody who was let in", head + "scan person wang\nexpect report delivered recipient=cdc within=1s", simulator.Failed},
		{"a recipient that nobody knows", head + "scan person wang\nexpect report delivered recipient=moon", simulator.Failed},
		{"a report that was not to come", "person li id=53010219200508011X colour=red nat=1h\nscan person li\nexpect verdict refused\nexpect report none", simulator.Failed},
		{"a report to nobody", head + "scan person wang\nexpect report delivered", simulator.Failed},
		{"a device that the profile has not", "profile desk\n" + head + "unplug gate", simulator.NotAvailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := simulator.ParseScenario(strings.NewReader(tt.text), tt.name)
			if err != nil {
				t.Fatal(err)
			}
			var story bytes.Buffer
			var got simulator.Result
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(scenarioDate))
				got = simulator.Play(t.Context(), s, simulator.Opts{Front: simulator.Memory}, &story)
			})
			if got != tt.want {
				t.Errorf("result %d, want %d\n%s", got, tt.want, story.String())
			}
		})
	}
}

func FuzzParseScenario(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := simulator.ParseScenario(strings.NewReader(text), "fuzz")
		if err == nil && len(s.Steps) == 0 {
			t.Error("no error and no step")
		}
	})
}
