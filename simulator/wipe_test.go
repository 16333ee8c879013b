package simulator_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// TestSecondLife wipes the folder of a kiosk that has served a visitor, with the
// real program, and lets it live again: the folder tells nothing of the first
// life, and the next visitor passes under identities of a new epoch.
func TestSecondLife(t *testing.T) {
	t.Parallel()
	program := sentinel(t)
	b, do := played(t)
	at := func(name string) string { return filepath.Join(b.Dir(), name) }
	wipe := func(args ...string) (string, error) {
		out, err := exec.Command(program, append([]string{"wipe"}, args...)...).CombinedOutput()
		return string(out), err
	}
	args := []string{"--config", at("kiosk.yaml"), "--out", at("wiped.json"), "--reason", "a second life", "--yes"}

	do("person wang id=11010519491231002X name=王小明 colour=green nat=1h")
	do("scan person wang")
	do("expect verdict granted within=10s")
	delivered(t, b, 1)
	if text, err := wipe(args...); err == nil || !strings.Contains(text, "another sentinel runs") {
		t.Fatalf("a kiosk runs, and it is wiped: %v\n%s", err, text)
	}
	if err := b.StopAgent(); err != nil {
		t.Fatal(err)
	}
	lost := "0"
	text, err := wipe(args...)
	if _, number, refused := strings.Cut(text, "say --undelivered "); refused {
		lost = strings.TrimSpace(number) // the passage may not have been delivered yet
		text, err = wipe(append(args, "--undelivered", lost)...)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if text, err := wipe("verify", at("wiped.json"), "--ca", at("ca.pem")); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	left, err := os.ReadDir(at("state"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		switch e.Name() {
		case "clock.json", "policy-accepted.yaml", "events", "queue.lock":
		default:
			t.Errorf("%s is left", e.Name())
		}
	}

	if err := b.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	do("scan person wang")
	do("expect verdict granted within=10s")
	delivered(t, b, 2)
	epochs := map[string]bool{}
	for _, r := range list(t, b, backend.Checkins) {
		epochs[r.Event.ID.Epoch] = true
	}
	if n := count(t, b, backend.Checkins); len(epochs) != 2 || n.Visits != 2 || n.Duplicate != 0 {
		t.Errorf("%d epochs, %+v", len(epochs), n)
	}
}
