package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// Roles delegated by targets, one delegator each.
const (
	RolePolicy  = "policy"  // policy/ID.VERSION.yaml
	RoleIssuers = "issuers" // issuers/keys.json, issuers/recipients.json
	RoleStatus  = "status"  // status/feed.json, status/SHARD.EPOCH.snap
)

// Options say what a store is for.
type Options struct {
	// Root is the root metadata given at installation. Everything in the store
	// is verified from it at each start.
	Root []byte
	// Roles are the delegated roles that each refresh brings; empty: none, and
	// only a search loads them.
	Roles []string
	// Want says which targets a refresh brings; nil: none.
	Want func(name string) bool
	// MaxTarget bounds one target, in bytes; 0: 16 MiB.
	MaxTarget int64
}

// Store is the signed cache on disk. It may be used by several goroutines.
type Store struct {
	o    Options
	disk *disk
	// rotations bounds how many roots one refresh follows.
	rotations int

	refreshing sync.Mutex // one refresh at a time

	mu     sync.RWMutex
	seen   seen
	set    *set // nil: nothing can be used
	damage []Damage
}

// seen is the newest verified metadata of each role, whether or not it makes a
// whole: what the TUF workflow measures a rollback against.
type seen struct {
	roots map[int64][]byte // from the installed one on, without a gap
	last  int64            // the newest of them
	roles map[string][]byte
}

func (s *seen) newestRoot() []byte { return s.roots[s.last] }

// Damage is a file that was not what had been written, set aside.
type Damage struct {
	File, Reason string
}

// Files of the store, below its folder. The plain names of the roles are for
// people, tools and conformance tests; the chain of roots is what is verified.
const (
	rootsFolder      = "roots"      // N.root.json
	targetsFolder    = "targets"    // files named by their SHA-256
	quarantineFolder = "quarantine" // what was set aside, with the reason
	setFile          = "usable.set" // the last whole set
	installedFile    = "installed"  // the root, where the configuration has none
	floorFile        = "floor"      // below which no set is taken back
)

// Bounds of what is set aside and told: a disk that is dying has no end of it.
const (
	maxQuarantine = 16
	maxDamage     = 64
)

// Open opens a store, which need not be there yet. It fails only if the
// installed root is none or the folder cannot be made: damage to what is
// stored is set aside, told by Damage, and costs what was damaged.
func Open(dir string, o Options) (*Store, error) { return openStore(&disk{dir: dir}, o) }

func openStore(d *disk, o Options) (*Store, error) {
	if o.MaxTarget == 0 {
		o.MaxTarget = 16 << 20
	}
	s := &Store{o: o, disk: d, rotations: maxRotations, seen: seen{roots: map[int64][]byte{}, roles: map[string][]byte{}}}
	root, err := firstRoot(o.Root)
	if err != nil {
		return nil, err
	}
	if _, err := d.folder("."); err != nil {
		return nil, fmt.Errorf("opening the trust store: %w", err)
	}
	for _, folder := range []string{".", rootsFolder, targetsFolder} {
		d.sweep(folder)
	}
	s.seen.last = root.Signed.Version
	s.seen.roots[s.seen.last] = o.Root
	kept := s.readSet()
	newest := s.readRoots(root, kept)
	s.readRoles(newest)
	s.adoptSet(kept, newest)
	return s, nil
}

// Install keeps a root in a store's folder for Installed. A kiosk has its root
// in its configuration instead; this is for the commands.
func Install(dir string, root []byte) error {
	if _, err := firstRoot(root); err != nil {
		return err
	}
	d := &disk{dir: dir}
	if err := d.write(installedFile, root); err != nil {
		return fmt.Errorf("keeping the root: %w", err)
	}
	_, err := openStore(d, Options{Root: root})
	return err
}

// Installed returns the root that Install kept.
func Installed(dir string) ([]byte, error) {
	return (&disk{dir: dir}).read(installedFile, maxRoot)
}

// Damage tells what was found damaged since the store was opened.
func (s *Store) Damage() []Damage {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.damage)
}

// Versions tells the version of each role that was verified last, whether or
// not a whole set of it can be used.
func (s *Store) Versions() map[string]int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	versions := map[string]int64{metadata.ROOT: s.seen.last}
	for role, data := range s.seen.roles {
		versions[role] = version(data)
	}
	return versions
}

//

// readRoots follows the chain on disk, from the installed root. A link that
// does not hold is set aside; the copy inside the usable set may mend it.
func (s *Store) readRoots(root *metadata.Metadata[metadata.RootType], kept *archive) *metadata.Metadata[metadata.RootType] {
	for {
		next := s.seen.last + 1
		name := filepath.Join(rootsFolder, strconv.FormatInt(next, 10)+".root.json")
		data, err := s.disk.read(name, maxRoot)
		var newer *metadata.Metadata[metadata.RootType]
		if err == nil {
			newer, err = nextRoot(root, data)
		}
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				s.quarantine(name, err)
			}
			data = kept.root(next)
			if newer, err = nextRoot(root, data); err != nil {
				break
			}
			_ = s.disk.write(name, data)
		}
		root = newer
		s.seen.roots[next], s.seen.last = data, next
	}
	if data, err := s.disk.read(fileName(metadata.ROOT), maxRoot); err != nil || string(data) != string(s.seen.newestRoot()) {
		_ = s.disk.write(fileName(metadata.ROOT), s.seen.newestRoot())
	}
	return root
}

// firstRoot verifies the installed root by itself.
func firstRoot(data []byte) (root *metadata.Metadata[metadata.RootType], err error) {
	err = guarded("installed root", func() error {
		t, err := trustedmetadata.New(data)
		if err == nil {
			root = t.Root
		}
		return err
	})
	return root, err
}

// nextRoot verifies one link of the chain.
func nextRoot(root *metadata.Metadata[metadata.RootType], data []byte) (newer *metadata.Metadata[metadata.RootType], err error) {
	err = guarded("root", func() error {
		t := &trustedmetadata.TrustedMetadata{Root: root}
		newer, err = t.UpdateRoot(data)
		return err
	})
	return newer, err
}

// readRoles reads the roles that were seen last. Bytes that are no metadata are
// damage. Signatures of the top-level roles are looked at here, those of
// delegated ones when they are loaded: one that no longer verifies because its
// keys were changed is not damage, and is of no use either.
func (s *Store) readRoles(root *metadata.Metadata[metadata.RootType]) {
	for _, file := range s.disk.list(".") {
		escaped, ok := strings.CutSuffix(file, ".json")
		if !ok || file == fileName(metadata.ROOT) {
			continue
		}
		role, err := unescape(escaped)
		var data []byte
		if err == nil {
			data, err = s.disk.read(file, maxTargets)
		}
		if err == nil {
			err = parses(role, data)
		}
		if err != nil {
			s.quarantine(file, err)
			continue
		}
		if err := signedBy(root, role, data); err != nil && !s.keysChanged(role, data) {
			s.quarantine(file, err)
			continue
		}
		s.seen.roles[role] = data
	}
}

// keysChanged reports whether a top-level role verifies under an older root: it
// was left behind by a rotation.
func (s *Store) keysChanged(role string, data []byte) bool {
	for _, raw := range s.seen.roots {
		if root, err := metadata.Root().FromBytes(raw); err == nil && signedBy(root, role, data) == nil {
			return true
		}
	}
	return false
}

// saveRoot makes a root durable before it is used.
func (s *Store) saveRoot(version int64, data []byte) error {
	name := filepath.Join(rootsFolder, strconv.FormatInt(version, 10)+".root.json")
	if err := errors.Join(s.disk.write(name, data), s.disk.write(fileName(metadata.ROOT), data)); err != nil {
		return fmt.Errorf("keeping root %d: %w", version, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.roots[version], s.seen.last = data, version
	return nil
}

// save makes a role durable before it is used: its version is the floor below
// which nothing is accepted.
func (s *Store) save(role string, data []byte) error {
	if err := s.disk.write(fileName(role), data); err != nil {
		return fmt.Errorf("keeping %s: %w", role, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.roles[role] = data
	return nil
}

func (s *Store) local(role string) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	data, ok := s.seen.roles[role]
	return data, ok
}

// quarantine sets a file aside with the reason, so that somebody can look.
// It never fails: what cannot be moved is not used either.
func (s *Store) quarantine(name string, reason error) {
	s.mu.Lock()
	if len(s.damage) < maxDamage {
		s.damage = append(s.damage, Damage{name, reason.Error()})
	}
	s.mu.Unlock()
	if _, err := s.disk.folder(quarantineFolder); err != nil {
		return
	}
	held := s.disk.list(quarantineFolder)
	slices.Sort(held)
	for len(held) >= 2*maxQuarantine {
		_ = s.disk.remove(filepath.Join(quarantineFolder, held[0]))
		held = held[1:]
	}
	number := 1
	if len(held) > 0 {
		_, _ = fmt.Sscanf(held[len(held)-1], "%06d", &number)
		number++
	}
	to := filepath.Join(quarantineFolder, fmt.Sprintf("%06d-%s", number, strings.ReplaceAll(name, "/", "-")))
	_ = s.disk.move(name, to)
	_ = s.disk.write(to+".why", []byte(reason.Error()+"\n"))
}

// Seen returns the newest verified bytes of a role, for tools.
func (s *Store) Seen(role string) []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if role == metadata.ROOT {
		return s.seen.newestRoot()
	}
	return s.seen.roles[role]
}

// chain returns the roots after the installed one, oldest first.
func (s *Store) chain() [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var chain [][]byte
	for _, v := range slices.Sorted(maps.Keys(s.seen.roots))[1:] {
		chain = append(chain, s.seen.roots[v])
	}
	return chain
}

var never = time.Time{} // as a reference time: nothing has expired
