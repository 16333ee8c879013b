package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// mend puts back the files of roles that are not what the set proves to have
// been seen: somebody took them away or swapped them with older ones, or they
// were bent.
func (s *Store) mend(u *set, newest *metadata.Metadata[metadata.RootType]) {
	if u.t.Root.Signed.Version != newest.Signed.Version {
		return // after a rotation versions may rightly begin anew
	}
	put := func(role string, data []byte) {
		have := s.seen.roles[role]
		if version(have) > version(data) || bytes.Equal(have, data) {
			return
		}
		if have != nil {
			s.quarantine(fileName(role), fmt.Errorf("version %d lies there, version %d is in use", version(have), version(data)))
		}
		if s.save(role, data) != nil {
			s.seen.roles[role] = data // at least while we run
		}
	}
	put(metadata.TIMESTAMP, u.archive.Timestamp)
	put(metadata.SNAPSHOT, u.archive.Snapshot)
	put(metadata.TARGETS, u.archive.Targets)
	for _, d := range u.archive.Delegated {
		put(d.Role, d.Data)
	}
}

// floor is the age of the set that was adopted last: an older one was put back
// by somebody. It is written after the set, so that a power cut between the two
// only leaves it too low. A newer root may begin versions anew.
type floor struct {
	Root      int64 `json:"root"`
	Timestamp int64 `json:"timestamp"`
}

func (s *Store) readFloor() (f floor) {
	data, err := s.disk.readSummed(floorFile, 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return floor{}
	}
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		s.quarantine(floorFile, err)
		return floor{}
	}
	return f
}

func (s *Store) writeFloor(u *set) error {
	mark, err := json.Marshal(u.floor())
	if err == nil {
		err = s.disk.writeSummed(floorFile, mark)
	}
	if err != nil {
		return fmt.Errorf("keeping the floor: %w", err)
	}
	return nil
}

func (f floor) check(u *set) error {
	if has := u.floor(); has.Root < f.Root || has.Root == f.Root && has.Timestamp < f.Timestamp {
		return refused("it is of root %d, timestamp %d; root %d, timestamp %d had been in use", has.Root, has.Timestamp, f.Root, f.Timestamp)
	}
	return nil
}

func (u *set) floor() floor {
	return floor{u.t.Root.Signed.Version, u.t.Timestamp.Signed.Version}
}
