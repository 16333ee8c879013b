// Package flash is a file system that behaves like a cheap flash card on a bad
// day: it keeps what was synced and, when its power is cut, forgets the rest by
// halves. It is mounted by FUSE, so that any program can live on it.
//
// # What survives a cut
//
//   - The data of a file: what was there at its last fsync or fdatasync. Of what
//     was written since, each sector of 512 bytes is kept or forgotten by itself,
//     and so is a change of the size.
//   - A name: what was there at the last fsync of its folder. Each create,
//     rename, link and unlink since is kept or forgotten as Opts.Names says. A
//     file whose data was synced and whose name was not may be gone.
//   - Mode, owner and times: always.
//
// A sync that fails (FailSync) is the trap that Linux sets: the program reads
// back what it wrote, the card has some of it, and no later sync brings the
// rest, unless it is written again.
//
// # What it needs, and its one trap
//
// Linux on amd64 or arm64, /dev/fuse, and either root or fusermount. Mount says
// what is missing.
//
// The process that serves a card must never map one of its files, and must hold
// none open while it starts a child: a page fault, or a vfork, stops Go's
// collector, which waits for the very process that should answer. Serve in the
// parent, run what uses the card in a child. Copy brings files out without
// touching the mount.
//
// Everything is in memory. The same calls and seeds leave the same card.
package flash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// ErrUnavailable is wrapped by Mount's error where no card can be mounted.
var ErrUnavailable = errors.New("a card cannot be mounted here")

// Names says which unsynced changes of names survive a cut.
type Names int

// The ways of keeping names.
const (
	Shuffled Names = iota // each by itself, in any combination: what POSIX allows
	Ordered               // up to some moment, nothing after it: a journal
)

// Opts is what a card is made of. The zero value is an endless one.
type Opts struct {
	Names Names
	Limit int64         // bytes it holds; 0 is no limit
	Delay time.Duration // of every sync
}

// Stats counts what was asked of the card since it was mounted.
type Stats struct {
	Writes int   // calls
	Bytes  int64 // written
	Syncs  int   // of files and folders
	Failed int   // writes and syncs failed on order
	Full   int   // refused for want of room
	Cuts   int
	Lost   int   // sectors, sizes and names that cuts and failed syncs have forgotten
	Used   int64 // bytes of data held now, in blocks of 4 kB
}

// FS is a mounted card. It is safe for concurrent use.
type FS struct {
	dir        string
	eject      func() error // ends the mount
	o          Opts
	mu         sync.Mutex
	root       *inode
	all        map[uint64]*inode // by the kernel's name for it
	nextID     uint64
	lastHandle uint64

	journal []*change // of names, not yet synced
	stats   Stats
	down    chan struct{} // closed while the power is off
	off     bool

	failWrite, failSync int // fails when it counts down to 0
	cutIn               int // changes until the cut; 0 is never
	cutSeed             uint64
	onCut               func()
}

// Mount makes an empty card on the folder dir, which must be there.
func Mount(dir string, o Opts) (*FS, error) {
	f := newFS(dir, o)
	if err := f.mount(); err != nil {
		return nil, fmt.Errorf("mounting a card on %s: %w", filepath.Base(dir), err)
	}
	return f, nil
}

// Unmount takes the card out, whoever still uses it: what is not let go within
// a second is cut off.
func (f *FS) Unmount() error { return f.eject() }

// Cut takes the power away: by seed, the card forgets what was not synced, and
// everything fails with EIO until Restore. Kill what uses the card first, or
// after: it cannot change anything any more.
func (f *FS) Cut(seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut(seed)
}

// CutAfter orders Cut(seed) for the moment at which the nth change from now is
// under way: a write, a sync, a change of names or sizes. That one fails, and
// may have been carried out by halves.
func (f *FS) CutAfter(n int, seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cutIn, f.cutSeed = n, seed
}

// OnCut has do called at the moment of each cut, before whatever was under way
// is answered: what runs on a board does not outlive its power, and is to be
// killed there. do must not call the card. If the power is off, it is called at
// once.
func (f *FS) OnCut(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onCut = do; f.off && do != nil {
		do()
	}
}

// Down is closed by the next cut; while the power is off it is closed.
func (f *FS) Down() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down
}

// Restore brings the power back, and cancels what was ordered to fail. A card
// that was not cut stays as it is.
func (f *FS) Restore() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failWrite, f.failSync, f.cutIn = 0, 0, 0
	if f.off {
		f.off, f.down = false, make(chan struct{})
	}
}

// FailWrite makes the nth write from now fail with EIO, once; 0 cancels.
func (f *FS) FailWrite(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failWrite = n
}

// FailSync makes the nth sync from now fail with EIO, once; 0 cancels.
func (f *FS) FailSync(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failSync = n
}

// Limit says how many bytes the card holds; 0 lifts the limit. One below what
// is used makes it full, and loses nothing.
func (f *FS) Limit(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.o.Limit = bytes
}

// Delay makes every sync take so long.
func (f *FS) Delay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.o.Delay = d
}

// Stats tells what was asked of the card.
func (f *FS) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Used = f.used()
	return s
}

// Dir is where the card is mounted.
func (f *FS) Dir() string { return f.dir }

// Read returns the file of that name in the card's root, without going through
// the mount.
func (f *FS) Read(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.root.names[name]
	if i == nil || i.isDir() {
		return nil, &os.PathError{Op: "read", Path: name, Err: os.ErrNotExist}
	}
	data := make([]byte, i.view.size)
	i.view.readAt(data, 0)
	return data, nil
}

// Copy writes the files of the card, as a program would read them now, into the
// folder to, which is made. It does not go through the mount.
func (f *FS) Copy(to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.root.copyTo(to)
}

//

func newFS(dir string, o Opts) *FS {
	f := &FS{dir: dir, o: o, all: map[uint64]*inode{}, down: make(chan struct{})}
	f.root = f.newInode(syscall.S_IFDIR | 0o755)
	return f
}

func (i *inode) copyTo(to string) error {
	if !i.isDir() {
		data := make([]byte, i.view.size)
		i.view.readAt(data, 0)
		return os.WriteFile(to, data, os.FileMode(i.mode&0o777))
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, name := range sorted(i.names) {
		if err := i.names[name].copyTo(filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func sorted(names map[string]*inode) []string {
	list := make([]string, 0, len(names))
	for n := range names {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}
