package trust_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// errCut is what the disk says after the power was cut.
var errCut = errors.New("the power is cut")

// disk remembers what would be on the medium if the power were cut now: of a
// file what was synced, of a folder the names that were synced. It makes the
// nth operation fail, and all after it.
type disk struct {
	t      *testing.T
	dir    string
	cut    int  // the operation that fails; 0: none
	once   bool // only that one: the disk was full for a moment
	n      int
	synced map[string][]byte            // temporary files by name
	names  map[string]map[string][]byte // renames by folder, not synced yet
	image  map[string][]byte            // what is on the medium
	temp   string
}

// seenWorlds leaves out what an earlier cut left just so, but for half-written
// files; every fifth is looked at all the same.
type seenWorlds map[string]map[string][]byte

func (w seenWorlds) again(t *testing.T, cut int, world, dir string) bool {
	t.Helper()
	files := filesIn(t, dir, ".")
	maps.DeleteFunc(files, func(name string, _ []byte) bool { return strings.Contains(name, ".tmp-") })
	same := maps.EqualFunc(files, w[world], bytes.Equal)
	w[world] = files
	return same && cut%5 != 0
}

func newDisk(t *testing.T, dir string) *disk {
	return &disk{t: t, dir: dir, synced: map[string][]byte{}, names: map[string]map[string][]byte{}, image: filesIn(t, dir, ".")}
}

func (d *disk) hook(op, file string) error {
	d.n++
	if d.cut > 0 && (d.n == d.cut || d.n > d.cut && !d.once) {
		return errCut
	}
	rel, err := filepath.Rel(d.dir, file)
	if err != nil {
		d.t.Fatal(err)
	}
	dir := filepath.Dir(rel)
	switch op {
	case "write":
		d.temp = rel
		delete(d.synced, rel)
	case "sync":
		data, err := os.ReadFile(file)
		if err != nil {
			d.t.Fatal(err)
		}
		d.synced[rel] = data
	case "rename":
		d.pending(dir)[rel] = append([]byte{}, d.synced[d.temp]...) // nothing, if nobody synced it
	case "remove":
		d.pending(dir)[rel] = nil
	case "syncdir":
		for name, data := range d.names[rel] {
			if data == nil {
				delete(d.image, name)
			} else {
				d.image[name] = data
			}
		}
		delete(d.names, rel)
	}
	return nil
}

func (d *disk) pending(dir string) map[string][]byte {
	if d.names[dir] == nil {
		d.names[dir] = map[string][]byte{}
	}
	return d.names[dir]
}

// worlds are what the next start may find: all that was written, or only what
// was synced.
func (d *disk) worlds(t *testing.T) map[string]string {
	t.Helper()
	synced := t.TempDir()
	put(t, synced, d.image)
	return map[string]string{"all that was written": d.dir, "only what was synced": synced}
}

// TestPowerCut cuts the power at each operation of a refresh that brings a new
// root and a new policy. Afterwards the old set or the new one is there, whole,
// and nothing is called damage.
func TestPowerCut(t *testing.T) {
	r := kioskRepo(t)
	c := newKiosk(t, r)
	c.ok("first refresh")
	before := filesIn(t, c.dir, ".")
	r.addKey("root")
	r.artifact("policy", "policy/office.1.yaml", []byte("id: office # new\n"))
	r.publish("root", "policy", "targets", "snapshot", "timestamp")
	seen := seenWorlds{}
	for cut := 1; ; cut += stride {
		c.dir = t.TempDir()
		put(t, c.dir, before)
		d := newDisk(t, c.dir)
		s, err := trust.OpenHooked(c.dir, c.o, d.hook)
		if err != nil {
			t.Fatal(err)
		}
		d.cut = d.n + cut
		_, err = s.Refresh(t.Context(), r.sources(), now)
		if err != nil && !errors.Is(err, errCut) {
			t.Fatalf("operation %d: %v", cut, err)
		}
		for world, dir := range d.worlds(t) {
			if err != nil && seen.again(t, cut, world, dir) {
				continue
			}
			c.dir = dir
			s := c.open()
			if got, want := policyOf(t, s), map[int64]string{2: "id: office\n", 3: "id: office # new\n"}; got != want[s.State(now, now).Roles["timestamp"].Version] {
				t.Errorf("operation %d, %s: timestamp %d with the policy %q", cut, world, s.State(now, now).Roles["timestamp"].Version, got)
			}
			if len(s.Damage()) != 0 {
				t.Errorf("operation %d, %s: damage %v", cut, world, s.Damage())
			}
			if err == nil && s.State(now, now).Roles["timestamp"].Version != 3 {
				t.Errorf("operation %d, %s: the refresh said that it was done", cut, world)
			}
			if cut%8 == 0 {
				c.ok("the power is back")
				if got := policyOf(t, c.open()); got != "id: office # new\n" {
					t.Errorf("operation %d, %s: after another refresh %q", cut, world, got)
				}
			}
		}
		if err == nil && d.n < d.cut {
			if cut < 40 {
				t.Errorf("a refresh took only %d operations", cut)
			}
			return
		}
	}
}

func policyOf(t *testing.T, s *trust.Store) string {
	t.Helper()
	data, _, err := s.Target("policy/office.1.yaml")
	if err != nil {
		t.Errorf("the policy is not there: %v", err)
	}
	return string(data)
}

// TestDiskFull makes one operation fail: the refresh says so, the old set stays
// in use, and the next refresh succeeds.
func TestDiskFull(t *testing.T) {
	r := kioskRepo(t)
	c := newKiosk(t, r)
	c.ok("first refresh")
	before := filesIn(t, c.dir, ".")
	r.artifact("policy", "policy/office.1.yaml", []byte("id: office # new\n"))
	r.publish("policy", "targets", "snapshot", "timestamp")
	for cut := 1; ; cut += 2 * stride {
		c.dir = t.TempDir()
		put(t, c.dir, before)
		d := newDisk(t, c.dir)
		s, err := trust.OpenHooked(c.dir, c.o, d.hook)
		if err != nil {
			t.Fatal(err)
		}
		d.cut, d.once = d.n+cut, true
		if _, err = s.Refresh(t.Context(), r.sources(), now); err != nil && !errors.Is(err, errCut) {
			t.Fatalf("operation %d: %v", cut, err)
		}
		version := s.State(now, now).Roles["timestamp"].Version
		if got, want := policyOf(t, s), map[int64]string{2: "id: office\n", 3: "id: office # new\n"}; got != want[version] {
			t.Errorf("operation %d: timestamp %d with the policy %q", cut, version, got)
		}
		if _, err := s.Refresh(t.Context(), r.sources(), now); err != nil {
			t.Errorf("operation %d: the next refresh: %v", cut, err)
		}
		if got := policyOf(t, s); got != "id: office # new\n" {
			t.Errorf("operation %d: after the next refresh %q", cut, got)
		}
		for name := range filesIn(t, c.dir, ".") {
			if strings.Contains(name, ".tmp-") {
				t.Errorf("operation %d: %s was left behind", cut, name)
			}
		}
		if d.cut > d.n {
			return
		}
	}
}
