// Package queue keeps check-in records until the platform holds them: sealed,
// on the disk before Put returns, delivered in order at least once, and unique
// by an identity without a clock.
//
// # What it promises
//
//   - A record that Put has acknowledged is still there after a power cut, and
//     leaves only when the platform says that it holds it, or refuses it for
//     good (then it is kept among the dead, with the reason).
//   - Its identity (device, epoch, seq) is never given twice: the epoch is
//     random per file, seq only rises.
//   - Who came is encrypted to the authority's age key before it is written;
//     this kiosk cannot read it back.
//   - A refusal is filed in the outbox of every configured recipient by the
//     commit that stores it: there is no moment at which it is in one and not
//     in the other. Each outbox is delivered, acknowledged and buried by itself,
//     by the same code as the check-ins; one recipient's trouble touches neither
//     another's outbox nor the check-ins.
//
// # Outboxes
//
// A new recipient begins with an empty outbox: what was before him is not his.
// One that is configured no more keeps his on the disk, and Stats says so; he
// goes on where he stopped when he is named again. All outboxes together hold no
// more than the check-ins may (Opts.Max), an eighth each. What finds its own full
// is not filed there, and counted: it still reaches the platform as a check-in,
// and a recipient that is away for ever must not close the lane.
//
// # The three rules that make it true on bbolt
//
//  1. Every commit is synced. NoSync was corrupt after 137 of 233 power cuts.
//  2. A new file is made under another name, synced, renamed, and its folder
//     synced: a cut during bbolt's very first initialisation leaves a file that
//     cannot be opened.
//  3. After the first failed commit nothing is written to that file again. The
//     mapping then shows pages that the disk may not have, and the next commit
//     would reuse pages that the disk's own state still needs.
//
// # What it does not do yet
//
// Group commit, generations of files, salvage of a damaged file and a lane of
// their own for live records have an issue of their own; so has the event log
// that outlives delivery. What is deleted stays in the file's free pages until
// it is overwritten: identities are ciphertext there too.
package queue

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"filippo.io/age"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Errors a caller branches on.
var (
	// ErrStopped is wrapped by everything that fails after a commit has failed.
	// Only a new process, with a new Open, writes again.
	ErrStopped = errors.New("queue has stopped after a failed write")
	// ErrFull is returned by Put when the queue holds Opts.Max records.
	ErrFull = errors.New("queue is full")
	// ErrLocked is wrapped by Open's error when another process has the queue.
	ErrLocked = errors.New("another sentinel runs on this state folder")
)

// Opts is what a Queue is made of.
type Opts struct {
	Dir       string // state folder; made if it is not there, mode 0700
	Device    string // id of this kiosk, the first part of every identity
	Recipient string // the authority's age public key, "age1…"
	Max       int    // most records kept; 0 is 200,000
	// Recipients are the names of those to whom refusals are reported.
	Recipients []string

	// openFile stands in for os.OpenFile in tests that break the disk.
	openFile func(string, int, os.FileMode) (*os.File, error)
}

// Queue is an opened queue. It is safe for concurrent use.
type Queue struct {
	o     Opts
	db    *bbolt.DB
	seal  age.Recipient
	keyID string
	boxes map[string]*box // by recipient; the check-ins under the empty name

	mu      sync.Mutex // one writer, and rule 3
	stats   Stats
	stopped error
}

const (
	fileName      = "queue.db"
	schema        = "1"
	defaultMax    = 200_000
	lockTimeout   = 2 * time.Second
	maxFile       = 512 << 20 // backstop behind Max; bbolt maps the file, and 32 bits end at 2 GB
	maxRecordSize = 64 << 10
)

var (
	recordsBucket = []byte("records")
	deadBucket    = []byte("dead")
	metaBucket    = []byte("meta")
)

// Open opens the queue in o.Dir, and makes it if there is none.
func Open(o Opts) (*Queue, error) {
	if o.Max == 0 {
		o.Max = defaultMax
	}
	if err := checkRecipients(o.Recipients); err != nil {
		return nil, err
	}
	seal, err := age.ParseX25519Recipient(o.Recipient)
	if err != nil {
		return nil, fmt.Errorf("the authority's age key is not usable: %v", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	path := filepath.Join(o.Dir, fileName)
	if err := create(path); err != nil {
		return nil, err
	}
	use := options(false)
	use.OpenFile = o.openFile
	db, err := bbolt.Open(path, 0o600, use)
	if err != nil {
		return nil, openError(path, err)
	}
	sum := sha256.Sum256([]byte(o.Recipient))
	q := &Queue{o: o, db: db, seal: seal, keyID: hex.EncodeToString(sum[:4]), boxes: map[string]*box{}}
	if q.stats, err = readStats(db); err == nil {
		err = q.openOutboxes()
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	q.stats.Max = o.Max
	return q, nil
}

// CheckRecipient reports whether key is an age public key that Open takes.
func CheckRecipient(key string) error {
	_, err := age.ParseX25519Recipient(key)
	return err
}

// Close gives the file back. Nothing may be called afterwards.
func (q *Queue) Close() error { return q.db.Close() }

// Err tells why nothing can be written any more; nil while all is well.
func (q *Queue) Err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stopped
}

//

// update runs one synced transaction under rule 3. The caller holds q.mu.
func (q *Queue) update(f func(*bbolt.Tx) error) error {
	if q.stopped != nil {
		return q.stopped
	}
	var inside error
	err := q.db.Update(func(tx *bbolt.Tx) error {
		inside = f(tx)
		return inside
	})
	switch {
	case err == nil:
		return nil
	case inside != nil:
		return inside // rolled back before anything was written
	}
	q.stopped = fmt.Errorf("%w: %v", ErrStopped, err)
	return q.stopped
}

// create makes the file by rule 2, if it is not there. What an earlier attempt
// left behind is thrown away: it was never named.
func create(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("making the queue: %w", err)
	}
	db, err := bbolt.Open(temp, 0o600, options(false))
	if err != nil {
		return openError(temp, err)
	}
	err = db.Update(initialise)
	if err == nil {
		err = db.Sync()
	}
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("making the queue: %w", err)
	}
	return nil
}

func initialise(tx *bbolt.Tx) error {
	for _, name := range [][]byte{recordsBucket, deadBucket, metaBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	s := Stats{Epoch: rand.Text()[:16], Stored: map[string]int{}}
	if err := tx.Bucket(metaBucket).Put([]byte("schema"), []byte(schema)); err != nil {
		return err
	}
	return s.write(tx)
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func options(readOnly bool) *bbolt.Options {
	return &bbolt.Options{
		Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
		ReadOnly: readOnly, MaxSize: maxFile,
	}
}

func openError(path string, err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		return fmt.Errorf("opening %s: %w; stop it first, or give this one a state folder of its own", path, ErrLocked)
	}
	return fmt.Errorf("opening %s: %w", path, err)
}

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
