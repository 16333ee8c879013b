package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/durable"
)

// CheckFile looks at one file as a whole: its structure, and the sum of every
// value. A file that is damaged can end the process that looks at it with a
// fault that cannot be caught: this is for a child process.
func CheckFile(path string) error {
	db, err := bbolt.Open(path, 0o600, (&Queue{}).options(true))
	if err != nil {
		return fmt.Errorf("checking %s: %w", path, err)
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			return fmt.Errorf("checking %s: %w", path, err)
		}
		return checkValues(tx)
	})
}

// checkValues reads every value that waits. Single bad ones are buried later,
// one by one; a file in which most are bad is no queue. What a newer program has
// written is not judged.
func checkValues(tx *bbolt.Tx) error {
	top, meta := tx.Bucket(waitingBucket), tx.Bucket(metaBucket)
	if top == nil || meta != nil && string(meta.Get(schemaKey)) != schema {
		return nil
	}
	return top.ForEachBucket(func(name []byte) error {
		good, bad := 0, 0
		err := top.Bucket(name).ForEach(func(_, v []byte) error {
			if _, _, err := decode(v); err != nil {
				bad++
			} else {
				good++
			}
			return nil
		})
		if err == nil && bad > good {
			return fmt.Errorf("%w: %d of %d records", errDamaged, bad, bad+good)
		}
		return err
	})
}

// check looks at one file before it is opened here. Without a child process to
// do it in, faults are caught where Go can.
func (q *Queue) check(path string) (err error) {
	if q.o.Check != nil {
		return q.o.Check(path)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("checking %s: %v", path, r)
		}
	}()
	db, err := bbolt.Open(path, 0o600, q.options(true))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(checkValues)
}

// salvage sets a damaged file aside, and puts in its place one with what can
// still be read. It reads pages and not the tree: what it finds may have been
// delivered before, which the platform recognises; what it does not find was in
// pages whose sums are wrong. Nothing is ever unnamed: at every moment the name
// holds the old file or the new one.
func (q *Queue) salvage(n uint64, why error) error {
	path := filepath.Join(q.o.Dir, fileName(n))
	found, err := scan(path)
	if err != nil {
		return fmt.Errorf("salvaging %s (%v): %w", path, why, err)
	}
	aside := path + asideSuffix
	if err := setAside(path, aside); err != nil {
		return fmt.Errorf("setting %s aside: %w", path, err)
	}
	s := state{Epoch: q.state.Epoch, Born: q.o.Now()}
	temp := filepath.Join(q.o.Dir, fileName(n)+".salvage")
	if err := q.fill(temp, &s, found); err != nil {
		return errors.Join(fmt.Errorf("salvaging %s: %w", path, err), remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("salvaging %s: %w", path, err)
	}
	q.rescued.Damaged++
	q.rescued.Salvaged += len(found)
	return durable.SyncDir(q.o.Dir)
}

const asideSuffix = ".damaged"

// setAside gives a file a second name; where the file system has no links it is
// copied.
func setAside(path, aside string) error {
	if err := remove(aside); err != nil {
		return err
	}
	if os.Link(path, aside) == nil {
		return nil
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(aside, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// What cannot be read or does not fit is not worth stopping for: the records
	// have been read already.
	_, _ = io.Copy(to, from)
	return to.Close()
}

// fill makes a file with records in it, and syncs it.
func (q *Queue) fill(path string, s *state, found []found) error {
	if err := remove(path); err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0o600, q.options(false))
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(metaBucket)
		if err == nil {
			err = meta.Put(schemaKey, []byte(schema))
		}
		if err == nil {
			err = s.write(tx)
		}
		for i := 0; i < len(found) && err == nil; i++ {
			err = found[i].put(tx)
		}
		return err
	})
	return errors.Join(err, db.Sync(), db.Close())
}

// found is a record that was read out of a damaged file.
type found struct {
	shelf shelf
	value []byte // as it stood there
}

func (f *found) put(tx *bbolt.Tx) error {
	b, err := f.shelf.in(tx)
	if err != nil {
		return err
	}
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(key(n), f.value)
}

// scan reads a bbolt file page by page, through the file and never through a
// mapping: a sector that cannot be read is left out. Each record is taken once.
//
// A page begins with id (8 bytes), flags (2), count (2) and overflow (4), in the
// machine's order; a leaf goes on with count elements of flags (4), pos (4),
// ksize (4), vsize (4), pos being counted from the element itself (bbolt,
// internal/common/page.go).
func scan(path string) ([]found, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return nil, err
	}
	var list []found
	seen := map[string]bool{}
	size := int64(os.Getpagesize())
	head := make([]byte, size)
	for at := int64(0); at < fi.Size(); at += size {
		n, err := file.ReadAt(head, at)
		if err != nil && !errors.Is(err, io.EOF) || n < pageHead {
			continue
		}
		pages := 1 + int64(binary.NativeEndian.Uint32(head[12:]))
		if binary.NativeEndian.Uint16(head[8:])&leafFlag == 0 || pages > maxOverflow {
			continue
		}
		page := head[:n]
		if pages > 1 {
			page = make([]byte, pages*size)
			m, _ := file.ReadAt(page, at)
			page = page[:m]
		}
		for _, f := range leaf(page) {
			if id := f.id(); id != "" && !seen[id] {
				seen[id] = true
				list = append(list, f)
			}
		}
	}
	return list, nil
}

const (
	pageHead    = 16
	leafFlag    = 2
	leafElement = 16
	maxOverflow = 1 + (maxValue+maxReason+64)/1024
)

// leaf takes the records out of one page.
func leaf(page []byte) (list []found) {
	count := int(binary.NativeEndian.Uint16(page[10:]))
	for i := range count {
		at := pageHead + i*leafElement
		if at+leafElement > len(page) {
			break
		}
		e := page[at:]
		pos := uint64(at) + uint64(binary.NativeEndian.Uint32(e[4:])) + uint64(binary.NativeEndian.Uint32(e[8:]))
		end := pos + uint64(binary.NativeEndian.Uint32(e[12:]))
		if binary.NativeEndian.Uint32(e[8:]) != 8 || pos > end || end > uint64(len(page)) {
			continue
		}
		if f, ok := recognise(page[pos:end]); ok {
			list = append(list, f)
		}
	}
	return list
}

// recognise tells a value that waits, and one that is dead, by their sums.
func recognise(value []byte) (found, bool) {
	if box, _, err := decode(value); err == nil {
		return found{shelf{box: box}, append([]byte(nil), value...)}, true
	}
	_, buried, ok := epitaph(value)
	if !ok {
		return found{}, false
	}
	box, _, err := decode(buried)
	if err != nil {
		return found{}, false
	}
	return found{shelf{box: box, dead: true}, append([]byte(nil), value...)}, true
}

// record reads the record of f.
func (f *found) record() *checkin.Record {
	value := f.value
	if f.shelf.dead {
		_, value, _ = epitaph(value)
	}
	_, r, err := decode(value)
	if err != nil {
		return nil
	}
	return r
}

func (f *found) id() string {
	r := f.record()
	if r == nil {
		return ""
	}
	return fmt.Sprint(f.shelf, r.Event.ID)
}
