package queue

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// expire removes identities that nobody has taken in time. The event goes over
// to the newest file without them, so that the file can be removed.
func (q *Queue) expire(ctx context.Context) {
	now := q.o.Now()
	q.mu.Lock()
	newest := q.newest()
	q.mu.Unlock()
	if q.overdue(newest, now) {
		_ = q.do(ctx, &op{frees: true, outside: func() error { return q.seal(nil) }})
	}
	q.mu.Lock()
	files := slices.Clone(q.files[:len(q.files)-1])
	q.mu.Unlock()
	for _, f := range files {
		if !q.personal(f) {
			continue
		}
		for _, s := range q.leftovers(f) {
			for q.expireSome(ctx, f, s, now) {
			}
		}
	}
}

// personal reports whether there are identities in f, also of records that have
// left: then it is to be removed when their time has come. Only the janitor asks.
func (q *Queue) personal(f *file) bool {
	q.mu.Lock()
	db, ended := f.db, f != q.newest()
	q.mu.Unlock()
	if f.looked || db == nil {
		return f.names && db != nil
	}
	// Not under mu, it may take a while. If the file is sealed meanwhile, it is
	// looked at again later. What has ended gets no more identities.
	err := db.View(func(tx *bbolt.Tx) error {
		for _, dead := range []bool{false, true} {
			if top := tx.Bucket(shelf{dead: dead}.bucket()); top != nil {
				f.names = f.names || hasIdentities(top, dead)
			}
		}
		return nil
	})
	f.looked = err == nil && (f.names || ended)
	return f.names
}

func hasIdentities(top *bbolt.Bucket, dead bool) bool {
	names := false
	_ = top.ForEachBucket(func(name []byte) error {
		return top.Bucket(name).ForEach(func(_, v []byte) error {
			of := found{shelf{dead: dead}, v}
			if r := of.record(); r != nil && len(r.Identity) > 0 {
				names = true
				return errFound
			}
			return nil
		})
	})
	return names
}

var errFound = errors.New("found")

// overdue reports whether the first check-in of f has an identity that is too
// old.
func (q *Queue) overdue(f *file, now checkin.Stamp) bool {
	list, _ := q.expired(f, shelf{box: checkins}, now, 1)
	return len(list) > 0 && q.personal(f)
}

// expired lists the first records of a shelf whose identities are too old.
func (q *Queue) expired(f *file, s shelf, now checkin.Stamp, limit int) (list []found, at []raw) {
	q.mu.Lock()
	first := f.first(s, 0, math.MaxUint64, limit)
	sealed := q.after(f)
	q.mu.Unlock()
	for _, r := range first {
		of := found{s, r.value}
		record := of.record()
		if record == nil || q.ageOf(record.Event.At, sealed, now) < q.o.IdentityLife {
			break
		}
		list, at = append(list, of), append(at, r)
	}
	return list, at
}

// expireSome handles the first records of a shelf, and reports whether there
// may be more.
func (q *Queue) expireSome(ctx context.Context, f *file, s shelf, now checkin.Stamp) bool {
	list, at := q.expired(f, s, now, moveAtOne)
	if len(list) == 0 {
		return false
	}
	_, current := q.boxes[s.box]
	return q.do(ctx, &op{frees: true, apply: func(t *turn) error {
		for i := range list {
			bare, had := list[i].withoutIdentity()
			if had && s.box == checkins {
				t.state.Counters.Expired++
			}
			if current || s.dead { // nobody will ever ask for a former recipient's
				if err := t.append(s, bare); err != nil {
					return err
				}
			}
			if err := t.take(s, at[i].at, len(at[i].value)); err != nil {
				return err
			}
		}
		return nil
	}}) == nil
}

// withoutIdentity is f's value without who it was, and whether that was in it.
func (f *found) withoutIdentity() (value []byte, had bool) {
	r := f.record()
	if r == nil || len(r.Identity) == 0 {
		return f.value, false
	}
	r.Identity, r.KeyID, r.IdentityExpired = nil, "", true
	value, err := encode(f.shelf.box, r)
	if err != nil {
		return f.value, false
	}
	if f.shelf.dead {
		why, _, _ := epitaph(f.value)
		return tombstone(why, value), true
	}
	return value, true
}

// ageOf is how long ago a record was surely made: by its own stamp, and by when
// the next file was begun. sealed is that file; nil: there is none.
func (q *Queue) ageOf(at checkin.Stamp, sealed *file, now checkin.Stamp) time.Duration {
	age := between(at, now)
	if sealed != nil {
		age = max(age, between(sealed.born, now), q.ran()-sealed.ran)
	}
	return age
}

// between is the time from one stamp to another, as far as it is known: within
// a boot, or by two clocks that are trusted.
func between(from, to checkin.Stamp) time.Duration {
	switch {
	case from.BootID == to.BootID && from.BootID != "":
		return to.Boot - from.Boot
	case from.Trusted && to.Trusted:
		return to.Wall.Sub(from.Wall)
	}
	return 0
}

// after is the file that was begun when f ended. The caller holds q.mu.
func (q *Queue) after(f *file) *file {
	if i := slices.Index(q.files, f); i >= 0 && i+1 < len(q.files) {
		return q.files[i+1]
	}
	return nil
}

// age looks how old the oldest check-in is.
func (q *Queue) age() {
	now := q.o.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.oldest = 0
	for _, f := range q.files {
		list := f.first(shelf{box: checkins}, 0, math.MaxUint64, 1)
		if len(list) == 0 {
			continue
		}
		if _, r, err := decode(list[0].value); err == nil {
			q.oldest = max(0, q.ageOf(r.Event.At, q.after(f), now))
		}
		return
	}
}
