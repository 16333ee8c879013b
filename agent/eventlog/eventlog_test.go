package eventlog_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	. "github.com/digital-sentinel/sentinel/agent/eventlog"
)

const day = 24 * time.Hour

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// hand is a clock that a test moves.
type hand struct {
	mu sync.Mutex
	at checkin.Stamp
}

func (h *hand) set(wall time.Time, trusted bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = checkin.Stamp{Wall: wall.UTC(), BootID: "boot", Trusted: trusted}
}

func (h *hand) now() checkin.Stamp {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func clockAt(wall time.Time) *hand {
	h := new(hand)
	h.set(wall, true)
	return h
}

// event is the seq-th event, at the time of the stamp.
func event(seq uint64, at checkin.Stamp) checkin.Event {
	return checkin.Event{
		Version: checkin.EventVersion, ID: checkin.ID{Device: "kiosk-1", Epoch: "epoch", Seq: seq},
		UUID: "uuid", Kind: checkin.KindVisit, At: at, Venue: "v", Lane: "1", Direction: "in",
	}
}

func open(t testing.TB, o Opts) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func put(t testing.TB, l *Log, events ...checkin.Event) {
	t.Helper()
	if err := l.Append(events...); err != nil {
		t.Fatal(err)
	}
}

// read returns the numbers of the events, and how much is damaged.
func read(t testing.TB, dir string) (seqs []uint64, damaged int) {
	t.Helper()
	for e, err := range Read(dir, time.Time{}, time.Time{}) {
		var d *Damage
		switch {
		case errors.As(err, &d):
			damaged++
		case err != nil:
			t.Fatal(err)
		default:
			seqs = append(seqs, e.ID.Seq)
		}
	}
	return seqs, damaged
}

func wantSeqs(t testing.TB, dir string, want ...uint64) {
	t.Helper()
	got, damaged := read(t, dir)
	if diff := cmp.Diff(want, got); diff != "" || damaged != 0 {
		t.Fatalf("%d damaged; events (-want +got):\n%s", damaged, diff)
	}
}

// files are the log's files in dir.
func files(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestKeepsEvents(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), Folder), clockAt(noon)
	l := open(t, Opts{Dir: dir, Now: c.now})
	first := event(1, c.now())
	first.Verdict = &checkin.Decision{Outcome: checkin.Granted, Reason: checkin.OK}
	put(t, l, first, event(2, c.now()))
	put(t, l, event(2, c.now()), event(3, c.now()), event(3, c.now()))
	put(t, l)
	if s := l.Stats(); s.Appended != 3 || s.Repeated != 2 || s.File != "events-000001-2026-11.log" || s.Files != 1 || s.Bytes == 0 {
		t.Errorf("stats are %+v", s)
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(event(9, c.now())); err == nil {
		t.Error("a closed log takes events")
	}
	l = open(t, Opts{Dir: dir, Now: c.now})
	put(t, l, event(3, c.now()), event(4, c.now())) // the queue asks again
	if s := l.Stats(); s.Appended != 1 || s.Repeated != 1 {
		t.Errorf("after a restart stats are %+v", s)
	}
	wantSeqs(t, dir, 1, 2, 3, 4)
	for e := range Read(dir, time.Time{}, time.Time{}) {
		if diff := cmp.Diff(first, e); diff != "" {
			t.Errorf("the first event (-want +got):\n%s", diff)
		}
		break
	}
}

func TestRefusesToOpen(t *testing.T) {
	c := clockAt(noon)
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Opts{
		"less than the law": {Dir: t.TempDir(), Keep: Keep - 1, Now: c.now},
		"no clock":          {Dir: t.TempDir()},
		"a file in the way": {Dir: blocked, Now: c.now},
	} {
		if l, err := Open(o); err == nil {
			_ = l.Close()
			t.Errorf("%s: it opens", name)
		}
	}
	if err := open(t, Opts{Dir: t.TempDir(), Now: c.now}).Append(checkin.Event{Version: 2}); err == nil {
		t.Error("an event without an identity is taken")
	}
	for _, err := range Read(filepath.Join(t.TempDir(), "none"), time.Time{}, time.Time{}) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a folder that is not there: %v", err)
		}
	}
}

// A cut at any byte of the last lines costs those lines and nothing else, and
// what follows is whole.
func TestTornAtEveryByte(t *testing.T) {
	c, dir := clockAt(noon), t.TempDir()
	l := open(t, Opts{Dir: dir, Now: c.now})
	put(t, l, event(1, c.now()), event(2, c.now()), event(3, c.now()))
	name := filepath.Join(dir, l.Stats().File)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		rest := strings.Repeat("\x00", cut%2*3) // as some file systems leave
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), append(whole[:cut:cut], rest...), 0o600); err != nil {
			t.Fatal(err)
		}
		left := strings.Count(string(whole[:cut]), "\n")
		if got, damaged := read(t, dir); len(got) != left || damaged != 0 {
			t.Fatalf("cut at %d: before the start %v and %d damaged are read", cut, got, damaged)
		}
		l := open(t, Opts{Dir: dir, Now: c.now})
		put(t, l, event(1, c.now()), event(2, c.now()), event(3, c.now()), event(4, c.now()))
		if s := l.Stats(); s.Repeated != left {
			t.Fatalf("cut at %d: %d were there, want %d", cut, s.Repeated, left)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		wantSeqs(t, dir, 1, 2, 3, 4)
	}
}

// A bit that turns costs its line, wherever it is.
func TestDamagedLine(t *testing.T) {
	c, dir := clockAt(noon), t.TempDir()
	l := open(t, Opts{Dir: dir, Now: c.now})
	put(t, l, event(1, c.now()), event(2, c.now()), event(3, c.now()))
	name := filepath.Join(dir, l.Stats().File)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	begin := slices.Index(whole, '\n') + 1
	end := begin + slices.Index(whole[begin:], '\n')
	for at := begin; at < end; at++ {
		bent := slices.Clone(whole)
		bent[at] ^= 0x10
		if err := os.WriteFile(name, bent, 0o600); err != nil {
			t.Fatal(err)
		}
		got, damaged := read(t, dir)
		if damaged == 0 || !slices.Contains(got, 1) || !slices.Contains(got, 3) || slices.Contains(got, 2) {
			t.Fatalf("bit at %d: %v are read, %d damaged", at, got, damaged)
		}
	}
	// The line is written again when the queue asks again.
	l = open(t, Opts{Dir: dir, Now: c.now})
	put(t, l, event(2, c.now()))
	if got, damaged := read(t, dir); !slices.Equal(got, []uint64{1, 3, 2}) || damaged != 1 {
		t.Errorf("%v are read, %d damaged", got, damaged)
	}
	if err := l.Close(); err != nil { // or its upkeep packs what is half written here
		t.Fatal(err)
	}
	long := append([]byte(strings.Repeat("x", 300<<10)+"\n"), whole...)
	if err := os.WriteFile(filepath.Join(dir, "events-000000-2026-10.log"), long, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, damaged := read(t, dir); !slices.Equal(got, []uint64{1, 2, 3}) || damaged != 2 {
		t.Errorf("beside a line without end %v are read, %d damaged", got, damaged)
	}
}

// faulty is a disk on which the next operations fail.
type faulty struct {
	Disk
	room             *int // bytes that still fit
	noSync, noCutOff *bool
}

func (f faulty) Write(b []byte) (int, error) {
	if *f.room < len(b) {
		n, _ := f.Disk.Write(b[:*f.room])
		*f.room = 0
		return n, syscall.ENOSPC
	}
	*f.room -= len(b)
	return f.Disk.Write(b)
}

func (f faulty) Sync() error {
	if *f.noSync {
		return syscall.EIO
	}
	return f.Disk.Sync()
}

func (f faulty) Truncate(size int64) error {
	if *f.noCutOff {
		return syscall.EIO
	}
	return f.Disk.Truncate(size)
}

func TestDiskTrouble(t *testing.T) {
	c, dir := clockAt(noon), t.TempDir()
	room, noSync, noCutOff := 1<<20, false, false
	l := open(t, On(Opts{Dir: dir, Now: c.now}, func(name string, flag int, mode os.FileMode) (Disk, error) {
		f, err := os.OpenFile(name, flag, mode)
		return faulty{f, &room, &noSync, &noCutOff}, err
	}))
	put(t, l, event(1, c.now()))
	for free := range 300 {
		room = free
		if err := l.Append(event(2, c.now()), event(3, c.now())); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("with %d bytes free: %v", free, err)
		}
		wantSeqs(t, dir, 1)
	}
	noCutOff, room = true, 100
	for range 2 {
		if err := l.Append(event(2, c.now())); err == nil {
			t.Fatal("it was written nowhere")
		}
	}
	wantSeqs(t, dir, 1)
	noCutOff, room = false, 1<<20
	put(t, l, event(2, c.now()))
	noSync = true
	for range 3 {
		if err := l.Append(event(3, c.now())); !errors.Is(err, syscall.EIO) {
			t.Fatalf("a sync fails and: %v", err)
		}
	}
	noSync = false
	put(t, l, event(3, c.now()), event(4, c.now()))
	wantSeqs(t, dir, 1, 2, 3, 4)
	if s := l.Stats(); s.File != "events-000002-2026-11.log" {
		t.Errorf("after a failed sync it goes on in %s", s.File)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Opts{Dir: dir, Now: c.now})
	wantSeqs(t, dir, 1, 2, 3, 4)
}

// A month that cannot get its file goes on in the one before.
func TestNoNewFile(t *testing.T) {
	c, dir := clockAt(noon), t.TempDir()
	closed := false
	l := open(t, On(Opts{Dir: dir, Now: c.now}, func(name string, flag int, mode os.FileMode) (Disk, error) {
		if closed {
			return nil, syscall.ENFILE
		}
		return os.OpenFile(name, flag, mode)
	}))
	put(t, l, event(1, c.now()))
	closed = true
	c.set(noon.AddDate(0, 1, 0), true)
	put(t, l, event(2, c.now()))
	wantSeqs(t, dir, 1, 2)
	closed = false
	put(t, l, event(3, c.now()))
	wantSeqs(t, dir, 1, 2, 3)
	if s := l.Stats(); s.File != "events-000002-2026-12.log" {
		t.Errorf("it goes on in %s", s.File)
	}
}

// Whatever can name a person is of a type that no event holds.
func TestEventHoldsNoIdentity(t *testing.T) {
	var visit func(reflect.Type, string)
	visit = func(ty reflect.Type, path string) {
		switch ty {
		case reflect.TypeFor[time.Time]():
			return
		case reflect.TypeFor[checkin.Identity](), reflect.TypeFor[checkin.Credential](), reflect.TypeFor[[]byte](), reflect.TypeFor[checkin.Evidence]():
			t.Errorf("%s is a %v", path, ty)
		}
		switch ty.Kind() {
		case reflect.Interface, reflect.Map:
			t.Errorf("%s may hold anything", path)
		case reflect.Pointer, reflect.Slice, reflect.Array:
			visit(ty.Elem(), path)
		case reflect.Struct:
			for f := range ty.Fields() {
				visit(f.Type, path+"."+f.Name)
			}
		}
	}
	visit(reflect.TypeFor[checkin.Event](), "Event")
}

func FuzzParseLine(f *testing.F) {
	e := event(1, checkin.Stamp{Wall: noon})
	good, err := AppendLine(nil, &e)
	if err != nil {
		f.Fatal(err)
	}
	good = good[:len(good)-1]
	for _, seed := range [][]byte{good, good[:9], nil, []byte("00000000 {}"), []byte("8a6d1b8e null"), []byte(strings.ToUpper(string(good[:8])) + string(good[8:]))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := ParseLine(line)
		if err != nil {
			return
		}
		if e.ID.Device == "" || e.ID.Epoch == "" {
			return // it is not written, and reads as it stands
		}
		again, err := AppendLine(nil, &e)
		if err != nil {
			t.Fatalf("an event that was read cannot be written: %v", err)
		}
		if got, err := ParseLine(again[:len(again)-1]); err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v is read again as %+v (%v)", e, got, err)
		}
	})
}

func TestParseLine(t *testing.T) {
	e := event(1, checkin.Stamp{Wall: noon})
	e.Version = checkin.EventVersion + 1
	newer, err := AppendLine(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ line, want string }{
		"empty":    {"", "no line"},
		"no space": {"00000000x{}x", "no line"},
		"no hex":   {"0000000g {}x", "no line"},
		"sum":      {"00000000 {}", "checksum"},
		"newer":    {strings.TrimSpace(string(newer)), "version 3, this program reads 1 to 2"},
	} {
		if _, err := ParseLine([]byte(tt.line)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// in runs f in virtual time; wait lets the background come to rest.
func in(t *testing.T, f func(t *testing.T, wait func())) {
	synctest.Test(t, func(t *testing.T) { f(t, synctest.Wait) })
}
