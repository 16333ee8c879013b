package backend

import (
	"context"
	"sync"
	"time"
)

// lane is one of the two queues; live goes first.
type lane int

const (
	liveLane lane = iota
	backlogLane
)

// Load is what an Admission has seen since it was made.
type Load struct {
	Live    LaneLoad
	Backlog LaneLoad
	Service time.Duration // of one batch, averaged over the last ones
	Senders int           // that come and go at present
}

// LaneLoad is the part of one lane, in batches.
type LaneLoad struct {
	Admitted int
	Refused  int           // before the body was read
	Late     int           // refused behind it: the estimate was wrong
	Wasted   int           // served to the end for a sender that had gone
	Left     int           // whose sender went before any work was done
	Served   int           // to the end, the wasted ones too
	Queued   time.Duration // from body read to begin of service, of all together
	Longest  time.Duration // the longest of these
}

// firstService is what one batch is taken to need before any was served.
const firstService = 20 * time.Millisecond

// lanes are the batches that are admitted: arriving, waiting, in service.
type lanes struct {
	width   int // batches in service
	kept    int // of these, places that only live batches take
	service time.Duration

	mu       sync.Mutex
	arriving [2]int
	waiting  [2][]*waiter // first come, first served
	serving  [2]int
	load     [2]LaneLoad
	senders  senders
}

// waiter is one batch that waits for its place.
type waiter struct {
	since time.Time
	ready chan struct{} // closed when it has the place
}

// wait estimates how long a batch that comes now would wait: the work ahead of
// it, or what the oldest has waited already, if that is longer. The caller
// holds l.mu.
func (l *lanes) wait(n lane, now time.Time) time.Duration {
	places := l.places(n)
	ahead := max(0, l.pending(n)-places+1)
	estimate := time.Duration(ahead) * l.service / time.Duration(places)
	if q := l.waiting[n]; len(q) > 0 {
		estimate = max(estimate, now.Sub(q[0].since))
	}
	return estimate
}

// places are how many batches of a lane may be in service.
func (l *lanes) places(n lane) int {
	if n == backlogLane {
		return l.width - l.kept
	}
	return l.width
}

// pending are the batches ahead of one that comes now: of both lanes for a
// backlog, of its own for a live one. The caller holds l.mu.
func (l *lanes) pending(n lane) int {
	p := 0
	for i := lane(0); i <= n; i++ {
		p += l.arriving[i] + len(l.waiting[i]) + l.serving[i]
	}
	return p
}

// enter waits for a place; false: ctx ended before there was one.
func (l *lanes) enter(ctx context.Context, n lane) bool {
	me := &waiter{since: time.Now(), ready: make(chan struct{})}
	l.mu.Lock()
	l.arriving[n]--
	l.waiting[n] = append(l.waiting[n], me)
	l.fill()
	l.mu.Unlock()
	select {
	case <-me.ready:
		return true
	case <-ctx.Done():
		return !l.withdraw(n, me) // or it has just been given its place
	}
}

// withdraw takes me out of the queue, if it is still there.
func (l *lanes) withdraw(n lane, me *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.waiting[n] {
		if w == me {
			l.waiting[n] = append(l.waiting[n][:i:i], l.waiting[n][i+1:]...)
			return true
		}
	}
	return false
}

// fill gives free places to who waits, live first. The caller holds l.mu.
func (l *lanes) fill() {
	for l.serving[liveLane]+l.serving[backlogLane] < l.width {
		n := liveLane
		if len(l.waiting[n]) == 0 {
			n = backlogLane
			if len(l.waiting[n]) == 0 || l.serving[n] >= l.places(n) {
				return
			}
		}
		w := l.waiting[n][0]
		l.waiting[n] = l.waiting[n][1:]
		l.serving[n]++
		waited := time.Since(w.since)
		l.load[n].Queued += waited
		l.load[n].Longest = max(l.load[n].Longest, waited)
		close(w.ready)
	}
}

// done gives a place back after took.
func (l *lanes) done(n lane, took time.Duration, gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving[n]--
	l.load[n].Served++
	if gone {
		l.load[n].Wasted++
	}
	l.service += (took - l.service) / 16
	l.fill()
}

// gone is an admitted batch whose body did not come.
func (l *lanes) gone(n lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arriving[n]--
	l.load[n].Left++
}

// left is a batch that waited, and whose sender went.
func (l *lanes) left(n lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.load[n].Left++
}

func (l *lanes) snapshot() Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Load{Live: l.load[liveLane], Backlog: l.load[backlogLane], Service: l.service, Senders: l.senders.count()}
}

// senders knows who came lately: in this span of time, or in the one before
// and not yet again. A span is long enough for who was told to wait.
type senders struct {
	now, before map[string]bool
	turned      time.Time
	span        time.Duration
}

const (
	shortestSpan = 10 * time.Second
	maxSenders   = 1 << 20
)

// seen notes that one came, and counts all.
func (s *senders) seen(name string, now time.Time) int {
	if s.now == nil || now.Sub(s.turned) > max(s.span, shortestSpan) {
		s.before, s.now, s.turned = s.now, map[string]bool{}, now
	}
	delete(s.before, name)
	if len(s.now) < maxSenders {
		s.now[name] = true
	}
	return s.count()
}

func (s *senders) count() int { return len(s.now) + len(s.before) }
