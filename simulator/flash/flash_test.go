//go:build linux

package flash_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/digital-sentinel/sentinel/simulator/flash"
	"github.com/digital-sentinel/sentinel/simulator/flash/flashtest"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// put writes text at the start of the file; syncs are "file", "folder" or both.
func put(t *testing.T, path, text string, syncs ...string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, err)
	if slices.Contains(syncs, "file") {
		must(t, f.Sync())
	}
	must(t, f.Close())
	if slices.Contains(syncs, "folder") {
		syncDir(t, filepath.Dir(path))
	}
}

func syncDir(t *testing.T, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	must(t, err)
	must(t, d.Sync(), d.Close())
}

// look tells every file in dir and what is in it, runs of a letter as one.
func look(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var list []string
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		data = bytes.ReplaceAll(data, []byte{0}, []byte("0"))
		list = append(list, fmt.Sprintf("%s=%s", e.Name(), slices.Compact(data)))
	}
	return strings.Join(list, " ")
}

// sector is one sector of a letter.
func sector(letter string) string { return strings.Repeat(letter, 512) }

// TestWhatSurvives lists, for each way of writing, everything that may be found
// after a cut; over sixty seeds each of them is found, and nothing else.
func TestWhatSurvives(t *testing.T) {
	tests := []struct {
		name  string
		names flash.Names
		do    func(t *testing.T, dir string)
		want  []string
	}{
		{"all synced", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "file", "folder")
		}, []string{"a=x"}},
		{"nothing synced", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x")
		}, []string{"", "a=", "a=0", "a=x"}},
		{"data synced, name not", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "file")
		}, []string{"", "a=x"}},
		{"name synced, data not", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "folder")
		}, []string{"a=", "a=0", "a=x"}},
		{"two sectors overwritten", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", sector("x")+sector("y"), "file", "folder")
			put(t, dir+"/a", sector("p")+sector("q"))
		}, []string{"a=pq", "a=py", "a=xq", "a=xy"}},
		{"cut short", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", sector("x")+sector("y"), "file", "folder")
			must(t, os.Truncate(dir+"/a", 512))
		}, []string{"a=x", "a=xy"}},
		{"replaced by the book", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "file", "folder")
			put(t, dir+"/b", "y", "file")
			must(t, os.Rename(dir+"/b", dir+"/a"))
			syncDir(t, dir)
		}, []string{"a=y"}},
		{"replaced, folder not synced", flash.Ordered, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "file", "folder")
			put(t, dir+"/b", "y", "file")
			must(t, os.Rename(dir+"/b", dir+"/a"))
		}, []string{"a=x", "a=x b=y", "a=y"}},
		{"replaced, data not synced", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "file", "folder")
			put(t, dir+"/b", "y")
			must(t, os.Rename(dir+"/b", dir+"/a"))
			syncDir(t, dir)
		}, []string{"a=", "a=0", "a=y"}},
		{"removed", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "file", "folder")
			must(t, os.Remove(dir+"/a"))
		}, []string{"", "a=x"}},
		{"removed and synced", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "file", "folder")
			must(t, os.Remove(dir+"/a"))
			syncDir(t, dir)
		}, []string{""}},
		{"two made, in any combination", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "file")
			put(t, dir+"/b", "y", "file")
		}, []string{"", "a=x", "a=x b=y", "b=y"}},
		{"two made, in order", flash.Ordered, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "file")
			put(t, dir+"/b", "y", "file")
		}, []string{"", "a=x", "a=x b=y"}},
		{"linked", flash.Shuffled, func(t *testing.T, dir string) {
			put(t, dir+"/a", "x", "file", "folder")
			must(t, os.Link(dir+"/a", dir+"/b"))
		}, []string{"a=x", "a=x b=x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := flashtest.Insert(t, t.TempDir(), flash.Opts{Names: tt.names})
			got := map[string]bool{}
			for seed := range uint64(60) {
				dir := filepath.Join(f.Dir(), fmt.Sprint(seed))
				must(t, os.Mkdir(dir, 0o700))
				syncDir(t, f.Dir())
				tt.do(t, dir)
				f.Cut(seed)
				f.Restore()
				got[look(t, dir)] = true
			}
			if list := slices.Sorted(maps.Keys(got)); !slices.Equal(list, tt.want) {
				t.Errorf("after a cut there is one of %q, want %q", list, tt.want)
			}
		})
	}
}

func TestEverythingFailsWhileThePowerIsOff(t *testing.T) {
	f := flashtest.Insert(t, t.TempDir(), flash.Opts{})
	path := f.Dir() + "/a"
	put(t, path, "x", "file", "folder")
	h, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer h.Close()
	cuts := 0
	f.OnCut(func() { cuts++ })
	f.Cut(1)
	if f.Cut(2); cuts != 1 {
		t.Errorf("told of %d cuts, want 1", cuts)
	}
	select {
	case <-f.Down():
	default:
		t.Error("Down is not closed after a cut")
	}
	for what, do := range map[string]func() error{
		"write":  func() error { _, err := h.Write([]byte("y")); return err },
		"sync":   h.Sync,
		"stat":   func() error { _, err := os.Stat(path); return err },
		"open":   func() error { _, err := os.Open(path); return err },
		"create": func() error { return os.WriteFile(f.Dir()+"/b", nil, 0o600) },
		"remove": func() error { return os.Remove(path) },
		"list":   func() error { _, err := os.ReadDir(f.Dir()); return err },
	} {
		if err := do(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v, want EIO", what, err)
		}
	}
	f.Restore()
	if got := look(t, f.Dir()); got != "a=x" {
		t.Errorf("with the power back there is %q, want a=x", got)
	}
	if got, err := f.Read("a"); err != nil || string(got) != "x" {
		t.Errorf("past the mount a is %q, %v, want x", got, err)
	}
	if _, err := f.Read("b"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("past the mount b: %v, want that it is not there", err)
	}
	if n := f.Stats().Lost; n != 0 {
		t.Errorf("%d changes are said to be lost, and all was synced", n)
	}
	if _, err := h.Write([]byte("y")); err == nil {
		t.Error("a file opened before the cut can be written after it")
	}
}

func TestNthWriteAndSyncFail(t *testing.T) {
	f := flashtest.Insert(t, t.TempDir(), flash.Opts{})
	h, err := os.Create(f.Dir() + "/a")
	must(t, err)
	defer h.Close()
	f.FailWrite(2)
	for n, want := range []bool{true, false, true} {
		if _, err := h.WriteAt([]byte("x"), int64(n)*512); (err == nil) != want {
			t.Errorf("write %d: %v", n+1, err)
		}
	}
	f.FailSync(1)
	if err := h.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the sync ended with %v, want EIO", err)
	}
	must(t, h.Sync())
	if s := f.Stats(); s.Writes != 3 || s.Syncs != 2 || s.Failed != 2 || s.Bytes != 2 {
		t.Errorf("stats = %+v, want 3 writes of 2 bytes, 2 syncs, 2 failed", s)
	}
}

// TestAFailedSyncIsNotMadeGood: what a sync did not bring to the card, the next
// one does not bring either, although it can be read until the cut.
func TestAFailedSyncIsNotMadeGood(t *testing.T) {
	f := flashtest.Insert(t, t.TempDir(), flash.Opts{})
	lost := 0
	for n := range 40 {
		path := fmt.Sprintf("%s/%d", f.Dir(), n)
		put(t, path, sector("x"), "file", "folder")
		h, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		_, err = h.WriteAt([]byte(sector("y")), 0)
		must(t, err)
		f.FailSync(1)
		if h.Sync() == nil {
			t.Fatal("the sync did not fail")
		}
		must(t, h.Sync())
		seen := make([]byte, 1)
		_, err = h.ReadAt(seen, 0)
		must(t, err, h.Close())
		if seen[0] != 'y' {
			t.Fatalf("before the cut %q is read, want y", seen)
		}
		f.Cut(uint64(n))
		f.Restore()
		if data, err := os.ReadFile(path); err != nil || data[0] == 'x' {
			lost++
		}
	}
	if n := f.Stats().Lost; n != lost {
		t.Errorf("%d sectors were lost and %d are counted", lost, n)
	}
	if lost == 0 || lost == 40 {
		t.Errorf("%d of 40 writes were lost by the failed sync, want some and not all", lost)
	}
}

func TestFullCardAndFreed(t *testing.T) {
	f := flashtest.Insert(t, t.TempDir(), flash.Opts{Limit: 8 << 10})
	put(t, f.Dir()+"/a", strings.Repeat("x", 8<<10), "file", "folder")
	for what, err := range map[string]error{
		"extending": appendTo(f.Dir()+"/a", "y"),
		"creating":  os.WriteFile(f.Dir()+"/b", nil, 0o600),
	} {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s on a full card: %v, want ENOSPC", what, err)
		}
	}
	put(t, f.Dir()+"/a", "over") // what has room may be written
	if s := f.Stats(); s.Used != 8<<10 || s.Full == 0 {
		t.Errorf("stats = %+v, want 8192 used, and refusals", s)
	}
	h, err := os.Open(f.Dir() + "/a")
	must(t, err, os.Remove(f.Dir()+"/a"))
	if err := os.WriteFile(f.Dir()+"/b", []byte("y"), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("beside a removed file that is open: %v, want ENOSPC", err)
	}
	must(t, h.Close()) // frees it at once, whenever the kernel says so
	must(t, os.WriteFile(f.Dir()+"/b", []byte("y"), 0o600))
	f.Limit(1)
	if err := os.WriteFile(f.Dir()+"/c", []byte("y"), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("below what is used: %v, want ENOSPC", err)
	}
	f.Limit(0)
	must(t, os.WriteFile(f.Dir()+"/c", []byte("y"), 0o600))
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// TestCutAtEveryChange cuts at the first change, the second, and so on: each of
// them fails, and the file that was synced before is whole.
func TestCutAtEveryChange(t *testing.T) {
	f := flashtest.Insert(t, t.TempDir(), flash.Opts{})
	put(t, f.Dir()+"/a", "old", "file", "folder")
	for n := 1; ; n++ {
		f.CutAfter(n, uint64(n))
		err := replace(f.Dir(), "new")
		f.Restore()
		if err == nil {
			if n < 6 { // create, write, sync, rename, sync
				t.Errorf("only %d changes were cut", n-1)
			}
			break
		}
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("change %d: %v, want EIO", n, err)
		}
		if got, err := os.ReadFile(f.Dir() + "/a"); err != nil || string(got) != "old" && string(got) != "new" {
			t.Fatalf("cut at change %d: %q, %v", n, got, err)
		}
	}
	if got := look(t, f.Dir()); got != "a=new" {
		t.Errorf("at the end there is %q, want a=new", got)
	}
}

// replace writes the file a by the book.
func replace(dir, text string) error {
	b, err := os.Create(dir + "/b")
	if err != nil {
		return err
	}
	_, werr := b.WriteString(text)
	serr := b.Sync()
	if err := errors.Join(werr, serr, b.Close()); err != nil {
		return err
	}
	if err := os.Rename(dir+"/b", dir+"/a"); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// TestSameSeedSameCard: what a seed has found can be found again.
func TestSameSeedSameCard(t *testing.T) {
	after := func(seed uint64) string {
		f := flashtest.Insert(t, t.TempDir(), flash.Opts{})
		for n := range 8 {
			put(t, fmt.Sprintf("%s/%d", f.Dir(), n), sector("x")+sector("y"), "file", "folder")
			put(t, fmt.Sprintf("%s/%d", f.Dir(), n), sector("p")+sector("q"))
			must(t, os.Rename(fmt.Sprintf("%s/%d", f.Dir(), n), fmt.Sprintf("%s/%d-new", f.Dir(), n)))
		}
		f.Cut(seed)
		to := t.TempDir()
		must(t, f.Copy(to))
		return look(t, to)
	}
	differ := map[string]bool{}
	for seed := range uint64(5) {
		first, second := after(seed), after(seed)
		if first != second {
			t.Errorf("seed %d left %q and then %q", seed, first, second)
		}
		differ[first] = true
	}
	if len(differ) < 2 {
		t.Error("every seed leaves the same card")
	}
}
