package trust_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// roleVersion is one version of a role: whose keys it lists (for a root) or is
// listed with (for another role), and who signs.
type roleVersion struct {
	keys      []int
	threshold int
	sigs      []int
}

var five = []int{0, 1, 2, 3, 4}

func TestRootRotation(t *testing.T) {
	rows := []struct {
		name     string
		versions []roleVersion
		accepted bool // the last one
	}{
		{"one key for another", []roleVersion{{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{2, 1}}, {[]int{2}, 1, []int{2}}}, true},
		{"one key for another, with signatures of no use", []roleVersion{{[]int{1}, 1, []int{3, 1, 4}}, {[]int{2}, 1, []int{3, 2, 1, 4}}, {[]int{2}, 1, []int{3, 2, 4}}}, true},
		{"three of five, others each time", []roleVersion{{five, 3, []int{0, 2, 4}}, {five, 3, []int{0, 4, 1}}, {five, 3, []int{0, 1, 3}}}, true},
		{"three of five, one replaced", []roleVersion{{five, 3, []int{0, 2, 4}}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 4, 1}}}, true},
		{"three of five, all replaced", []roleVersion{{five, 3, []int{0, 2, 4}}, {[]int{5, 6, 7, 8, 9}, 3, []int{0, 2, 4, 5, 6, 7}}, {[]int{5, 6, 7, 8, 9}, 3, []int{5, 6, 7}}}, true},
		{"threshold raised", []roleVersion{{[]int{1, 2, 3}, 1, []int{1}}, {[]int{1, 2, 3}, 2, []int{1, 2}}}, true},
		{"threshold lowered", []roleVersion{{[]int{1, 2, 3}, 2, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1}}}, true},
		{"not signed by the old key", []roleVersion{{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{2, 3, 4}}}, false},
		{"not signed by the new key", []roleVersion{{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{1, 3, 4}}}, false},
		{"too few of the new keys", []roleVersion{{five, 3, []int{0, 2, 4}}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 2, 4}}}, false},
		{"too few of the old keys", []roleVersion{{five, 3, []int{0, 2, 4}}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 4, 5}}}, false},
		{"threshold raised and not reached", []roleVersion{{[]int{1, 2, 3}, 1, []int{1}}, {[]int{1, 2, 3}, 2, []int{2}}}, false},
		{"threshold lowered and the old one not reached", []roleVersion{{[]int{1, 2, 3}, 2, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1}}}, false},
	}
	signers := tenSigners(t)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := newRepo(t)
			r.forget("root", &r.root.Signed.Version)
			for _, v := range row.versions {
				r.keys("root", v, signers)
				r.publish("root")
			}
			c := newClient(t, r)
			want := r.last("root")
			if row.accepted {
				c.ok("refresh")
			} else {
				want = r.published["root"][len(r.published["root"])-2]
				if err := c.fails("refresh"); !errors.Is(err, trust.ErrRefused) {
					t.Errorf("refused for another reason: %v", err)
				}
			}
			if got := c.open().Seen("root"); !bytes.Equal(got, want) {
				t.Errorf("the trusted root is version %d", c.version("root"))
			}
		})
	}
}

func TestRotationOfOtherRoles(t *testing.T) {
	rows := []struct {
		name     string
		v        roleVersion
		accepted bool
	}{
		{"another key", roleVersion{[]int{2}, 1, []int{2}}, true},
		{"signatures of no use", roleVersion{[]int{1}, 1, []int{3, 1, 4}}, true},
		{"three of five", roleVersion{five, 3, []int{1, 2, 3}}, true},
		{"not signed by the new key", roleVersion{[]int{2}, 1, []int{1, 3, 4}}, false},
		{"one signature by a key that was replaced", roleVersion{[]int{0, 1, 3, 4, 5}, 3, []int{0, 2, 4}}, false},
		{"too few", roleVersion{five, 3, []int{0, 4}}, false},
	}
	signers := tenSigners(t)
	for _, row := range rows {
		for _, role := range []string{"timestamp", "snapshot", "targets"} {
			t.Run(row.name+"/"+role, func(t *testing.T) {
				r := newRepo(t)
				c := newClient(t, r)
				c.ok("before the rotation")
				r.keys(role, row.v, signers)
				r.publish("root", "targets", "snapshot", "timestamp")
				if row.accepted {
					c.ok("refresh")
					c.want("root 2, snapshot 2, targets 2, timestamp 2")
				} else if err := c.fails("refresh"); !errors.Is(err, trust.ErrRefused) {
					t.Errorf("refused for another reason: %v", err)
				}
			})
		}
	}
}

func tenSigners(t *testing.T) (signers []signature.Signer) {
	for range 10 {
		signers = append(signers, newSigner(t))
	}
	return signers
}

func (r *repo) keys(role string, v roleVersion, from []signature.Signer) {
	r.root.Signed.Roles[role].KeyIDs = nil
	r.root.Signed.Roles[role].Threshold = v.threshold
	r.signers[role] = nil
	for _, i := range v.keys {
		r.allow(role, from[i])
	}
	for _, i := range v.sigs {
		r.signers[role] = append(r.signers[role], from[i])
	}
}

func TestThreshold(t *testing.T) {
	t.Run("one signature too few", func(t *testing.T) {
		r := newRepo(t)
		r.root.Signed.Roles["snapshot"].Threshold = 3
		r.addKey("snapshot")
		r.addKey("snapshot")
		r.publish("root", "targets", "snapshot", "timestamp")
		c := newClient(t, r)
		c.ok("signed by all three")
		r.signers["snapshot"] = r.signers["snapshot"][:2]
		r.all()
		c.fails("signed by two")
		c.want("root 2, snapshot 2, targets 2, timestamp 3")
	})
	t.Run("more than there are keys", func(t *testing.T) {
		r := newRepo(t)
		r.root.Signed.Roles["snapshot"].Threshold = 2
		r.publish("root", "snapshot", "timestamp")
		c := newClient(t, r)
		c.fails("refresh")
		c.want("root 2, timestamp 2")
	})
	t.Run("one key under several ids", func(t *testing.T) {
		r := newRepo(t)
		s := r.signers["snapshot"][0]
		for _, id := range []string{"aa", "bb"} {
			r.root.Signed.Keys[id] = keyOf(t, s)
			r.root.Signed.Roles["snapshot"].KeyIDs = append(r.root.Signed.Roles["snapshot"].KeyIDs, id)
		}
		r.root.Signed.Roles["snapshot"].Threshold = 3
		r.publish("root", "snapshot")
		r.spoil("snapshot", func(data []byte) []byte {
			return edit(t, data, func(md map[string]any) {
				sigs := md["signatures"].([]any)
				for _, id := range []string{"aa", "bb"} {
					sigs = append(sigs, map[string]any{"keyid": id, "sig": sigs[0].(map[string]any)["sig"]})
				}
				md["signatures"] = sigs
			})
		})
		r.publish("timestamp")
		c := newClient(t, r)
		c.fails("one signature, three times")
		c.want("root 2, timestamp 2")
	})
	t.Run("the same signature twice", func(t *testing.T) {
		r := newRepo(t)
		r.spoil("snapshot", func(data []byte) []byte {
			return edit(t, data, func(md map[string]any) {
				sigs := md["signatures"].([]any)
				md["signatures"] = append(sigs, sigs[0])
			})
		})
		c := newClient(t, r)
		c.fails("refresh")
		c.want("root 1, timestamp 1")
	})
	t.Run("a signature under another key's id", func(t *testing.T) {
		r := newRepo(t)
		r.spoil("timestamp", func(data []byte) []byte {
			return edit(t, data, func(md map[string]any) {
				md["signatures"].([]any)[0].(map[string]any)["keyid"] = r.root.Signed.Roles["snapshot"].KeyIDs[0]
			})
		})
		c := newClient(t, r)
		c.fails("refresh")
		c.want("root 1")
	})
	t.Run("an invalid signature beside a valid one", func(t *testing.T) {
		for _, sig := range []string{"", "00", "b61589620c287e23a00abf0e653421010a0ad33869e5a096d604e08d7b4f8eb9"} {
			r := newRepo(t)
			r.addKey("timestamp")
			r.publish("root", "timestamp")
			r.spoil("timestamp", func(data []byte) []byte {
				return edit(t, data, func(md map[string]any) { md["signatures"].([]any)[0].(map[string]any)["sig"] = sig })
			})
			newClient(t, r).ok("one valid signature is enough: " + sig)
		}
	})
}

func TestKeyTypes(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pss, err := signature.LoadRSAPSSSigner(rsaKey, 5, &rsa.PSSOptions{Hash: 5, SaltLength: sha256.Size})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]signature.Signer{
		"ed25519": newSigner(t), "ecdsa P-256": signerOf(t, p256), "RSA-PSS": pss,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			c := newClient(t, r)
			r.addSigner("root", s)
			r.root.Signed.Roles["root"].Threshold = 2
			r.publish("root")
			c.ok("a new key")
			r.publish("root")
			r.spoil("root", func(data []byte) []byte {
				return edit(t, data, func(md map[string]any) {
					sig := md["signatures"].([]any)[1].(map[string]any)
					sig["sig"] = sig["sig"].(string)[:20] + "00" + sig["sig"].(string)[22:]
				})
			})
			c.fails("a wrong signature")
			c.want("root 2, snapshot 1, targets 1, timestamp 1")
		})
	}
}

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
