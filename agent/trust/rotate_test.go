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

	"github.com/sigstore/sigstore/pkg/signature"

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
					text := sig["sig"].(string)
					other := map[bool]string{true: "01", false: "00"}[text[20:22] == "00"]
					sig["sig"] = text[:20] + other + text[22:]
				})
			})
			c.fails("a wrong signature")
			c.want("root 2, snapshot 1, targets 1, timestamp 1")
		})
	}
}
