package simulator_test

import (
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// law says which rooms of ours a room may import. It is policy: a change of
// the plan changes ARCHITECTURE.md and this table in one step; a build that
// fails because of it is mended in the code. A room that is not in the table
// fails the test. Only non-test sources count.
//
// "drivers/X" and "simulator/X" stand for every room of that folder that has
// no line of its own.
var law = map[string][]string{
	"hal":                        {},
	"hal/wire":                   {"hal"},
	"hal/haltest":                {"hal"},
	"configs":                    {"configs/nearest", "configs/policies"},
	"configs/nearest":            {},
	"configs/policies":           {},
	"drivers/transcript":         {},
	"drivers/linecode":           {},
	"drivers/pulse":              {"hal"},
	"drivers/host":               {"hal", "hal/wire"},
	"drivers/X":                  {"hal", "hal/wire", "drivers/linecode", "drivers/pulse"},
	"drivers":                    {"configs", "hal", "hal/wire", "drivers/X", "drivers/host", "drivers/pulse"},
	"agent/checkin":              {},
	"agent/signed":               {},
	"agent/trust":                {"agent/signed", "agent/statuslist", "agent/trust/feed"},
	"agent/trust/feed":           {"agent/signed"},
	"agent/catalogue":            {},
	"agent/statuslist":           {},
	"agent/backend/api":          {},
	"agent/clock":                {"agent/checkin", "agent/durable"},
	"agent/policy":               {"agent/checkin", "configs/nearest"},
	"agent/credential":           {"agent/checkin", "agent/signed"},
	"agent/scrub":                {},
	"agent/verify":               {"agent/checkin", "agent/scrub", "agent/statuslist", "agent/trust", "agent/trust/feed"},
	"agent/durable":              {},
	"agent/queue":                {"agent/checkin", "agent/durable"},
	"agent/eventlog":             {"agent/checkin", "agent/durable"},
	"agent/wipe":                 {"agent/checkin", "agent/durable", "agent/eventlog", "agent/signed"},
	"agent/screen":               {"agent/checkin", "agent/catalogue"},
	"agent/backend":              {"agent/checkin", "agent/signed", "agent/backend/api", "agent/clock"},
	"agent":                      {"hal", "agent/*"},
	"agent/cmd/kiosk":            {"agent", "agent/*", "configs", "drivers", "drivers/host"},
	"agent/cmd/sentinel":         {"agent", "agent/*", "agent/cmd/kiosk", "configs", "configs/policies", "drivers", "drivers/host", "drivers/X", "hal"},
	"simulator/fault":            {},
	"simulator/X":                {"simulator/fault"},
	"simulator/flash":            {},
	"simulator/flash/flashtest":  {"simulator/flash"},
	"simulator/netfault":         {},
	"simulator/front":            {"simulator/fault"},
	"simulator/backend":          {"agent/checkin", "agent/signed", "agent/credential", "agent/statuslist", "agent/trust/feed", "agent/backend/api", "agent/clock", "agent/durable"},
	"simulator/authority":        {"agent/checkin", "agent/durable"},
	"simulator/crowd":            {"agent/checkin", "agent/queue", "agent/backend", "simulator/backend"},
	"simulator":                  {"*"},
	"simulator/cmd/sentinel-sim": {"*"},
}

// foreign says which rooms may import a module of others, and why. A prefix
// ending in / covers the packages below it.
var foreign = map[string]struct {
	rooms []string
	why   string
}{
	"periph.io/x/conn/v3":               {[]string{"hal", "hal/haltest", "drivers", "drivers/*", "agent", "agent/checkin", "agent/policy", "simulator", "simulator/*", "agent/cmd/kiosk", "agent/cmd/sentinel"}, "device interfaces and units as types"},
	"periph.io/x/host/v3":               {[]string{"drivers/host"}, "the kernel's I²C buses"},
	"go.bug.st/serial":                  {[]string{"drivers/host"}, "serial ports"},
	"github.com/warthog618/go-gpiocdev": {[]string{"drivers/host"}, "GPIO lines with a defined first level"},
	"golang.org/x/sys":                  {[]string{"drivers/host", "simulator/front"}, "ioctls that no library has; pseudo-terminals on the bench"},
	"github.com/makiuchi-d/gozxing":     {[]string{"drivers/camqr", "simulator/camqr"}, "pictures to codes"},
	"go.etcd.io/bbolt":                  {[]string{"agent/queue", "simulator/backend"}, "records on disk"},
	"filippo.io/age":                    {[]string{"agent/queue", "simulator/authority", "simulator/backend", "simulator", "simulator/crowd"}, "identities sealed to the authority"},
	"golang.org/x/text":                 {[]string{"drivers/syn6288", "simulator/syn6288", "agent/credential", "agent/catalogue"}, "GBK"},
	"github.com/fxamacker/cbor/v2":      {[]string{"agent/signed"}, "strict CBOR"},
	"github.com/veraison/go-cose":       {[]string{"agent/signed"}, "COSE_Sign1"},
	"go.yaml.in/yaml/v3":                {[]string{"configs", "agent/policy", "agent/catalogue"}, "what operators write"},
	"github.com/spf13/cobra":            {[]string{"agent/cmd/sentinel", "simulator/cmd/sentinel-sim"}, "command line"},
	"github.com/google/uuid":            {[]string{"agent", "agent/clock", "agent/queue"}, "ids for people"},
	"github.com/cenkalti/backoff/v5":    {[]string{"agent/queue"}, "retries with jitter"},
	"github.com/google/renameio/v2":     {[]string{"agent/durable", "simulator"}, "files replaced whole"},
	"github.com/coreos/go-systemd/v22":  {[]string{"agent/cmd/sentinel"}, "readiness for the unit"},
	"github.com/hanwen/go-fuse/v2":      {[]string{"simulator/flash"}, "a bad flash card that can be mounted, on the bench only"},
	"github.com/skip2/go-qrcode":        {[]string{"simulator", "simulator/camqr", "simulator/cmd/sentinel-sim"}, "codes as pictures, on the bench only"},

	"github.com/theupdateframework/go-tuf/v2": {[]string{"agent/trust", "simulator/backend"}, "every check of TUF metadata, and its writing half"},
	"github.com/sigstore/sigstore":            {[]string{"simulator/backend"}, "the keys with which go-tuf signs"},
}

// denied is what the pure rooms never see.
var denied = []string{"os", "os/exec", "net", "net/http", "log", "log/slog", "syscall"}

var pure = []string{"agent/checkin", "agent/statuslist", "agent/credential", "agent/signed", "agent/catalogue", "agent/policy", "agent/trust/feed"}

const module = "github.com/digital-sentinel/sentinel"

// room is one folder with its imports and the identifiers time.X it uses.
type room struct {
	imports map[string]string // import path: file
	clock   string            // a file that calls time.Now, if any
}

// rooms parses the non-test sources of the whole tree.
func rooms(t *testing.T) map[string]*room {
	t.Helper()
	found := map[string]*room{}
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != "." || d.Name() == "testdata" || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go"):
			return nil
		}
		dir := path.Dir(p)
		if found[dir] == nil {
			found[dir] = &room{imports: map[string]string{}}
		}
		src, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		if strings.Contains(string(src), "time.Now(") {
			found[dir].clock = p
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			ip, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[dir].imports[ip] = p
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// row returns the law for a room.
func row(name string) ([]string, bool) {
	if r, ok := law[name]; ok {
		return r, true
	}
	for _, wing := range []string{"drivers/", "simulator/"} {
		if rest, ok := strings.CutPrefix(name, wing); ok && !strings.Contains(rest, "/") {
			return law[wing+"X"], true
		}
	}
	return nil, false
}

// allowed reports whether a list of rooms covers name.
func allowed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(r string) bool {
		switch {
		case r == "*" || r == name:
			return true
		case strings.HasSuffix(r, "/*"):
			return strings.HasPrefix(name, strings.TrimSuffix(r, "*")) && !strings.Contains(name, "/cmd/")
		case strings.HasSuffix(r, "/X"):
			wing := strings.TrimSuffix(r, "X")
			_, own := law[name]
			return strings.HasPrefix(name, wing) && !own
		}
		return false
	})
}

func TestLawOfImports(t *testing.T) {
	all := rooms(t)
	if len(all) < 10 {
		t.Fatalf("only %d rooms found: the walk is broken", len(all))
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		may, ok := row(name)
		if !ok {
			t.Errorf("room %s has no line in the law", name)
			continue
		}
		for ip, file := range all[name].imports {
			if ip == "C" {
				t.Errorf("%s uses cgo", file)
			}
			if other, ours := strings.CutPrefix(ip, module+"/"); ours {
				switch {
				case strings.Contains(other, "/cmd/") && other != "agent/cmd/kiosk":
					t.Errorf("%s imports the main %s", file, other)
				case strings.HasPrefix(other, "simulator") && !strings.HasPrefix(name, "simulator"):
					t.Errorf("%s imports %s: the product must not know the simulator", file, other)
				case !allowed(may, other):
					t.Errorf("%s: %s may not import %s", file, name, other)
				}
				continue
			}
			if strings.Contains(strings.SplitN(ip, "/", 2)[0], ".") {
				checkForeign(t, name, ip, file)
			}
		}
	}
}

func checkForeign(t *testing.T, name, ip, file string) {
	t.Helper()
	for mod, m := range foreign {
		if ip == mod || strings.HasPrefix(ip, mod+"/") {
			if !allowed(m.rooms, name) {
				t.Errorf("%s: %s may not import %s (it is for: %s)", file, name, ip, m.why)
			}
			return
		}
	}
	t.Errorf("%s imports %s, which is in no line of the table of foreign modules", file, ip)
}

func TestPureRoomsStayPure(t *testing.T) {
	all := rooms(t)
	for _, name := range pure {
		r, ok := all[name]
		if !ok {
			t.Errorf("pure room %s is not there", name)
			continue
		}
		for _, bad := range denied {
			if file, ok := r.imports[bad]; ok {
				t.Errorf("%s imports %s: %s is pure", file, bad, name)
			}
		}
		if r.clock != "" {
			t.Errorf("%s calls time.Now: %s is pure, the time is an argument", r.clock, name)
		}
	}
}

// single lists rooms of drivers and simulator that have no twin.
var single = []string{
	"drivers/host", "drivers/transcript", "drivers/linecode", "drivers/pulse",
	"simulator/front", "simulator/fault", "simulator/backend", "simulator/authority", "simulator/crowd", "simulator/cmd",
	"simulator/flash", "simulator/netfault",
}

// TestMirror: every driver has a far end of the same name, and the reverse.
func TestMirror(t *testing.T) {
	far, near := folders(t, "../simulator"), folders(t, "../drivers")
	for name := range near {
		if !far[name] && !slices.Contains(single, "drivers/"+name) {
			t.Errorf("drivers/%s has no twin simulator/%s", name, name)
		}
	}
	for name := range far {
		if !near[name] && !slices.Contains(single, "simulator/"+name) {
			t.Errorf("simulator/%s has no twin drivers/%s", name, name)
		}
	}
	if !folders(t, "../agent")["backend"] || !far["backend"] {
		t.Error("agent/backend and simulator/backend are twins; one is missing")
	}
}

func folders(t *testing.T, dir string) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(filepath.FromSlash(dir))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "testdata" && e.Name() != "static" {
			found[e.Name()] = true
		}
	}
	return found
}

// update rewrites the picture in ARCHITECTURE.md.
var update = flag.Bool("update", false, "rewrite the picture of the house in ARCHITECTURE.md")

// TestPicture keeps the picture of the house in ARCHITECTURE.md what the
// imports say: each room, and the rooms of ours that it knows.
func TestPicture(t *testing.T) {
	const begin, end = "<!-- picture -->\n", "<!-- /picture -->"
	page, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(page), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("ARCHITECTURE.md has no place for the picture")
	}
	now := "```\n" + picture(rooms(t)) + "```\n"
	if now == old {
		return
	}
	if !*update {
		t.Fatal("the picture in ARCHITECTURE.md is out of date: go test ./simulator -run Picture -update")
	}
	if err := os.WriteFile("../ARCHITECTURE.md", []byte(before+begin+now+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// picture draws a line for each room.
func picture(all map[string]*room) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var known []string
		for ip := range all[name].imports {
			if other, ours := strings.CutPrefix(ip, module+"/"); ours {
				known = append(known, other)
			}
		}
		slices.Sort(known)
		for i, k := range known {
			known[i] = strings.Replace(k, name+"/", "./", 1)
		}
		parent, depth := name, 0
		for p := path.Dir(name); p != "."; p = path.Dir(p) {
			if all[p] == nil {
				continue
			}
			if depth == 0 {
				parent = p
			}
			depth++
		}
		label := strings.Repeat("  ", depth) + strings.TrimPrefix(name, parent+"/")
		if len(known) == 0 {
			fmt.Fprintf(&b, "%-18s ·\n", label)
			continue
		}
		fmt.Fprintf(&b, "%-18s → %s\n", label, strings.Join(known, " "))
	}
	return b.String()
}
