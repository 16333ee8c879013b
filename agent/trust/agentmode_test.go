package trust_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// kioskRepo is a repository as the platform publishes it for kiosks.
func kioskRepo(t testing.TB) *repo {
	t.Helper()
	r := newRepo(t)
	for _, role := range kioskRoles {
		r.delegate("targets", role, true, role+"/*")
	}
	r.artifact("policy", "policy/public-place.3.yaml", []byte("id: public-place\n"))
	r.artifact("policy", "policy/office.1.yaml", []byte("id: office\n"))
	r.artifact("issuers", "issuers/keys.json", []byte(`{"version":1,"keys":{}}`))
	r.artifact("issuers", "issuers/recipients.json", []byte(`{"version":1,"recipients":[{"id":"a","key":"age1q"}]}`))
	r.artifact("status", "status/feed.json", []byte(`{"version":1,"keys":{},"shards":[]}`))
	r.artifact("status", "status/venue-2.7.snap", []byte("another venue's"))
	r.kiosk()
	return r
}

var kioskRoles = []string{trust.RolePolicy, trust.RoleIssuers, trust.RoleStatus}

// kiosk publishes everything again.
func (r *repo) kiosk() {
	r.publish(kioskRoles...)
	r.all()
}

// kioskOptions are those of a kiosk.
func kioskOptions(r *repo) trust.Options {
	return trust.Options{
		Root: r.published["root"][0], Roles: kioskRoles,
		Want: func(name string) bool { return !strings.HasSuffix(name, ".snap") },
	}
}

func newKiosk(t testing.TB, r *repo) *client {
	t.Helper()
	c := newClient(t, r)
	c.o = kioskOptions(r)
	return c
}

func TestKioskBringsWhatItWants(t *testing.T) {
	r := kioskRepo(t)
	c := newKiosk(t, r)
	c.ok("refresh")
	s := c.open()
	files, err := s.Policies()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"public-place.3.yaml": []byte("id: public-place\n"), "office.1.yaml": []byte("id: office\n")}
	if d := cmp.Diff(want, files); d != "" {
		t.Errorf("policies (-want +got):\n%s", d)
	}
	if d, err := s.Issuers(); err != nil || len(d) == 0 {
		t.Errorf("issuers: %v", err)
	}
	if _, err := s.Revocations(); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("revocations that were never published: %v", err)
	}
	if d, err := s.Recipients(); err != nil || d.Recipients[0].ID != "a" {
		t.Errorf("recipients: %v", err)
	}
	if d, err := s.Index(); err != nil || d.Version != 1 {
		t.Errorf("index: %v", err)
	}
	if _, _, err := s.Target("status/venue-2.7.snap"); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("another venue's snapshot: %v", err)
	}
	if got := len(s.Targets("")); got != 6 {
		t.Errorf("%d targets are named", got)
	}
	r.loaded = nil
	r.publish("timestamp")
	c.ok("a new timestamp")
	if len(r.loaded) != 0 {
		t.Errorf("targets were fetched again: %q", r.loaded)
	}
}

func TestNewTargetsTakeThePlaceOfOld(t *testing.T) {
	r := kioskRepo(t)
	c := newKiosk(t, r)
	c.ok("first refresh")
	delete(r.targets["policy"].Signed.Targets, "policy/office.1.yaml")
	r.artifact("policy", "policy/public-place.3.yaml", []byte("id: public-place # new\n"))
	r.kiosk()
	c.ok("second refresh")
	files, err := c.open().Policies()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string][]byte{"public-place.3.yaml": []byte("id: public-place # new\n")}, files); d != "" {
		t.Errorf("policies (-want +got):\n%s", d)
	}
	if got := len(filesIn(t, c.dir, "targets")); got != 4 {
		t.Errorf("%d targets lie on the disk, want the 4 that are named and wanted", got)
	}
}

// TestOldSetStays: whatever goes wrong between the new timestamp and the last
// target, the old set is what is used.
func TestOldSetStays(t *testing.T) {
	rows := map[string]func(r *repo){
		"a target is missing":   func(r *repo) { delete(r.artifacts, "policy/office.1.yaml") },
		"a target was swapped":  func(r *repo) { r.artifacts["policy/office.1.yaml"] = []byte("id: orifice\n") },
		"a target is cut short": func(r *repo) { r.artifacts["policy/office.1.yaml"] = []byte("id: of") },
		"a target is endless":   func(r *repo) { r.artifacts["policy/office.1.yaml"] = make([]byte, 1<<20) },
		"a role is missing":     func(r *repo) { r.published["status"] = r.published["status"][:1] },
		"a role is not signed":  func(r *repo) { r.signers["issuers"] = nil; r.kiosk() },
		"a role is delegated no more": func(r *repo) {
			d := r.targets["targets"].Signed.Delegations
			d.Roles = d.Roles[:2]
			r.all()
		},
		"a role is delegated twice": func(r *repo) {
			d := r.targets["targets"].Signed.Delegations
			d.Roles = append(d.Roles, d.Roles[0])
			r.all()
		},
		"a role delegates further": func(r *repo) {
			r.delegate("policy", "more", false, "policy/*")
			r.publish("more")
			r.kiosk()
		},
		"a target is too long": func(r *repo) {
			r.targets["policy"].Signed.Targets["policy/office.2.yaml"].Length = 1 << 40
			r.kiosk()
		},
		"a target has no hash that is known": func(r *repo) {
			info := r.targets["policy"].Signed.Targets["policy/office.2.yaml"]
			info.Hashes = metadata.Hashes{"md5": []byte("0123456789abcdef")}
			r.kiosk()
		},
		"there are too many targets": func(r *repo) {
			for i := range 300 {
				r.artifact("policy", fmt.Sprintf("policy/p.%d.yaml", i), []byte("id: p\n"))
			}
			r.kiosk()
		},
	}
	for name, spoil := range rows {
		t.Run(name, func(t *testing.T) {
			r := kioskRepo(t)
			c := newKiosk(t, r)
			c.ok("first refresh")
			r.artifact("policy", "policy/office.1.yaml", []byte("id: office # new\n"))
			r.artifact("policy", "policy/office.2.yaml", []byte("id: office # later\n"))
			r.kiosk()
			spoil(r)
			err := c.fails("refresh")
			s := c.open()
			if data, role, terr := s.Target("policy/office.1.yaml"); terr != nil || role != "policy" || string(data) != "id: office\n" {
				t.Errorf("after %v there is %q of %s: %v", err, data, role, terr)
			}
			if st := s.State(now, now); st.Roles["timestamp"].Version != 2 || st.Use("policy") != trust.Full {
				t.Errorf("the set in use: %+v", st)
			}
			if len(s.Damage()) != 0 {
				t.Errorf("damage: %v", s.Damage())
			}
		})
	}
}

// TestWhoSpeaksOfATarget: a role may only speak of what was delegated to it.
func TestWhoSpeaksOfATarget(t *testing.T) {
	r := kioskRepo(t)
	r.artifact("policy", "issuers/keys.json", []byte(`{"version":1,"keys":{"evil":{}}}`))
	r.artifact("status", "policy/evil.1.yaml", []byte("id: evil\n"))
	r.kiosk()
	c := newKiosk(t, r)
	r.artifact("issuers", "issuers/keys.json", []byte(`{"version":1,"keys":{}}`))
	r.kiosk()
	c.ok("refresh")
	s := c.open()
	if d, err := s.Issuers(); err != nil || string(d) != `{"version":1,"keys":{}}` {
		t.Errorf("issuers: %s, %v", d, err)
	}
	if _, _, err := s.Target("policy/evil.1.yaml"); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("a policy of the status role: %v", err)
	}
	// The top level comes first, and a document counts only from its own role.
	r.artifact("targets", "issuers/keys.json", []byte(`{"version":1,"keys":{}}`))
	r.all()
	c.ok("refresh")
	if _, err := c.open().Issuers(); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("issuers that another role names: %v", err)
	}
}
