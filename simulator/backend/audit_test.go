package backend_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// TestAConflictIsWrittenDown in the audit trail, without anybody's identity.
func TestAConflictIsWrittenDown(t *testing.T) {
	stores(t, func(t *testing.T, s backend.Store, again func() backend.Store) {
		second := []checkin.Record{visit(1), visit(2)}
		second[0].Event.Lane, second[1].Event.Lane = "9", "9"
		keep(t, s, "", visit(1), visit(2))
		keep(t, s, "", second...)
		trail := trailOf(t, again())
		if len(trail) != 1 || trail[0].Rows != 2 || !strings.Contains(trail[0].What, "k-1/e/1") || trail[0].By != "platform" {
			t.Errorf("the trail is %+v, want one entry for both conflicts", trail)
		}
	})
}

// TestAChangedTrailIsFound: whatever is changed or taken out.
func TestAChangedTrailIsFound(t *testing.T) {
	for name, spoil := range map[string]func(*bbolt.Bucket, func(uint64) []byte) error{
		"nothing": func(*bbolt.Bucket, func(uint64) []byte) error { return nil },
		"a word": func(b *bbolt.Bucket, key func(uint64) []byte) error {
			return b.Put(key(2), []byte(strings.Replace(string(b.Get(key(2))), "tester", "nobody", 1)))
		},
		"an entry less":   func(b *bbolt.Bucket, key func(uint64) []byte) error { return b.Delete(key(2)) },
		"the first less":  func(b *bbolt.Bucket, key func(uint64) []byte) error { return b.Delete(key(1)) },
		"an entry doubly": func(b *bbolt.Bucket, key func(uint64) []byte) error { return b.Put(key(9), b.Get(key(3))) },
		"no entry":        func(b *bbolt.Bucket, key func(uint64) []byte) error { return b.Put(key(3), []byte("{}")) },
		"another place": func(b *bbolt.Bucket, key func(uint64) []byte) error {
			return b.Put(key(2), b.Get(key(3)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "platform.db")
			s := open(t, "bolt:"+path)
			note := func() {
				if _, err := s.Note(t.Context(), backend.Entry{At: morning, By: "tester", Why: "case 7", What: "who", Rows: 1}); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				note()
			}
			_ = s.Close()
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			key := func(n uint64) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, byte(n)} }
			if err := errors.Join(db.Update(func(tx *bbolt.Tx) error { return spoil(tx.Bucket([]byte("audit")), key) }), db.Close()); err != nil {
				t.Fatal(err)
			}
			s = open(t, "bolt:"+path)
			defer s.Close()
			note() // the store still works
			last, err := backend.VerifyTrail(t.Context(), s, func(backend.Entry) error { return nil })
			if (err == nil) != (name == "nothing") {
				t.Errorf("VerifyTrail() = %v, %v", last, err)
			}
			if err == nil && (last.Seq != 4 || len(last.Hash) != 64) {
				t.Errorf("the last entry is %+v, want the fourth", last)
			}
		})
	}
}
