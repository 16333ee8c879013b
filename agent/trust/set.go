package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// archive is a whole set of metadata that belongs together, in one file: it is
// replaced by one rename, so no power cut can mix two of them. Times are not
// judged here but by State.
type archive struct {
	Version   int        `json:"version"` // 1
	Roots     [][]byte   `json:"roots"`   // after the installed one
	Timestamp []byte     `json:"timestamp"`
	Snapshot  []byte     `json:"snapshot"`
	Targets   []byte     `json:"targets"`
	Delegated []delegate `json:"delegated"` // as they were loaded
}

type delegate struct {
	Role string `json:"role"`
	Data []byte `json:"data"`
}

// maxSet bounds the file: base64 of all that it may hold is less.
const maxSet = 64 << 20

// set is an archive that was verified.
type set struct {
	archive archive
	t       *trustedmetadata.TrustedMetadata
	// left is set once a newer root has other keys: for the targets role nothing
	// can be used any more, for timestamp and snapshot it is stale.
	left      error
	leftStale bool
}

// readSet reads the usable set, unverified; nil if there is none.
func (s *Store) readSet() *archive {
	data, err := s.disk.readSummed(setFile, maxSet)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var a *archive
	if err == nil {
		a, err = parseArchive(data)
	}
	if err != nil {
		s.quarantine(setFile, err)
		return nil
	}
	return a
}

func parseArchive(data []byte) (*archive, error) {
	a := new(archive)
	if err := json.Unmarshal(data, a); err != nil {
		return nil, err
	}
	if a.Version != 1 {
		return nil, fmt.Errorf("its format is %d, this program reads 1", a.Version)
	}
	return a, nil
}

// root returns a link of the chain as the set has it.
func (a *archive) root(v int64) []byte {
	if a == nil {
		return nil
	}
	for _, data := range a.Roots {
		if version(data) == v {
			return data
		}
	}
	return nil
}

// adoptSet verifies what was read and makes it the usable set. If the file was
// damaged the roles that were seen last take its place, if they make a whole.
func (s *Store) adoptSet(a *archive, newest *metadata.Metadata[metadata.RootType]) {
	least := s.readFloor()
	if a != nil {
		u, err := s.verify(a)
		if err == nil {
			err = least.check(u)
		}
		if err == nil {
			u.judge(newest)
			s.set = u
			s.mend(u, newest)
			if least != u.floor() {
				_ = s.writeFloor(u)
			}
			_ = s.complete(u) // what is damaged is set aside now
			return
		}
		s.quarantine(setFile, err)
	}
	spare := archive{
		Version: 1, Roots: s.chain(), Timestamp: s.seen.roles[metadata.TIMESTAMP],
		Snapshot: s.seen.roles[metadata.SNAPSHOT], Targets: s.seen.roles[metadata.TARGETS],
	}
	if spare.Timestamp == nil || spare.Snapshot == nil || spare.Targets == nil {
		return
	}
	for _, role := range s.o.Roles {
		spare.Delegated = append(spare.Delegated, delegate{role, s.seen.roles[role]})
	}
	if u, err := s.verify(&spare); err == nil && least.check(u) == nil && s.complete(u) == nil {
		s.set = u
		if data, err := json.Marshal(u.archive); err == nil {
			_ = s.disk.writeSummed(setFile, data)
		}
	}
}

// verify checks a set from the installed root on, without regard to time.
func (s *Store) verify(a *archive) (*set, error) {
	var t *trustedmetadata.TrustedMetadata
	err := guarded("usable set", func() (err error) {
		if t, err = trustedmetadata.New(s.o.Root); err != nil {
			return err
		}
		t.RefTime = never
		for _, root := range a.Roots {
			if version(root) <= t.Root.Signed.Version {
				continue // from before a newer root was installed
			}
			if _, err := t.UpdateRoot(root); err != nil {
				return err
			}
		}
		if err := namesSnapshot(a.Timestamp); err != nil {
			return err
		}
		if _, err := t.UpdateTimestamp(a.Timestamp); err != nil {
			return err
		}
		if _, err := t.UpdateSnapshot(a.Snapshot, false); err != nil {
			return err
		}
		if _, err := t.UpdateTargets(a.Targets); err != nil {
			return err
		}
		for _, d := range a.Delegated {
			if _, err := t.UpdateDelegatedTargets(d.Data, d.Role, metadata.TARGETS); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &set{archive: *a, t: t}, nil
}

// judge measures the set against the newest root, which may have other keys.
func (u *set) judge(newest *metadata.Metadata[metadata.RootType]) {
	if newest.Signed.Version <= u.t.Root.Signed.Version {
		return
	}
	u.left = guarded("targets", func() error {
		return newest.VerifyDelegate(metadata.TARGETS, u.t.Targets[metadata.TARGETS])
	})
	u.leftStale = guarded("timestamp", func() error {
		return errors.Join(newest.VerifyDelegate(metadata.TIMESTAMP, u.t.Timestamp),
			newest.VerifyDelegate(metadata.SNAPSHOT, u.t.Snapshot))
	}) != nil
}

// judgeSet does so after a rotation.
func (s *Store) judgeSet(newest *metadata.Metadata[metadata.RootType]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set != nil {
		s.set.judge(newest)
	}
}

// find searches the set, without fetching, for the role that may speak of a
// target. Delegated roles have no delegations of their own (Refresh refuses
// them), so one step is all.
func (u *set) find(name string) (info *metadata.TargetFiles, role string) {
	top := u.t.Targets[metadata.TARGETS].Signed
	if info := top.Targets[name]; info != nil {
		return info, metadata.TARGETS
	}
	if top.Delegations == nil {
		return nil, ""
	}
	for _, r := range top.Delegations.GetRolesForTarget(name) {
		md := u.t.Targets[r.Name]
		if md == nil {
			return nil, "" // a role that is not here might say otherwise
		}
		if info := md.Signed.Targets[name]; info != nil {
			return info, r.Name
		}
		if r.Terminating {
			break
		}
	}
	return nil, ""
}

// names lists every target of the set that some role may speak of.
func (u *set) names() []string {
	var names []string
	for _, md := range u.t.Targets {
		for name := range md.Signed.Targets {
			if info, _ := u.find(name); info != nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

//

// parses reports whether data is metadata of a role at all.
func parses(role string, data []byte) error {
	return guarded(role, func() (err error) {
		switch role {
		case metadata.TIMESTAMP:
			_, err = metadata.Timestamp().FromBytes(data)
		case metadata.SNAPSHOT:
			_, err = metadata.Snapshot().FromBytes(data)
		default:
			_, err = metadata.Targets().FromBytes(data)
		}
		return err
	})
}

// signedBy verifies a top-level role under a root; others always pass.
func signedBy(root *metadata.Metadata[metadata.RootType], role string, data []byte) error {
	return guarded(role, func() error {
		switch role {
		case metadata.TIMESTAMP:
			md, err := metadata.Timestamp().FromBytes(data)
			return errors.Join(err, root.VerifyDelegate(role, md))
		case metadata.SNAPSHOT:
			md, err := metadata.Snapshot().FromBytes(data)
			return errors.Join(err, root.VerifyDelegate(role, md))
		case metadata.TARGETS:
			md, err := metadata.Targets().FromBytes(data)
			return errors.Join(err, root.VerifyDelegate(role, md))
		}
		return nil
	})
}

// version reads the version of any metadata; 0 if there is none.
func version(data []byte) int64 {
	var md struct {
		Signed struct {
			Version int64 `json:"version"`
		} `json:"signed"`
	}
	_ = json.Unmarshal(data, &md)
	return md.Signed.Version
}

func unescape(name string) (string, error) {
	role, err := url.PathUnescape(name)
	if err == nil && url.PathEscape(role) != name {
		err = errors.New("its name is not a role's")
	}
	return role, err
}
