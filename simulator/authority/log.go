package authority

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// Do is what a line of the log tells of.
type Do string

// The steps.
const (
	DoKey     Do = "key"      // a key was made
	DoRetire  Do = "retire"   // a key was destroyed
	DoName    Do = "approver" // an approver was named, with his public key
	DoRevoke  Do = "revoke"   // an approver is none any more
	DoRequest Do = "request"
	DoApprove Do = "approve"
	DoDecrypt Do = "decrypt" // a request was carried out, or begun to be
)

// Entry is one line of the log.
type Entry struct {
	N         int       `json:"n"`    // from 1
	Prev      string    `json:"prev"` // hash of the line before; empty in the first
	At        time.Time `json:"at"`
	Do        Do        `json:"do"`
	By        string    `json:"by,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	File      string    `json:"file,omitempty"` // SHA-256
	Records   int       `json:"records,omitempty"`
	Request   string    `json:"request,omitempty"`
	Key       string    `json:"key,omitempty"`
	Recipient string    `json:"recipient,omitempty"`
	Public    []byte    `json:"public,omitempty"`    // Ed25519, of an approver
	Signature []byte    `json:"signature,omitempty"` // of an approval

	hash string
}

// Hash is the hash of the line: it stands for the log up to here. Written down
// elsewhere, it shows later that nothing before was changed or left out.
func (e Entry) Hash() string { return e.hash }

// maxLog and maxEntry bound what is read, in bytes.
const (
	maxLog   = 64 << 20
	maxEntry = 16 << 10
)

// state is what the log says.
type state struct {
	entries   []Entry
	head      string
	keys      map[string]*ageKey
	current   string // id of the key that kiosks seal to
	approvers map[string]*approver
	requests  map[string]*request
}

type ageKey struct{ retired bool }

type approver struct {
	public  ed25519.PublicKey
	revoked bool
}

type request struct {
	entry    Entry
	approved map[string]time.Time // by whom, when
	done     bool
}

// Verify replays a log and returns its lines; the error names the first that
// breaks the chain or a rule.
func Verify(log []byte) ([]Entry, error) {
	s, _, err := replay(log)
	return s.entries, err
}

// replay reads a log. whole is where its last whole line ends: a power cut may
// have left less than a line behind it.
func replay(log []byte) (s state, whole int, err error) {
	s = state{
		keys: map[string]*ageKey{}, approvers: map[string]*approver{},
		requests: map[string]*request{},
	}
	if len(log) > maxLog {
		return s, 0, fmt.Errorf("the log is larger than %d bytes", maxLog)
	}
	whole = bytes.LastIndexByte(log, '\n') + 1
	for line := range bytes.Lines(log[:whole]) {
		e, err := parseEntry(bytes.TrimSuffix(line, []byte("\n")))
		if err == nil {
			err = s.apply(e)
		}
		if err != nil {
			return s, whole, fmt.Errorf("the log is not to be trusted: line %d: %w", len(s.entries)+1, err)
		}
	}
	return s, whole, nil
}

// parseEntry reads a line. It has one spelling.
func parseEntry(line []byte) (Entry, error) {
	var e Entry
	if len(line) > maxEntry {
		return e, fmt.Errorf("it is longer than %d bytes", maxEntry)
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return e, fmt.Errorf("it is no entry: %v", err)
	}
	if again, err := json.Marshal(e); err != nil || !bytes.Equal(again, line) {
		return e, errors.New("it is not as this program writes it")
	}
	sum := sha256.Sum256(line)
	e.hash = hex.EncodeToString(sum[:])
	return e, nil
}

// apply takes up one more line, if it may stand there.
func (s *state) apply(e Entry) error {
	last := time.Time{}
	if n := len(s.entries); n > 0 {
		last = s.entries[n-1].At
	}
	switch {
	case e.N != len(s.entries)+1 || e.Prev != s.head:
		return errors.New("it does not follow the line before")
	case e.At.Before(last):
		return fmt.Errorf("its time, %s, is before that of the line before: set the clock", e.At.Format(time.RFC3339))
	}
	if err := s.rule(e); err != nil {
		return err
	}
	s.entries, s.head = append(s.entries, e), e.hash
	return nil
}

// rule holds e against what may happen, and takes up what it means.
func (s *state) rule(e Entry) error {
	switch e.Do {
	case DoKey:
		if e.Key != KeyID(e.Recipient) || s.keys[e.Key] != nil {
			return errors.New("it names no new key")
		}
		s.keys[e.Key], s.current = &ageKey{}, e.Key
	case DoRetire:
		if k := s.keys[e.Key]; k == nil || k.retired || e.Key == s.current {
			return fmt.Errorf("key %q cannot be retired", printable(e.Key))
		}
		s.keys[e.Key].retired = true
	case DoName:
		return s.name(e)
	case DoRevoke:
		a := s.approvers[e.By]
		if a == nil || a.revoked {
			return fmt.Errorf("%q is no approver", printable(e.By))
		}
		a.revoked = true
	case DoRequest:
		if err := checkName("requester", e.By); err != nil {
			return err
		}
		if len(e.File) != 2*sha256.Size || e.Reason == "" {
			return errors.New("a request wants a file and a reason")
		}
		s.requests[requestID(e.N)] = &request{entry: e, approved: map[string]time.Time{}}
	case DoApprove:
		return s.approve(e)
	case DoDecrypt:
		r, err := s.ready(e.Request, e.File, e.At)
		if err != nil {
			return err
		}
		r.done = true
	default:
		return fmt.Errorf("there is no step %q", printable(string(e.Do)))
	}
	return nil
}

func (s *state) name(e Entry) error {
	if err := checkName("approver", e.By); err != nil {
		return err
	}
	if s.approvers[e.By] != nil {
		return fmt.Errorf("%q was named before", e.By)
	}
	if len(e.Public) != ed25519.PublicKeySize {
		return errors.New("an approver wants an Ed25519 key")
	}
	for other, a := range s.approvers {
		if bytes.Equal(a.public, e.Public) {
			return fmt.Errorf("%q has that key", other)
		}
	}
	s.approvers[e.By] = &approver{public: e.Public}
	return nil
}

func (s *state) approve(e Entry) error {
	r, a := s.requests[e.Request], s.approvers[e.By]
	switch {
	case r == nil:
		return fmt.Errorf("there is no request %q", printable(e.Request))
	case a == nil || a.revoked:
		return fmt.Errorf("%q is no approver", printable(e.By))
	case e.By == r.entry.By:
		return fmt.Errorf("%s has asked for it, and cannot approve it", e.By)
	case !r.approved[e.By].IsZero():
		return fmt.Errorf("%s has approved it already", e.By)
	case r.done:
		return fmt.Errorf("%s has been carried out", e.Request)
	case !ed25519.Verify(a.public, approval(r.entry.hash), e.Signature):
		return fmt.Errorf("the signature is not %s's", e.By)
	}
	r.approved[e.By] = e.At
	return nil
}

// ready is the request that may be carried out at that time for that file.
func (s *state) ready(id, file string, at time.Time) (*request, error) {
	r := s.requests[id]
	switch {
	case r == nil:
		return nil, fmt.Errorf("there is no request %q", printable(id))
	case r.done:
		return nil, fmt.Errorf("%s has been carried out; a new look wants a new request", id)
	case r.entry.File != file:
		return nil, fmt.Errorf("%s is for another file", id)
	}
	var when []time.Time
	for by, at := range r.approved {
		if !s.approvers[by].revoked {
			when = append(when, at)
		}
	}
	if len(when) < 2 {
		return nil, fmt.Errorf("%s has %d of 2 approvals", id, len(when))
	}
	slices.SortFunc(when, time.Time.Compare)
	second := when[1] // a third one does not prolong it
	if over := second.Add(Life); !at.Before(over) {
		return nil, fmt.Errorf("%s was approved until %s: a new look wants a new request", id, over.UTC().Format(time.RFC3339))
	}
	return r, nil
}

// approval is what an approver signs: it holds for one request as it stands in
// the log, with all before it.
func approval(requestHash string) []byte {
	return []byte("digital-sentinel authority approval v1\n" + requestHash)
}

func requestID(n int) string { return "r" + strconv.Itoa(n) }

// read reads the log, and cuts off what a power cut has left behind its last
// line.
func (a *Authority) read() error {
	log, err := io.ReadAll(io.NewSectionReader(a.lock, 0, maxLog+1))
	if err != nil {
		return err
	}
	s, whole, err := replay(log)
	if err != nil {
		return err
	}
	if whole < len(log) {
		if err := errors.Join(a.lock.Truncate(int64(whole)), a.lock.Sync()); err != nil {
			return err
		}
	}
	a.state = s
	return nil
}

// add appends e, durably. A rule that it breaks refuses it.
func (a *Authority) add(e Entry) error {
	if a.broken != nil {
		return a.broken
	}
	e.N, e.Prev, e.At = len(a.state.entries)+1, a.state.head, a.o.Now().UTC().Truncate(time.Second)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if e, err = parseEntry(line); err != nil {
		return err
	}
	if err := a.state.apply(e); err != nil {
		return err
	}
	_, err = a.lock.Write(append(line, '\n'))
	if err := errors.Join(err, a.lock.Sync()); err != nil {
		// The state says more than the disk: only a new Open knows what is there.
		a.broken = fmt.Errorf("writing the log: %w; begin again", err)
		return a.broken
	}
	return nil
}
