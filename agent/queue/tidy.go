package queue

import (
	"context"
	"errors"
	"math"
	"os"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/durable"
)

// When a generation ends. A drained bbolt file rewrites its long list of free
// pages at every commit (1M records: 594 KB), and never shrinks; and what was
// deleted, sealed identities among it, stays in its free pages until it is
// removed. A file that has run empty goes therefore within the hour.
const (
	tidyEvery = 10 * time.Minute
	keptEvery = time.Hour // at which Ran is written though nothing else is
	longest   = 24 * time.Hour
	emptied   = time.Hour // when it is empty
	largest   = 64 << 20
	scarred   = 8 << 20 // when it is empty
	moveAtOne = 200
)

// tidy ends generations, removes empty ones and expired identities, and looks
// how old the oldest record is. It ends with the queue.
func (q *Queue) tidy() {
	t := time.NewTimer(tidyEvery)
	defer t.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	kept, due := time.Now(), time.Now().Add(tidyEvery)
	for {
		select {
		case <-q.closing:
			return
		case <-t.C:
			due = time.Now().Add(tidyEvery)
			q.expire(ctx)
			if time.Since(kept) >= keptEvery || q.Err() != nil {
				kept = time.Now() // an empty commit also finds out whether the disk is back
				_ = q.do(ctx, &op{frees: true, apply: func(*turn) error { return nil }})
			}
		case <-q.tidying:
		}
		if q.Err() != nil {
			t.Reset(reviveEvery)
		} else {
			t.Reset(time.Until(due))
		}
		q.rotate(ctx)
		q.clear(ctx)
		q.age()
	}
}

// Errors of the janitor's own ops are those of the disk: the next Put or
// delivery meets them, and Err and Stats tell. It tries again later.

// rotate ends the newest file when it is large, old, or empty and scarred.
func (q *Queue) rotate(ctx context.Context) {
	q.mu.Lock()
	f := q.newest()
	age, empty, touched := q.ran()-f.ran, f.empty(), f.touched
	q.mu.Unlock()
	fi, err := os.Stat(f.path)
	if err != nil {
		return
	}
	old := age >= longest || empty && age >= emptied
	if old && touched || fi.Size() > largest || empty && fi.Size() > scarred {
		_ = q.do(ctx, &op{frees: true, outside: func() error { return q.seal(nil) }})
	}
}

// clear removes files that nothing waits in: the oldest, and any other that has
// identities in it and only files without before it, where events may wait for
// long whose identities have expired. Their dead, and what waits for recipients
// that are configured no more, goes to the newest; so does what they say has left
// older files that are still there.
func (q *Queue) clear(ctx context.Context) {
	for {
		f := q.leaving()
		if f == nil {
			return
		}
		for _, s := range q.leftovers(f) {
			if q.move(ctx, f, s) != nil {
				return
			}
		}
		if q.do(ctx, &op{frees: true, apply: func(t *turn) error { return t.inherit(f) }}) != nil {
			return
		}
		if q.do(ctx, &op{frees: true, outside: func() error { return q.drop(f) }}) != nil {
			return
		}
		_ = q.do(ctx, &op{frees: true, apply: func(t *turn) error { return t.forget(f.n) }})
	}
}

// leaving is the first file that is to be removed; nil: there is none.
func (q *Queue) leaving() *file {
	q.mu.Lock()
	files := slices.Clone(q.files[:len(q.files)-1])
	q.mu.Unlock()
	for i, f := range files {
		switch waits, open := q.serves(f); {
		case !open:
			return nil
		case !waits && (i == 0 || q.personal(f)):
			return f
		case q.personal(f): // a later one says how old what is in this one must be
			return nil
		}
	}
	return nil
}

// serves reports whether something waits in f for anybody who is configured, and
// whether f could be opened.
func (q *Queue) serves(f *file) (waits, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for s, n := range f.count {
		if _, current := q.boxes[s.box]; current && !s.dead && n > 0 {
			waits = true
		}
	}
	return waits, f.db != nil
}

func (q *Queue) leftovers(f *file) (list []shelf) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for s, n := range f.count {
		if n > 0 {
			list = append(list, s)
		}
	}
	return list
}

// move carries a shelf of f over to the newest file.
func (q *Queue) move(ctx context.Context, f *file, s shelf) error {
	for {
		q.mu.Lock()
		list := f.first(s, 0, math.MaxUint64, moveAtOne)
		q.mu.Unlock()
		if len(list) == 0 {
			return nil
		}
		err := q.do(ctx, &op{frees: true, apply: func(t *turn) error {
			for _, r := range list {
				if err := t.carry(s, r.at, len(r.value), s, r.value); err != nil {
					return err
				}
			}
			return nil
		}})
		if err != nil {
			return err
		}
	}
}

// errKept is a file that something was found in, after all.
var errKept = errors.New("the file is not empty")

// drop removes a file, and what was set aside when it was salvaged. The caller is
// the writer.
func (q *Queue) drop(f *file) error {
	i := slices.Index(q.files, f)
	if i < 0 || f == q.newest() || !f.bare() {
		return errKept
	}
	q.mu.Lock()
	q.files = slices.Delete(q.files, i, i+1)
	q.mu.Unlock()
	if err := f.db.Close(); err != nil {
		return err
	}
	for _, path := range []string{f.path, f.path + asideSuffix} {
		if err := remove(path); err != nil {
			return err
		}
	}
	return durable.SyncDir(q.o.Dir)
}

// inherit writes down in the newest file what f says has left files that are older
// than itself, and still there.
func (t *turn) inherit(f *file) error {
	return f.view(func(tx *bbolt.Tx) error {
		return eachGone(tx, func(n uint64, boxes *bbolt.Bucket, dead bool) error {
			if n >= f.n || t.q.generation(n) == nil {
				return nil
			}
			return t.copyGone(boxes, n, dead)
		})
	})
}

// eachGone goes through what a file says has left the others: file by file, the
// waiting and the dead.
func eachGone(tx *bbolt.Tx, do func(n uint64, boxes *bbolt.Bucket, dead bool) error) error {
	for _, dead := range []bool{false, true} {
		top := tx.Bucket(shelf{dead: dead}.goneBucket())
		if top == nil {
			continue
		}
		err := top.ForEachBucket(func(n []byte) error { return do(number(n), top.Bucket(n), dead) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *turn) copyGone(boxes *bbolt.Bucket, n uint64, dead bool) error {
	return boxes.ForEachBucket(func(name []byte) error {
		to, err := shelf{box: boxName(name), dead: dead}.goneIn(t.tx, n)
		if err != nil {
			return err
		}
		return boxes.Bucket(name).ForEach(func(k, _ []byte) error { return to.Put(k, nil) })
	})
}

// forget removes what is written down about file n, which is no more.
func (t *turn) forget(n uint64) error {
	for _, name := range [][]byte{goneBucket, goneDeadBucket} {
		if top := t.tx.Bucket(name); top != nil && top.Bucket(key(n)) != nil {
			if err := top.DeleteBucket(key(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// learnGone reads from every file what has left the others.
func (q *Queue) learnGone() {
	for _, f := range q.files {
		_ = f.view(func(tx *bbolt.Tx) error {
			return eachGone(tx, func(n uint64, boxes *bbolt.Bucket, dead bool) error {
				if of := q.generation(n); of != nil {
					of.learn(boxes, dead)
				}
				return nil
			})
		})
	}
}

func (f *file) learn(boxes *bbolt.Bucket, dead bool) {
	_ = boxes.ForEachBucket(func(name []byte) error {
		s := shelf{box: boxName(name), dead: dead}
		size := int(f.bytes) / max(1, f.count[s]) // on the average
		return boxes.Bucket(name).ForEach(func(k, _ []byte) error {
			f.mark(s, number(k), size)
			return nil
		})
	})
}
