package flash

import (
	"syscall"
	"time"
)

// enter gives it a name in the folder dir.
func (f *FS) enter(dir *inode, name string, it *inode) syscall.Errno {
	if dir.names[name] != nil {
		return syscall.EEXIST
	}
	last := f.under()
	dir.names[name], dir.changed = it, time.Now()
	it.links++
	f.journal = append(f.journal, &change{it: it, to: dir, name: name})
	return f.done(last)
}

// make makes a file or a folder in dir. A full card has no room for it.
func (f *FS) make(dir *inode, name string, mode uint32) (*inode, syscall.Errno) {
	switch {
	case !dir.isDir():
		return nil, syscall.ENOTDIR
	case dir.names[name] != nil:
		return nil, syscall.EEXIST
	case !f.fits(1):
		f.stats.Full++
		return nil, syscall.ENOSPC
	}
	it := f.newInode(mode)
	return it, f.enter(dir, name, it)
}

// remove takes a name away.
func (f *FS) remove(dir *inode, name string, folder bool) syscall.Errno {
	it := dir.names[name]
	switch {
	case it == nil:
		return syscall.ENOENT
	case folder && !it.isDir():
		return syscall.ENOTDIR
	case !folder && it.isDir():
		return syscall.EISDIR
	case len(it.names) > 0:
		return syscall.ENOTEMPTY
	}
	last := f.under()
	delete(dir.names, name)
	dir.changed = time.Now()
	it.links--
	f.journal = append(f.journal, &change{it: it, from: dir, fromName: name})
	return f.done(last)
}

// place is a name in a folder.
type place struct {
	dir  *inode
	name string
}

// rename moves from's file to the place to, over what is there.
func (f *FS) rename(from, to place, mayReplace bool) syscall.Errno {
	it, old := from.dir.names[from.name], to.dir.names[to.name]
	switch {
	case it == nil:
		return syscall.ENOENT
	case it == old:
		return 0
	case old != nil && !mayReplace:
		return syscall.EEXIST
	case old != nil && old.isDir() && !it.isDir():
		return syscall.EISDIR
	case old != nil && !old.isDir() && it.isDir():
		return syscall.ENOTDIR
	case old != nil && len(old.names) > 0:
		return syscall.ENOTEMPTY
	}
	last := f.under()
	if old != nil {
		old.links--
	}
	delete(from.dir.names, from.name)
	to.dir.names[to.name] = it
	from.dir.changed, to.dir.changed = time.Now(), time.Now()
	f.journal = append(f.journal, &change{it: it, from: from.dir, fromName: from.name, to: to.dir, name: to.name})
	return f.done(last)
}
