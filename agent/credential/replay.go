package credential

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// Memory is what a lane has seen of codes that count once: a phone code with
// the time in it, for as long as that time is taken, and a pass until it ends.
// It knows one lane; where one pass must not open two, the platform sees to it
// while it can be asked. The zero Memory is ready. It is not for several
// goroutines at once.
//
// Only codes that are valid come into it, so that nobody can fill it with
// rubbish. When it is full all the same, what is new does not count as unused:
// nothing is forgotten early.
type Memory struct {
	seen map[[16]byte]int64 // until when, Unix seconds
}

// MaxSeen bounds a Memory: some 2 MB.
const MaxSeen = 1 << 15

// Seen turns r into a replay if it was used before. Ask before deciding.
func (m *Memory) Seen(r *Result) {
	if _, seen := m.seen[r.mark()]; r.Valid && !r.keep.IsZero() && seen {
		r.replayed("it was used before")
	}
}

// Use remembers r, at a time that is surely lo or later. Call it when the verdict
// is made: for a phone code whatever the verdict is, for a pass if it lets him
// in. If r was used before, or cannot be remembered, r becomes a replay and Use
// returns false: nobody may pass on it.
func (m *Memory) Use(r *Result, lo time.Time) bool {
	if !r.Valid || r.keep.IsZero() {
		return r.Valid
	}
	if m.Seen(r); !r.Valid {
		return false
	}
	if len(m.seen) >= MaxSeen {
		m.forget(lo)
	}
	if len(m.seen) >= MaxSeen {
		r.replayed("no more codes can be remembered")
		return false
	}
	if m.seen == nil {
		m.seen = map[[16]byte]int64{}
	}
	m.seen[r.mark()] = r.keep.Unix() + 1
	return true
}

// Len returns how much is remembered.
func (m *Memory) Len() int { return len(m.seen) }

// MarshalBinary writes the memory, so that a pass counts once across a restart.
// There are hashes in it and times, nobody's id.
func (m *Memory) MarshalBinary() ([]byte, error) {
	data := make([]byte, 0, len(m.seen)*entry)
	for mark, until := range m.seen {
		data = append(data, mark[:]...)
		data = binary.BigEndian.AppendUint64(data, uint64(until))
	}
	return data, nil
}

// UnmarshalBinary adds what MarshalBinary wrote.
func (m *Memory) UnmarshalBinary(data []byte) error {
	if len(data)%entry != 0 || len(data)/entry+len(m.seen) > MaxSeen {
		return errors.New("this is no memory of codes, or one too large")
	}
	if m.seen == nil {
		m.seen = map[[16]byte]int64{}
	}
	for ; len(data) > 0; data = data[entry:] {
		mark := [16]byte(data)
		m.seen[mark] = max(m.seen[mark], int64(binary.BigEndian.Uint64(data[16:])))
	}
	return nil
}

//

// entry is the size of one in bytes.
const entry = 16 + 8

// forget drops what no longer counts. It is done for room only: a lo that was
// driven ahead and then taken back has forgotten nothing by then.
func (m *Memory) forget(lo time.Time) {
	for mark, until := range m.seen {
		if until <= lo.Unix() {
			delete(m.seen, mark)
		}
	}
}

// mark is what the same use of a code has in common, whatever its signatures.
func (r *Result) mark() [16]byte {
	h := sha256.New()
	h.Write([]byte(r.Claims.Issuer + "\x00" + string(r.Claims.ID) + "\x00"))
	if r.Kind == signed.Phone {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(r.Shown.Unix())))
	}
	return [16]byte(h.Sum(nil))
}

// replayed takes back what r was good for.
func (r *Result) replayed(detail string) {
	r.Valid, r.Reason, r.Detail = false, checkin.CredentialReplayed, detail
	r.Credential.Fault, r.Why, r.Status = r.Reason, r.Reason, checkin.Status{}
}
