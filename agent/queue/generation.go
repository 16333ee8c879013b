package queue

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/durable"
)

// file is one generation. Only the newest is written; an older one is open for
// reading, and what leaves it is written down in the newest, under gone.
type file struct {
	n    uint64
	path string
	db   *bbolt.DB

	born  checkin.Stamp
	ran   time.Duration // how long the queue had run when it was begun
	count map[shelf]int // what waits, and the dead
	bytes int64         // of what waits in every box, about
	gone  map[shelf]*marks

	touched bool // something has been put into it
	looked  bool // names is known
	names   bool // there are identities in it
}

// shelf is where records stand: those of a box that wait, or its dead.
type shelf struct {
	box  string
	dead bool
}

// place is where one record stands. Keys are given by the file, and rise.
type place struct {
	file uint64
	key  uint64
}

// In a file, the records of a box stand in waiting/NAME and dead/NAME; what has
// left an older file in gone/NUMBER/NAME and gone-dead/NUMBER/NAME.
var (
	metaBucket     = []byte("meta")
	waitingBucket  = []byte("waiting")
	deadBucket     = []byte("dead")
	goneBucket     = []byte("gone")
	goneDeadBucket = []byte("gone-dead")

	stateKey  = []byte("state")
	schemaKey = []byte("schema")
)

// schema is the version of the layout above. Schema 1 was a single queue.db.
const schema = "2"

const (
	prefix = "q-"
	suffix = ".db"
)

// state is what every commit writes beside the records.
type state struct {
	Epoch    string        `json:"epoch"`
	Reserved uint64        `json:"reserved"` // no seq above it has been given
	Born     checkin.Stamp `json:"born"`     // of the file
	BornRan  time.Duration `json:"born_ran_ns"`
	Ran      time.Duration `json:"ran_ns"` // how long the queue has run, over all starts
	Counters counters      `json:"counters"`
}

func (s shelf) bucket() []byte {
	if s.dead {
		return deadBucket
	}
	return waitingBucket
}

func (s shelf) goneBucket() []byte {
	if s.dead {
		return goneDeadBucket
	}
	return goneBucket
}

// of finds the records of s; nil: there are none.
func (s shelf) of(tx *bbolt.Tx) *bbolt.Bucket {
	top := tx.Bucket(s.bucket())
	if top == nil {
		return nil
	}
	return top.Bucket(boxKey(s.box))
}

// in finds the records of s, and makes the bucket.
func (s shelf) in(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	top, err := tx.CreateBucketIfNotExists(s.bucket())
	if err != nil {
		return nil, err
	}
	b, err := top.CreateBucketIfNotExists(boxKey(s.box))
	if err == nil {
		b.FillPercent = 1 // keys only rise
	}
	return b, err
}

// goneIn finds where it is written down what has left file n's shelf s.
func (s shelf) goneIn(tx *bbolt.Tx, n uint64) (*bbolt.Bucket, error) {
	top, err := tx.CreateBucketIfNotExists(s.goneBucket())
	if err != nil {
		return nil, err
	}
	of, err := top.CreateBucketIfNotExists(key(n))
	if err != nil {
		return nil, err
	}
	b, err := of.CreateBucketIfNotExists(boxKey(s.box))
	if err == nil {
		b.FillPercent = 1
	}
	return b, err
}

// boxKey is a box's name on the disk; bbolt takes no empty one.
func boxKey(name string) []byte { return append([]byte("="), name...) }

func boxName(key []byte) string { return strings.TrimPrefix(string(key), "=") }

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func number(k []byte) uint64 {
	if len(k) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(k)
}

func fileName(n uint64) string { return fmt.Sprintf("%s%06d%s", prefix, n, suffix) }

// generations lists the numbers of the files in dir, oldest first.
func generations(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []uint64
	for _, e := range entries {
		digits, ok := strings.CutSuffix(strings.TrimPrefix(e.Name(), prefix), suffix)
		n, err := strconv.ParseUint(digits, 10, 63)
		if ok && err == nil && e.Name() == fileName(n) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

// makeFile makes generation n by rule 2: under another name, synced, renamed,
// and the folder synced.
func (q *Queue) makeFile(n uint64, s *state) error {
	path := filepath.Join(q.o.Dir, fileName(n))
	temp := path + ".new"
	err := q.fill(temp, s, nil)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = durable.SyncDir(q.o.Dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("making the queue: %w", err), remove(temp))
	}
	return nil
}

func (s *state) write(tx *bbolt.Tx) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return tx.Bucket(metaBucket).Put(stateKey, b)
}

// openFile opens generation n and reads what its meta bucket says.
func (q *Queue) openFile(n uint64, readOnly bool) (*file, *state, error) {
	path := filepath.Join(q.o.Dir, fileName(n))
	db, err := bbolt.Open(path, 0o600, q.options(readOnly))
	if err != nil {
		return nil, nil, fmt.Errorf("opening %s: %w", path, err)
	}
	f := &file{n: n, path: path, db: db, count: map[shelf]int{}, gone: map[shelf]*marks{}}
	s, err := f.load()
	if err != nil {
		_ = db.Close()
		return nil, nil, fmt.Errorf("opening %s: %w", path, err)
	}
	f.born, f.ran = s.Born, s.BornRan
	return f, s, nil
}

// load checks the schema, reads the state and counts what is there.
func (f *file) load() (*state, error) {
	var s state
	err := f.db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			return fmt.Errorf("%w: this is no queue, its buckets are missing", errDamaged)
		}
		if v := string(meta.Get(schemaKey)); v != schema {
			return fmt.Errorf("%w: schema %q, and this program reads %q: run the newer program that made it, or deliver its records with it first", errSchema, v, schema)
		}
		if err := json.Unmarshal(meta.Get(stateKey), &s); err != nil {
			return fmt.Errorf("%w: state: %v", errDamaged, err)
		}
		f.tally(tx)
		return nil
	})
	return &s, err
}

// errSchema is a file of another program's.
var errSchema = errors.New("the queue is another version's")

// tally counts the records of every shelf.
func (f *file) tally(tx *bbolt.Tx) {
	for _, dead := range []bool{false, true} {
		top := tx.Bucket(shelf{dead: dead}.bucket())
		if top == nil {
			continue
		}
		f.touched = true
		_ = top.ForEachBucket(func(name []byte) error {
			s := shelf{box: boxName(name), dead: dead}
			stats := top.Bucket(name).Stats()
			f.count[s] = stats.KeyN
			if !dead {
				f.bytes += int64(stats.LeafInuse)
			}
			return nil
		})
	}
}

// mark takes note that a record has left f, which is not the newest.
//
// Only what is there is counted. After a failed commit the mapping shows what the
// disk may not have: a record that never came to be, or one that is deleted
// already. A count that is too low would have the file removed with records in it.
func (f *file) mark(s shelf, key uint64, size int) {
	m := f.gone[s]
	if m == nil {
		m = &marks{}
		f.gone[s] = m
	}
	if !m.add(key) || !f.holds(s, key) {
		return
	}
	f.count[s]--
	if !s.dead {
		f.bytes = max(0, f.bytes-int64(size))
	}
}

// holds reports whether a key is in f, whatever has been written down of it.
func (f *file) holds(s shelf, k uint64) (held bool) {
	_ = f.view(func(tx *bbolt.Tx) error {
		b := s.of(tx)
		held = b != nil && b.Get(key(k)) != nil
		return nil
	})
	return held
}

// empty reports whether nothing waits in f.
func (f *file) empty() bool {
	for s, n := range f.count {
		if !s.dead && n > 0 {
			return false
		}
	}
	return true
}

// bare reports whether there is nothing at all in f.
func (f *file) bare() bool {
	for _, n := range f.count {
		if n > 0 {
			return false
		}
	}
	return true
}

func (q *Queue) options(readOnly bool) *bbolt.Options {
	return &bbolt.Options{
		Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
		ReadOnly: readOnly, MaxSize: maxFile, OpenFile: q.o.openFile,
	}
}

// full reports whether an error says that the disk is.
func full(err error) bool { return errors.Is(err, errNoSpace) }

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
