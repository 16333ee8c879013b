package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// Faults makes a platform behave badly, on order. The zero value is a healthy
// one. It is safe for concurrent use.
type Faults struct {
	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed when the order changes: hanging calls end
}

// Fault is one way to behave badly.
type Fault struct {
	Kind   string        // up, down, hang, slow, refuse, lie, lose-reply, garbage
	Delay  time.Duration // of slow
	Status int           // of refuse
	Retry  time.Duration // of refuse
	Lie    string        // unsigned, stale or other-person
	// Call is verify, checkins, reports, heartbeat, epoch, tuf or feed, or
	// reports/NAME for those to one recipient; empty: all.
	Call string
}

var (
	faultKinds = []string{"up", "down", "hang", "slow", "refuse", "lie", "lose-reply", "garbage"}
	lies       = []string{"unsigned", "stale", "other-person"}
	calls      = []string{"", "verify", "checkins", "reports", "heartbeat", "epoch", "tuf", "feed"}
)

// static are the calls that are files below a path of that name.
var static = map[string]bool{"tuf": true, "feed": true}

// Set orders a fault; it lasts until the next Set.
func (f *Faults) Set(x Fault) error {
	switch {
	case !slices.Contains(faultKinds, x.Kind):
		return fmt.Errorf("%q is no state of the platform; there are %s", x.Kind, strings.Join(faultKinds, ", "))
	case x.Kind == "lie" && !slices.Contains(lies, x.Lie):
		return fmt.Errorf("%q is no lie; there are %s", x.Lie, strings.Join(lies, ", "))
	case x.Kind == "refuse" && (x.Status < 400 || x.Status > 599):
		return fmt.Errorf("a platform refuses with a status of 400 to 599, not %d", x.Status)
	}
	call, recipient, one := strings.Cut(x.Call, "/")
	if !slices.Contains(calls, call) || one && (call != "reports" || recipient == "") {
		return fmt.Errorf("%q is no call; there are verify, checkins, reports, reports/RECIPIENT, heartbeat, epoch, tuf, feed", x.Call)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = x
	if f.changed != nil {
		close(f.changed)
	}
	f.changed = make(chan struct{})
	return nil
}

// State tells the present fault in words.
func (f *Faults) State() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault.Kind == "" {
		return "up"
	}
	return f.fault.Kind
}

// Down reports whether connections must be refused. Whoever listens asks it
// before each Accept and closes what is open: HTTP/2 keeps its connections.
func (f *Faults) Down() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault.Kind == "down" && f.fault.Call == ""
}

// Wrap puts the faults in front of h.
func (f *Faults) Wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		x, changed := f.fault, f.changed
		f.mu.Unlock()
		if !x.hits(r) {
			x = Fault{}
		}
		switch x.Kind {
		case "down":
			panic(http.ErrAbortHandler)
		case "hang":
			select {
			case <-r.Context().Done():
			case <-changed:
			}
			panic(http.ErrAbortHandler)
		case "slow":
			pause(r.Context(), x.Delay)
			h.ServeHTTP(w, r)
		case "refuse":
			refuseLater(w, x.Status, api.Refusal{Type: "about:blank", Title: "refused on order"}, x.Retry)
		case "lose-reply":
			h.ServeHTTP(httptest.NewRecorder(), r) // done, and nobody hears of it
			panic(http.ErrAbortHandler)
		case "garbage":
			w.Header().Set("Content-Type", r.Header.Get("Accept"))
			_, _ = w.Write([]byte("\xd2\x84\x00{garbage\x00\xff"))
		case "lie":
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), lieKey{}, lie(x.Lie))))
		default:
			h.ServeHTTP(w, r)
		}
	})
}

//

// hits reports whether r is a call that x is ordered for. Whom a report is for
// stands in its body, which is put back for the handler.
func (x *Fault) hits(r *http.Request) bool {
	call, recipient, one := strings.Cut(x.Call, "/")
	switch {
	case call == "":
		return true
	case r.URL.Path != "/v1/"+call && !(static[call] && strings.HasPrefix(r.URL.Path, "/"+call+"/")):
		return false
	case !one:
		return true
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBatch+1))
	r.Body = io.NopCloser(bytes.NewReader(body))
	var batch api.ReportsRequest
	return err == nil && json.Unmarshal(body, &batch) == nil && batch.Recipient == recipient
}

// lie is an untruth on order; the empty one is the truth.
type lie string

type lieKey struct{}

func lieOf(ctx context.Context) lie {
	l, _ := ctx.Value(lieKey{}).(lie)
	return l
}

// spoil changes a statement before it is signed.
func (l lie) spoil(s *signed.Statement) {
	switch l {
	case "stale":
		s.AsOf -= 3600
		s.ValidUntil = s.AsOf + 60
	case "other-person":
		s.Credential = slices.Clone(s.Credential)
		s.Credential[0] ^= 0xFF
		s.Colour = "green"
	}
}

// strip takes the signature's worth out of a signed statement.
func (l lie) strip(raw []byte) []byte {
	if l != "unsigned" {
		return raw
	}
	out := slices.Clone(raw)
	clear(out[len(out)-64:])
	return out
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
