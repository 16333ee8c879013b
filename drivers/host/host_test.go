package host

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pty makes a pseudo-terminal: the far end, and the path of the port. A slave
// descriptor is kept, so that the far end does not read EIO before the port is
// opened.
func pty(t *testing.T) (far *os.File, path string) {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	onDescriptor(t, far, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
		path = "/dev/pts/" + strconv.Itoa(n)
		return err
	})
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return far, path
}

func onDescriptor(t *testing.T, f *os.File, do func(fd int) error) {
	t.Helper()
	c, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = c.Control(func(fd uintptr) {
		if derr := do(int(fd)); derr != nil {
			t.Error(derr)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// speed is what the far end can see of the port's baud rate.
func speed(t *testing.T, far *os.File) uint32 {
	t.Helper()
	var v uint32
	onDescriptor(t, far, func(fd int) error {
		tio, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			v = tio.Cflag & unix.CBAUD
		}
		return err
	})
	return v
}

// tree makes files below a new folder, for a machine of its own. A value that
// begins with "->" is a link.
func tree(t *testing.T, files map[string]string) machine {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := root + "/" + name
		if err := os.MkdirAll(path[:len(path)-len(lastElem(path))], 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if len(content) > 2 && content[:2] == "->" {
			err = os.Symlink(content[2:], path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(fmt.Errorf("%s: %w", name, err))
		}
	}
	return machine(root)
}

func lastElem(p string) string {
	i := len(p)
	for i > 0 && p[i-1] != '/' {
		i--
	}
	return p[i:]
}
