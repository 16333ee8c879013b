package backend

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// PublisherFault is one way in which what is published can be wrong, on order:
// by somebody in the middle, by a thief of keys, or by the publisher's own
// mistake. There is none unless it is asked for.
type PublisherFault string

// The faults, and how a kiosk sees them.
const (
	NoFault PublisherFault = ""
	// StaleTimestamp: the newest timestamp expired a minute ago (freeze).
	StaleTimestamp PublisherFault = "stale-timestamp"
	// OldSnapshot: a new timestamp names the very first snapshot, of before there
	// was anything to publish.
	OldSnapshot PublisherFault = "old-snapshot"
	// WrongRoot: the newest step has the right number and begins at another root.
	WrongRoot PublisherFault = "wrong-root"
	// Ahead: the newest step and the deny list are of an hour from now.
	Ahead PublisherFault = "ahead"
	// Truncated: half of the newest body, of the deny list and of a snapshot is missing.
	Truncated PublisherFault = "truncated"
	// WrongKey: a key that is nobody's signs the feed, in the right one's name.
	WrongKey PublisherFault = "wrong-key"
	// RevokedKey: keys that were withdrawn sign the feed, and codes.
	RevokedKey PublisherFault = "revoked-key"
	// Rollback: everything is that of an earlier publication, the oldest of the
	// last four. A kiosk sees it that has fetched a later one.
	Rollback PublisherFault = "rollback"
	// PoisonedTime: timestamp, newest step and deny list say, with the right keys,
	// that it is ten years later.
	PoisonedTime PublisherFault = "poisoned-time"
)

// PublisherFaults are all that can be ordered.
var PublisherFaults = []PublisherFault{
	StaleTimestamp, OldSnapshot, WrongRoot, Ahead, Truncated, WrongKey, RevokedKey, Rollback, PoisonedTime,
}

// poison is how far ahead a poisoned time is.
const poison = 10 * 365 * 24 * time.Hour

// ahead is how far ahead a fault wants the feed.
func (f PublisherFault) ahead() time.Duration {
	switch f {
	case Ahead:
		return time.Hour
	case PoisonedTime:
		return poison
	}
	return 0
}

// spoil changes what is to be served as the fault would have it.
func (u *Publisher) spoil(files map[string]blob, now time.Time) (map[string]blob, error) {
	r := u.repo
	switch u.fault {
	case NoFault:
		return files, nil
	case Rollback:
		if len(u.generations) < 2 {
			return nil, errors.New("there is no earlier publication to go back to")
		}
		return maps.Clone(u.generations[0]), nil
	case StaleTimestamp:
		return u.timestamp(files, now.Add(-time.Minute), now.Add(-time.Minute-u.o.Life.Timestamp), r.snapshot)
	case OldSnapshot:
		put(files, metadata.SNAPSHOT, r.first)
		return u.timestamp(files, now.Add(u.o.Life.Timestamp), now, r.first)
	case PoisonedTime:
		var err error
		if files, err = u.timestamp(files, now.Add(poison+u.o.Life.Timestamp), now.Add(poison), r.snapshot); err != nil {
			return nil, err
		}
	}
	for _, s := range u.shards {
		if err := u.spoilShard(s, files); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// timestamp signs another timestamp of the newest version.
func (u *Publisher) timestamp(files map[string]blob, until, asOf time.Time, snapshot signedRole) (map[string]blob, error) {
	b, err := u.repo.signTimestamp(u.repo.timestamp.version, until, asOf, snapshot)
	files["tuf/timestamp.json"] = b
	return files, err
}

func (u *Publisher) spoilShard(s *shard, files map[string]blob) error {
	head, deny := s.head(), s.deny
	if u.fault.ahead() != 0 && s.late != nil {
		head, deny = *s.late, *s.lateDeny
	}
	if err := errors.Join(u.spoilStep(&head, feedKey), u.spoilStep(&deny, denyKey)); err != nil {
		return err
	}
	if u.fault == Truncated && head.header.Seq == s.baseSeq {
		half := s.snapshot
		half.data = half.data[:len(half.data)/2]
		files[targetPath(s.target(), s.snapshot)] = half
	}
	head.put(files, s.name)
	head.putHead(files, s.name)
	deny.putDeny(files, s.name)
	return nil
}

// spoilStep changes one step; kid is who should have signed it.
func (u *Publisher) spoilStep(st *step, kid string) (err error) {
	switch u.fault {
	case Truncated:
		st.body = newBlob(st.body.data[:len(st.body.data)/2])
	case WrongRoot:
		if kid == feedKey {
			h := st.header
			h.Prev = slices.Clone(h.Prev)
			h.Prev[0] ^= 0xFF
			st.raw, err = u.signHeader(kid, kid, h)
		}
	case WrongKey:
		st.raw, err = u.signHeader("somebody else's", kid, st.header)
	case RevokedKey:
		st.raw, err = u.signHeader(oldFeedKey, oldFeedKey, st.header)
	}
	return err
}
