//go:build linux

package queue_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// snapshot is every file of a store.
type snapshot map[string][]byte

func snapshotOf(dir string) (snapshot, error) {
	s := snapshot{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			s[name], err = os.ReadFile(path)
		}
		return err
	})
	return s, err
}

func (s snapshot) write(dir string) error {
	for name, data := range s {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// bbolt's file begins with two meta pages: a head of 16 bytes, then 64 bytes
// that end with the number of the transaction and a checksum.
const metaAt, metaBytes, txidAt = 16, 64, 64

// newer is the meta page with the higher transaction, and that number.
func newer(file []byte) (page int, txid uint64) {
	size := os.Getpagesize()
	a, b := binary.LittleEndian.Uint64(file[txidAt:]), binary.LittleEndian.Uint64(file[size+txidAt:])
	if a > b {
		return 0, a
	}
	return 1, b
}

// commitPair is one file of bbolt before and after one commit.
type commitPair struct {
	files    snapshot // before
	name     string   // of the one that differs
	old, now []byte
	pages    []int // of data, that differ
	meta     int   // the page that the commit wrote

	before, after map[string]bool // what is in the store, by UUID
}

// pairOf finds the one file of bbolt that one commit has changed; nil if it was
// not one.
func pairOf(before, after snapshot) *commitPair {
	var found []commitPair
	for name, now := range after {
		old, ok := before[name]
		if !strings.HasSuffix(name, ".db") || ok && bytes.Equal(old, now) {
			continue
		}
		if !ok {
			return nil
		}
		found = append(found, commitPair{name: name, old: old, now: now, files: before})
	}
	if len(found) != 1 {
		return nil
	}
	p, size := &found[0], os.Getpagesize()
	_, was := newer(p.old)
	var is uint64
	if p.meta, is = newer(p.now); is != was+1 {
		return nil
	}
	for n := 2; n < len(p.now)/size; n++ {
		if n >= len(p.old)/size || !bytes.Equal(p.old[n*size:(n+1)*size], p.now[n*size:(n+1)*size]) {
			p.pages = append(p.pages, n)
		}
	}
	return p
}

// state is what an image must be: as before the commit, as after it, or either.
type state int

const (
	asBefore state = iota
	asAfter
	either
)

// image is the file as a cut in the middle of the commit could leave it.
func (p *commitPair) image(luck *rand.Rand) ([]byte, state) {
	size := os.Getpagesize()
	file := bytes.Clone(p.old)
	if len(p.now) > len(p.old) { // it grows, and that is synced, before a page is written
		file = append(file, make([]byte, len(p.now)-len(p.old))...)
	}
	kind := luck.IntN(3)
	odds := luck.Float64()
	for _, n := range p.pages {
		if kind > 0 || luck.Float64() < odds {
			copy(file[n*size:(n+1)*size], p.now[n*size:])
		}
	}
	meta := file[p.meta*size : p.meta*size+metaAt+metaBytes]
	switch kind {
	case 1:
		copy(meta, p.now[p.meta*size:])
		return file, asAfter
	case 2: // the page is torn
		copy(meta[:luck.IntN(len(meta))], p.now[p.meta*size:])
		return file, either
	}
	return file, asBefore
}

// rigMix has a child make images and open them: a bad one ends whoever opens
// it, in a goroutine of bbolt's that nobody can catch.
func rigMix(r *rig) {
	p := r.start("mix", r.dir, "")
	r.follow(p, never)
	r.kill(p)
	r.mustBeWell()
}

// A child of mix catches so many commits, and makes so many images of each.
const commitsOfMix, imagesOfMix = 5, 20

// mix catches commits, makes images of each, opens them and says what is wrong.
func (w *worker) mix() int {
	for n := range commitsOfMix {
		if err := w.mix1(n); err != nil {
			w.say("broken", err.Error())
			return 3
		}
	}
	w.say("empty")
	return 0
}

func (w *worker) mix1(n int) error {
	dir, err := w.scratch()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	q, err := openQueue(dir, w.key)
	if err != nil {
		return err
	}
	defer q.Close()
	c, err := w.commit(q, dir, fmt.Sprintf("%s-%d", w.run, n))
	if c == nil || err != nil {
		return err
	}
	for range imagesOfMix {
		w.say("case")
		file, want := c.image(w.luck)
		if err := w.judge(c, file, want); err != nil {
			return err
		}
	}
	return nil
}

// commit puts and delivers some, and catches one commit; nil if there was not
// one alone: nothing can be said of a mixture of more.
func (w *worker) commit(q *queue.Queue, dir, run string) (*commitPair, error) {
	quiet := &worker{out: io.Discard, luck: w.luck}
	before := map[string]bool{}
	for n := range 1 + w.luck.IntN(40) {
		if err := putAs(q, before, fmt.Sprintf("%s-%d", run, n)); err != nil {
			return nil, err
		}
	}
	if w.luck.IntN(2) == 0 { // pages that are free again are used first
		quiet.settleSome(q, before, 1+w.luck.IntN(len(before)))
	}
	old, err := snapshotOf(dir)
	if err != nil {
		return nil, err
	}
	after := maps.Clone(before)
	if w.luck.IntN(3) > 0 || len(before) == 0 {
		err = putAs(q, after, run+"-a", run+"-b", run+"-c")
	} else {
		quiet.settleSome(q, after, 1+w.luck.IntN(len(after)))
	}
	now, nerr := snapshotOf(dir)
	if err := errors.Join(err, nerr); err != nil {
		return nil, err
	}
	c := pairOf(old, now)
	if c != nil {
		c.before, c.after = before, after
	}
	return c, nil
}

// putAs puts a record for each UUID, by one commit, and enters them in held.
func putAs(q *queue.Queue, held map[string]bool, uuids ...string) error {
	var entries []queue.Entry
	for _, uuid := range uuids {
		entries = append(entries, queue.Entry{Event: visit(uuid)})
		held[uuid] = true
	}
	_, err := q.PutAll(context.Background(), entries...)
	return err
}

// settleSome has up to n records of one batch delivered, and takes them out of
// held. More is not answered.
func (w *worker) settleSome(q *queue.Queue, held map[string]bool, n int) {
	depth := q.Stats().Depth
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan int, 1)
	var once sync.Once
	ended := w.drain(ctx, q, func(_ string, batch []checkin.Record) (acks []checkin.Ack, err error) {
		once.Do(func() {
			k := min(n, len(batch))
			for i := range k {
				delete(held, batch[i].Event.UUID)
			}
			acks = w.take("platform", batch[:k])
			first <- k
		})
		if acks == nil {
			<-ctx.Done()
		}
		return acks, ctx.Err()
	})
	for k := <-first; q.Stats().Depth > depth-k && len(ended) == 0; {
		time.Sleep(50 * time.Microsecond)
	}
	cancel()
	<-ended
}

// judge opens an image and says what is wrong with it.
func (w *worker) judge(c *commitPair, file []byte, want state) error {
	dir, err := w.scratch()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	image := maps.Clone(c.files)
	image[c.name] = file
	if err := image.write(dir); err != nil {
		return err
	}
	var out bytes.Buffer
	(&worker{out: &out, key: w.key}).verify(dir)
	book, s := newLedger(), &score{}
	for line := range strings.Lines(out.String()) {
		book.hear(strings.TrimSpace(line), s)
	}
	got := book.taken["platform"]
	switch {
	case !book.empty:
		w.say("unreadable", book.words)
	case s.duplicated > 0:
		w.say("duplicated", s.first)
	case want != asAfter && sameKeys(got, c.before) || want != asBefore && sameKeys(got, c.after):
	default:
		w.say("lost", fmt.Sprintf("an image of kind %d holds %d records, and not the %d before nor the %d after", want, len(got), len(c.before), len(c.after)))
	}
	return nil
}

func sameKeys(got map[string]string, want map[string]bool) bool {
	for uuid := range want {
		if _, ok := got[uuid]; !ok {
			return false
		}
	}
	return len(got) == len(want)
}

func (w *worker) scratch() (string, error) { return os.MkdirTemp(w.dir, "torture-") }

// inMemory is a folder in memory, if there is one: this rig has no use for a
// disk.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "torture-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
