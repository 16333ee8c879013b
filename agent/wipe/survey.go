package wipe

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/digital-sentinel/sentinel/agent/eventlog"
)

// survey is what is in the state folder.
type survey struct {
	removed []File
	kept    []Kept
	folders []string        // the deepest first
	stays   map[string]bool // folders that hold something that stays
}

// goes says which files go, by the first part of their names.
var goes = []struct{ pattern, what string }{
	{"q-*", "queue"}, {"queue.*", "queue"}, {"reserve*", "the queue's reserve of room"},
	{"trust", "signed cache"}, {"codes-used*", "codes that were used"},
	{"screen.url*", "address of the screen"}, {"*.sock", "socket"}, {".check", "probe"},
	{"core", "dump"}, {"core.*", "dump"}, {"*.core", "dump"}, {"*.dump", "dump"}, {"*.heap", "dump"},
	{"*.prof", "dump"}, {"*.pprof", "dump"}, {"*.trace", "dump"}, {"heapdump*", "dump"},
	{"." + marker + "*", "half a marker"}, {".clock.json*", "half a file"}, {".policy-accepted.yaml*", "half a file"},
	{".fire*", "half a file"}, {".codes-used*", "half a file"}, {".screen.url*", "half a file"},
}

// staysHere are files that are the machine's, and why they stay.
var staysHere = map[string]string{
	"queue.lock":           "the queue's lock, which is empty",
	"clock.json":           "the time that is known",
	"policy-accepted.yaml": "the accepted policy",
	"fire":                 "a fire that was not reset",
}

// survey looks at every file, and decides as s says.
func (w *wiper) survey(s *Statement) (survey, error) {
	found := survey{stays: map[string]bool{}}
	named, err := w.named()
	if err != nil {
		return found, err
	}
	var unknown []string
	err = fs.WalkDir(w.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			found.folders = append(found.folders, name)
			return nil
		case name == marker:
			return nil
		}
		what, why := fate(name, s)
		switch {
		case named[name] != "":
			what, why = "", named[name]
		case what == "" && why == "" && s.Unknown == "":
			unknown = append(unknown, name)
			return nil
		case what == "" && why == "" && s.Unknown == KeepUnknown:
			why = "not the sentinel's; the operator keeps it"
		case what == "" && why == "":
			what = "not the sentinel's"
		}
		if why != "" {
			found.keep(name, why)
			return nil
		}
		f, err := w.look(name, what, d)
		found.removed = append(found.removed, f)
		return err
	})
	if err != nil {
		return found, fmt.Errorf("looking through the state folder: %w", err)
	}
	if len(unknown) > 0 {
		return found, fmt.Errorf("%w: %s; say --unknown=remove or --unknown=keep", ErrUnknown, strings.Join(first(unknown, 10), ", "))
	}
	slices.Reverse(found.folders) // WalkDir tells a folder before what is in it
	return found, nil
}

func (v *survey) keep(name, why string) {
	v.kept = append(v.kept, Kept{name, why})
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		v.stays[dir] = true
	}
}

// fate is what a file is if it goes, or why it stays; neither if it is unknown.
func fate(name string, s *Statement) (what, why string) {
	top, _, _ := strings.Cut(name, "/")
	if top == eventlog.Folder {
		if s.Events {
			return "event log", ""
		}
		return "", "the event log: the law may want it for half a year"
	}
	if name == top && staysHere[name] != "" {
		return "", staysHere[name]
	}
	for _, g := range goes {
		if ok, _ := path.Match(g.pattern, top); ok {
			return g.what, ""
		}
	}
	return "", ""
}

// named are the files in the folder that the configuration names.
func (w *wiper) named() (map[string]string, error) {
	dir, err := resolve(w.o.Dir)
	if err != nil {
		return nil, err
	}
	named := map[string]string{}
	for _, p := range w.o.Keep {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		// By its own name and by what that leads to: neither may go.
		for _, leads := range []func(string) (string, error){filepath.EvalSymlinks, parentResolved} {
			at, err := leads(abs)
			if err != nil {
				continue // it is not there
			}
			if rel, err := filepath.Rel(dir, at); err == nil && filepath.IsLocal(rel) {
				named[filepath.ToSlash(rel)] = "the configuration names it"
			}
		}
	}
	return named, nil
}

// parentResolved resolves the folder of path and not its last part.
func parentResolved(p string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(p))
	return filepath.Join(dir, filepath.Base(p)), err
}

// look takes size and sum of what will go. What cannot be read goes all the
// same, and the certificate says that nobody knows what it was.
func (w *wiper) look(name, what string, d fs.DirEntry) (File, error) {
	f := File{Name: name, What: what}
	fi, err := d.Info()
	if err != nil {
		return f, err
	}
	if !fi.Mode().IsRegular() {
		f.Note = "no file: " + fi.Mode().Type().String()
		return f, nil
	}
	f.Size = fi.Size()
	in, err := w.root.Open(name)
	if err != nil {
		f.Note = "it could not be read"
		return f, nil
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		f.Note = "it could not be read to its end"
		return f, nil
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return f, nil
}

// first are the first n names, and how many more there are.
func first(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	return append(slices.Clone(names[:n]), fmt.Sprintf("and %d more", len(names)-n))
}
