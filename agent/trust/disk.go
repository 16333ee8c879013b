package trust

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// disk writes files below one folder so that a power cut leaves each of them
// old or new, never between and never lost afterwards:
//
//	create .tmp-*   in the same folder
//	write, fsync    the bytes are on the disk before the name is
//	rename          over the old file
//	fsync           of the folder, so that the name is on the disk too
//
// A name has at most one folder in it.
type disk struct {
	dir string
	// hook, if there is one, is asked before each operation and told its name and
	// the file; tests make the nth fail and see what was synced by then.
	hook func(op, file string) error
	// careless leaves the syncs out, for tests that are not about power cuts.
	careless bool
}

// tempPrefix marks files whose writing was cut short.
const tempPrefix = ".tmp-"

// write replaces one file, durably.
func (d *disk) write(name string, data []byte) error {
	dir, err := d.folder(filepath.Dir(name))
	if err != nil {
		return err
	}
	temp, err := d.temp(dir, data)
	if err != nil {
		return err
	}
	final := filepath.Join(d.dir, name)
	if err := d.do("rename", final, func() error { return os.Rename(temp, final) }); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return d.sync(dir)
}

// temp writes data to a new file in dir and syncs it.
func (d *disk) temp(dir string, data []byte) (name string, err error) {
	var f *os.File
	err = d.do("create", dir, func() error {
		f, err = os.CreateTemp(dir, tempPrefix+"*")
		return err
	})
	if err != nil {
		return "", err
	}
	err = d.do("write", f.Name(), func() error { _, err := f.Write(data); return err })
	if err == nil {
		err = d.do("sync", f.Name(), f.Sync)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// folder makes sure that a folder below the store is there, durably.
func (d *disk) folder(name string) (string, error) {
	dir := filepath.Join(d.dir, name)
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return dir, nil
	}
	if parent := filepath.Dir(name); name != "." && parent != "." {
		if _, err := d.folder(parent); err != nil {
			return "", err
		}
	}
	if err := d.do("mkdir", dir, func() error { return os.MkdirAll(dir, 0o700) }); err != nil {
		return "", err
	}
	return dir, d.sync(filepath.Dir(dir))
}

// sync makes the names in a folder durable.
func (d *disk) sync(dir string) error {
	return d.do("syncdir", dir, func() error {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// read reads a file of at most limit bytes; a longer one is an error.
func (d *disk) read(name string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(d.dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return data, err
}

// writeSummed writes a file that has no signature of its own: a checksum finds
// what a bad disk has bent. It keeps nobody from writing another.
func (d *disk) writeSummed(name string, data []byte) error {
	return d.write(name, fmt.Appendf(nil, "%08x %s", crc32.Checksum(data, castagnoli), data))
}

// readSummed reads such a file.
func (d *disk) readSummed(name string, limit int64) ([]byte, error) {
	raw, err := d.read(name, limit)
	if err != nil {
		return nil, err
	}
	sum, data, _ := bytes.Cut(raw, []byte(" "))
	if string(sum) != fmt.Sprintf("%08x", crc32.Checksum(data, castagnoli)) {
		return nil, errors.New("its checksum is wrong")
	}
	return data, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// remove deletes a file; that it was not there is no error.
func (d *disk) remove(name string) error {
	file := filepath.Join(d.dir, name)
	err := d.do("remove", file, func() error { return os.Remove(file) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// move renames a file within the store.
func (d *disk) move(from, to string) error {
	a, b := filepath.Join(d.dir, from), filepath.Join(d.dir, to)
	return d.do("rename", b, func() error { return os.Rename(a, b) })
}

// list names the files of a folder; a folder that is not there has none.
func (d *disk) list(name string) []string {
	entries, err := os.ReadDir(filepath.Join(d.dir, name))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// sweep removes what a power cut left half-written in a folder.
func (d *disk) sweep(folder string) {
	for _, name := range d.list(folder) {
		if strings.HasPrefix(name, tempPrefix) {
			_ = d.remove(filepath.Join(folder, name))
		}
	}
}

func (d *disk) do(op, file string, f func() error) error {
	if d.hook != nil {
		if err := d.hook(op, file); err != nil {
			return err
		}
	}
	if d.careless && (op == "sync" || op == "syncdir") {
		return nil
	}
	return f()
}
