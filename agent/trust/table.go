package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

// Feed is what the kiosk holds of one shard: the card table, mapped, or the deny
// list, with the header that vouches for it. On disk, in feed/SHARD-PRODUCT/:
//
//	EPOCH-SEQ.table   the bytes; a new file for each step
//	floor             the newest step that was ever used, written before it is
//	current           which file and header count, and those before; switched last
//
// A power cut leaves the old pointer or the new one, and both files. Everything
// is verified again when it is opened: header by signature, bytes by root.
type Feed struct {
	s              *Store
	shard, product string
	folder         string

	busy sync.Mutex // one refresh at a time

	mu    sync.RWMutex
	now   *generation // nil: nothing
	floor point       // written by a refresh alone
}

// View is one state of a shard. It must not be kept beyond the call that it was
// given to.
type View struct {
	Header *feed.Header
	Table  *statuslist.Table // of product card
	Deny   *statuslist.Deny  // of product deny
	// Behind is set while a newer step had been in use before: its file was
	// damaged or taken away. Only a known bad status may be believed until the
	// feed has caught up.
	Behind bool
}

// ErrNoTable is returned while there is nothing to look people up in.
var ErrNoTable = errors.New("there is no status table")

// OpenFeed opens a shard. Damage is set aside and costs the newest step or the
// table, never the kiosk.
func (s *Store) OpenFeed(shard, product string) (*Feed, error) {
	if product != feed.Card && product != feed.Deny {
		return nil, fmt.Errorf("there is no product %.40q", product)
	}
	f := &Feed{s: s, shard: shard, product: product, folder: filepath.Join("feed", shard+"-"+product)}
	if filepath.Dir(f.folder) != "feed" || shard == "" {
		return nil, fmt.Errorf("there can be no shard %.40q", shard)
	}
	s.disk.sweep(f.folder)
	f.readFloor()
	index, err := s.Index()
	if err == nil {
		f.load(index.Trusted())
	}
	return f, nil
}

// View calls look with what is held now, which stays mapped meanwhile. It
// returns ErrNoTable if nothing is.
func (f *Feed) View(look func(View) error) error {
	f.mu.RLock()
	g := f.now
	if g == nil {
		f.mu.RUnlock()
		return ErrNoTable
	}
	view := g.view
	view.Behind = pointOf(view.Header).below(f.floor)
	var failed error
	err := func() error {
		defer f.mu.RUnlock()
		return faulting(func() error { failed = look(view); return failed })
	}()
	if err != nil && failed == nil { // not look's error: the file is gone bad
		f.drop(g, err)
	}
	return err
}

// Close gives the memory back.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now.close()
	f.now = nil
}

//

// generation is one verified state in memory.
type generation struct {
	view View
	raw  []byte // the header as it was signed
	file string
	m    *mapped
}

func (g *generation) close() {
	if g != nil {
		g.m.close()
	}
}

// point is a step.
type point struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	Root  []byte `json:"root"`
}

// pointer is the file that says what counts.
type pointer struct {
	Version  int     `json:"version"` // 1
	Current  stored  `json:"current"`
	Previous *stored `json:"previous,omitempty"`
}

type stored struct {
	File   string `json:"file"`
	Header []byte `json:"header"`
}

const (
	currentFile = "current"
	maxPointer  = 64 << 10
)

func (f *Feed) readFloor() {
	name := filepath.Join(f.folder, floorFile)
	data, err := f.s.disk.readSummed(name, maxPointer)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(data, &f.floor)
	}
	if err != nil {
		f.s.quarantine(name, err)
	}
}

// readPointer reads which files count; nil if there are none.
func (f *Feed) readPointer() *pointer {
	name := filepath.Join(f.folder, currentFile)
	data, err := f.s.disk.readSummed(name, maxPointer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	p := new(pointer)
	if err == nil {
		err = json.Unmarshal(data, p)
	}
	if err == nil && p.Version != 1 {
		err = fmt.Errorf("its format is %d, this program reads 1", p.Version)
	}
	if err != nil {
		f.s.quarantine(name, err)
		return nil
	}
	return p
}

// load takes what the pointer names, or what was before it.
func (f *Feed) load(keys signed.Keys) {
	p := f.readPointer()
	if p == nil {
		return
	}
	candidates := []stored{p.Current}
	if p.Previous != nil {
		candidates = append(candidates, *p.Previous)
	}
	for _, c := range candidates {
		name := filepath.Join(f.folder, filepath.Base(c.File))
		if _, err := os.Stat(filepath.Join(f.s.disk.dir, name)); err != nil {
			continue
		}
		g, err := f.open(keys, c)
		if err == nil {
			f.mu.Lock()
			f.now = g
			f.mu.Unlock()
			return
		}
		f.s.quarantine(name, err)
	}
}

// open maps and verifies one generation.
func (f *Feed) open(keys signed.Keys, c stored) (*generation, error) {
	h, err := feed.Open(keys, c.Header)
	if err != nil {
		return nil, err
	}
	if err := h.Of(feed.Shard{Name: f.shard, Product: f.product, Epoch: h.Epoch}); err != nil {
		return nil, err
	}
	if at := pointOf(h); at.Epoch == f.floor.Epoch && at.Seq == f.floor.Seq && string(at.Root) != string(f.floor.Root) {
		return nil, refused("step %d had another root", h.Seq)
	}
	if c.File != tableFile(h) {
		return nil, refused("the pointer names another file")
	}
	m, err := mapFile(filepath.Join(f.s.disk.dir, f.folder, c.File))
	if err != nil {
		return nil, err
	}
	g := &generation{view: View{Header: h}, raw: c.Header, file: c.File, m: m}
	if err := g.verify(); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// verify compares what is mapped with what the header says of it.
func (g *generation) verify() error {
	return faulting(func() (err error) {
		h := g.view.Header
		if root := statuslist.Root(g.m.data); string(root[:]) != string(h.Next) {
			return refused("step %d has another root than its header", h.Seq)
		}
		var head statuslist.Head
		if h.Product == feed.Deny {
			if g.view.Deny, err = statuslist.OpenDeny(g.m.data); err != nil {
				return err
			}
			head = g.view.Deny.Head()
		} else {
			if g.view.Table, err = statuslist.Open(g.m.data); err != nil {
				return err
			}
			head = g.view.Table.Head()
		}
		if head.Epoch != h.Epoch || head.AsOf.Unix() != h.AsOf {
			return refused("step %d is of another epoch or time than its header", h.Seq)
		}
		return nil
	})
}

// adopt makes a step the one that counts. Order: bytes, floor, pointer, memory.
func (f *Feed) adopt(keys signed.Keys, h *feed.Header, raw, data []byte) error {
	d, c := f.s.disk, stored{File: tableFile(h), Header: raw}
	if err := d.write(filepath.Join(f.folder, c.File), data); err != nil {
		return fmt.Errorf("keeping step %d of %s: %w", h.Seq, f.shard, err)
	}
	g, err := f.open(keys, c)
	if err != nil {
		_ = d.remove(filepath.Join(f.folder, c.File))
		return err
	}
	if err := f.switchTo(g, c); err != nil {
		g.close()
		return fmt.Errorf("keeping step %d of %s: %w", h.Seq, f.shard, err)
	}
	return nil
}

func (f *Feed) switchTo(g *generation, c stored) error {
	if to := pointOf(g.view.Header); f.floor.below(to) {
		mark, err := json.Marshal(to)
		if err != nil {
			return err
		}
		if err := f.s.disk.writeSummed(filepath.Join(f.folder, floorFile), mark); err != nil {
			return err
		}
		f.mu.Lock()
		f.floor = to // from here on the table in use is behind
		f.mu.Unlock()
	}
	p := pointer{Version: 1, Current: c}
	f.mu.RLock()
	if f.now != nil && f.now.file != c.File {
		p.Previous = &stored{File: f.now.file, Header: f.now.raw}
	}
	f.mu.RUnlock()
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := f.s.disk.writeSummed(filepath.Join(f.folder, currentFile), data); err != nil {
		return err
	}
	f.mu.Lock()
	old := f.now
	f.now = g
	old.close()
	f.mu.Unlock()
	f.tidy(p)
	return nil
}

// tidy removes tables that the pointer no longer names.
func (f *Feed) tidy(p pointer) {
	for _, file := range f.s.disk.list(f.folder) {
		if filepath.Ext(file) == ".table" && file != p.Current.File && (p.Previous == nil || file != p.Previous.File) {
			_ = f.s.disk.remove(filepath.Join(f.folder, file))
		}
	}
}

// drop gives up a generation whose file can no longer be read or believed.
func (f *Feed) drop(g *generation, why error) {
	f.mu.Lock()
	mine := f.now == g
	if mine {
		f.now = nil
		g.close()
	}
	f.mu.Unlock()
	if mine {
		f.s.quarantine(filepath.Join(f.folder, g.file), why)
	}
}

func pointOf(h *feed.Header) point { return point{h.Epoch, h.Seq, h.Next} }

// below reports whether p comes before other.
func (p point) below(other point) bool {
	return p.Epoch < other.Epoch || p.Epoch == other.Epoch && p.Seq < other.Seq
}

func tableFile(h *feed.Header) string { return fmt.Sprintf("%d-%d.table", h.Epoch, h.Seq) }
