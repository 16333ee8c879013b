//go:build linux && (amd64 || arm64)

package flash

import (
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// mount serves f on its folder.
func (f *FS) mount() error {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return fmt.Errorf("%w: there is no /dev/fuse (load the module fuse, or give the container the device)", ErrUnavailable)
	}
	server, err := f.serve()
	if err != nil {
		return fmt.Errorf("%w: %v (it takes root, or fusermount)", ErrUnavailable, err)
	}
	connection := f.connection()
	f.eject = sync.OnceValue(func() error { return eject(server, f.dir, connection) })
	return nil
}

// serve mounts and begins to answer. No child may be started meanwhile: go-fuse
// has files open that it would inherit, among them one of the mount itself.
func (f *FS) serve() (*fuse.Server, error) {
	root := os.Geteuid() == 0
	if root { // who is not needs a child to mount
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
	}
	server, err := fuse.NewServer(&kernel{RawFileSystem: fuse.NewDefaultRawFileSystem(), f: f}, f.dir, &fuse.MountOptions{
		FsName: "flash", Name: "flash", DirectMountStrict: root,
		DisableXAttrs: true, DisableReadDirPlus: true, Logger: log.New(io.Discard, "", 0),
	})
	if err != nil {
		return nil, err
	}
	go server.Serve()
	if !root {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
	}
	if err := server.WaitMount(); err != nil {
		return nil, err
	}
	return server, nil
}

// connection is the kernel's file that ends the mount's every request.
func (f *FS) connection() string {
	var st syscall.Stat_t
	if err := syscall.Stat(f.dir, &st); err != nil {
		return ""
	}
	minor := st.Dev&0xff | st.Dev>>12&^0xff
	return fmt.Sprintf("/sys/fs/fuse/connections/%d/abort", minor)
}

// eject ends the mount. A program that hangs in it, or keeps a file open, is
// cut off: its every call fails from then on.
func eject(server *fuse.Server, dir, connection string) error {
	if server.Unmount() == nil {
		return nil
	}
	_ = os.WriteFile(connection, []byte("1"), 0)
	const forced, detached = 1, 2 // MNT_FORCE aborts the connection as well
	if syscall.Unmount(dir, forced|detached) != nil {
		out, err := exec.Command("fusermount", "-u", "-z", dir).CombinedOutput()
		if err != nil {
			return fmt.Errorf("taking the card out of %s: %v: %s", dir, err, out)
		}
	}
	served := make(chan struct{})
	go func() { server.Wait(); close(served) }()
	select {
	case <-served:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("the card in %s is out, but the kernel still asks for it", dir)
	}
}

// kernel answers the kernel's requests out of f. Nothing may be remembered by
// the kernel beyond the request: a cut changes everything.
type kernel struct {
	fuse.RawFileSystem
	f *FS
}

// with runs do on the inode of a request, under f's lock.
func (k *kernel) with(id uint64, do func(*inode) syscall.Errno) fuse.Status {
	k.f.mu.Lock()
	defer k.f.mu.Unlock()
	i, err := k.f.find(id)
	if err == 0 {
		err = do(i)
	}
	return fuse.Status(err)
}

func (i *inode) attr(a *fuse.Attr) {
	a.Ino, a.Mode, a.Nlink = i.id, i.mode, uint32(max(i.links, 0))
	a.Uid, a.Gid = i.uid, i.gid
	a.Size, a.Blocks, a.Blksize = uint64(i.view.size), uint64(i.view.held()/sectorBytes), blockBytes
	a.SetTimes(&i.changed, &i.changed, &i.changed)
}

func (i *inode) entry(out *fuse.EntryOut) {
	out.NodeId, out.Generation = i.id, 1
	i.attr(&out.Attr)
}

func (k *kernel) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return k.with(h.NodeId, func(dir *inode) syscall.Errno {
		it := dir.names[name]
		if it == nil {
			return syscall.ENOENT
		}
		it.entry(out)
		return 0
	})
}

func (k *kernel) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return k.with(in.NodeId, func(i *inode) syscall.Errno { i.attr(&out.Attr); return 0 })
}

func (k *kernel) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return k.with(in.NodeId, func(i *inode) syscall.Errno {
		if mode, ok := in.GetMode(); ok {
			i.mode = i.mode&syscall.S_IFMT | mode&0o7777
		}
		if uid, ok := in.GetUID(); ok {
			i.uid = uid
		}
		if gid, ok := in.GetGID(); ok {
			i.gid = gid
		}
		if t, ok := in.GetMTime(); ok {
			i.changed = t
		}
		var err syscall.Errno
		if size, ok := in.GetSize(); ok && !i.isDir() {
			err = k.f.resize(i, int64(size))
		}
		i.attr(&out.Attr)
		return err
	})
}

// birth makes a file or folder in dir and tells the kernel.
func (k *kernel) birth(h *fuse.InHeader, name string, mode uint32, out *fuse.EntryOut) fuse.Status {
	return k.with(h.NodeId, func(dir *inode) syscall.Errno {
		it, err := k.f.make(dir, name, mode)
		if err != 0 {
			return err
		}
		it.uid, it.gid = h.Uid, h.Gid
		it.entry(out)
		return 0
	})
}

func (k *kernel) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return k.birth(&in.InHeader, name, in.Mode, out)
}

func (k *kernel) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return k.birth(&in.InHeader, name, in.Mode&0o7777|syscall.S_IFDIR, out)
}

func (k *kernel) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	status := k.birth(&in.InHeader, name, in.Mode&0o7777|syscall.S_IFREG, &out.EntryOut)
	if status != fuse.OK {
		return status
	}
	return k.with(out.NodeId, func(i *inode) syscall.Errno { out.Fh = k.f.open(i); return 0 })
}

func (k *kernel) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return k.with(in.NodeId, func(dir *inode) syscall.Errno {
		it, err := k.f.find(in.Oldnodeid)
		if err == 0 {
			err = k.f.enter(dir, name, it)
		}
		if err == 0 {
			it.entry(out)
		}
		return err
	})
}

func (k *kernel) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return k.with(h.NodeId, func(dir *inode) syscall.Errno { return k.f.remove(dir, name, false) })
}

func (k *kernel) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return k.with(h.NodeId, func(dir *inode) syscall.Errno { return k.f.remove(dir, name, true) })
}

func (k *kernel) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	const noReplace = 1
	if in.Flags&^noReplace != 0 {
		return fuse.EINVAL
	}
	return k.with(in.NodeId, func(from *inode) syscall.Errno {
		to, err := k.f.find(in.Newdir)
		if err != 0 {
			return err
		}
		return k.f.rename(place{from, oldName}, place{to, newName}, in.Flags == 0)
	})
}

func (k *kernel) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return k.with(in.NodeId, func(i *inode) syscall.Errno {
		out.Fh = k.f.open(i)
		if in.Flags&syscall.O_TRUNC != 0 {
			return k.f.resize(i, 0)
		}
		return 0
	})
}

func (k *kernel) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	k.with(in.NodeId, func(i *inode) syscall.Errno {
		delete(i.handles, in.Fh)
		if !i.inUse() {
			k.f.sweep()
		}
		return 0
	})
}

func (k *kernel) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n := 0
	status := k.with(in.NodeId, func(i *inode) syscall.Errno {
		i.uses(in.Fh)
		n = int(min(int64(len(buf)), max(0, i.view.size-int64(in.Offset))))
		i.view.readAt(buf[:n], int64(in.Offset))
		return 0
	})
	return fuse.ReadResultData(buf[:n]), status
}

func (k *kernel) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	n := 0
	status := k.with(in.NodeId, func(i *inode) (err syscall.Errno) {
		i.uses(in.Fh)
		n, err = k.f.write(i, data, int64(in.Offset))
		return err
	})
	return uint32(n), status
}

func (k *kernel) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	const keepSize = 1
	if in.Mode&^keepSize != 0 {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	return k.with(in.NodeId, func(i *inode) syscall.Errno {
		err := k.f.allot(i, int64(in.Offset), int64(in.Length))
		if end := int64(in.Offset + in.Length); err == 0 && in.Mode == 0 && end > i.view.size {
			err = k.f.resize(i, end)
		}
		return err
	})
}

func (k *kernel) Flush(_ <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	k.with(in.NodeId, func(i *inode) syscall.Errno { i.closed(in.Fh); return 0 })
	return fuse.OK
}

func (k *kernel) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	k.f.mu.Lock()
	delay := k.f.o.Delay
	k.f.mu.Unlock()
	time.Sleep(delay)
	return k.with(in.NodeId, k.f.sync)
}

func (k *kernel) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return k.Fsync(cancel, in)
}

func (k *kernel) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	return k.with(in.NodeId, func(*inode) syscall.Errno { return 0 })
}

func (k *kernel) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return k.with(in.NodeId, func(dir *inode) syscall.Errno {
		names := sorted(dir.names)
		for n := int(in.Offset); n < len(names); n++ {
			it := dir.names[names[n]]
			if !out.AddDirEntry(fuse.DirEntry{Name: names[n], Mode: it.mode, Ino: it.id, Off: uint64(n + 1)}) {
				break
			}
		}
		return 0
	})
}

func (k *kernel) StatFs(_ <-chan struct{}, h *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return k.with(h.NodeId, func(*inode) syscall.Errno {
		all := k.f.o.Limit
		if all == 0 {
			all = 32 << 30
		}
		free := uint64(max(0, all-k.f.used()) / blockBytes)
		*out = fuse.StatfsOut{Blocks: uint64(all / blockBytes), Bfree: free, Bavail: free, Bsize: blockBytes, Frsize: blockBytes, NameLen: 255}
		return 0
	})
}

var _ fuse.RawFileSystem = (*kernel)(nil)
