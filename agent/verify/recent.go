package verify

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// recent remembers the platform's answers until they end, for the moment in
// which it falls silent. It is in memory only, under a key that dies with the
// process, and holds no name: who has been here cannot be read out of it.
type recent struct {
	mu   sync.Mutex
	key  []byte
	kept map[[sha256.Size]byte]answer
}

type answer struct {
	status checkin.Status
	until  time.Time
}

const (
	// maxRecent bounds what is remembered; when it is full nothing new is.
	maxRecent = 10_000
	// longest is how long an answer is remembered whatever it says of itself.
	longest = time.Hour
)

// keep remembers an answer. Only what the platform says is good for some time
// is worth it; a sign of something bad is kept like anything else.
func (r *recent) keep(c checkin.Credential, s checkin.Status) {
	life := min(s.ValidUntil.Sub(s.AsOf), longest)
	if life <= 0 || s.AsOf.IsZero() {
		return
	}
	s.MaskedName, s.Mode = "", checkin.ModeCached
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) >= maxRecent {
		r.expire(now)
	}
	if len(r.kept) < maxRecent {
		r.kept[r.name(c)] = answer{s, now.Add(life)}
	}
}

// Lookup implements Rung.
func (r *recent) Lookup(c checkin.Credential) (checkin.Status, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.kept[r.name(c)]
	if !ok || time.Now().After(a.until) {
		return checkin.Status{}, false
	}
	return a.status, true
}

// expire forgets what has ended. The caller holds r.mu.
func (r *recent) expire(now time.Time) {
	for name, a := range r.kept {
		if now.After(a.until) {
			delete(r.kept, name)
		}
	}
}

// name is what an answer is kept under. The caller holds r.mu.
func (r *recent) name(c checkin.Credential) [sha256.Size]byte {
	if r.kept == nil {
		r.kept = map[[sha256.Size]byte]answer{}
		r.key = make([]byte, sha256.Size)
		_, _ = rand.Read(r.key) // never fails
	}
	key := c.Key()
	mac := hmac.New(sha256.New, r.key)
	mac.Write(key[:])
	return [sha256.Size]byte(mac.Sum(nil))
}
