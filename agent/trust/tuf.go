package trust

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// Why something is not believed; test with errors.Is. Any other error of
// Refresh is about fetching or about the disk.
var (
	// ErrRefused is metadata or a target that is not what was signed: an alarm.
	ErrRefused = errors.New("refused")
	// ErrExpired is metadata that is surely too old: the repository is neglected,
	// or somebody withholds what is newer.
	ErrExpired = errors.New("expired")
)

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

// Limits of what is read; the first four are those of the specification's
// reference client.
const (
	maxRoot      = 512_000
	maxTimestamp = 16_384
	maxSnapshot  = 2_000_000
	maxTargets   = 5_000_000
	maxRotations = 256 // roots in one refresh
	maxRoles     = 32  // delegated roles visited in one search
	maxRoleName  = 200
)

// topLevel are the names that no delegation may use: they would meet in one
// file.
var topLevel = []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS}

// guarded runs a step of go-tuf. Metadata that lacks a part ("meta": {}, a key
// that is null) makes go-tuf 2.4.2 panic, some of it before a signature is
// checked; a kiosk must not fall for that.
func guarded(what string, step func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %w: %v", what, ErrRefused, r)
		}
	}()
	err = step()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		return fmt.Errorf("%s: %w: %v", what, ErrExpired, err)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrRefused, err)
}

// client is one run of the TUF client workflow. go-tuf's trustedmetadata does
// every check; the order of the steps, the files and the fetching are ours,
// because go-tuf's updater writes without a sync, gives up for good on a local
// file that is damaged, and takes no context (DESIGN.md).
type client struct {
	s         *Store
	t         *trustedmetadata.TrustedMetadata
	from      Fetcher
	delegator map[string]string // of each role that is loaded
	order     []string          // delegated roles as they were loaded
}

// newClient starts from the newest root that is trusted. at judges expiry.
func (s *Store) newClient(from Fetcher, at time.Time) (*client, error) {
	c := &client{s: s, from: from, delegator: map[string]string{}}
	err := guarded("root", func() (err error) {
		c.t, err = trustedmetadata.New(s.seen.newestRoot())
		return err
	})
	if err != nil {
		return nil, err
	}
	c.t.RefTime = at
	return c, nil
}

// refresh brings the four top-level roles up to date.
func (c *client) refresh(ctx context.Context) error {
	for _, step := range []func(context.Context) error{c.root, c.timestamp, c.snapshot} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	_, err := c.load(ctx, metadata.TARGETS, metadata.ROOT)
	return err
}

// root follows the chain of roots as far as it goes.
func (c *client) root(ctx context.Context) error {
	for range c.s.rotations {
		next := c.t.Root.Signed.Version + 1
		data, err := get(ctx, c.from, fmt.Sprintf("%d.root.json", next), maxRoot)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := guarded("root", func() error { _, err := c.t.UpdateRoot(data); return err }); err != nil {
			return err
		}
		if err := c.s.saveRoot(next, data); err != nil {
			return err
		}
		c.s.judgeSet(c.t.Root)
	}
	return refused("root: more than %d new versions at once", c.s.rotations)
}

func (c *client) timestamp(ctx context.Context) error {
	update := func(data []byte) error {
		return guarded(metadata.TIMESTAMP, func() error {
			if err := namesSnapshot(data); err != nil {
				return err
			}
			_, err := c.t.UpdateTimestamp(data)
			return err
		})
	}
	if local, ok := c.s.local(metadata.TIMESTAMP); ok {
		// Expired or no longer signed by the right keys: either way the new one
		// is fetched, and an expired one still guards against a rollback.
		_ = update(local)
	}
	data, err := get(ctx, c.from, "timestamp.json", maxTimestamp)
	if err != nil {
		return err
	}
	err = update(data)
	if errors.Is(err, &metadata.ErrEqualVersionNumber{}) {
		return nil // the one that is kept stays, whatever the new one says
	}
	if err != nil {
		return err
	}
	return c.s.save(metadata.TIMESTAMP, data)
}

// namesSnapshot looks for the one entry that go-tuf takes for granted.
func namesSnapshot(data []byte) error {
	t, err := metadata.Timestamp().FromBytes(data)
	if err != nil {
		return err
	}
	if t.Signed.Meta["snapshot.json"] == nil {
		return &metadata.ErrRepository{Msg: "the timestamp does not name the snapshot"}
	}
	return nil
}

func (c *client) snapshot(ctx context.Context) error {
	if c.t.Timestamp == nil {
		return refused("snapshot: there is no timestamp")
	}
	info := c.t.Timestamp.Signed.Meta["snapshot.json"]
	update := func(data []byte, trusted bool) error {
		return guarded(metadata.SNAPSHOT, func() error {
			_, err := c.t.UpdateSnapshot(data, trusted)
			return err
		})
	}
	if local, ok := c.s.local(metadata.SNAPSHOT); ok {
		// One that is not the final one still guards against a rollback of what
		// it lists; that is why its hash is looked at only afterwards.
		if update(local, true) == nil && info.VerifyLengthHashes(local) == nil {
			return nil
		}
	}
	data, err := get(ctx, c.from, c.path(metadata.SNAPSHOT, info.Version), limit(info.Length, maxSnapshot))
	if err != nil {
		return err
	}
	if err := update(data, false); err != nil {
		return err
	}
	return c.s.save(metadata.SNAPSHOT, data)
}

// load brings one role of targets up to date, as its delegator vouches for it.
func (c *client) load(ctx context.Context, role, delegator string) (*metadata.Metadata[metadata.TargetsType], error) {
	if md, ok := c.t.Targets[role]; ok {
		return md, c.vouch(role, delegator, md)
	}
	if delegator != metadata.ROOT && (slices.Contains(topLevel, role) || len(role) > maxRoleName) {
		return nil, refused("a delegated role cannot be called %.40q", role)
	}
	update := func(data []byte) error {
		return guarded(role, func() error {
			_, err := c.t.UpdateDelegatedTargets(data, role, delegator)
			return err
		})
	}
	if local, ok := c.s.local(role); !ok || update(local) != nil {
		info := c.t.Snapshot.Signed.Meta[role+".json"]
		if info == nil {
			return nil, refused("%s: the snapshot does not list it", role)
		}
		data, err := get(ctx, c.from, c.path(role, info.Version), limit(info.Length, maxTargets))
		if err != nil {
			return nil, err
		}
		if err := update(data); err != nil {
			return nil, err
		}
		if err := c.s.save(role, data); err != nil {
			return nil, err
		}
	}
	c.delegator[role] = delegator
	if delegator != metadata.ROOT {
		c.order = append(c.order, role)
	}
	return c.t.Targets[role], nil
}

// vouch checks a role that is loaded already for another delegator. go-tuf
// keeps delegated metadata by name alone, so without this what one delegator
// vouches for would count for the other.
func (c *client) vouch(role, delegator string, md *metadata.Metadata[metadata.TargetsType]) error {
	if c.delegator[role] == delegator || delegator == metadata.ROOT {
		return nil
	}
	return guarded(role, func() error { return c.t.Targets[delegator].VerifyDelegate(role, md) })
}

// find searches the role that may speak of a target: depth first, in the order
// of the delegations, no further than a terminating one. It returns nil if no
// role names the target.
func (c *client) find(ctx context.Context, name string) (info *metadata.TargetFiles, role string, err error) {
	type step struct{ role, delegator string }
	todo := []step{{metadata.TARGETS, metadata.ROOT}}
	visited := map[string]bool{}
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if visited[next.role] {
			continue
		}
		if len(visited) > maxRoles {
			return nil, "", refused("more than %d delegations lead to %q", maxRoles, name)
		}
		md, err := c.load(ctx, next.role, next.delegator)
		if err != nil {
			return nil, "", err
		}
		if info := md.Signed.Targets[name]; info != nil {
			return info, next.role, nil
		}
		visited[next.role] = true
		if md.Signed.Delegations == nil {
			continue
		}
		var children []step
		for _, r := range md.Signed.Delegations.GetRolesForTarget(name) {
			children = append(children, step{r.Name, next.role})
			if r.Terminating {
				todo = nil
				break
			}
		}
		slices.Reverse(children)
		todo = append(todo, children...)
	}
	return nil, "", nil
}

// path is where a version of a role lies.
func (c *client) path(role string, version int64) string {
	if c.t.Root.Signed.ConsistentSnapshot {
		return strconv.FormatInt(version, 10) + "." + fileName(role)
	}
	return fileName(role)
}

// fileName is a role's file, here and in a repository.
func fileName(role string) string { return url.PathEscape(role) + ".json" }

// limit bounds a file by the length that is signed, if there is one.
func limit(signed, most int64) int64 {
	if signed > 0 && signed < most {
		return signed
	}
	return most
}
