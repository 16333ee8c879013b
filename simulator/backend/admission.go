package backend

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
)

// AdmissionOpts bounds what a platform takes on. The zero value is good for one
// box.
type AdmissionOpts struct {
	Width     int            // batches served at a time, at least 2; 0 is 16
	Wait      time.Duration  // of queued work beyond which a batch is refused; 0 is 2 s
	MaxQueued int            // batches that each lane holds at most; 0 is 512
	MaxBatch  int            // records a refused sender is asked to bring at a time; 0 is the contract's 500
	Rand      func() float64 // spreads the pauses, 0 to 1; nil is random
}

// Admission stands before the handlers of batches and admits by queue time: a
// batch that would wait longer than it is worth is refused before its body is
// read, which costs next to nothing, and its sender is told when to come again.
// Live batches have a lane of their own: it goes first, is bounded by itself,
// and has places that no backlog may take. Every other call passes.
//
// Without it a crowd of returning kiosks keeps a platform busy with batches
// whose senders have given up: all of the work is wasted and nothing drained.
type Admission struct {
	o AdmissionOpts
	l lanes
}

const (
	bodyTimeout = 15 * time.Second // for a body that is admitted
	maxLive     = 64 << 10         // bytes of a batch that may call itself live
	shortest    = time.Second      // pause that is told
	longest     = 30 * time.Minute
)

// NewAdmission makes an Admission that nobody waits in.
func NewAdmission(o AdmissionOpts) *Admission {
	o.Width = max(2, cmp.Or(o.Width, 16))
	o.Wait = cmp.Or(o.Wait, 2*time.Second)
	o.MaxQueued = cmp.Or(o.MaxQueued, 512)
	o.MaxBatch = cmp.Or(o.MaxBatch, api.MaxBatch)
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	return &Admission{o: o, l: lanes{width: o.Width, kept: max(1, o.Width/4), service: firstService}}
}

// Wrap puts the admission in front of h.
func (a *Admission) Wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/checkins" && r.URL.Path != "/v1/reports" {
			h.ServeHTTP(w, r)
			return
		}
		n := laneOf(r)
		if pause, ok := a.admit(n, sender(r)); !ok {
			a.refuse(w, pause)
			return
		}
		a.serve(w, r, n, h)
	})
}

// Load tells what was admitted and refused, and how long it waited.
func (a *Admission) Load() Load { return a.l.snapshot() }

//

// admit decides before anything of the body is read.
func (a *Admission) admit(n lane, from string) (pause time.Duration, ok bool) {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	now := time.Now()
	active := a.l.senders.seen(from, now)
	if a.l.pending(n) < a.o.MaxQueued && a.l.wait(n, now) <= a.o.Wait {
		a.l.load[n].Admitted++
		a.l.arriving[n]++
		return 0, true
	}
	a.l.load[n].Refused++
	return a.pause(n, active), false
}

// pause is a round of all who come, since they share what is served: active
// times batch, divided by rate, half of it more or less. The caller holds the
// lock of the lanes.
func (a *Admission) pause(n lane, active int) time.Duration {
	round := time.Duration(active) * a.l.service / time.Duration(a.l.places(n))
	round = min(max(shortest, round), longest)
	a.l.senders.span = max(2*round, shortestSpan)
	return max(shortest, time.Duration(float64(round)*(0.5+a.o.Rand())))
}

// late refuses a batch that has waited for as long as it may.
func (a *Admission) late(n lane) time.Duration {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	a.l.load[n].Late++
	return a.pause(n, a.l.senders.count())
}

func (a *Admission) refuse(w http.ResponseWriter, pause time.Duration) {
	refuseLater(w, http.StatusTooManyRequests, api.Refusal{
		Type: "about:blank", Title: "too much is waiting already", MaxBatch: a.o.MaxBatch,
	}, pause)
}

// serve reads an admitted batch, waits for a place, and lets h do the work.
func (a *Admission) serve(w http.ResponseWriter, r *http.Request, n lane, h http.Handler) {
	body, status := readBody(w, r)
	if status != 0 {
		a.l.gone(n)
		refuse(w, status, "about:blank", "the body did not come, or is too large")
		return
	}
	// The estimate may have been wrong; the bound holds all the same.
	ctx, stop := context.WithTimeoutCause(r.Context(), a.o.Wait+a.o.Wait/4, errLate)
	defer stop()
	switch {
	case a.l.enter(ctx, n):
	case context.Cause(ctx) == errLate:
		a.refuse(w, a.late(n))
		return
	default:
		a.l.left(n)
		return // nobody is there to hear an answer
	}
	start := time.Now()
	defer func() { a.l.done(n, time.Since(start), r.Context().Err() != nil) }()
	r.Body = io.NopCloser(bytes.NewReader(body))
	h.ServeHTTP(w, r)
}

// errLate is the end of a batch's patience.
var errLate = errors.New("waited for too long")

// readBody reads a bounded body in a bounded time: a place is not taken by
// somebody who sends slowly. A status that is not 0 refuses.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, int) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(bodyTimeout)) // a recorder cannot
	var body bytes.Buffer
	body.Grow(int(min(max(0, r.ContentLength), maxLive)))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBatch))
	_ = c.SetReadDeadline(time.Time{})
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, http.StatusRequestTimeout
	}
	return body.Bytes(), 0
}

// laneOf says in which lane a batch goes. A large one is no live one, whatever
// it calls itself.
func laneOf(r *http.Request) lane {
	if urgency(r.Header.Values(api.Priority)) < defaultUrgency && r.ContentLength >= 0 && r.ContentLength <= maxLive {
		return liveLane
	}
	return backlogLane
}

// sender is who brings a batch.
func sender(r *http.Request) string {
	if name := commonName(r); name != "" {
		return name
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}
