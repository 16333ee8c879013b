package simulator_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// TestRestoredKiosk puts an earlier copy of the state folder under the real
// program, which then gives identities that the platform holds: every visit of
// both lives reaches it, under one identity each.
func TestRestoredKiosk(t *testing.T) {
	t.Parallel()
	b, do := played(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pass := func(visits int) {
		t.Helper()
		do("scan person wang")
		do("expect verdict granted within=10s")
		if n := delivered(t, b, visits); n.Visits != visits || n.Duplicate != 0 {
			t.Fatalf("%+v are delivered, want %d visits", n, visits)
		}
		do("wait 3s") // a code again is another visit
	}
	state, backup := filepath.Join(b.Dir(), "state"), filepath.Join(t.TempDir(), "backup")

	do("person wang id=11010519491231002X name=王小明 colour=green nat=1h")
	pass(1)
	must(b.StopAgent())
	must(os.CopyFS(backup, os.DirFS(state)))
	must(b.StartAgent(t.Context()))
	pass(2)
	must(b.StopAgent())
	must(os.RemoveAll(state))
	must(os.CopyFS(state, os.DirFS(backup)))
	must(b.StartAgent(t.Context()))
	pass(3)
	pass(4)
	n, epochs, uuids := count(t, b, backend.Checkins), map[string]bool{}, map[string]bool{}
	for _, r := range list(t, b, backend.Checkins) {
		epochs[r.Event.ID.Epoch], uuids[r.Event.UUID] = true, true
	}
	if n.Conflicts == 0 || len(epochs) != 2 || len(uuids) != n.Records {
		t.Errorf("%+v, %d epochs, %d events; want conflicts that cost nothing", n, len(epochs), len(uuids))
	}
}
