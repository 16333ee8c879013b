package trust_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// The cases of these files are those of the TUF project's conformance suite for
// clients, told with our own store and repository.

func TestRefreshAsksForWhatItNeeds(t *testing.T) {
	r := newRepo(t)
	c := newClient(t, r)
	c.ok("first refresh")
	want := []string{"2.root", "timestamp", "1.snapshot", "1.targets"}
	if d := cmp.Diff(want, r.asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		got, err := os.ReadFile(filepath.Join(c.dir, role+".json"))
		if err != nil || !bytes.Equal(got, r.last(role)) {
			t.Errorf("%s.json is not what was published: %v", role, err)
		}
	}
	c.ok("second refresh")
	if d := cmp.Diff([]string{"2.root", "timestamp"}, r.asked); d != "" {
		t.Errorf("asked the second time (-want +got):\n%s", d)
	}
}

func TestDownloadRefreshesFirst(t *testing.T) {
	c := newClient(t, newRepo(t))
	if err := c.download("nonexistent artifact"); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("a target that nobody names: %v", err)
	}
	c.want("root 1, snapshot 1, targets 1, timestamp 1")
}

func TestRootThatIsNone(t *testing.T) {
	r := newRepo(t)
	good := r.published["root"][0]
	rows := []struct {
		name string
		root []byte
	}{
		{"no version", edit(t, good, func(md map[string]any) { delete(md["signed"].(map[string]any), "version") })},
		{"another signature", edit(t, good, func(md map[string]any) {
			md["signatures"].([]any)[0].(map[string]any)["sig"] = strings.Repeat("ab", 64)
		})},
		{"keys that are null", edit(t, good, func(md map[string]any) {
			for id := range md["signed"].(map[string]any)["keys"].(map[string]any) {
				md["signed"].(map[string]any)["keys"].(map[string]any)[id] = nil
			}
		})},
		{"a key that is too short", edit(t, good, func(md map[string]any) {
			for _, key := range md["signed"].(map[string]any)["keys"].(map[string]any) {
				key.(map[string]any)["keyval"] = map[string]any{"public": "abcd"}
			}
		})},
		{"no role root", edit(t, good, func(md map[string]any) {
			md["signed"].(map[string]any)["roles"] = map[string]any{"root": nil}
		})},
		{"a timestamp", r.last("timestamp")},
		{"no JSON", []byte("root")},
		{"nothing", nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			if _, err := trust.Open(dir, trust.Options{Root: row.root}); !errors.Is(err, trust.ErrRefused) {
				t.Errorf("Open: %v", err)
			}
			if err := trust.Install(dir, row.root); !errors.Is(err, trust.ErrRefused) {
				t.Errorf("Install: %v", err)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("a folder was made")
			}
		})
	}
}

// edit changes metadata as JSON, so that its signatures no longer hold.
func edit(t testing.TB, data []byte, f func(md map[string]any)) []byte {
	t.Helper()
	var md map[string]any
	if err := json.Unmarshal(data, &md); err != nil {
		t.Fatal(err)
	}
	f(md)
	out, err := json.Marshal(md)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRoleThatIsNotSigned(t *testing.T) {
	for role, want := range map[string]string{
		"root":      "root 1",
		"timestamp": "root 2",
		"snapshot":  "root 2, timestamp 2",
		"targets":   "root 2, snapshot 2, timestamp 2",
	} {
		t.Run(role, func(t *testing.T) {
			r := newRepo(t)
			r.signers[role] = nil
			r.publish("root", "targets", "snapshot", "timestamp")
			c := newClient(t, r)
			if err := c.fails("refresh"); !errors.Is(err, trust.ErrRefused) {
				t.Errorf("refused for another reason: %v", err)
			}
			c.want(want)
		})
	}
}

func TestVersionThatIsNotTheOneAskedFor(t *testing.T) {
	for role, want := range map[string]string{
		"root":     "root 1",
		"snapshot": "root 2, timestamp 2",
		"targets":  "root 2, snapshot 2, timestamp 2",
	} {
		t.Run(role, func(t *testing.T) {
			r := newRepo(t)
			r.publish("root", "targets", "snapshot", "timestamp")
			switch role { // the file says 3 and lies where 2 is expected
			case "root":
				r.root.Signed.Version = 2
				r.published["root"] = r.published["root"][:1]
				r.publish("root")
			case "snapshot":
				r.snapshot.Signed.Version = 2
				r.published["snapshot"] = r.published["snapshot"][:1]
				seal3 := r.timestamp.Signed.Meta["snapshot.json"].Version
				r.publish("snapshot")
				r.timestamp.Signed.Meta["snapshot.json"].Version = seal3
			case "targets":
				r.targets["targets"].Signed.Version = 2
				r.published["targets"] = r.published["targets"][:1]
				r.publish("targets")
			}
			c := newClient(t, r)
			if err := c.fails("refresh"); !errors.Is(err, trust.ErrRefused) {
				t.Errorf("refused for another reason: %v", err)
			}
			c.want(want)
		})
	}
}

func TestTimestampOfTheSameVersionChangesNothing(t *testing.T) {
	r := newRepo(t)
	c := newClient(t, r)
	c.ok("first refresh")
	before := r.last("timestamp")
	r.forget("timestamp", &r.timestamp.Signed.Version)
	r.timestamp.Signed.Meta["snapshot.json"].Version = 100
	r.publish("timestamp")
	c.ok("refresh")
	if d := cmp.Diff([]string{"2.root", "timestamp"}, r.asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	if got := c.open().Seen("timestamp"); !bytes.Equal(got, before) {
		t.Error("the other timestamp was kept")
	}
}

func TestHashesOfMetadata(t *testing.T) {
	r := newRepo(t)
	r.hashes = true
	r.all()
	c := newClient(t, r)
	c.ok("with hashes")
	r.publish("targets")
	r.snapshot.Signed.Meta["targets.json"].Hashes["sha256"][0] ^= 1
	r.publish("snapshot", "timestamp")
	if err := c.fails("a wrong hash"); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("refused for another reason: %v", err)
	}
	c.want("root 1, snapshot 3, targets 2, timestamp 3")
}

func TestBytesAreKeptAsTheyCame(t *testing.T) {
	r := newRepo(t)
	r.spoil("timestamp", func(b []byte) []byte { return append(b, ' ', '\n') })
	c := newClient(t, r)
	c.ok("refresh")
	got, err := os.ReadFile(filepath.Join(c.dir, "timestamp.json"))
	if err != nil || !bytes.Equal(got, r.last("timestamp")) {
		t.Errorf("timestamp.json was written anew: %v", err)
	}
}

func TestFieldsThatNobodyKnows(t *testing.T) {
	r := newRepo(t)
	c := newClient(t, r)
	c.ok("first refresh")
	s := newSigner(t)
	key := keyOf(t, s)
	key.UnrecognizedFields = map[string]any{"extra-field": map[string]any{"a": 1, "b": 2}, "keyid_hash_algorithms": "md5"}
	if err := r.root.Signed.AddKey(key, "snapshot"); err != nil {
		t.Fatal(err)
	}
	r.root.Signed.UnrecognizedFields = map[string]any{"custom-field": "value"}
	r.root.Signed.Roles["root"].UnrecognizedFields = map[string]any{"another-field": "value"}
	r.timestamp.Signed.UnrecognizedFields = map[string]any{"as-of": now.Format("2006-01-02T15:04:05Z07:00")}
	r.publish("root", "snapshot", "timestamp")
	c.ok("refresh")
	c.want("root 2, snapshot 2, targets 1, timestamp 2")
	if got := c.open().State(now, now).AsOf; !got.Equal(now) {
		t.Errorf("the timestamp's as-of: %v", got)
	}
}

func TestFilesThatAreNotThere(t *testing.T) {
	rows := []struct {
		name  string
		spoil func(r *repo)
		asked string
		roles string
	}{
		{"snapshot", func(r *repo) {
			r.timestamp.Signed.Meta["snapshot.json"].Version++
			r.publish("timestamp")
		}, "2.snapshot", "root 1, snapshot 1, targets 1, timestamp 2"},
		{"targets", func(r *repo) {
			r.snapshot.Signed.Meta["targets.json"].Version++
			r.publish("snapshot", "timestamp")
		}, "2.targets", "root 1, snapshot 2, targets 1, timestamp 2"},
		{"timestamp", func(r *repo) { delete(r.published, "timestamp") },
			"timestamp", "root 1, snapshot 1, targets 1, timestamp 1"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRepo(t)
			c := newClient(t, r)
			c.ok("first refresh")
			row.spoil(r)
			if err := c.fails("refresh"); !errors.Is(err, trust.ErrNotFound) || errors.Is(err, trust.ErrRefused) {
				t.Errorf("a missing file is no attack: %v", err)
			}
			if got := r.asked[len(r.asked)-1]; got != row.asked {
				t.Errorf("asked for %s last, want %s", got, row.asked)
			}
			c.want(row.roles)
			if s := c.open().State(now, now); !s.Whole || s.Roles["targets"].Version != 1 {
				t.Errorf("the old set is no longer in use: %+v", s)
			}
		})
	}
}

func TestRoleOfAnotherType(t *testing.T) {
	r := newRepo(t)
	r.addSigner("snapshot", r.signers["timestamp"][0])
	r.snapshot.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": metadata.MetaFile(1)}
	r.publish("root", "snapshot")
	r.published["timestamp"] = append(r.published["timestamp"], r.last("snapshot"))
	c := newClient(t, r)
	if err := c.fails("refresh"); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("refused for another reason: %v", err)
	}
	c.want("root 2")
}

// TestSnapshotOfTheSameVersion: the timestamp's hash decides which of two.
func TestSnapshotOfTheSameVersion(t *testing.T) {
	r := newRepo(t)
	r.hashes = true
	r.all()
	c := newClient(t, r)
	c.ok("first refresh")
	r.published["snapshot"], r.snapshot.Signed.Version = r.published["snapshot"][:1], 1
	r.snapshot.Signed.Expires = r.snapshot.Signed.Expires.Add(day)
	r.publish("snapshot", "timestamp")
	c.ok("refresh")
	if !slices.Contains(r.asked, "2.snapshot") || !bytes.Equal(c.open().Seen("snapshot"), r.last("snapshot")) {
		t.Errorf("asked for %q", r.asked)
	}
}
