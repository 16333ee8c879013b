package backend

import (
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The delegated roles: targets delegates to each, and nobody else does.
const (
	rolePolicy  = "policy"
	roleIssuers = "issuers"
	roleStatus  = "status"
)

var delegated = []string{rolePolicy, roleIssuers, roleStatus}

// offices say how many keys a role has and how many must sign (offline facts,
// 2.2).
var offices = map[string]struct{ keys, threshold int }{
	metadata.ROOT: {5, 3}, metadata.TARGETS: {3, 2}, rolePolicy: {3, 2}, roleIssuers: {3, 2},
	roleStatus: {1, 1}, metadata.SNAPSHOT: {1, 1}, metadata.TIMESTAMP: {1, 1},
}

// repository is the writing half of TUF. Versions only go up; a role is signed
// again when what it says has changed or half of its life is over.
type repository struct {
	life    Lives
	signers map[string][]signature.Signer

	roots     []blob
	rootUntil time.Time
	targets   map[string]signedRole // targets and the delegated roles
	first     signedRole            // the snapshot before the first publication
	snapshot  signedRole
	timestamp signedRole
}

// signedRole is a role as it was signed last.
type signedRole struct {
	version int64
	until   time.Time
	said    string // what it speaks of, to see whether that has changed
	blob    blob
}

// due reports whether a role must be signed again.
func (r signedRole) due(now time.Time, said string, life time.Duration) bool {
	return r.blob.data == nil || r.said != said || r.until.Sub(now) < life/2
}

func newRepository(keys ring, life Lives, now time.Time) (*repository, error) {
	r := &repository{life: life, signers: map[string][]signature.Signer{}, targets: map[string]signedRole{}}
	for role, office := range offices {
		for n := range office.keys {
			s, err := signature.LoadED25519Signer(keys.key(fmt.Sprintf("tuf\x00%s\x00%d", role, n)))
			if err != nil {
				return nil, err
			}
			r.signers[role] = append(r.signers[role], s)
		}
	}
	now = now.UTC().Truncate(time.Second)
	if err := r.renewRoot(now); err != nil {
		return nil, err
	}
	b, err := seal(r, metadata.SNAPSHOT, metadata.Snapshot(now.Add(life.Root)))
	r.first = signedRole{version: 1, blob: b}
	r.snapshot = signedRole{version: 1}
	return r, err
}

// publish signs what is due and puts every file of the repository into files.
func (r *repository) publish(now time.Time, targets map[string]map[string]blob, files map[string]blob) error {
	if r.rootUntil.Sub(now) < r.life.Root/2 {
		if err := r.renewRoot(now); err != nil {
			return err
		}
	}
	for i, b := range r.roots {
		files[fmt.Sprintf("tuf/%d.root.json", i+1)] = b
	}
	lives := map[string]time.Duration{
		metadata.TARGETS: r.life.Targets, rolePolicy: r.life.Policy, roleIssuers: r.life.Issuers, roleStatus: r.life.Status,
	}
	for role, life := range lives {
		if err := r.renewTargets(role, now, life, targets[role]); err != nil {
			return err
		}
		put(files, role, r.targets[role])
		for name, b := range targets[role] {
			files[targetPath(name, b)] = b
		}
	}
	if err := r.renewSnapshot(now); err != nil {
		return err
	}
	put(files, metadata.SNAPSHOT, r.snapshot)
	b, err := r.signTimestamp(r.timestamp.version+1, now.Add(r.life.Timestamp), now, r.snapshot)
	if err != nil {
		return err
	}
	r.timestamp = signedRole{version: r.timestamp.version + 1, blob: b}
	files["tuf/timestamp.json"] = b
	return nil
}

//

func put(files map[string]blob, role string, s signedRole) {
	files["tuf/"+strconv.FormatInt(s.version, 10)+"."+role+".json"] = s.blob
}

// targetPath is where a target lies in a repository with consistent snapshots.
func targetPath(name string, b blob) string {
	return path.Join("tuf/targets", path.Dir(name), hex.EncodeToString(b.sum[:])+"."+path.Base(name))
}

// renewRoot adds a root with the same keys and a new end.
func (r *repository) renewRoot(now time.Time) error {
	until := now.Add(r.life.Root)
	md := metadata.Root(until)
	md.Signed.Version = int64(len(r.roots)) + 1
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		keys, ids, err := r.keys(role)
		if err != nil {
			return err
		}
		for id, key := range keys {
			md.Signed.Keys[id] = key
		}
		md.Signed.Roles[role] = &metadata.Role{KeyIDs: ids, Threshold: offices[role].threshold}
	}
	b, err := seal(r, metadata.ROOT, md)
	if err != nil {
		return err
	}
	r.roots, r.rootUntil = append(r.roots, b), until
	return nil
}

// keys are the public keys of a role, and their ids in order.
func (r *repository) keys(role string) (map[string]*metadata.Key, []string, error) {
	keys, ids := map[string]*metadata.Key{}, []string{}
	for _, s := range r.signers[role] {
		public, err := s.PublicKey()
		if err != nil {
			return nil, nil, err
		}
		key, err := metadata.KeyFromPublicKey(public)
		if err != nil {
			return nil, nil, err
		}
		id, err := key.ID()
		if err != nil {
			return nil, nil, err
		}
		keys[id], ids = key, append(ids, id)
	}
	return keys, ids, nil
}

func (r *repository) renewTargets(role string, now time.Time, life time.Duration, targets map[string]blob) error {
	md := metadata.Targets(now.Add(life))
	for name, b := range targets {
		md.Signed.Targets[name] = &metadata.TargetFiles{
			Length: int64(len(b.data)), Hashes: metadata.Hashes{"sha256": b.sum[:]}, Path: name,
		}
	}
	if role == metadata.TARGETS {
		if err := r.delegate(&md.Signed); err != nil {
			return err
		}
	}
	old := r.targets[role]
	said := fmt.Sprint(hashes(targets))
	if !old.due(now, said, life) {
		return nil
	}
	md.Signed.Version = old.version + 1
	b, err := seal(r, role, md)
	r.targets[role] = signedRole{md.Signed.Version, md.Signed.Expires, said, b}
	return err
}

// hashes says which targets there are: maps print in the order of their keys.
func hashes(targets map[string]blob) map[string]string {
	list := map[string]string{}
	for name, b := range targets {
		list[name] = hex.EncodeToString(b.sum[:])
	}
	return list
}

func (r *repository) delegate(md *metadata.TargetsType) error {
	md.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	for _, role := range delegated {
		keys, ids, err := r.keys(role)
		if err != nil {
			return err
		}
		for id, key := range keys {
			md.Delegations.Keys[id] = key
		}
		md.Delegations.Roles = append(md.Delegations.Roles, metadata.DelegatedRole{
			Name: role, KeyIDs: ids, Threshold: offices[role].threshold, Terminating: true, Paths: []string{role + "/*"},
		})
	}
	return nil
}

func (r *repository) renewSnapshot(now time.Time) error {
	md := metadata.Snapshot(now.Add(r.life.Snapshot))
	versions := map[string]int64{}
	for role, s := range r.targets {
		md.Signed.Meta[role+".json"] = meta(s)
		versions[role] = s.version
	}
	said := fmt.Sprint(versions)
	if !r.snapshot.due(now, said, r.life.Snapshot) {
		return nil
	}
	md.Signed.Version = r.snapshot.version + 1
	b, err := seal(r, metadata.SNAPSHOT, md)
	r.snapshot = signedRole{md.Signed.Version, md.Signed.Expires, said, b}
	return err
}

// signTimestamp signs a timestamp; it also says when that was, which raises
// what kiosks know of the time.
func (r *repository) signTimestamp(version int64, until, asOf time.Time, snapshot signedRole) (blob, error) {
	md := metadata.Timestamp(until)
	md.Signed.Version = version
	md.Signed.Meta["snapshot.json"] = meta(snapshot)
	md.Signed.UnrecognizedFields = map[string]any{"as-of": asOf.Format(time.RFC3339)}
	return seal(r, metadata.TIMESTAMP, md)
}

func meta(s signedRole) *metadata.MetaFiles {
	return &metadata.MetaFiles{
		Version: s.version, Length: int64(len(s.blob.data)), Hashes: metadata.Hashes{"sha256": s.blob.sum[:]},
	}
}

// seal signs with as many keys as must.
func seal[T metadata.Roles](r *repository, role string, md *metadata.Metadata[T]) (blob, error) {
	for _, s := range r.signers[role][:offices[role].threshold] {
		if _, err := md.Sign(s); err != nil {
			return blob{}, fmt.Errorf("signing %s: %w", role, err)
		}
	}
	data, err := md.ToBytes(false)
	return newBlob(data), err
}
