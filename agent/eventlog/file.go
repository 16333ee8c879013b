package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/durable"
)

// file is what the log does with the present file.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Sync() error
}

// place is one file of the log, by its name.
type place struct {
	number        uint64
	month         string // 2026-11
	plain, packed bool   // in which forms it is there
}

const (
	packedEnd = ".gz"
	tempEnd   = ".new" // of a file that has no name yet
)

func (p place) name() string { return fmt.Sprintf("events-%06d-%s.log", p.number, p.month) }

// names are the files that p has.
func (p place) names() []string {
	var names []string
	if p.plain {
		names = append(names, p.name())
	}
	if p.packed {
		names = append(names, p.name()+packedEnd)
	}
	return names
}

// over reports whether wall lies outside the month of p. A clock that is set
// back by a little at the turn of a month does not begin a file.
func (p place) over(wall time.Time) bool {
	begin, err := time.Parse("2006-01", p.month)
	return err != nil || wall.Before(begin.Add(-24*time.Hour)) || !wall.Before(begin.AddDate(0, 1, 0))
}

// month names the month of a time; one that has no four-digit year, such as a
// broken clock may show, gets the name of none.
func month(wall time.Time) string {
	if y := wall.UTC().Year(); y < 0 || y > 9999 {
		return "0000-00"
	}
	return wall.UTC().Format("2006-01")
}

var fileName = regexp.MustCompile(`^events-(\d{6,18})-(\d{4}-\d{2})\.log(\.gz)?$`)

// list returns the files of the log in dir, the oldest first.
func list(dir string) ([]place, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []place
	for _, e := range entries {
		m := fileName.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		number, err := strconv.ParseUint(m[1], 10, 63)
		if err != nil {
			continue
		}
		p := place{number: number, month: m[2]}
		if i := slices.IndexFunc(all, func(q place) bool { return q.name() == p.name() }); i >= 0 {
			p = all[i]
			all = slices.Delete(all, i, i+1)
		}
		p.plain, p.packed = p.plain || m[3] == "", p.packed || m[3] != ""
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b place) int {
		switch {
		case a.number != b.number && a.number < b.number:
			return -1
		case a.number != b.number:
			return 1
		}
		return strings.Compare(a.month, b.month)
	})
	return all, nil
}

// sweep throws away what was never named.
func sweep(dir string) error {
	temps, err := filepath.Glob(filepath.Join(escape(dir), "events-*"+tempEnd))
	if err != nil {
		return err
	}
	for _, path := range temps {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// escape makes a path that holds *, ? or [ match itself only.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// mend cuts off what stands behind the last line of the file at path, makes the
// rest durable, and returns its length.
func mend(path string) (int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	good, err := lastLine(f, fi.Size())
	if err != nil {
		return 0, err
	}
	if good < fi.Size() {
		if err := f.Truncate(good); err != nil {
			return 0, err
		}
	}
	// What is read here may not be on the disk yet: an agent was killed between
	// its write and its sync, and the queue is about to be told that it is there.
	return good, f.Sync()
}

// lastLine returns the place behind the last LF in the first size bytes of f.
func lastLine(f io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		begin := max(0, end-int64(len(buf)))
		part := buf[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return begin + int64(i) + 1, nil
		}
		end = begin
	}
	return 0, nil
}

// makeDir makes dir, and makes it durable in the folder above.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}
