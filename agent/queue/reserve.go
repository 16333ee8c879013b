package queue

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/digital-sentinel/sentinel/agent/durable"
)

// errNoSpace is what a full disk says.
const errNoSpace = syscall.ENOSPC

// reserve is a file that stands for room on the disk. Copy-on-write needs room
// to delete: on a full disk the file is removed, so that what is delivered can
// leave, and it is made again before anything new is taken in.
type reserve struct {
	path  string
	size  int
	spent atomic.Bool
	last  time.Time // of the last attempt to make it
	why   error
}

const reserveName = "reserve"

// used reports whether the reserve is not there.
func (r *reserve) used() bool { return r.spent.Load() }

// use gives the room to the disk.
func (r *reserve) use() {
	r.spent.Store(true)
	r.last, r.why = time.Now(), errNoSpace
	if r.size > 0 && remove(r.path) == nil {
		_ = durable.SyncDir(filepath.Dir(r.path)) // the room is free whether or not it is remembered
	}
}

// refill makes the reserve where it is not there, at most once a second, and
// tells why that is not possible. The caller is the writer, or opens the queue.
func (r *reserve) refill() error {
	if !r.used() || r.size == 0 {
		r.spent.Store(false)
		return nil
	}
	if time.Since(r.last) < reviveEvery {
		return r.why
	}
	r.last = time.Now()
	if r.why = r.fill(); r.why == nil {
		r.spent.Store(false)
	}
	return r.why
}

// fill writes the file with what cannot be compressed.
func (r *reserve) fill() error {
	var fs syscall.Statfs_t
	if syscall.Statfs(filepath.Dir(r.path), &fs) == nil && fs.Blocks > 0 && fs.Bavail*uint64(fs.Bsize) < uint64(r.size) {
		return errNoSpace // not tried out: a full card is not to be worn
	}
	noise := make([]byte, r.size)
	_, _ = rand.Read(noise) // never fails
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = f.Write(noise)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keeping %d MB of the disk in reserve: %w", r.size>>20, err), remove(r.path))
	}
	return nil
}

// find looks whether the reserve is there from before.
func (r *reserve) find() {
	fi, err := os.Stat(r.path)
	r.spent.Store(r.size > 0 && (err != nil || fi.Size() != int64(r.size)))
}
