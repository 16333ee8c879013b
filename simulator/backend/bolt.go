package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/digital-sentinel/sentinel/agent/durable"
)

// Bolt is a Store in one file.
//
// One goroutine writes. It takes every batch that waits and commits them
// together, and there is no timer: while one commit is being synced the next
// ones gather. After a commit that failed nothing is written any more: the
// mapping then shows pages that the disk may not have, and a further commit
// would reuse pages that the disk's own state still needs.
type Bolt struct {
	db   *bbolt.DB
	work chan *job
	quit chan struct{} // closed by Close
	over chan struct{} // closed when the writer has ended

	once    sync.Once
	mu      sync.Mutex
	stopped error
	failed  chan struct{} // closed when stopped is set
}

// job is one change, with the channel on which its end is told.
type job struct {
	f   func(*bbolt.Tx) error // may be run again after a roll-back
	err error
	end chan struct{}
}

const (
	schema      = "1"
	lockTimeout = time.Second
	maxGroup    = 64 // jobs of one commit: some 10 MB
)

var (
	metaBucket    = []byte("meta")
	boxesBucket   = []byte("boxes") // by name, with 'r' before it: recipients may have any
	venuesBucket  = []byte("venues")
	presentBucket = []byte("present")
	hoursBucket   = []byte("hours")
	auditBucket   = []byte("audit")
)

// OpenBolt opens the store in the file path, and makes it if there is none.
func OpenBolt(path string) (*Bolt, error) {
	return openBolt(path, nil)
}

// openBolt takes what stands in for os.OpenFile in tests that break the disk.
func openBolt(path string, open func(string, int, os.FileMode) (*os.File, error)) (*Bolt, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	o := options()
	o.OpenFile = open
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		return nil, openError(path, err)
	}
	if err := db.View(checkSchema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b := &Bolt{
		db: db, work: make(chan *job), quit: make(chan struct{}), over: make(chan struct{}), failed: make(chan struct{}),
	}
	go b.write()
	return b, nil
}

// Err tells why nothing can be written any more; nil while all is well.
func (b *Bolt) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stopped
}

// Failed is closed when the store has stopped; Err says why.
func (b *Bolt) Failed() <-chan struct{} { return b.failed }

// Close ends the writer and gives the file back. What waits ends with an error.
func (b *Bolt) Close() error {
	b.once.Do(func() { close(b.quit) })
	<-b.over
	return b.db.Close()
}

//

var errClosed = errors.New("the store is closed")

// do has f run in a synced transaction that others may share.
func (b *Bolt) do(ctx context.Context, f func(*bbolt.Tx) error) error {
	j := &job{f: f, end: make(chan struct{})}
	select {
	case b.work <- j:
		<-j.end // it will be done: who leaves now would not know it
		return j.err
	case <-b.quit:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the one writer.
func (b *Bolt) write() {
	defer close(b.over)
	for {
		select {
		case j := <-b.work:
			b.commit(b.gather(j))
		case <-b.quit:
			return
		}
	}
}

// gather takes what waits beside the first one.
func (b *Bolt) gather(first *job) []*job {
	group := []*job{first}
	for len(group) < maxGroup {
		select {
		case j := <-b.work:
			group = append(group, j)
		default:
			return group
		}
	}
	return group
}

// commit does a group of jobs in one transaction, and tells their end. If one
// of them cannot be done, each is done by itself: it must not spoil the others.
func (b *Bolt) commit(group []*job) {
	inside, err := b.update(group)
	if inside && len(group) > 1 {
		for _, j := range group {
			b.commit([]*job{j})
		}
		return
	}
	for _, j := range group {
		j.err = err
		close(j.end)
	}
}

// update runs one synced transaction; inside: a job has failed, and nothing was
// written.
func (b *Bolt) update(group []*job) (inside bool, err error) {
	if err := b.Err(); err != nil {
		return false, err
	}
	err = b.db.Update(func(tx *bbolt.Tx) error {
		for _, j := range group {
			if err := j.f(tx); err != nil {
				inside = true
				return err
			}
		}
		return nil
	})
	if err == nil || inside {
		return inside, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = fmt.Errorf("%w: %v", ErrStopped, err)
	close(b.failed)
	return false, b.stopped
}

// create makes the file under another name, syncs it, renames it and syncs the
// folder: a power cut during bbolt's very first initialisation leaves a file
// that cannot be opened. What an earlier attempt left behind was never named.
func create(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("making the store: %w", err)
	}
	db, err := bbolt.Open(temp, 0o600, options())
	if err != nil {
		return openError(temp, err)
	}
	err = db.Update(initialise)
	if err == nil {
		err = db.Sync()
	}
	err = errors.Join(err, db.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = durable.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("making the store: %w", err)
	}
	return nil
}

func initialise(tx *bbolt.Tx) error {
	for _, name := range [][]byte{metaBucket, boxesBucket, venuesBucket, presentBucket, hoursBucket, auditBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(metaBucket).Put([]byte("schema"), []byte(schema))
}

func checkSchema(tx *bbolt.Tx) error {
	for _, name := range [][]byte{metaBucket, boxesBucket, venuesBucket, presentBucket, hoursBucket, auditBucket} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("this is no store of a platform: it has no %s", name)
		}
	}
	if v := string(tx.Bucket(metaBucket).Get([]byte("schema"))); v != schema {
		return fmt.Errorf("the store has schema %q and this program knows %q: use the program that made it", v, schema)
	}
	return nil
}

// options keep the freelist on the disk: nothing is ever deleted here, so that
// it stays small, and opening needs no scan of a file of many gigabytes.
func options() *bbolt.Options {
	return &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoStatistics: true}
}

func openError(path string, err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		return fmt.Errorf("opening %s: %w", path, ErrLocked)
	}
	return fmt.Errorf("opening %s: %w", path, err)
}

var _ Store = (*Bolt)(nil)
