package haltest_test

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/hal/haltest"
)

// suite is the conformance test of one role, a toy of that role, and the
// checks that must fail for each promise that the toy can break.
type suite struct {
	test   func(t *testing.T, open haltest.Open)
	toy    func(breaks string) haltest.Rig
	blocks bool // its call waits for a visitor
	broken map[string][]string
}

var suites = map[string]suite{
	"scanner": {haltest.TestScanner, openScanner, true, map[string][]string{
		"keeps a code for ever":     {"a code shown while nobody asks is dropped"},
		"ignores its context":       {"a code shown while nobody asks is dropped"},
		"hides its context's error": {"a code shown while nobody asks is dropped"},
		"cuts a code short":         {"a code shown while asking is handed up whole"},
	}},
	"card reader": {haltest.TestCardReader, openCardReader, true, map[string][]string{
		"reads half a card": {"a card laid down is read whole"},
	}},
	"thermometer": {haltest.TestThermometer, openThermometer, false, map[string][]string{
		"forgets the zero of its scale":        {"measures"},
		"gives a number that failed its check": {"measures"},
	}},
	"speaker": {haltest.TestSpeaker, openSpeaker, false, map[string][]string{
		"says everything to its end": {"a newer prompt cuts off the older"},
		"calls a cut an error":       {"a newer prompt cuts off the older"},
		"blocks through Halt":        {"Halt ends a long prompt"},
	}},
	"gate": {haltest.TestGate, openGate, false, map[string][]string{
		"never opens":                        {"locks again by itself, also after its context has ended"},
		"stays open":                         {"locks again by itself, also after its context has ended", "a release during a release is refused"},
		"locks only while its context lives": {"locks again by itself, also after its context has ended"},
		"extends a release":                  {"a release during a release is refused"},
		"releases twice":                     {"a release during a release is refused"},
		"halts open":                         {"Halt puts it at rest"},
		"locks nothing":                      {"Lock ends a release"},
		"minds a second Lock":                {"Lock ends a release"},
	}},
}

// common are the promises that all roles make, and blocking those of a call
// that waits.
var (
	common = map[string][]string{
		"has no name":                {"names itself"},
		"has a name of two lines":    {"names itself"},
		"fails a second Halt":        {"halts before use and twice"},
		"ignores its context":        {"a cancelled context returns at once"},
		"hides its context's error":  {"a cancelled context returns at once"},
		"takes its time":             {"a cancelled context returns at once"},
		"calls a lost line an error": {"an unplugged device is gone", "a probe tells whether it is there"},
		"probes in vain":             {"a probe tells whether it is there"},
		"probes what is not there":   {"a probe tells whether it is there"},
	}
	blocking = map[string][]string{
		"ignores its context":        {"a deadline ends a blocked call with its error"},
		"hides its context's error":  {"a deadline ends a blocked call with its error"},
		"takes its time":             {"a deadline ends a blocked call with its error"},
		"calls a lost line an error": {"unplugging ends a blocked call"},
		"blocks on a dead line":      {"unplugging ends a blocked call"},
		"blocks through Halt":        {"Halt ends a blocked call"},
		"is content to be halted":    {"Halt ends a blocked call"},
	}
)

// failing lists what must fail, for each promise that a toy of s can break.
func (s suite) failing() map[string][]string {
	all := maps.Clone(s.broken)
	tables := []map[string][]string{common}
	if s.blocks {
		tables = append(tables, blocking)
	}
	for _, table := range tables {
		for breaks, checks := range table {
			all[breaks] = append(slices.Clone(all[breaks]), checks...)
		}
	}
	return all
}

// breaking makes TestToys break promises: then it has to fail.
const breaking = "HALTEST_TOYS_BREAK"

// TestToys runs the contract over toys that keep it. With breaking set, for
// the test below, it runs it over all those that do not.
func TestToys(t *testing.T) {
	for role, s := range suites {
		open := func(breaks string) haltest.Open {
			return func(*testing.T) haltest.Rig { return s.toy(breaks) }
		}
		if os.Getenv(breaking) == "" {
			t.Run(role, func(t *testing.T) { s.test(t, open("")) })
			continue
		}
		for breaks := range s.failing() {
			t.Run(role+"/"+breaks, func(t *testing.T) { s.test(t, open(breaks)) })
		}
	}
}

// TestABrokenPromiseIsFound runs the contract over broken toys in a process of
// its own, where it may fail, and reads which checks did.
func TestABrokenPromiseIsFound(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestToys$", "-test.v")
	cmd.Env = append(os.Environ(), breaking+"=yes")
	out, err := cmd.CombinedOutput()
	if _, failed := err.(*exec.ExitError); !failed {
		t.Fatalf("the contract holds for toys that break it: %v", err)
	}
	if strings.Contains(string(out), "panic:") {
		t.Fatalf("a check ends in a panic:\n%s", out)
	}
	got, ran := verdicts(string(out))
	for role, s := range suites {
		for breaks, want := range s.failing() {
			toy := role + "/" + breaks
			slices.Sort(want)
			if diff := cmp.Diff(want, got[toy]); diff != "" {
				t.Errorf("a %s that %s: failing checks (-want +got):\n%s", role, breaks, diff)
			}
			for _, check := range want {
				delete(ran, role+"/"+check)
			}
		}
	}
	for check := range ran {
		t.Errorf("no toy breaks the promise of %q: nobody knows whether its check can fail", check)
	}
}

// verdicts reads the output of a verbose test: the checks that failed by toy,
// sorted, and every check that there is, by role.
func verdicts(out string) (failed map[string][]string, ran map[string]bool) {
	failed, ran = map[string][]string{}, map[string]bool{}
	for line := range strings.Lines(out) {
		verdict, name, ok := strings.Cut(strings.TrimSpace(line), ": TestToys/")
		name, _, _ = strings.Cut(name, " ")
		parts := strings.Split(strings.ReplaceAll(name, "_", " "), "/")
		if !ok || len(parts) != 3 {
			continue
		}
		role, breaks, check := parts[0], parts[1], parts[2]
		ran[role+"/"+check] = true
		if verdict == "--- FAIL" {
			failed[role+"/"+breaks] = append(failed[role+"/"+breaks], check)
		}
	}
	for _, checks := range failed {
		slices.Sort(checks)
	}
	return failed, ran
}
