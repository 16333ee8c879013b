package trust_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// filesIn reads the files below a folder of a store, by path.
func filesIn(t testing.TB, dir, below string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(filepath.Join(dir, below), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, p)
		files[name], err = os.ReadFile(p)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

func put(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// rotated is a repository with two roots, refreshed into a folder.
func rotated(t testing.TB) (*repo, *client) {
	r := kioskRepo(t)
	r.addKey("root")
	r.publish("root")
	c := newKiosk(t, r)
	c.ok("refresh")
	return r, c
}

// TestDamagedFiles bends, cuts, empties and removes each file of the store in
// turn: it opens, says so, uses nothing wrong, and is whole after a refresh.
func TestDamagedFiles(t *testing.T) {
	r, c := rotated(t)
	good := filesIn(t, c.dir, ".")
	harms := map[string]func([]byte) []byte{
		"bent":      func(b []byte) []byte { b[len(b)/2] ^= 0x04; return b },
		"cut short": func(b []byte) []byte { return b[:len(b)/2] },
		"too long":  func(b []byte) []byte { return append(b, bytes.Repeat([]byte("x"), 100)...) },
		"removed":   nil,
	}
	if stride > 1 {
		delete(harms, "cut short")
		delete(harms, "too long")
	}
	for _, name := range oneOfEachKind(good) {
		for harm, f := range harms {
			t.Run(name+" is "+harm, func(t *testing.T) {
				c.dir = t.TempDir()
				put(t, c.dir, good)
				if f == nil {
					if err := os.Remove(filepath.Join(c.dir, name)); err != nil {
						t.Fatal(err)
					}
				} else {
					put(t, c.dir, map[string][]byte{name: f(bytes.Clone(good[name]))})
				}
				s := c.open()
				believesOnly(t, s, "id: office\n")
				if st := s.State(now, now); !st.Whole {
					t.Errorf("one file cost the whole set; damage %v", s.Damage())
				}
				told := f == nil || name == "root.json" || len(s.Damage()) > 0
				if !told {
					t.Error("nobody was told")
				}
				c.ok("refresh")
				if s := c.open(); len(s.Damage()) != 0 || !wholeOf(s) {
					t.Errorf("after a refresh: damage %v, whole %v", s.Damage(), wholeOf(s))
				}
				if got := filesIn(t, c.dir, "quarantine"); told && f != nil && name != "root.json" && len(got) < 2 {
					t.Errorf("set aside: %v", slices.Sorted(maps.Keys(got)))
				}
			})
		}
	}
	_ = r
}

// oneOfEachKind leaves out files that are like another.
func oneOfEachKind(files map[string][]byte) (names []string) {
	targets := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(name, "targets/") {
			if targets++; targets > 1 {
				continue
			}
		}
		if name != "issuers.json" && name != "status.json" {
			names = append(names, name)
		}
	}
	return names
}

// believesOnly checks that a policy is read as one of these, or not at all.
func believesOnly(t testing.TB, s *trust.Store, texts ...string) {
	t.Helper()
	data, _, err := s.Target("policy/office.1.yaml")
	if err == nil && !slices.Contains(texts, string(data)) {
		t.Errorf("a policy that nobody signed: %q", data)
	}
}

// wholeOf reports whether everything can be read.
func wholeOf(s *trust.Store) bool {
	for _, name := range s.Targets("") {
		if _, _, err := s.Target(name); err != nil && !strings.HasSuffix(name, ".snap") {
			return false
		}
	}
	return s.State(now, now).Whole
}

// TestFilesPutBack swaps each file with its older, correctly signed version.
func TestFilesPutBack(t *testing.T) {
	r, c := rotated(t)
	older := filesIn(t, c.dir, ".")
	r.artifact("policy", "policy/office.1.yaml", []byte("id: office # new\n"))
	r.kiosk()
	c.ok("second refresh")
	newer := filesIn(t, c.dir, ".")
	for name := range older {
		if bytes.Equal(older[name], newer[name]) || newer[name] == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c.dir = t.TempDir()
			put(t, c.dir, newer)
			put(t, c.dir, map[string][]byte{name: older[name]})
			s := c.open()
			data, _, err := s.Target("policy/office.1.yaml")
			if err != nil || string(data) != "id: office # new\n" {
				t.Errorf("the policy is %q: %v", data, err)
			}
			if name != "floor" && len(s.Damage()) == 0 {
				t.Error("nobody was told")
			}
			r.published["timestamp"], newer["timestamp"] = r.published["timestamp"][:2], nil
			defer func() { r.published["timestamp"] = append(r.published["timestamp"], newer["timestamp.json"]) }()
			if _, err := s.Refresh(t.Context(), r.sources(), now); !errors.Is(err, trust.ErrRefused) {
				t.Errorf("a repository put back as well: %v", err)
			}
		})
	}
}

// TestFilesOfAnotherKiosk: of another installation, with other keys.
func TestFilesOfAnotherKiosk(t *testing.T) {
	_, c := rotated(t)
	_, other := rotated(t)
	mine, theirs := filesIn(t, c.dir, "."), filesIn(t, other.dir, ".")
	for _, name := range oneOfEachKind(mine) {
		t.Run(name, func(t *testing.T) {
			c.dir = t.TempDir()
			put(t, c.dir, mine)
			put(t, c.dir, map[string][]byte{name: theirs[name]})
			s := c.open()
			believesOnly(t, s, "id: office\n")
			if !s.State(now, now).Whole {
				t.Errorf("one file cost the whole set; damage %v", s.Damage())
			}
			c.ok("refresh")
		})
	}
	t.Run("all of them", func(t *testing.T) {
		c.dir = t.TempDir()
		put(t, c.dir, theirs)
		s := c.open()
		if s.State(now, now).Whole || len(s.Damage()) == 0 {
			t.Errorf("state %+v, damage %v", s.State(now, now), s.Damage())
		}
		c.ok("refresh")
		if !wholeOf(c.open()) {
			t.Error("not whole after a refresh")
		}
	})
}

// TestDamageIsFoundWhileWeRun: a target goes bad under an open store.
func TestDamageIsFoundWhileWeRun(t *testing.T) {
	r, c := rotated(t)
	s := c.open()
	for name := range filesIn(t, c.dir, "targets") {
		put(t, c.dir, map[string][]byte{name: []byte("id: evil\n")})
	}
	if _, _, err := s.Target("policy/office.1.yaml"); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("Target: %v", err)
	}
	if len(s.Damage()) != 1 {
		t.Errorf("damage: %v", s.Damage())
	}
	if _, err := s.Refresh(t.Context(), r.sources(), now); err != nil {
		t.Fatal(err)
	}
	if data, _, err := s.Target("policy/office.1.yaml"); err != nil || string(data) != "id: office\n" {
		t.Errorf("after a refresh: %q, %v", data, err)
	}
}

// TestQuarantineIsBounded: what is set aside must not fill the disk.
func TestQuarantineIsBounded(t *testing.T) {
	_, c := rotated(t)
	for range 30 {
		put(t, c.dir, map[string][]byte{"timestamp.json": []byte("evil"), "snapshot.json": []byte("evil")})
		c.open()
	}
	if got := len(filesIn(t, c.dir, "quarantine")); got > 40 {
		t.Errorf("%d files are set aside", got)
	}
}
