package flash

import (
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// inode is a file or a folder, twice: as programs see it, and as the card has
// it.
type inode struct {
	id       uint64
	mode     uint32
	uid, gid uint32
	changed  time.Time
	handles  map[uint64]bool // that the kernel has not released; true once closed
	links    int             // names in view

	view, disk content            // of a file
	dirty      map[int64]struct{} // sectors that view has and the next sync brings to disk
	resized    bool               // view's size likewise
	low        int64              // least size since the last sync, if resized

	names, kept map[string]*inode // of a folder: in view, and on the card
}

func (i *inode) isDir() bool { return i.mode&syscall.S_IFMT == syscall.S_IFDIR }

// open returns a new handle of i.
func (f *FS) open(i *inode) uint64 {
	f.lastHandle++
	i.handles[f.lastHandle] = false
	return f.lastHandle
}

// uses notes that a handle is in use: one that a program has closed and still
// reads or writes is a copy, or a mapping.
func (i *inode) uses(handle uint64) {
	if i.handles[handle] {
		i.handles[handle] = false
	}
}

// closed notes that a program has closed a handle. The kernel releases it some
// time after the program's close has returned; its room is free before that.
func (i *inode) closed(handle uint64) {
	if _, open := i.handles[handle]; open {
		i.handles[handle] = true
	}
}

// inUse reports whether i has a name in view, or a program has it open.
func (i *inode) inUse() bool {
	for _, closed := range i.handles {
		if !closed {
			return true
		}
	}
	return i.links > 0
}

// change is one change of names: to/toName becomes it, and from/fromName stops
// being it. Either half may be missing.
type change struct {
	it             *inode
	from, to       *inode
	fromName, name string
}

// apply carries c out on the names that are on the card.
func (c *change) apply() {
	if c.from != nil && c.from.kept[c.fromName] == c.it {
		delete(c.from.kept, c.fromName)
	}
	if c.to != nil {
		c.to.kept[c.name] = c.it
	}
}

func (f *FS) newInode(mode uint32) *inode {
	f.nextID++ // the root is 1, as FUSE wants it
	i := &inode{id: f.nextID, mode: mode, changed: time.Now(), view: newContent(), disk: newContent(), dirty: map[int64]struct{}{}, handles: map[uint64]bool{}}
	if i.isDir() {
		i.names, i.kept = map[string]*inode{}, map[string]*inode{}
	}
	f.all[i.id] = i
	return i
}

// find returns the inode with the kernel's name id; EIO while the power is off.
func (f *FS) find(id uint64) (*inode, syscall.Errno) {
	if f.off {
		return nil, syscall.EIO
	}
	i := f.all[id]
	if i == nil {
		return nil, syscall.ESTALE // of before a cut
	}
	return i, 0
}

// under counts one change down and reports whether the power goes now. The
// caller carries the change out by halves, if it can be, and cuts.
func (f *FS) under() bool {
	if f.cutIn == 0 {
		return false
	}
	f.cutIn--
	return f.cutIn == 0
}

// done ends a change that was carried out in view.
func (f *FS) done(last bool) syscall.Errno {
	if !last {
		return 0
	}
	f.cut(f.cutSeed)
	return syscall.EIO
}

// write writes p into i; a card that fills up takes the first part.
func (f *FS) write(i *inode, p []byte, offset int64) (int, syscall.Errno) {
	f.stats.Writes++
	if f.failWrite > 0 {
		if f.failWrite--; f.failWrite == 0 {
			f.stats.Failed++
			return 0, syscall.EIO
		}
	}
	for len(p) > 0 && !f.fits(i.view.room(offset, len(p))) {
		p = p[:max(0, len(p)-blockBytes)]
		if len(p) == 0 {
			f.stats.Full++
			return 0, syscall.ENOSPC
		}
	}
	last := f.under()
	i.view.writeAt(p, offset)
	for s := offset / sectorBytes; s*sectorBytes < offset+int64(len(p)); s++ {
		i.dirty[s] = struct{}{}
	}
	if end := offset + int64(len(p)); end > i.view.size {
		i.sized()
		i.view.size = end
	}
	i.changed = time.Now()
	f.stats.Bytes += int64(len(p))
	return len(p), f.done(last)
}

// resize sets the size of i.
func (f *FS) resize(i *inode, size int64) syscall.Errno {
	last := f.under()
	i.sized()
	i.low = min(i.low, size)
	maps.DeleteFunc(i.dirty, func(s int64, _ struct{}) bool { return s*sectorBytes >= size })
	i.view.resize(size)
	i.changed = time.Now()
	return f.done(last)
}

// sized notes that the size is about to change.
func (i *inode) sized() {
	if !i.resized {
		i.resized, i.low = true, i.view.size
	}
}

// allot gives i room from offset on without writing.
func (f *FS) allot(i *inode, offset, n int64) syscall.Errno {
	if !f.fits(i.view.room(offset, int(n))) {
		f.stats.Full++
		return syscall.ENOSPC
	}
	for b := offset / blockBytes; b*blockBytes < offset+n; b++ {
		if i.view.blocks[b] == nil {
			i.view.blocks[b] = new([blockBytes]byte)
		}
	}
	return 0
}

// sync brings what was written to i, or the names in it, to the card.
func (f *FS) sync(i *inode) syscall.Errno {
	f.stats.Syncs++
	if f.under() {
		return f.done(true)
	}
	if f.failSync > 0 {
		if f.failSync--; f.failSync == 0 {
			f.stats.Failed++
			i.flush(f.dice(uint64(f.stats.Syncs)).keeps)
			return syscall.EIO
		}
	}
	if i.isDir() {
		f.commit(i)
		return 0
	}
	i.flush(func() bool { return true })
	return 0
}

// flush brings to the card what keeps says of what was not synced in i, and
// takes the rest for written.
func (i *inode) flush(keeps func() bool) {
	size := i.disk.size
	if i.resized && keeps() {
		i.disk.resize(min(size, i.low)) // what was cut off is gone, even if the file grew again
		size = i.view.size
	}
	for _, s := range slices.Sorted(maps.Keys(i.dirty)) {
		if keeps() {
			i.disk.take(&i.view, s)
		}
	}
	i.disk.resize(size)
	clear(i.dirty)
	i.resized = false
}

// commit writes down the names in the folder i.
func (f *FS) commit(i *inode) {
	f.journal = slices.DeleteFunc(f.journal, func(c *change) bool {
		mine := c.from == i || c.to == i
		if mine {
			c.apply()
		}
		return mine
	})
	f.sweep()
}

// cut leaves on the card what was synced and what luck keeps, and shows it.
func (f *FS) cut(seed uint64) {
	if f.off {
		return
	}
	f.off, f.cutIn = true, 0
	if f.onCut != nil {
		f.onCut()
	}
	f.stats.Cuts++
	close(f.down)
	d := f.dice(seed)
	for _, id := range slices.Sorted(maps.Keys(f.all)) {
		f.all[id].flush(d.keeps)
	}
	n := d.IntN(len(f.journal) + 1)
	for k, c := range f.journal {
		switch {
		case f.o.Names == Ordered && k >= n:
			f.stats.Lost++
		case f.o.Names == Ordered || d.keeps():
			c.apply()
		}
	}
	f.journal = nil
	f.all = map[uint64]*inode{}
	f.remount(f.root, map[*inode]bool{})
}

// remount shows the card as it is, from i down. The kernel gets new names for
// everything but the root, so that nothing it remembers is believed.
func (f *FS) remount(i *inode, seen map[*inode]bool) {
	if seen[i] {
		i.links++
		return
	}
	seen[i] = true
	if i != f.root {
		f.nextID++
		i.id = f.nextID
	}
	f.all[i.id] = i
	i.links = 1
	clear(i.handles)
	if !i.isDir() {
		i.view = i.disk.clone()
		return
	}
	i.names = maps.Clone(i.kept)
	for _, name := range sorted(i.names) {
		f.remount(i.names[name], seen)
	}
}

// sweep drops what nobody can reach, in view or on the card.
func (f *FS) sweep() {
	seen := map[*inode]bool{}
	var mark func(*inode)
	mark = func(i *inode) {
		if i == nil || seen[i] {
			return
		}
		seen[i] = true
		for _, n := range i.names {
			mark(n)
		}
		for _, n := range i.kept {
			mark(n)
		}
	}
	mark(f.root)
	for _, c := range f.journal {
		mark(c.it)
		mark(c.from)
		mark(c.to)
	}
	maps.DeleteFunc(f.all, func(_ uint64, i *inode) bool { return !seen[i] && len(i.handles) == 0 })
}

// used is the room that files in view take.
func (f *FS) used() int64 {
	var n int64
	for _, i := range f.all {
		if i.inUse() {
			n += i.view.held()
		}
	}
	return n
}

func (f *FS) fits(n int64) bool {
	return n == 0 || f.o.Limit == 0 || f.used()+n <= f.o.Limit
}

// dice decide what is kept. Some cuts lose everything, some nothing, most a
// part: a fair coin for each of a hundred sectors would never show the ends.
type dice struct {
	*rand.Rand
	odds float64
	lost *int
}

func (f *FS) dice(seed uint64) dice {
	r := rand.New(rand.NewPCG(seed, 0x5e17))
	return dice{r, []float64{0, 0.1, 0.5, 0.5, 0.5, 0.9, 1}[r.IntN(7)], &f.stats.Lost}
}

func (d dice) keeps() bool {
	if d.Float64() < d.odds {
		return true
	}
	*d.lost++
	return false
}
