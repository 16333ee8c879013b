package queue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	lockName    = "queue.lock"
	lockTimeout = 2 * time.Second
)

// Lock keeps every other sentinel from the queue in dir until unlock is called,
// or the process ends. ErrLocked is wrapped when another has it.
func Lock(dir string) (unlock func(), err error) { return lock(dir, syscall.LOCK_EX) }

// lock takes the folder's lock: for itself, or shared with others that read.
func lock(dir string, how int) (unlock func(), err error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	for end := time.Now().Add(lockTimeout); ; time.Sleep(20 * time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			break
		}
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("opening %s: %w; stop it first, or give this one a state folder of its own", path, ErrLocked)
	}
	return nil, fmt.Errorf("locking %s: %w", path, err)
}
