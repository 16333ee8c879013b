package trust_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// TestState has a row for each line of the expiry table.
func TestState(t *testing.T) {
	set := func(r *repo, d map[string]int) {
		at := func(role string) time.Time { return now.Add(time.Duration(d[role]) * day) }
		r.root.Signed.Expires, r.timestamp.Signed.Expires, r.snapshot.Signed.Expires = at("root"), at("timestamp"), at("snapshot")
		for role, md := range r.targets {
			md.Signed.Expires = at(role)
		}
		r.publish("root")
		r.kiosk()
	}
	long := func(role string, days int) map[string]int {
		d := map[string]int{"root": 30, "timestamp": 30, "snapshot": 30, "targets": 30, "policy": 30, "issuers": 30, "status": 30}
		if role != "" {
			d[role] = days
		}
		return d
	}
	const full, bad, nothing = trust.Full, trust.BadOnly, trust.Nothing
	rows := []struct {
		name                    string
		expires                 map[string]int
		lo, hi                  int // days
		open                    bool
		stale                   bool
		policy, issuers, status trust.Use
	}{
		{"nothing has expired", long("", 0), 5, 5, false, false, full, full, full},
		{"the last moment", long("", 0), 30, 30, false, false, full, full, full},
		{"timestamp may have expired", long("timestamp", 4), 3, 5, false, true, full, full, full},
		{"timestamp has expired", long("timestamp", 4), 5, 5, false, true, full, full, full},
		{"snapshot has expired", long("snapshot", 4), 5, 5, false, true, full, full, full},
		{"root may have expired", long("root", 4), 3, 5, false, false, nothing, nothing, bad},
		{"targets may have expired", long("targets", 4), 3, 5, false, false, nothing, nothing, bad},
		{"policy may have expired", long("policy", 4), 3, 5, false, false, nothing, full, full},
		{"issuers has expired", long("issuers", 4), 5, 5, false, false, full, nothing, full},
		{"status may have expired", long("status", 4), 3, 5, false, false, full, full, bad},
		{"no latest time", long("", 0), 0, 0, true, true, nothing, nothing, bad},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := kioskRepo(t)
			set(r, row.expires)
			c := newKiosk(t, r)
			c.ok("refresh")
			lo, hi := now.Add(time.Duration(row.lo)*day), now.Add(time.Duration(row.hi)*day)
			if row.open {
				hi = time.Time{}
			}
			st := c.open().State(lo, hi)
			if !st.Whole || st.Stale != row.stale || st.Left != nil {
				t.Errorf("whole %v, stale %v, left %v", st.Whole, st.Stale, st.Left)
			}
			got := []trust.Use{st.Use("policy"), st.Use("issuers"), st.Use("status"), st.Use("nosuchrole")}
			if d := cmp.Diff([]trust.Use{row.policy, row.issuers, row.status, nothing}, got); d != "" {
				t.Errorf("use (-want +got):\n%s", d)
			}
		})
	}
}

func TestStateOfNothing(t *testing.T) {
	s := newKiosk(t, kioskRepo(t)).open()
	if st := s.State(now, now); st.Whole || st.Use("status") != trust.Nothing {
		t.Errorf("state: %+v", st)
	}
	if _, _, err := s.Target("status/feed.json"); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("Target: %v", err)
	}
	if _, err := s.Index(); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("Index: %v", err)
	}
	if got := s.Targets(""); len(got) != 0 {
		t.Errorf("Targets: %q", got)
	}
	if got := fmt.Sprint(trust.Nothing, trust.BadOnly, trust.Full); got != "nothing bad-only full" {
		t.Errorf("names: %s", got)
	}
}

// TestOneNeglectedRole must not keep the others from being renewed.
func TestOneNeglectedRole(t *testing.T) {
	r := kioskRepo(t)
	c := newKiosk(t, r)
	r.targets["policy"].Signed.Expires = now.Add(-day)
	r.artifact("issuers", "issuers/recipients.json", []byte(`{"version":1,"recipients":[{"id":"b","key":"age1q"}]}`))
	r.kiosk()
	c.ok("refresh")
	s := c.open()
	st := s.State(now, now)
	if st.Use("policy") != trust.Nothing || !st.Roles["policy"].Expired || st.Use("issuers") != trust.Full {
		t.Errorf("state: %+v", st)
	}
	if d, err := s.Recipients(); err != nil || d.Recipients[0].ID != "b" {
		t.Errorf("recipients: %v", err)
	}
}

// TestKeysChangedAndThenTheLinkWasCut: the root is new, the rest could not be
// fetched any more.
func TestKeysChangedAndThenTheLinkWasCut(t *testing.T) {
	rows := []struct {
		role  string
		stale bool
		use   trust.Use
	}{
		{"timestamp", true, trust.Full},
		{"snapshot", true, trust.Full},
		{"targets", true, trust.Nothing},
		{"root", false, trust.Full},
	}
	for _, row := range rows {
		t.Run(row.role, func(t *testing.T) {
			r := kioskRepo(t)
			c := newKiosk(t, r)
			c.ok("first refresh")
			if row.role == "root" {
				r.addKey("root")
			} else {
				r.rotate(row.role)
			}
			r.publish("root")
			s := c.open()
			keep := r.published["timestamp"]
			delete(r.published, "timestamp")
			if _, err := s.Refresh(t.Context(), r.sources(), now); err == nil {
				t.Fatal("the refresh succeeded")
			}
			for _, s := range []*trust.Store{s, c.open()} { // at once, and after a restart
				st := s.State(now, now)
				if st.Use("policy") != row.use || row.use == trust.Full && st.Stale != row.stale || (st.Left != nil) != (row.use == trust.Nothing) {
					t.Errorf("state: %+v", st)
				}
				if len(s.Damage()) != 0 {
					t.Errorf("damage: %v", s.Damage())
				}
			}
			r.published["timestamp"] = keep
			r.kiosk()
			c.ok("the link is back")
			if st := c.open().State(now, now); st.Use("policy") != trust.Full || st.Stale {
				t.Errorf("state afterwards: %+v", st)
			}
		})
	}
}

// TestNewlyInstalledRoot: the kiosk is given a later root than the store began
// with; what is stored goes on.
func TestNewlyInstalledRoot(t *testing.T) {
	r := kioskRepo(t)
	c := newKiosk(t, r)
	r.addKey("root")
	r.publish("root")
	r.publish("root")
	c.ok("refresh")
	c.o.Root = r.published["root"][1]
	s := c.open()
	if st := s.State(now, now); !st.Whole || st.Use("policy") != trust.Full || len(s.Damage()) != 0 {
		t.Errorf("state: %+v, damage %v", st, s.Damage())
	}
	if got := s.Versions()["root"]; got != 3 {
		t.Errorf("root %d", got)
	}
	// A root of another installation vouches for nothing here.
	other := newRepo(t)
	c.o.Root = other.published["root"][0]
	s = c.open()
	if st := s.State(now, now); st.Whole {
		t.Errorf("state: %+v", st)
	}
	if !bytes.Equal(s.Seen("root"), c.o.Root) || len(s.Damage()) == 0 {
		t.Errorf("damage: %v", s.Damage())
	}
}
