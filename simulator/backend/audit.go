package backend

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Entry is one line of the audit trail. Its hash is over all of it and the
// hash of the entry before it, so that none can be changed or taken out without
// changing all that follow. Who cuts off the end, or makes the whole trail
// again, is found only by somebody who wrote down a number and its hash.
type Entry struct {
	Seq  uint64    `json:"seq"` // from 1
	At   time.Time `json:"at"`
	By   string    `json:"by"`     // who asked
	Why  string    `json:"reason"` // and why
	What string    `json:"what"`
	Rows int       `json:"rows"` // that were given out
	Prev string    `json:"prev"` // hash of the entry before, hexadecimal; of the first: empty
	Hash string    `json:"hash"`
}

// errTampered is a trail that is not as it was written.
var errTampered = errors.New("the audit trail was tampered with")

// VerifyTrail reads a whole audit trail and checks its chain. It returns the
// last entry, which somebody should write down.
func VerifyTrail(ctx context.Context, a Auditor, yield func(Entry) error) (Entry, error) {
	var last Entry
	err := a.Trail(ctx, func(e Entry) error {
		if e != e.after(last) {
			return fmt.Errorf("%w at entry %d: it does not follow from the one before", errTampered, last.Seq+1)
		}
		last = e
		return yield(e)
	})
	return last, err
}

//

// after gives e as the entry that follows last.
func (e Entry) after(last Entry) Entry {
	e.Seq, e.Prev, e.Hash = last.Seq+1, last.Hash, ""
	e.At = e.At.UTC().Truncate(time.Millisecond)
	sum := sha256.Sum256(e.encode())
	e.Hash = hex.EncodeToString(sum[:])
	return e
}

// encode writes e; text, numbers and a time always can be written.
func (e Entry) encode() []byte {
	b, _ := json.Marshal(e)
	return b
}

// maxEntry bounds what is read back, in bytes.
const maxEntry = 8 << 10

// decodeEntry reads exactly what encode wrote.
func decodeEntry(b []byte) (Entry, error) {
	var e Entry
	if len(b) > maxEntry || json.Unmarshal(b, &e) != nil || !bytes.Equal(b, e.encode()) {
		return Entry{}, fmt.Errorf("%w: an entry is not what was written", errTampered)
	}
	return e, nil
}

// conflicts is the entry for a batch with other content under known
// identities: one for all of them, so that a mad kiosk cannot flood the trail.
func conflicts(b Batch, outcomes []Outcome) (Entry, bool) {
	e := Entry{At: b.Received, By: "platform", Why: "the first record of an identity stays"}
	for i, o := range outcomes {
		if o != Altered && o != Conflict {
			continue
		}
		if e.Rows == 0 {
			what := "other content"
			if o == Conflict {
				what = "another event"
			}
			e.What = fmt.Sprintf("conflict: %s under %q", what, b.Records[i].Event.ID)
			if b.Box != Checkins {
				e.What += fmt.Sprintf(", report to %q", b.Box)
			}
		}
		e.Rows++
	}
	return e, e.Rows > 0
}

// maxSaid bounds a name or reason, in bytes.
const maxSaid = 200

// said reports what is wrong with a name or a reason for the trail.
func said(what, text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return fmt.Errorf("%s is missing: every question is written into the audit trail", what)
	case len(text) > maxSaid:
		return fmt.Errorf("%s is longer than %d bytes", what, maxSaid)
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%s has control characters", what)
	}
	return nil
}
