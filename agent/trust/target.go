package trust

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

// Target returns a target of the usable set, verified against its signed length
// and hash now. Time is not judged: ask State what its role may be used for.
// A file that is not what was signed is set aside, and the next refresh brings
// it again.
func (s *Store) Target(name string) (data []byte, role string, err error) {
	s.mu.RLock()
	u := s.set
	s.mu.RUnlock()
	if u == nil {
		return nil, "", ErrNotFound
	}
	info, role := u.find(name)
	if info == nil {
		return nil, "", ErrNotFound
	}
	data, err = s.readTarget(name, info)
	return data, role, err
}

// Targets lists the names of targets that lie below a prefix, sorted.
func (s *Store) Targets(prefix string) []string {
	s.mu.RLock()
	u := s.set
	s.mu.RUnlock()
	if u == nil {
		return nil
	}
	var names []string
	for _, name := range u.names() {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// Policies returns the policy files by name, as they are.
func (s *Store) Policies() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range s.Targets("policy/") {
		data, role, err := s.Target(name)
		if err != nil {
			return nil, err
		}
		if role == RolePolicy {
			files[path.Base(name)] = data
		}
	}
	return files, nil
}

// Issuers returns the file of the keys that sign codes; what is in it is for
// those who read codes (agent/credential).
func (s *Store) Issuers() ([]byte, error) { return s.of("issuers/keys.json", RoleIssuers) }

// Revocations returns the file of codes that were withdrawn.
func (s *Store) Revocations() ([]byte, error) { return s.of("issuers/revocations.json", RoleIssuers) }

// Recipients returns to whom identities are sealed.
func (s *Store) Recipients() (*feed.Recipients, error) {
	data, err := s.of("issuers/recipients.json", RoleIssuers)
	if err != nil {
		return nil, err
	}
	return feed.ParseRecipients(data)
}

// Index returns the keys and the shards of the feed.
func (s *Store) Index() (*feed.Index, error) {
	data, err := s.of("status/feed.json", RoleStatus)
	if err != nil {
		return nil, err
	}
	return feed.ParseIndex(data)
}

// Download refreshes and then brings one target into dir, wherever in the tree
// of delegations it is named, expired roles refused: what a plain TUF client
// does. A copy that is there already and is still what is signed is not fetched
// again. The file's name is the target's, escaped as in a URL.
func (s *Store) Download(ctx context.Context, from Sources, at time.Time, name, dir string) error {
	if _, err := escape(name); err != nil {
		return err
	}
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	c, _, err := s.refresh(ctx, from, at)
	if err != nil {
		return err
	}
	info, _, err := c.find(ctx, name)
	if err != nil {
		return err
	}
	if info == nil {
		return refused("%s: no role names it", name)
	}
	d, file := &disk{dir: dir}, url.PathEscape(name)
	if have, err := d.read(file, s.o.MaxTarget); err == nil &&
		guarded(name, func() error { return info.VerifyLengthHashes(have) }) == nil {
		return nil
	}
	data, err := fetchTarget(ctx, from.Targets, name, info, c.t.Root.Signed.ConsistentSnapshot, s.o.MaxTarget)
	if err != nil {
		return err
	}
	return d.write(file, data)
}

//

// of returns a target only if this role vouches for it.
func (s *Store) of(name, role string) ([]byte, error) {
	data, by, err := s.Target(name)
	if err == nil && by != role {
		return nil, refused("%s: it is %s that names it", name, by)
	}
	return data, err
}

// readTarget reads and verifies a target from disk.
func (s *Store) readTarget(name string, info *metadata.TargetFiles) ([]byte, error) {
	if digest(info) == nil || info.Length < 0 || info.Length > s.o.MaxTarget {
		return nil, refused("%s: its hash or length cannot be used", name)
	}
	file := targetFile(info)
	data, err := s.disk.read(file, info.Length)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err == nil {
		err = guarded(name, func() error { return info.VerifyLengthHashes(data) })
	}
	if err != nil {
		s.quarantine(file, err)
		return nil, refused("%s: what is stored is damaged: %v", name, err)
	}
	return data, nil
}
