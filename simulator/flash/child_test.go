//go:build linux

package flash_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/simulator/flash"
	"github.com/digital-sentinel/sentinel/simulator/flash/flashtest"
)

// TestMain is the child as well: the process that serves a card cannot map its
// files.
func TestMain(m *testing.M) {
	switch path := os.Getenv("FLASH_FILE"); os.Getenv("FLASH_CHILD") {
	case "map":
		if err := mapped(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	case "hang":
		f, err := os.Open(path)
		fmt.Println("open", err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		_, err = f.Stat()
		fmt.Println("stat failed:", err != nil)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// mapped writes by calls and reads by a map, as bbolt does.
func mapped(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(64 << 10); err != nil {
		return err
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, 64<<10, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	for n := range 16 {
		at := n * 4096
		before := m[at]
		if _, err := f.WriteAt([]byte{byte(n + 1)}, int64(at)); err != nil {
			return err
		}
		if before != 0 || m[at] != byte(n+1) {
			return fmt.Errorf("page %d: %d before and %d after writing %d", n, before, m[at], n+1)
		}
	}
	return f.Sync()
}

func child(what, path string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "FLASH_CHILD="+what, "FLASH_FILE="+path)
	return c
}

func TestMapping(t *testing.T) {
	f := flashtest.Insert(t, t.TempDir(), flash.Opts{})
	for range 3 {
		if out, err := child("map", f.Dir()+"/a").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		syncDir(t, f.Dir())
		f.Cut(1)
		f.Restore()
		if used := f.Stats().Used; used != 16*4096 {
			t.Fatalf("%d bytes are left of what was synced, want %d", used, 16*4096)
		}
		must(t, os.Remove(f.Dir()+"/a"))
	}
}

// TestUnmountUnderAChild takes the card out from under a program that has a
// file open; it ends in time, and the program gets an error.
func TestUnmountUnderAChild(t *testing.T) {
	f := flashtest.Insert(t, t.TempDir(), flash.Opts{})
	put(t, f.Dir()+"/a", "x", "file")
	c := child("hang", f.Dir()+"/a")
	in, err := c.StdinPipe()
	must(t, err)
	out, err := c.StdoutPipe()
	must(t, err, c.Start())
	lines := bufio.NewScanner(out)
	lines.Scan()
	if lines.Text() != "open <nil>" {
		t.Fatalf("the child says %q", lines.Text())
	}
	done := make(chan error, 1)
	go func() { done <- f.Unmount() }()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(time.Minute):
		t.Fatal("unmounting hangs")
	}
	must(t, in.Close())
	lines.Scan()
	if lines.Text() != "stat failed: true" {
		t.Errorf("the child says %q after the card was taken out", lines.Text())
	}
	must(t, c.Wait())
}
