package trust_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// TestSignedNonsense: a publisher's mistake, correctly signed, must not end the
// kiosk.
func TestSignedNonsense(t *testing.T) {
	rows := map[string]func(r *repo){
		"a timestamp without a snapshot": func(r *repo) {
			r.timestamp.Signed.Meta = map[string]*metadata.MetaFiles{}
			r.publish("timestamp")
		},
		"a timestamp with a snapshot that is null": func(r *repo) {
			r.timestamp.Signed.Meta["snapshot.json"] = nil
			r.publish("timestamp")
		},
		"a snapshot with targets that are null": func(r *repo) {
			r.snapshot.Signed.Meta["targets.json"] = nil
			r.publish("snapshot", "timestamp")
		},
		"a root with a role that is null": func(r *repo) {
			r.root.Signed.Roles["timestamp"] = nil
			r.publish("root")
		},
		"a root with a threshold of nothing": func(r *repo) {
			r.root.Signed.Roles["timestamp"].Threshold = 0
			r.publish("root")
		},
		"a root with a key that is not there": func(r *repo) {
			r.root.Signed.Roles["timestamp"].KeyIDs = []string{"ffff"}
			r.publish("root")
		},
	}
	for name, spoil := range rows {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			c := newClient(t, r)
			c.ok("first refresh")
			spoil(r)
			if err := c.fails("refresh"); !errors.Is(err, trust.ErrRefused) {
				t.Errorf("refused for another reason: %v", err)
			}
		})
	}
}

func TestEndlessData(t *testing.T) {
	for _, role := range []string{"2.root", "timestamp", "2.snapshot", "2.targets"} {
		t.Run(role, func(t *testing.T) {
			r := newRepo(t)
			c := newClient(t, r)
			c.ok("first refresh")
			r.all()
			r.extra["metadata/"+role+".json"] = make([]byte, 6<<20)
			if err := c.fails("refresh"); !errors.Is(err, trust.ErrTooLong) {
				t.Errorf("refused for another reason: %v", err)
			}
		})
	}
	t.Run("roots without end", func(t *testing.T) {
		r := newRepo(t)
		for range 6 {
			r.publish("root")
		}
		c := newClient(t, r)
		s := c.open()
		s.Rotations(5)
		if _, err := s.Refresh(t.Context(), r.sources(), now); !errors.Is(err, trust.ErrRefused) {
			t.Errorf("refused for another reason: %v", err)
		}
		c.want("root 6")
		c.ok("the next refresh takes the rest")
		c.want("root 7, snapshot 1, targets 1, timestamp 1")
	})
}

func TestUnusualRoleNames(t *testing.T) {
	for role, asked := range map[string]string{
		"?": "1.%3F", "#": "1.%23", "/delegatedrole": "1.%2Fdelegatedrole", "../delegatedrole": "1...%2Fdelegatedrole",
	} {
		t.Run(role, func(t *testing.T) {
			r := newRepo(t)
			r.delegate("targets", role, false, "*")
			r.publish(role)
			r.all()
			c := newClient(t, r)
			if err := c.download("nonexistent target"); !errors.Is(err, trust.ErrRefused) {
				t.Fatalf("download: %v", err)
			}
			if !slices.Contains(r.asked, asked) {
				t.Errorf("asked for %q", r.asked)
			}
			if got := c.version(role); got != 1 {
				t.Errorf("trusted: %s", c.roles())
			}
			if entries, _ := os.ReadDir(filepath.Dir(c.dir)); len(entries) > 2 {
				t.Errorf("something was written beside the store: %v", entries)
			}
		})
	}
}

// TestDelegatedRoleWithATopLevelName would write over root.json.
func TestDelegatedRoleWithATopLevelName(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", strings.Repeat("x", 300)} {
		r := newRepo(t)
		c := newClient(t, r)
		r.targets["targets"].Signed.Delegations = &metadata.Delegations{
			Keys: r.root.Signed.Keys,
			Roles: []metadata.DelegatedRole{{
				Name: role, KeyIDs: r.root.Signed.Roles["root"].KeyIDs, Threshold: 1, Paths: []string{"*"},
			}},
		}
		evil := metadata.Targets(now.Add(day))
		if _, err := evil.Sign(r.signers["root"][0]); err != nil {
			t.Fatal(err)
		}
		data, err := evil.ToBytes(false)
		if err != nil {
			t.Fatal(err)
		}
		r.extra["metadata/1."+role+".json"] = data
		r.snapshot.Signed.Meta[role+".json"] = metadata.MetaFile(1)
		r.all()
		if err := c.download("any"); !errors.Is(err, trust.ErrRefused) {
			t.Errorf("%.20s: %v", role, err)
		}
		c.want("root 1, snapshot 2, targets 2, timestamp 2")
	}
}
