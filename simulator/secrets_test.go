package simulator_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf16"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// secret is something that may be left nowhere: a name, a number, a code.
type secret struct {
	what string // "name", "number", "code", "plate"
	whom string
	text string
}

// form is one way in which a piece of a secret could stand somewhere.
type form struct {
	secret *secret
	as     string // UTF-8, GBK, UTF-16, …
	bytes  []byte
}

// found is a place where a form stands.
type found struct {
	form *form
	at   string // a file and an offset, or a region of memory
	near string // what stands around it
}

// String tells what was found, and where.
func (f found) String() string {
	return fmt.Sprintf("the %s of %s as %s in %s: %q", f.form.secret.what, f.form.secret.whom, f.form.as, f.at, f.near)
}

// piece is how many characters of a secret give it away. What is masked shows
// fewer: three at the beginning, four at the end, the first of a name.
const piece = 10

// formsOf are the ways of a secret: whole or in part, in the encodings of the
// wires, of the language and of the disk.
func formsOf(s *secret) (all []form) {
	runes := []rune(s.text)
	var pieces []string
	if s.what == "name" {
		pieces = []string{string(runes[1:])} // the first is shown on purpose: 张*
	} else {
		for at := 0; at < len(runes); at += 4 {
			end := min(at+piece, len(runes))
			pieces = append(pieces, string(runes[max(0, end-piece):end]))
		}
	}
	slices.Sort(pieces)
	for _, p := range slices.Compact(pieces) {
		add := func(as string, b []byte) { all = append(all, form{s, as, b}) }
		add("UTF-8", []byte(p))
		add("UTF-16", utf16Of(p))
		wide := new(bytes.Buffer)
		_ = binary.Write(wide, binary.LittleEndian, []rune(p))
		add("UTF-32", wide.Bytes())
		if s.what != "code" {
			gbk, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte(p))
			if err == nil && !bytes.Equal(gbk, []byte(p)) {
				add("GBK", gbk)
			}
		}
		add("hex", []byte(hex.EncodeToString([]byte(p))))
		for lead := range 3 {
			// What does not depend on the bytes before and behind it.
			text := base64.RawStdEncoding.EncodeToString(append(make([]byte, lead), p...))
			add("base64", []byte(text[(lead*8+5)/6:(lead+len(p))*8/6]))
		}
	}
	return all
}

func utf16Of(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// search looks for many forms in one pass.
type search struct{ by [1 << 16][]*form }

func newSearch(secrets []secret) *search {
	s := new(search)
	for i := range secrets {
		for _, f := range formsOf(&secrets[i]) {
			first := binary.LittleEndian.Uint16(f.bytes)
			s.by[first] = append(s.by[first], &f)
		}
	}
	return s
}

// in returns where in data the forms stand.
func (s *search) in(data []byte, at string) (hits []found) {
	for i := range len(data) - 1 {
		for _, f := range s.by[uint16(data[i])|uint16(data[i+1])<<8] {
			if bytes.HasPrefix(data[i:], f.bytes) {
				near := data[max(0, i-48):min(len(data), i+len(f.bytes)+48)]
				hits = append(hits, found{f, fmt.Sprintf("%s+%#x", at, i), string(near)})
			}
		}
	}
	return hits
}

// folder looks into every byte of every file below dir, whatever it is, and at
// the files' names.
func (s *search) folder(t *testing.T, dir string) (hits []found, bytes int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil // delivered, and gone, while we looked
		}
		bytes += len(data)
		name := strings.TrimPrefix(path, dir)
		hits = append(append(hits, s.in(data, name)...), s.in([]byte(path), "the name "+name)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hits, bytes
}

// errNoMemory says that this machine does not let a parent look into its child.
var errNoMemory = errors.New("NOT AVAILABLE: the memory of the child process cannot be read here (ptrace_scope, or a container without it)")

// memory looks into everything that a process has in its memory, while it
// stands still: heap, stacks, mapped files, sockets' buffers of the program.
func (s *search) memory(t *testing.T, pid int) (hits []found, bytes int, _ error) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, 0, errNoMemory
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, 0, errNoMemory
	}
	defer mem.Close()
	for lines := bufio.NewScanner(strings.NewReader(string(maps))); lines.Scan(); {
		var from, to uint64
		var rights, name string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &rights); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if f := strings.Fields(lines.Text()); len(f) > 5 {
			name = f[5]
		}
		if rights[0] != 'r' || strings.HasPrefix(name, "[v") {
			continue // the kernel's own pages
		}
		region := make([]byte, to-from)
		n, err := io.ReadFull(io.NewSectionReader(mem, int64(from), int64(to-from)), region)
		if n == 0 && err != nil {
			if rights[1] == 'w' {
				return hits, bytes, fmt.Errorf("%w: %s: %v", errNoMemory, lines.Text(), err)
			}
			continue // a device's, or of the kernel
		}
		bytes += n
		hits = append(hits, s.in(region[:n], fmt.Sprintf("memory %s %#x", name, from))...)
	}
	return hits, bytes, nil
}

// tally counts what was found by kind and form, for the log.
func tally(hits []found) string {
	count := map[string]int{}
	var order []string
	for _, h := range hits {
		key := h.form.secret.what + " as " + h.form.as
		if count[key]++; count[key] == 1 {
			order = append(order, key)
		}
	}
	slices.Sort(order)
	var b strings.Builder
	for _, key := range order {
		fmt.Fprintf(&b, " %d×%s,", count[key], key)
	}
	return strings.TrimSuffix(fmt.Sprintf("%d:%s", len(hits), b.String()), ",")
}
