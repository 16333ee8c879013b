package backend

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Store keeps what a platform is brought, and answers what is asked of it. It
// is the seam between the handlers and a database: whole batches, a context,
// and no type of any database. It is safe for concurrent use.
type Store interface {
	Keeper
	Asker
	Auditor
	io.Closer
}

// Keeper holds records by box and identity, each once, for ever.
type Keeper interface {
	// Keep takes a batch and says of each of its records, in order, what became
	// of it. What it has taken is durable when it returns. An error says
	// nothing of the batch: it may be there or not, and can be brought again.
	Keep(ctx context.Context, b Batch) ([]Outcome, error)
	// Count counts what a box holds, from the records themselves.
	Count(ctx context.Context, box string) (Counts, error)
	// Records gives what a box holds, in the order in which it came. yield must
	// not bring anything to the store.
	Records(ctx context.Context, box string, yield func(checkin.Record) error) error
}

// Asker finds check-ins by venue and time.
type Asker interface {
	// Find gives references of all records with an identity in a window,
	// without the reports of refusals: their visits are there.
	Find(ctx context.Context, w Window) ([]Ref, error)
	// Fetch reads records of the check-ins by reference, in order. A damaged
	// one is left out; the error after the last one says so.
	Fetch(ctx context.Context, refs []Ref, yield func(checkin.Record) error) error
	// Tally counts the whole hours that a window touches.
	Tally(ctx context.Context, w Window) ([]Tally, error)
}

// Auditor keeps the audit trail: append-only, each entry chained to the one
// before it by its hash.
type Auditor interface {
	// Note appends an entry, durably, and returns it as it is in the trail.
	Note(ctx context.Context, e Entry) (Entry, error)
	// Trail gives every entry in order.
	Trail(ctx context.Context, yield func(Entry) error) error
}

// Checkins is the box of the check-ins. Every other box is the reports of the
// recipient of that name.
const Checkins = ""

// Batch is what one call brings.
type Batch struct {
	Box      string
	Received time.Time // by the platform's clock
	Records  []checkin.Record
}

// Outcome says what a Store did with a record.
type Outcome int

// The outcomes. The first record of an identity stays, whatever comes later.
const (
	Kept     Outcome = iota
	Repeated         // it was there already
	Altered          // it was there already, with another content
	Conflict         // another event was there already under this identity
)

// Ref refers to a record of the check-ins in its store.
type Ref uint64

// Window is a time at a venue: from From on, and before To. A record whose
// clock was not trusted counts at the time at which it was received.
type Window struct {
	Venue    string
	From, To time.Time
}

// Tally is a number of visits without anybody's identity.
type Tally struct {
	Hour    time.Time // when it began, UTC
	Verdict string    // the outcome; of other events than visits KIND/OUTCOME
	Lane    string
	Visits  int
}

// ErrStopped is wrapped by everything that fails after a commit has failed.
// Only a new process, with a newly opened store, writes again.
var ErrStopped = errors.New("the store has stopped after a failed write; start the platform again when its disk is well")

// ErrLocked is wrapped when another process has the store.
var ErrLocked = errors.New("another process has this store")

// OpenStore opens the store that spec names: "memory", or "bolt:PATH" for a
// file, which is made if it is not there.
func OpenStore(spec string) (Store, error) {
	if path, ok := cutBolt(spec); ok {
		return OpenBolt(path)
	}
	if spec == "memory" {
		return NewMemory(), nil
	}
	return nil, fmt.Errorf("%q is no store; there are memory and bolt:PATH", spec)
}

//

func cutBolt(spec string) (path string, ok bool) {
	path, ok = strings.CutPrefix(spec, "bolt:")
	return path, ok && path != ""
}

// item is a record made ready for a store, in the goroutine that brought it.
type item struct {
	id      checkin.ID
	body    []byte   // as EncodeRecord writes it
	sum     [8]byte  // of the body, to tell other content under the same identity
	visit   bool     // counts as a visit
	mark    [16]byte // of the event that it tells of: a second one is a duplicate
	venue   string
	when    time.Time
	present bool   // answers who was there
	lane    string // with verdict: what managers count
	verdict string
}

// prepare makes the records of a batch ready.
func (b *Batch) prepare() ([]item, error) {
	if len(b.Box) > maxName {
		return nil, errors.New("the name of a box is too long")
	}
	items := make([]item, len(b.Records))
	for i := range b.Records {
		r := &b.Records[i]
		e := &r.Event
		if why := badName(r); why != "" {
			return nil, errors.New(why)
		}
		body, err := checkin.EncodeRecord(r)
		if err != nil {
			return nil, fmt.Errorf("encoding a record: %v", err)
		}
		x := item{id: e.ID, body: body, venue: e.Venue, when: e.At.Wall, lane: e.Lane}
		if !e.At.Trusted {
			x.when = b.Received
		}
		sum := sha256.Sum256(body)
		copy(x.sum[:], sum[:])
		about := e.UUID
		x.visit = e.Kind == checkin.KindVisit
		if b.Box != Checkins {
			about, x.visit = e.Visit, true
		}
		sum = sha256.Sum256([]byte(about))
		copy(x.mark[:], sum[:])
		x.present = len(r.Identity) > 0 && e.Kind != checkin.KindRefusal
		x.verdict = verdict(e)
		items[i] = x
	}
	return items, nil
}

// maxName bounds every name that a record is filed by, in bytes.
const maxName = 128

// badName says what is wrong with a name by which a record is filed and shown
// to people, whose terminals would obey a control character; empty: nothing.
func badName(r *checkin.Record) string {
	e := &r.Event
	for _, name := range []string{e.ID.Device, e.ID.Epoch, e.UUID, e.Venue, e.Lane, e.Visit, string(e.Kind), verdict(e), r.KeyID} {
		switch {
		case len(name) > maxName:
			return fmt.Sprintf("a name is longer than %d bytes", maxName)
		case strings.ContainsFunc(name, unicode.IsControl):
			return "a name has control characters"
		}
	}
	return ""
}

// verdict is what a manager counts e as; empty: as nothing.
func verdict(e *checkin.Event) string {
	switch {
	case e.Verdict == nil || e.Kind == checkin.KindRefusal:
		return ""
	case e.Kind == checkin.KindVisit:
		return string(e.Verdict.Outcome)
	}
	return string(e.Kind) + "/" + string(e.Verdict.Outcome)
}

// hour is when the hour of t began.
func hour(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }
