package trust

import (
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Use says what may be done with what a role vouches for.
type Use int

// Uses, from the least to the most.
const (
	// Nothing: as if it were not there.
	Nothing Use = iota
	// BadOnly: a known bad status refuses, nothing else follows from it.
	BadOnly
	// Full: it is valid whatever time of the interval it is.
	Full
)

func (u Use) String() string { return [...]string{"nothing", "bad-only", "full"}[u] }

// RoleState is one role of the usable set.
type RoleState struct {
	Version int64
	Expires time.Time
	Valid   bool // over the whole interval
	Expired bool // surely: already at its beginning
	Use     Use  // for delegated roles and targets
}

// State is what the usable set is worth over an interval of time.
type State struct {
	// Whole is false if there is no usable set: nothing can be used.
	Whole bool
	// Stale is true once timestamp or snapshot may have expired, or were signed
	// with keys that have since been changed. What is stored stays usable; the
	// mode is shown as cached and the alarm is cache-stale.
	Stale bool
	// Left tells why the set cannot be used since a newer root is known.
	Left error
	// AsOf is when the timestamp says it was signed (its field "as-of", RFC
	// 3339), zero if it does not say. It is a signed time and raises lo.
	AsOf  time.Time
	Roles map[string]RoleState
}

// Use tells what a role may be used for; Nothing if it is not there.
func (s State) Use(role string) Use { return s.Roles[role].Use }

// State judges the usable set over the interval [lo, hi]. A zero hi is no
// bound, as after a reboot without a trusted clock: then nothing is valid, since
// it may have expired.
func (s *Store) State(lo, hi time.Time) State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	state := State{Roles: map[string]RoleState{}}
	u := s.set
	if u == nil {
		return state
	}
	judge := func(role string, version int64, expires time.Time) bool {
		r := RoleState{Version: version, Expires: expires}
		r.Valid = !hi.IsZero() && !hi.After(expires)
		r.Expired = lo.After(expires)
		state.Roles[role] = r
		return r.Valid
	}
	// The newest root counts, with which a set that it left behind is judged.
	root, err := metadata.Root().FromBytes(s.seen.newestRoot())
	if err != nil {
		return state
	}
	rootValid := judge(metadata.ROOT, root.Signed.Version, root.Signed.Expires)
	timestamp, snapshot := u.t.Timestamp.Signed, u.t.Snapshot.Signed
	fresh := judge(metadata.TIMESTAMP, timestamp.Version, timestamp.Expires)
	fresh = judge(metadata.SNAPSHOT, snapshot.Version, snapshot.Expires) && fresh
	top := u.t.Targets[metadata.TARGETS].Signed
	chain := judge(metadata.TARGETS, top.Version, top.Expires) && rootValid
	for role, md := range u.t.Targets {
		valid := judge(role, md.Signed.Version, md.Signed.Expires) && chain
		r := state.Roles[role]
		r.Use = use(role, valid, u.left)
		state.Roles[role] = r
	}
	state.Whole, state.Stale, state.Left = true, !fresh || u.leftStale, u.left
	if text, ok := timestamp.UnrecognizedFields["as-of"].(string); ok {
		state.AsOf, _ = time.Parse(time.RFC3339, text)
	}
	return state
}

// use is the table of design.md, section 8. A status that is known to be bad
// never expires offline: it refuses whatever has run out.
func use(role string, valid bool, left error) Use {
	switch {
	case left != nil:
		return Nothing
	case valid:
		return Full
	case role == RoleStatus:
		return BadOnly
	}
	return Nothing
}
