package queue_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// TestDamage: whatever a card has made of a file, the queue opens, saves what
// can be read, counts it, and goes on under another epoch.
func TestDamage(t *testing.T) {
	for _, tt := range []struct {
		name string
		bend func([]byte) []byte
		left int // of 300 records, at least
	}{
		{"nothing but rubbish", func(b []byte) []byte { return bytes.Repeat([]byte("rubbish "), len(b)/8) }, 0},
		{"empty", func([]byte) []byte { return nil }, 0},
		{"cut in the middle", func(b []byte) []byte { return b[:len(b)/2/4096*4096] }, 100},
		{"both meta pages lost", func(b []byte) []byte { clear(b[:2*4096]); return b }, 300},
		{"one leaf lost", func(b []byte) []byte { clear(b[6*4096 : 7*4096]); return b }, 250},
		{"a bit in every page", func(b []byte) []byte {
			for at := 2000; at < len(b); at += 4096 {
				b[at] ^= 1
			}
			return b
		}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, key := t.TempDir(), authority(t)
			q := open(t, dir, key)
			entries := make([]queue.Entry, 300)
			for i := range entries {
				entries[i].Event = visit(fmt.Sprint("u", i))
			}
			ids, err := q.PutAll(t.Context(), entries...)
			must(t, err)
			must(t, q.Close())
			must(t, os.Remove(filepath.Join(dir, "queue.clean")))
			path := filepath.Join(dir, "q-000001.db")
			must(t, os.WriteFile(path, tt.bend(read(t, path)), 0o600))

			q = open(t, dir, key)
			defer q.Close()
			next := put(t, q, "next")
			if next.Epoch == ids[0].Epoch && q.Stats().Damaged > 0 {
				t.Error("identities go on under the epoch of a damaged file")
			}
			known := map[checkin.ID]string{next: "next"}
			for i, id := range ids {
				known[id] = fmt.Sprint("u", i)
			}
			held := map[checkin.ID]bool{}
			empty(t, q, func(ctx context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
				for _, r := range b {
					if known[r.Event.ID] != r.Event.UUID || held[r.Event.ID] {
						t.Errorf("%v is %q, or came twice", r.Event.ID, r.Event.UUID)
					}
					held[r.Event.ID] = true
				}
				return storeAll(ctx, checkin.Backlog, b)
			})
			s := q.Stats()
			if len(held)-1 < tt.left || !held[next] {
				t.Errorf("%d of 300 were saved, want at least %d; stats %+v", len(held)-1, tt.left, s)
			}
			if s.Damaged == 0 && s.Dead == 0 {
				t.Errorf("the damage was not counted: %+v", s)
			}
		})
	}
}

// TestAnEarlierProgramsQueue is taken over: every record waits where it waited,
// and the counters go on.
func TestAnEarlierProgramsQueue(t *testing.T) {
	dir, key := t.TempDir(), authority(t)
	old := filepath.Join(dir, "queue.db")
	db, err := bbolt.Open(old, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		meta, _ := tx.CreateBucket([]byte("meta"))
		_ = meta.Put([]byte("schema"), []byte("1"))
		_ = meta.Put([]byte("counters"), []byte(`{"stored":{"visit":7},"delivered":5,"epoch":"OLD","reports":{"cdc":{"delivered":2}}}`))
		records, _ := tx.CreateBucket([]byte("records"))
		_, _ = tx.CreateBucket([]byte("dead"))
		reports, _ := tx.CreateBucket([]byte("reports"))
		cdc, _ := reports.CreateBucket([]byte("cdc"))
		waiting, _ := cdc.CreateBucket([]byte("records"))
		for i, b := range []*bbolt.Bucket{records, records, waiting} {
			e := visit(fmt.Sprint("old-", i))
			e.ID = checkin.ID{Device: "kiosk-1", Epoch: "OLD", Seq: uint64(6 + i)}
			if err := b.Put(fmt.Appendf(nil, "%08d", i), queue.EncodeOld(&checkin.Record{Event: e})); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, db.Close())

	q := openFor(t, dir, key, "cdc")
	defer q.Close()
	s := q.Stats()
	if s.Depth != 2 || s.Reports["cdc"].Waiting != 1 || s.Delivered != 5 || s.Stored["visit"] != 7 || s.Epoch == "OLD" || s.Damaged != 0 {
		t.Errorf("stats = %+v", s)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("the old file is still there")
	}
	var got []string
	deliver(t, q, 1, func(ctx context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
		for _, r := range b {
			got = append(got, r.Event.ID.String()+" "+r.Event.UUID)
		}
		return storeAll(ctx, checkin.Backlog, b)
	})
	if want := []string{"kiosk-1/OLD/6 old-0", "kiosk-1/OLD/7 old-1"}; !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
}

// TestAFileOfANewerProgram is left as it is, and keeps nobody from going on.
func TestAFileOfANewerProgram(t *testing.T) {
	dir, key := t.TempDir(), authority(t)
	q := open(t, dir, key)
	was := put(t, q, "a")
	must(t, q.Close())
	path := filepath.Join(dir, "q-000001.db")
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		waiting := tx.Bucket([]byte("waiting")).Bucket([]byte("="))
		for i := range 3 {
			if err := waiting.Put(fmt.Appendf(nil, "newer-%d", i), []byte("in its own way")); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("3"))
	}))
	must(t, db.Close())
	before := read(t, path)
	for range 2 {
		_ = os.Remove(filepath.Join(dir, "queue.clean")) // as after a power cut
		q = open(t, dir, key)
		if id := put(t, q, "b"); id.Epoch == was.Epoch || q.Stats().Foreign != 1 {
			t.Errorf("identity %v, stats %+v", id, q.Stats())
		}
		must(t, q.Close())
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the file was changed")
	}
}

// FuzzStored: no value that a card could hold breaks the reader, and what it
// takes comes back as it was.
func FuzzStored(f *testing.F) {
	e := visit("u")
	e.ID = checkin.ID{Device: "k", Epoch: "E", Seq: 1}
	for _, box := range []string{"", "cdc"} {
		v, err := queue.Encode(box, &checkin.Record{Event: e})
		must(f, err)
		f.Add(v)
		f.Add(v[:len(v)-1])
	}
	f.Add(queue.EncodeOld(&checkin.Record{Event: e}))
	f.Fuzz(func(t *testing.T, v []byte) {
		box, r, err := queue.Decode(v)
		if err != nil {
			return
		}
		again, err := queue.Encode(box, r)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := queue.Decode(again); err != nil {
			t.Errorf("what was written is not read: %v", err)
		}
	})
}

// FuzzLeaf: no page breaks the salvager.
func FuzzLeaf(f *testing.F) {
	dir := f.TempDir()
	q := open(f, dir, authority(f))
	put(f, q, "a")
	must(f, q.Close())
	file := read(f, filepath.Join(dir, "q-000001.db"))
	for at := 0; at+4096 <= len(file); at += 4096 {
		f.Add(file[at : at+4096])
	}
	f.Fuzz(func(t *testing.T, page []byte) {
		if len(page) >= 16 {
			_ = queue.Leaf(page)
		}
	})
}
