package queue_test

import (
	"context"
	"encoding/binary"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// TestWhatIsSaidToBeGone and never was there, or was deleted already, is counted
// by nobody. A commit that has failed half-way can leave both on the disk; a count
// that is too low would have the file removed with records in it.
func TestWhatIsSaidToBeGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		q := k.open(t)
		for _, u := range []string{"a", "b", "c"} {
			k.visit(t, q, u)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		must(t, q.Drain(ctx, once(checkin.Stored, ""))) // a is deleted from the file
		time.Sleep(25 * time.Hour)                      // which is ended, and another begun
		k.visit(t, q, "d")
		must(t, q.Close())
		sayGone(t, filepath.Join(k.Dir, "q-000002.db"), 1, 2, 98, 99)

		q = k.open(t)
		defer q.Close()
		if s := q.Stats(); s.Depth != 2 || s.Files != 2 {
			t.Errorf("opened: %d waiting in %d files, want c and d in 2", s.Depth, s.Files)
		}
		time.Sleep(time.Hour) // the janitor removes what is empty
		if s := q.Stats(); s.Depth != 2 || s.Files != 2 {
			t.Errorf("tidied: %d waiting in %d files, want c and d in 2", s.Depth, s.Files)
		}
		var platform inbox
		empty(t, q, platform.take)
		got := slices.Sorted(slices.Values(platform.held))
		if !slices.Equal(got, []string{"c", "d"}) {
			t.Errorf("%q were delivered, want c and d", got)
		}
		if s := q.Stats(); s.Depth != 0 {
			t.Errorf("%d wait at the end", s.Depth)
		}
	})
}

// sayGone writes into a file that these check-ins have left file 1.
func sayGone(t *testing.T, path string, keys ...uint64) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("gone"))
		for _, name := range [][]byte{binary.BigEndian.AppendUint64(nil, 1), []byte("=")} {
			if err == nil {
				b, err = b.CreateBucketIfNotExists(name)
			}
		}
		for _, n := range keys {
			if err == nil {
				err = b.Put(binary.BigEndian.AppendUint64(nil, n), nil)
			}
		}
		return err
	}))
	must(t, db.Close())
}

// TestABareEventInFront: an event whose identity has expired may wait for long.
// Files behind it are removed all the same when their identities are to go, and
// what they say of it is not forgotten with them.
func TestABareEventInFront(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		q := k.open(t)
		k.visit(t, q, "a1")
		k.visit(t, q, "a2")
		time.Sleep(16 * day) // the events stand in a later file now, bare
		k.visit(t, q, "b")   // in the file after that
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		must(t, q.Drain(ctx, func(ctx context.Context, lane checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
			if lane == checkin.Live {
				return nil, io.ErrUnexpectedEOF
			}
			if b[0].Event.UUID == "a1" {
				return []checkin.Ack{{ID: b[0].Event.ID, Status: checkin.Stored}}, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		if s := q.Stats(); s.Delivered != 1 || s.Depth != 2 {
			t.Errorf("%d delivered and %d waiting, want a1 delivered", s.Delivered, s.Depth)
		}
		time.Sleep(16 * day)
		if list := k.sealed(t); len(list) != 0 || q.Stats().Expired != 3 {
			t.Errorf("%d identities expired, and there are some in %v", q.Stats().Expired, list)
		}
		must(t, q.Close())
		q = k.open(t)
		defer q.Close()
		if s := q.Stats(); s.Depth != 2 {
			t.Errorf("%d wait after a restart, want a2 and b", s.Depth)
		}
		var platform inbox
		empty(t, q, platform.take)
		got := slices.Sorted(slices.Values(platform.held))
		if !slices.Equal(got, []string{"a2", "b"}) {
			t.Errorf("%q were delivered, want a2 and b", got)
		}
	})
}
