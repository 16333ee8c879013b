package trust

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Sources are where a refresh fetches from. The two may be one server, or two.
type Sources struct {
	Metadata Fetcher // N.root.json, timestamp.json, …
	Targets  Fetcher
}

// maxWanted bounds how many targets one set may bring.
const maxWanted = 256

// Refresh brings metadata and wanted targets up to date, at the time at, and
// makes them the usable set all at once. After any error the old set stays in
// use; what was verified before the error still counts against a rollback.
//
// at is the earliest time that it can be (the interval's lo): what is expired
// then is surely expired and refused as ErrExpired. Whether the rest can be
// used is for State to say, over the whole interval. So a kiosk that has no
// upper bound of the time after a reboot can still be brought up to date.
// Delegated roles are taken even if they have expired, because one neglected
// role must not keep the others from being renewed; State says so.
func (s *Store) Refresh(ctx context.Context, from Sources, at time.Time) (changed bool, err error) {
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	_, changed, err = s.refresh(ctx, from, at)
	return changed, err
}

func (s *Store) refresh(ctx context.Context, from Sources, at time.Time) (c *client, changed bool, err error) {
	if c, err = s.newClient(from.Metadata, at); err != nil {
		return nil, false, err
	}
	if err := c.refresh(ctx); err != nil {
		return nil, false, err
	}
	c.t.RefTime = never
	for _, role := range s.o.Roles {
		if err := c.delegated(ctx, role); err != nil {
			return nil, false, err
		}
	}
	c.t.RefTime = at
	t := *c.t
	t.Targets = maps.Clone(t.Targets) // a search goes on loading into the client's
	u := &set{t: &t, archive: s.archive(c.order)}
	if err := s.bring(ctx, u, from.Targets); err != nil {
		return nil, false, err
	}
	changed, err = s.use(u)
	return c, changed, err
}

// delegated loads one of our roles. One delegator each: nobody else may name
// them, and they delegate to nobody.
func (c *client) delegated(ctx context.Context, role string) error {
	top := c.t.Targets[metadata.TARGETS].Signed
	n := 0
	if top.Delegations != nil {
		for _, r := range top.Delegations.Roles {
			if r.Name == role {
				n++
			}
		}
	}
	if n != 1 {
		return refused("%s: targets delegates to it %d times, not once", role, n)
	}
	md, err := c.load(ctx, role, metadata.TARGETS)
	if err != nil {
		return err
	}
	if d := md.Signed.Delegations; d != nil && (len(d.Roles) > 0 || d.SuccinctRoles != nil) {
		return refused("%s: it delegates further, which no role of ours may", role)
	}
	return nil
}

// archive collects the bytes of what the client verified.
func (s *Store) archive(order []string) archive {
	a := archive{Version: 1, Roots: s.chain()}
	a.Timestamp, _ = s.local(metadata.TIMESTAMP)
	a.Snapshot, _ = s.local(metadata.SNAPSHOT)
	a.Targets, _ = s.local(metadata.TARGETS)
	for _, role := range order {
		data, _ := s.local(role)
		a.Delegated = append(a.Delegated, delegate{role, data})
	}
	return a
}

// bring fetches the wanted targets that are not there.
func (s *Store) bring(ctx context.Context, u *set, from Fetcher) error {
	wanted := s.wanted(u)
	if len(wanted) > maxWanted {
		return refused("%d targets are wanted, at most %d are fetched", len(wanted), maxWanted)
	}
	for _, name := range wanted {
		info, _ := u.find(name)
		if _, err := s.readTarget(name, info); err == nil {
			continue
		}
		data, err := fetchTarget(ctx, from, name, info, u.t.Root.Signed.ConsistentSnapshot, s.o.MaxTarget)
		if err != nil {
			return err
		}
		if err := s.disk.write(targetFile(info), data); err != nil {
			return fmt.Errorf("keeping %s: %w", name, err)
		}
	}
	return nil
}

// complete reports what is missing of a set.
func (s *Store) complete(u *set) (missing error) {
	for _, name := range s.wanted(u) {
		info, _ := u.find(name)
		if _, err := s.readTarget(name, info); err != nil {
			missing = err
		}
	}
	return missing
}

func (s *Store) wanted(u *set) []string {
	if s.o.Want == nil {
		return nil
	}
	return slices.DeleteFunc(u.names(), func(name string) bool { return !s.o.Want(name) })
}

// use makes a set the usable one: on disk first, by one rename.
func (s *Store) use(u *set) (changed bool, err error) {
	s.mu.RLock()
	old := s.set
	s.mu.RUnlock()
	data, err := json.Marshal(u.archive)
	if err != nil {
		return false, err
	}
	if old != nil {
		if was, err := json.Marshal(old.archive); err == nil && bytes.Equal(was, data) {
			return false, nil
		}
	}
	if err := s.disk.writeSummed(setFile, data); err != nil {
		return false, fmt.Errorf("keeping the new set: %w", err)
	}
	s.mu.Lock()
	s.set = u
	s.mu.Unlock()
	if err := s.writeFloor(u); err != nil {
		return true, err
	}
	s.tidy(u)
	return true, nil
}

// tidy removes targets that no role of the usable set names. A file that stays
// because this was cut short goes the next time.
func (s *Store) tidy(u *set) {
	keep := map[string]bool{}
	for _, name := range u.names() {
		info, _ := u.find(name)
		keep[filepath.Base(targetFile(info))] = true
	}
	for _, file := range s.disk.list(targetsFolder) {
		if !keep[file] {
			_ = s.disk.remove(filepath.Join(targetsFolder, file))
		}
	}
}

// fetchTarget fetches and verifies one target.
func fetchTarget(ctx context.Context, from Fetcher, name string, info *metadata.TargetFiles, prefixed bool, most int64) ([]byte, error) {
	if info.Length < 0 || info.Length > most {
		return nil, refused("%s: %d bytes, at most %d are fetched", name, info.Length, most)
	}
	at, err := escape(name)
	switch {
	case err != nil:
		return nil, err
	case digest(info) == nil:
		return nil, refused("%s: no hash that this program knows is signed", name)
	case prefixed:
		dir, base := filepath.Split(at)
		at = dir + hex.EncodeToString(digest(info)) + "." + base
	}
	data, err := get(ctx, from, at, info.Length)
	if err != nil {
		return nil, err
	}
	return data, guarded(name, func() error { return info.VerifyLengthHashes(data) })
}

// digest is the hash that names a target: SHA-256 if it is signed, or SHA-512.
func digest(info *metadata.TargetFiles) []byte {
	if h := info.Hashes["sha256"]; len(h) == 32 {
		return h
	}
	return info.Hashes["sha512"]
}

func targetFile(info *metadata.TargetFiles) string {
	return filepath.Join(targetsFolder, hex.EncodeToString(digest(info)))
}

// Loop calls refresh until ctx ends: about every d, so that kiosks that were
// switched on together do not ask together, and sooner after an error, backing
// off from d/60 to d.
func Loop(ctx context.Context, every time.Duration, refresh func(context.Context) error) error {
	wait := every / 60
	for {
		pause := every
		if refresh(ctx) != nil {
			pause, wait = wait, min(2*wait, every)
		} else {
			wait = every / 60
		}
		timer := time.NewTimer(jitter(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// jitter spreads a pause by 20 % to either side.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
