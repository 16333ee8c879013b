// Package queue keeps check-in records until the platform holds them: sealed,
// on the disk before Put returns, delivered at least once, and unique by an
// identity without a clock.
//
// # What it promises
//
//   - A record that Put has acknowledged is still there after a power cut, and
//     leaves only when the platform says that it holds it, or refuses it for
//     good (then it is kept among the dead, with the reason).
//   - Its identity (device, epoch, seq) is never given twice: the epoch is
//     random per store, seq only rises, and every seq that a failed commit may
//     have written is left out. Where the folder itself was restored or copied,
//     the platform notices, and the record gets another one.
//   - Who came is encrypted to the authority's age key before it is written;
//     this kiosk cannot read it back. An identity that nobody takes is removed
//     after Opts.IdentityLife, and counted; its event stays.
//   - A refusal is filed in the outbox of every configured recipient by the
//     commit that stores it: there is no moment at which it is in one and not
//     in the other. Each outbox is delivered, acknowledged and buried by itself,
//     by the same code as the check-ins; one recipient's trouble touches neither
//     another's outbox nor the check-ins.
//   - It opens, whatever a power cut or a bad card has made of its files, and
//     never needs a person to go on.
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
// # Loops
//
// Two, both started by Open and ended by Close: the writer (writer.go), the only
// one that changes a file, and the janitor (tidy.go, expire.go). Drain and DrainReports run
// in their callers' goroutines.
//
// DESIGN.md beside this file says how the files lie, what each failure leaves
// behind, and what was turned down.
package queue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Errors a caller branches on.
var (
	// ErrStopped is wrapped by everything that fails while neither the newest
	// file nor a new one can be written. It is tried again every second.
	ErrStopped = errors.New("queue cannot be written")
	// ErrFull is wrapped when the queue holds Opts.Max records or Opts.MaxBytes
	// bytes, and when the disk is full.
	ErrFull = errors.New("queue is full")
	// ErrLocked is wrapped by Open's error when another process has the queue.
	ErrLocked = errors.New("another sentinel runs on this state folder")

	errClosed = errors.New("queue is closed")
)

// Opts is what a Queue is made of.
type Opts struct {
	Dir       string // state folder; made if it is not there, mode 0700
	Device    string // id of this kiosk, the first part of every identity
	Recipient string // the authority's age public key, "age1…"
	Max       int    // most records kept; 0 is 200,000
	MaxBytes  int64  // most bytes kept; 0 is 256 MB
	// IdentityLife is how long the identity of an undelivered record is kept; 0
	// is 14 days, and 31 days are the most.
	IdentityLife time.Duration
	// Recipients are the names of those to whom refusals are reported.
	Recipients []string
	// Log keeps the events of what leaves; nil keeps none.
	Log EventLog
	// Now is the time as the kiosk's clocks have it; nil is the machine's time,
	// not trusted.
	Now func() checkin.Stamp
	// Check looks at a file that was not closed in order, and reports whether it
	// can be opened. It is to do so in a child process (CheckFile): a damaged
	// file can end whoever opens it. Nil looks from here.
	Check func(path string) error
	// Reserve is how many bytes of the disk are kept for deleting; 0 is 4 MB,
	// less than 0 keeps none.
	Reserve int

	// openFile stands in for os.OpenFile in tests that break the disk.
	openFile func(string, int, os.FileMode) (*os.File, error)
}

// Queue is an opened queue. It is safe for concurrent use.
type Queue struct {
	o       Opts
	to      age.Recipient
	keyID   string
	boxes   map[string]*box // by recipient; the check-ins under the empty name
	reserve reserve
	unlock  func()

	ops     chan *op
	closing chan struct{}
	close   sync.Once
	tidying chan struct{} // holds a token when a file may have run empty
	loops   sync.WaitGroup

	opened    time.Time
	ranBefore time.Duration
	rescued   counters // by this Open

	mu        sync.Mutex // what follows is changed by the writer only, under mu
	files     []*file    // oldest first; the last is written
	state     state      // of the newest
	next      uint64     // seq
	mark      place      // check-ins from there on are live
	notes     map[string]note
	oldest    time.Duration
	stopped   error
	stoppedAt time.Time
}

const (
	defaultMax   = 200_000
	defaultBytes = 256 << 20
	defaultLife  = 14 * 24 * time.Hour
	longestLife  = 31 * 24 * time.Hour
	defaultRoom  = 4 << 20
	maxFile      = 512 << 20 // backstop; bbolt maps the file, and 32 bits end at 2 GB
)

// Open opens the queue in o.Dir, and makes it if there is none. Files that a
// power cut or a bad card has damaged are salvaged, set aside and counted; Open
// fails only when another sentinel has the queue, when nothing can be written at
// all, or when o is wrong.
func Open(o Opts) (*Queue, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	to, err := age.ParseX25519Recipient(o.Recipient)
	if err != nil {
		return nil, fmt.Errorf("the authority's age key is not usable: %v", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	unlock, err := Lock(o.Dir)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(o.Recipient))
	q := &Queue{
		o: o, to: to, keyID: hex.EncodeToString(sum[:4]), unlock: unlock,
		boxes: map[string]*box{}, notes: map[string]note{}, opened: time.Now(),
		reserve: reserve{path: filepath.Join(o.Dir, reserveName), size: max(0, o.Reserve)},
		ops:     make(chan *op, groupRecords), closing: make(chan struct{}), tidying: make(chan struct{}, 1),
	}
	for _, name := range append([]string{checkins}, o.Recipients...) {
		q.boxes[name] = newBox(q, name)
	}
	if err := q.openAll(); err != nil {
		q.closeFiles()
		unlock()
		return nil, err
	}
	q.loops.Go(q.write)
	q.loops.Go(q.tidy)
	return q, nil
}

func (o *Opts) complete() error {
	if o.Max == 0 {
		o.Max = defaultMax
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultBytes
	}
	if o.IdentityLife == 0 {
		o.IdentityLife = defaultLife
	}
	if o.Reserve == 0 {
		o.Reserve = defaultRoom
	}
	if o.Now == nil {
		start, boot := time.Now(), rand.Text()
		o.Now = func() checkin.Stamp {
			return checkin.Stamp{Wall: time.Now().UTC(), Boot: time.Since(start), BootID: boot}
		}
	}
	if o.IdentityLife < 24*time.Hour || o.IdentityLife > longestLife {
		return fmt.Errorf("identities are kept for one day to 31, not %v", o.IdentityLife)
	}
	return checkRecipients(o.Recipients)
}

// CheckRecipient reports whether key is an age public key that Open takes.
func CheckRecipient(key string) error {
	_, err := age.ParseX25519Recipient(key)
	return err
}

// Close ends the writer, takes note that the files were closed in order, and
// gives them back. Nothing may be called afterwards.
func (q *Queue) Close() error {
	var err error
	q.close.Do(func() {
		if q.Err() == nil {
			err = q.do(context.Background(), &op{frees: true, apply: func(t *turn) error {
				t.last = true
				return nil
			}})
		}
		close(q.closing)
		q.loops.Wait()
		err = errors.Join(err, q.closeFiles())
		if err == nil && q.stopped == nil {
			err = q.noteClean()
		}
		q.unlock()
	})
	return err
}

// Err tells why no visit can be recorded; nil while all is well.
func (q *Queue) Err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped != nil {
		return q.stopped
	}
	if q.reserve.used() {
		return fmt.Errorf("%w: the disk is; free some room on it", ErrFull)
	}
	return nil
}
