package trust_test

import (
	"errors"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

func TestExpiry(t *testing.T) {
	past := now.Add(-day)
	rows := []struct {
		name   string
		expire func(r *repo)
		want   string
	}{
		{"root", func(r *repo) {
			r.root.Signed.Expires = past
			r.publish("root", "targets", "snapshot", "timestamp")
		}, "root 2, snapshot 1, targets 1, timestamp 1"},
		{"timestamp", func(r *repo) {
			r.timestamp.Signed.Expires = past
			r.all()
		}, "root 1, snapshot 1, targets 1, timestamp 1"},
		{"snapshot", func(r *repo) {
			r.snapshot.Signed.Expires = past
			r.all()
		}, "root 1, snapshot 1, targets 1, timestamp 2"},
		{"targets", func(r *repo) {
			r.targets["targets"].Signed.Expires = past
			r.all()
		}, "root 1, snapshot 2, targets 1, timestamp 2"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRepo(t)
			c := newClient(t, r)
			c.ok("before")
			row.expire(r)
			if err := c.fails("refresh"); !errors.Is(err, trust.ErrExpired) || errors.Is(err, trust.ErrRefused) {
				t.Errorf("refused for another reason: %v", err)
			}
			c.want(row.want)
		})
	}
}

// TestExpiredCopyHelpsToRefresh: what is stored has expired, the repository has
// not; and the first second after the end is after it.
func TestExpiredCopyHelpsToRefresh(t *testing.T) {
	r := newRepo(t)
	r.timestamp.Signed.Expires = now.Add(7 * day)
	r.snapshot.Signed.Expires = now.Add(7 * day)
	r.all()
	c := newClient(t, r)
	c.ok("day 0")
	if err := c.refreshAt(now.Add(7 * day)); err != nil {
		t.Errorf("at the end itself: %v", err)
	}
	if err := c.refreshAt(now.Add(7*day + time.Second)); !errors.Is(err, trust.ErrExpired) {
		t.Errorf("a second after the end: %v", err)
	}
	r.timestamp.Signed.Expires = now.Add(21 * day)
	r.snapshot.Signed.Expires = now.Add(21 * day)
	r.all()
	if err := c.refreshAt(now.Add(18 * day)); err != nil {
		t.Errorf("day 18: %v", err)
	}
	c.want("root 1, snapshot 3, targets 3, timestamp 3")
	// An expired copy still guards against a rollback.
	r.published["timestamp"] = r.published["timestamp"][:2]
	if err := c.refreshAt(now.Add(30 * day)); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("an older timestamp over an expired one: %v", err)
	}
}

func TestRollback(t *testing.T) {
	for _, hashes := range []bool{false, true} {
		name := map[bool]string{false: "versions only", true: "with hashes"}[hashes]
		t.Run("timestamp/"+name, func(t *testing.T) {
			r := newRepo(t)
			r.hashes = hashes
			r.publish("timestamp")
			c := newClient(t, r)
			c.ok("before")
			r.forget("timestamp", &r.timestamp.Signed.Version)
			r.publish("timestamp")
			if err := c.fails("refresh"); !errors.Is(err, trust.ErrRefused) {
				t.Errorf("refused for another reason: %v", err)
			}
			c.want("root 1, snapshot 1, targets 1, timestamp 2")
		})
		t.Run("snapshot/"+name, func(t *testing.T) {
			r := newRepo(t)
			r.hashes = hashes
			r.publish("snapshot", "timestamp")
			c := newClient(t, r)
			c.ok("before")
			r.forget("snapshot", &r.snapshot.Signed.Version)
			r.publish("snapshot", "timestamp")
			if err := c.fails("refresh"); !errors.Is(err, trust.ErrRefused) {
				t.Errorf("refused for another reason: %v", err)
			}
			c.want("root 1, snapshot 2, targets 1, timestamp 2")
		})
		t.Run("targets/"+name, func(t *testing.T) {
			r := newRepo(t)
			r.hashes = hashes
			r.all()
			c := newClient(t, r)
			c.ok("before")
			r.forget("targets", &r.targets["targets"].Signed.Version)
			r.all()
			if err := c.fails("refresh"); !errors.Is(err, trust.ErrRefused) {
				t.Errorf("refused for another reason: %v", err)
			}
			c.want("root 1, snapshot 2, targets 2, timestamp 3")
		})
	}
	t.Run("a role is taken out of the snapshot", func(t *testing.T) {
		r := newRepo(t)
		r.delegate("targets", "delegated", false, "delegated/*")
		r.publish("delegated")
		r.all()
		c := newClient(t, r)
		c.ok("before")
		delete(r.snapshot.Signed.Meta, "delegated.json")
		r.publish("snapshot", "timestamp")
		c.fails("refresh")
		c.want("root 1, snapshot 2, targets 2, timestamp 3")
	})
}

// TestRecoveryFromFastForward: somebody with an online key has driven a version
// so high that nothing newer can be published; new keys begin anew.
func TestRecoveryFromFastForward(t *testing.T) {
	rows := []struct {
		name string
		far  func(r *repo)
		back func(r *repo)
		want string
	}{
		{"timestamp", func(r *repo) {
			r.timestamp.Signed.Version = 98
			r.publish("timestamp")
		}, func(r *repo) {
			r.rotate("timestamp")
			r.forget("timestamp", &r.timestamp.Signed.Version)
			r.publish("root", "timestamp")
		}, "root 2, snapshot 1, targets 1, timestamp 1"},
		{"snapshot", func(r *repo) {
			for range 9 {
				r.publish("snapshot")
			}
			r.publish("timestamp")
		}, func(r *repo) {
			r.rotate("snapshot")
			r.rotate("timestamp")
			r.forget("snapshot", &r.snapshot.Signed.Version)
			r.publish("root", "targets", "snapshot", "timestamp")
		}, "root 2, snapshot 1, targets 2, timestamp 3"},
		{"targets", func(r *repo) {
			r.delegate("targets", "delegated", false, "delegated/*")
			r.publish("delegated")
			for range 9 {
				r.publish("targets")
			}
			r.publish("snapshot", "timestamp")
		}, func(r *repo) {
			r.rotate("snapshot")
			r.forget("targets", &r.targets["targets"].Signed.Version)
			delete(r.snapshot.Signed.Meta, "delegated.json")
			r.publish("root", "targets", "snapshot", "timestamp")
		}, "root 2, snapshot 3, targets 1, timestamp 3"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRepo(t)
			c := newClient(t, r)
			row.far(r)
			c.ok("far ahead")
			row.back(r)
			c.ok("after the rotation")
			c.want(row.want)
			if s := c.open().State(now, now); !s.Whole || s.Left != nil || s.Stale {
				t.Errorf("the set after the recovery: %+v", s)
			}
		})
	}
}

// TestMixAndMatch: an old snapshot under a new timestamp, and old targets under
// a new snapshot.
func TestMixAndMatch(t *testing.T) {
	r := newRepo(t)
	c := newClient(t, r)
	r.all()
	c.ok("version 2")
	r.all()
	r.published["snapshot"][2] = r.published["snapshot"][1]
	if err := c.fails("old snapshot, new timestamp"); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("refused for another reason: %v", err)
	}
	c.want("root 1, snapshot 2, targets 2, timestamp 3")
	r = newRepo(t)
	c = newClient(t, r)
	r.all()
	c.ok("version 2")
	r.all()
	r.published["targets"][2] = r.published["targets"][1]
	if err := c.fails("old targets, new snapshot"); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("refused for another reason: %v", err)
	}
	if s := c.open().State(now, now); s.Roles["timestamp"].Version != 2 || s.Roles[metadata.TARGETS].Version != 2 {
		t.Errorf("the set in use is a mixture: %+v", s)
	}
}
