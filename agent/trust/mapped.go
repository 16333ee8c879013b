package trust

import (
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
)

// mapped is a file that is read where it lies: a table of a city is larger than
// the memory a kiosk may use.
type mapped struct{ data []byte }

func mapFile(path string) (*mapped, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if size <= 0 || int64(int(size)) != size {
		return nil, fmt.Errorf("%s: a file of %d bytes cannot be mapped", info.Name(), size)
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", info.Name(), err)
	}
	return &mapped{data}, nil
}

// close gives the memory back; nobody may look at the data any more.
func (m *mapped) close() {
	if m != nil && m.data != nil {
		_ = syscall.Munmap(m.data)
		m.data = nil
	}
}

// faulting runs f, which reads mapped files. A page that the disk does not give,
// or a file that somebody cut short, is a fault that would end the process:
// here it becomes an error.
func faulting(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface{ Addr() uintptr })
			if !ok {
				panic(r)
			}
			err = refused("a mapped file cannot be read at %#x", fault.Addr())
		}
	}()
	return f()
}
