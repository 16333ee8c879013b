package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/durable"
)

// Schema 1 was one file, queue.db, with the buckets records and dead, and
// reports/NAME/records and reports/NAME/dead.
const oldName = "queue.db"

// adopt makes a generation of what an earlier program has left. Values need not
// be written anew: they say their own version.
func (q *Queue) adopt(n uint64) (adopted bool, err error) {
	old := filepath.Join(q.o.Dir, oldName)
	if _, err := os.Stat(old); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	list, c, err := readOld(old, q.options(true))
	if err != nil {
		// It cannot be opened: what its pages hold is better than nothing.
		if list, err = scan(old); err != nil {
			return false, fmt.Errorf("reading %s: %w", old, err)
		}
		q.rescued.Damaged++
		q.rescued.Salvaged += len(list)
	}
	path := filepath.Join(q.o.Dir, fileName(n))
	s := state{Born: q.o.Now(), Counters: c}
	if err := q.fill(path+".salvage", &s, list); err != nil {
		return false, fmt.Errorf("taking over %s: %w", old, err)
	}
	if err := os.Rename(path+".salvage", path); err != nil {
		return false, fmt.Errorf("taking over %s: %w", old, err)
	}
	if err := errors.Join(durable.SyncDir(q.o.Dir), remove(old), durable.SyncDir(q.o.Dir)); err != nil {
		return false, fmt.Errorf("taking over %s: %w", old, err)
	}
	return true, nil
}

// readOld reads schema 1.
func readOld(path string, o *bbolt.Options) (list []found, c counters, err error) {
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		return nil, c, err
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil || string(meta.Get(schemaKey)) != "1" {
			return errDamaged
		}
		if err := json.Unmarshal(meta.Get([]byte("counters")), &c); err != nil {
			return err
		}
		list = append(list, oldShelf(tx.Bucket([]byte("records")), shelf{})...)
		list = append(list, oldShelf(tx.Bucket(deadBucket), shelf{dead: true})...)
		reports := tx.Bucket([]byte("reports"))
		if reports == nil {
			return nil
		}
		return reports.ForEachBucket(func(name []byte) error {
			own := reports.Bucket(name)
			list = append(list, oldShelf(own.Bucket([]byte("records")), shelf{box: string(name)})...)
			list = append(list, oldShelf(own.Bucket(deadBucket), shelf{box: string(name), dead: true})...)
			return nil
		})
	})
	return list, c, err
}

func oldShelf(b *bbolt.Bucket, s shelf) (list []found) {
	if b == nil {
		return nil
	}
	_ = b.ForEach(func(_, v []byte) error {
		list = append(list, found{s, append([]byte(nil), v...)})
		return nil
	})
	return list
}
