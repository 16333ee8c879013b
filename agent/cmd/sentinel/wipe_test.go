package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// used makes a kiosk that has served two visitors and delivered nobody, and
// returns its folder and the queue, open.
func used(t *testing.T) (dir string, q *queue.Queue) {
	t.Helper()
	dir = filepath.Dir(logged(t))
	q, err := queue.Open(queue.Opts{Dir: filepath.Join(dir, "s"), Device: "k-1", Recipient: testRecipient})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	for range 2 {
		e := checkin.Event{Version: checkin.EventVersion, UUID: "u", Kind: checkin.KindVisit}
		if _, err := q.Put(t.Context(), e, &checkin.Identity{UUID: "u", Kind: checkin.ResidentID, Value: "11010519491231002X", Name: "王小明"}); err != nil {
			t.Fatal(err)
		}
	}
	return dir, q
}

// say runs a command and returns its exit code and all that it says.
func say(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	exit := Run(t.Context(), args, quiet(&out))
	return exit, out.String()
}

func TestWipeCommand(t *testing.T) {
	dir, q := used(t)
	config, out := filepath.Join(dir, "kiosk.yaml"), filepath.Join(dir, "wiped.json")
	base := []string{"wipe", "-c", config, "--out", out}
	refused := func(want string, exit int, more ...string) {
		t.Helper()
		got, text := say(t, append(base[:len(base):len(base)], more...)...)
		if got != exit || !strings.Contains(text, want) {
			t.Errorf("%v ends with %d: %s", more, got, text)
		}
		if len(generations(filepath.Join(dir, "s"))) == 0 {
			t.Fatalf("%v has touched the queue", more)
		}
	}
	refused("--reason is missing", exitUsage, "--yes")
	refused("say --yes if that is meant", exitUsage, "--reason", "sold")
	refused("--events is keep or remove", exitUsage, "--reason", "sold", "--yes", "--events=all")
	refused("--unknown is keep or remove", exitUsage, "--reason", "sold", "--yes", "--unknown=all")
	refused("another sentinel runs", exitFailed, "--reason", "sold", "--yes")
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	refused("2 waiting, 0 refused for good; deliver them first, or say --undelivered 2", exitFailed, "--reason", "sold", "--yes")

	exit, text := say(t, append(base, "--reason", "sold", "--yes", "--undelivered", "2")...)
	if exit != exitOK || !strings.Contains(text, "records lost: 2 waiting, 0 refused for good") {
		t.Fatalf("it ends with %d: %s", exit, text)
	}
	if !strings.Contains(text, "2 identities sealed to the authority's key") {
		t.Errorf("it does not tell of identities: %s", text)
	}
	left, err := os.ReadDir(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"events", "queue.lock"}, names); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if !strings.Contains(text, "2 of their events are kept in the event log") {
		t.Errorf("it does not tell of events: %s", text)
	}
	if exit, text = say(t, "log", "-c", config, "--counts"); !strings.Contains(text, "\n6       all") {
		t.Errorf("the event log is another (%d): %s", exit, text)
	}
	verifies(t, dir)
}

// verifies judges the certificate as others do.
func verifies(t *testing.T, dir string) {
	t.Helper()
	out := filepath.Join(dir, "wiped.json")
	for _, tt := range []struct {
		name, want string
		exit       int
		args       []string
	}{
		{"by the authority", "is good\nkiosk k-1 was wiped at", exitOK, []string{"--ca", filepath.Join(dir, "ca.pem")}},
		{"by the kiosk's own", "is good", exitOK, []string{"--cert", filepath.Join(dir, "kiosk.pem")}},
		{"as JSON", `"identities": {`, exitOK, []string{"--json", "--cert", filepath.Join(dir, "kiosk.pem")}},
		{"by another's", "certificate", exitFailed, []string{"--ca", filepath.Join(filepath.Dir(installed(t)), "ca.pem")}},
		{"by nobody", "--ca or --cert", exitUsage, nil},
		{"by a key", "holds no certificate", exitFailed, []string{"--ca", filepath.Join(dir, "statement-1.pem")}},
	} {
		if exit, text := say(t, append([]string{"wipe", "verify", out}, tt.args...)...); exit != tt.exit || !strings.Contains(text, tt.want) {
			t.Errorf("%s: it ends with %d: %s", tt.name, exit, text)
		}
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, bytes.Replace(data, []byte("sold"), []byte("told"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if exit, text := say(t, "wipe", "verify", out, "--ca", filepath.Join(dir, "ca.pem")); exit != exitFailed || !strings.Contains(text, "signature does not verify") {
		t.Errorf("a changed one ends with %d: %s", exit, text)
	}
}

// A queue whose file was bent where it hurts is wiped, too.
func TestWipeOfABentQueue(t *testing.T) {
	dir, q := used(t)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "s", "q-*.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for at := 2 * os.Getpagesize(); at < len(data); at++ {
		data[at] = 0xff // all but the two pages that say where the others are
	}
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	exit, text := say(t, "wipe", "-c", filepath.Join(dir, "kiosk.yaml"), "--out", filepath.Join(dir, "w.json"), "--reason", "broken", "--yes", "--undelivered", "unknown")
	if exit != exitOK || !strings.Contains(text, "nobody knows how many") {
		t.Errorf("it ends with %d: %s", exit, text)
	}
}

// A queue that cannot be read is wiped once a person has said so.
func TestWipeOfADamagedQueue(t *testing.T) {
	dir := filepath.Dir(installed(t))
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "s"), 0o700), os.WriteFile(filepath.Join(dir, "s", "queue.db"), []byte("no queue"), 0o600)); err != nil {
		t.Fatal(err)
	}
	base := []string{"wipe", "-c", filepath.Join(dir, "kiosk.yaml"), "--out", filepath.Join(dir, "w.json"), "--reason", "broken", "--yes"}
	if exit, text := say(t, base...); exit != exitFailed || !strings.Contains(text, "say --undelivered unknown") {
		t.Errorf("it ends with %d: %s", exit, text)
	}
	if exit, text := say(t, append(base, "--undelivered", "unknown")...); exit != exitOK || !strings.Contains(text, "nobody knows how many") {
		t.Errorf("it ends with %d: %s", exit, text)
	}
}

// A kiosk does not run on a folder that is half wiped, and the next wipe
// finishes it without being asked again.
func TestHalfWiped(t *testing.T) {
	dir, q := used(t)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "kiosk.yaml")
	begun := `{"type":"sentinel-wipe","v":1,"id":"x","device":"k-1","reason":"sold","lost":{"known":true},"runs":1}`
	if err := os.WriteFile(filepath.Join(dir, "s", "wipe.json"), []byte(begun), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // if it should start, it ends
	var out bytes.Buffer
	if exit := Run(ctx, []string{"run", "-c", config}, quiet(&out)); exit != exitFailed || !strings.Contains(out.String(), "begun and not finished; finish it with: sentinel wipe --yes") {
		t.Errorf("it runs (%d): %s", exit, out.String())
	}
	if exit, text := say(t, "wipe", "-c", config, "--yes", "--out", filepath.Join(dir, "w.json")); exit != exitOK || !strings.Contains(text, "why: sold") {
		t.Errorf("it ends with %d: %s", exit, text)
	}
}
