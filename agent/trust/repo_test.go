package trust_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// now is when the tests take place.
var now = time.Date(2022, 3, 27, 8, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// repo is a TUF repository that a test changes, publishes and spoils. It serves
// what was published, as any file server would.
type repo struct {
	t         testing.TB
	root      *metadata.Metadata[metadata.RootType]
	timestamp *metadata.Metadata[metadata.TimestampType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	targets   map[string]*metadata.Metadata[metadata.TargetsType]
	signers   map[string][]signature.Signer
	delegator map[string]string
	published map[string][][]byte // by role, version 1 first
	artifacts map[string][]byte
	hashes    bool     // metadata files are listed with hash and length
	asked     []string // ROLE or N.ROLE, as the client asked
	loaded    []string // targets, as the client asked
	extra     map[string][]byte
}

// newRepo makes a repository with one key a role and publishes version 1.
func newRepo(t testing.TB) *repo {
	t.Helper()
	until := now.Add(30 * day)
	r := &repo{
		t: t, root: metadata.Root(until), timestamp: metadata.Timestamp(until), snapshot: metadata.Snapshot(until),
		targets:   map[string]*metadata.Metadata[metadata.TargetsType]{"targets": metadata.Targets(until)},
		signers:   map[string][]signature.Signer{},
		delegator: map[string]string{},
		published: map[string][][]byte{}, artifacts: map[string][]byte{}, extra: map[string][]byte{},
	}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		r.addKey(role)
	}
	r.publish("targets", "snapshot", "timestamp", "root")
	return r
}

// newSigner makes an Ed25519 key.
func newSigner(t testing.TB) signature.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signerOf(t, key)
}

func signerOf(t testing.TB, key crypto.PrivateKey) signature.Signer {
	t.Helper()
	s, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keyOf(t testing.TB, s signature.Signer) *metadata.Key {
	t.Helper()
	pub, err := s.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := metadata.KeyFromPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// addKey gives a role one more key, which also signs.
func (r *repo) addKey(role string) { r.addSigner(role, newSigner(r.t)) }

func (r *repo) addSigner(role string, s signature.Signer) {
	r.t.Helper()
	r.allow(role, s)
	r.signers[role] = append(r.signers[role], s)
}

// allow lists a key for a role without signing by it.
func (r *repo) allow(role string, s signature.Signer) {
	r.t.Helper()
	key := keyOf(r.t, s)
	var err error
	if parent := r.delegator[role]; parent != "" {
		err = r.targets[parent].Signed.AddKey(key, role)
	} else {
		err = r.root.Signed.AddKey(key, role)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// rotate replaces the keys of a top-level role by one new key.
func (r *repo) rotate(role string) {
	r.root.Signed.Roles[role].KeyIDs = nil
	r.signers[role] = nil
	r.addKey(role)
}

// delegate adds a role below another.
func (r *repo) delegate(parent, role string, terminating bool, paths ...string) {
	r.t.Helper()
	p := r.targets[parent].Signed
	if p.Delegations == nil {
		p.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{}}
	}
	p.Delegations.Roles = append(p.Delegations.Roles, metadata.DelegatedRole{
		Name: role, KeyIDs: []string{}, Threshold: 1, Terminating: terminating, Paths: paths,
	})
	r.targets[parent].Signed = p
	r.delegator[role] = parent
	if r.targets[role] == nil {
		r.targets[role] = metadata.Targets(now.Add(30 * day))
		r.addKey(role)
		return
	}
	for _, s := range r.signers[role] {
		r.allow(role, s)
	}
}

// artifact puts a target into a role and on the server.
func (r *repo) artifact(role, name string, data []byte, hashes ...string) {
	r.t.Helper()
	info, err := metadata.TargetFile().FromBytes(name, data, hashes...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.targets[role].Signed.Targets[name] = info
	r.artifacts[name] = data
}

// publish signs roles, in this order, and makes them the newest. Every version
// after the first is one higher.
func (r *repo) publish(roles ...string) {
	r.t.Helper()
	for _, role := range roles {
		var data []byte
		again := len(r.published[role]) > 0
		switch role {
		case "root":
			data = seal(r, r.root, role, &r.root.Signed.Version, again)
		case "timestamp":
			data = seal(r, r.timestamp, role, &r.timestamp.Signed.Version, again)
		case "snapshot":
			data = seal(r, r.snapshot, role, &r.snapshot.Signed.Version, again)
			r.timestamp.Signed.Meta["snapshot.json"] = r.meta(r.snapshot.Signed.Version, data)
		default:
			md := r.targets[role]
			data = seal(r, md, role, &md.Signed.Version, again)
			r.snapshot.Signed.Meta[role+".json"] = r.meta(md.Signed.Version, data)
		}
		r.published[role] = append(r.published[role], data)
	}
}

func (r *repo) meta(version int64, data []byte) *metadata.MetaFiles {
	m := metadata.MetaFile(version)
	if r.hashes {
		sum := sha256.Sum256(data)
		m.Length, m.Hashes = int64(len(data)), metadata.Hashes{"sha256": sum[:]}
	}
	return m
}

func seal[T metadata.Roles](r *repo, md *metadata.Metadata[T], role string, version *int64, again bool) []byte {
	r.t.Helper()
	if again {
		*version++
	}
	md.ClearSignatures()
	for _, s := range r.signers[role] {
		if _, err := md.Sign(s); err != nil {
			r.t.Fatal(err)
		}
	}
	data, err := md.ToBytes(false)
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

// all publishes everything that stands below a top-level change.
func (r *repo) all() { r.publish("targets", "snapshot", "timestamp") }

// forget takes a role's versions from the server; the next one is version 1.
func (r *repo) forget(role string, version *int64) {
	delete(r.published, role)
	*version = 1
}

// last returns the newest bytes of a role; spoil changes them.
func (r *repo) last(role string) []byte {
	list := r.published[role]
	return list[len(list)-1]
}

func (r *repo) spoil(role string, f func([]byte) []byte) {
	list := r.published[role]
	list[len(list)-1] = f(bytes.Clone(list[len(list)-1]))
}

// Get serves metadata/…, targets/… and whatever is in extra.
func (r *repo) Get(_ context.Context, p string, limit int64) ([]byte, error) {
	data, ok := r.serve(p)
	if !ok {
		return nil, fmt.Errorf("%s: %w", p, trust.ErrNotFound)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w", p, trust.ErrTooLong)
	}
	return data, nil
}

func (r *repo) serve(p string) ([]byte, bool) {
	if data, ok := r.extra[p]; ok {
		return data, true
	}
	if name, ok := strings.CutPrefix(p, "metadata/"); ok {
		name = strings.TrimSuffix(name, ".json")
		r.asked = append(r.asked, name)
		return r.role(name)
	}
	if name, ok := strings.CutPrefix(p, "targets/"); ok {
		r.loaded = append(r.loaded, name)
		prefix, base, _ := strings.Cut(path.Base(name), ".")
		full := strings.TrimPrefix(path.Join(path.Dir(name), base), "./")
		for _, md := range r.targets {
			info := md.Signed.Targets[full]
			if info == nil {
				continue
			}
			for _, h := range info.Hashes {
				if hex.EncodeToString(h) == prefix {
					data, ok := r.artifacts[full]
					return data, ok
				}
			}
		}
	}
	return nil, false
}

func (r *repo) role(name string) ([]byte, bool) {
	if name == "timestamp" {
		list := r.published["timestamp"]
		if len(list) == 0 {
			return nil, false
		}
		return list[len(list)-1], true
	}
	number, role, _ := strings.Cut(name, ".")
	role, _ = url.PathUnescape(role)
	v, err := strconv.Atoi(number)
	list := r.published[role]
	if err != nil || v < 1 || v > len(list) {
		return nil, false
	}
	return list[v-1], true
}

func (r *repo) sources() trust.Sources {
	return trust.Sources{Metadata: trust.Below(r, "metadata"), Targets: trust.Below(r, "targets")}
}
