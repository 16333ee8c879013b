package simulator_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestRequirementsPage holds docs/requirements.md to the tree: every item
// once, in a state there is, and no file or test named that is not there.
func TestRequirementsPage(t *testing.T) {
	root := os.DirFS("..")
	page, err := fs.ReadFile(root, "docs/requirements.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t, root)
	next := 1
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 2 {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(cells[1]))
		if err != nil {
			continue
		}
		if n != next || len(cells) != 6 {
			t.Fatalf("item %d in %d cells, want item %d in 4", n, len(cells)-2, next)
		}
		next++
		switch state := strings.TrimSpace(cells[3]); state {
		case "met", "part", "later", "no", "not ours":
			if state == "met" && !strings.Contains(cells[4], "`") && !strings.Contains(cells[4], "see ") {
				t.Errorf("item %d is met, and nothing is named", n)
			}
		default:
			t.Errorf("item %d is %q", n, state)
		}
		for _, what := range missing(root, tests, cells[4]) {
			t.Errorf("item %d names %s, which is not there", n, what)
		}
	}
	if next != 91 {
		t.Errorf("%d items, the facts have 90", next-1)
	}
}

var quoted = regexp.MustCompile("`([^`]+)`")

// missing lists the files and tests that text names and that are not there.
func missing(root fs.FS, tests map[string]bool, text string) []string {
	var gone []string
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		name, file := m[1], m[1]
		switch {
		case strings.HasPrefix(name, "Test"):
			if !tests[name] {
				gone = append(gone, name)
			}
			continue
		case strings.HasSuffix(name, ".txt"):
			file = path.Join("simulator/testdata", name)
		case !strings.Contains(name, "/"):
			continue
		}
		if _, err := fs.Stat(root, file); err != nil {
			gone = append(gone, file)
		}
	}
	return gone
}

// testNames lists every test of the tree.
func testNames(t *testing.T, root fs.FS) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != "." || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, "_test.go"):
			return nil
		}
		src, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		for _, m := range declared.FindAllStringSubmatch(string(src), -1) {
			names[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A page that names what is not there is found out.
func TestRequirementsMissing(t *testing.T) {
	tests := map[string]bool{"TestBand": true}
	text := "`granted-by-code.txt`, `TestBand`, `agent/lane.go`, `agent`, `from`; `no-such.txt`, `TestNothing`, `agent/none.go`"
	got := strings.Join(missing(os.DirFS(".."), tests, text), " ")
	if want := "simulator/testdata/no-such.txt TestNothing agent/none.go"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
