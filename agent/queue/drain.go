package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Sender brings records to the platform and returns its answer for each. An
// error may say more by its methods:
//
//	Permanent() bool             the batch as a whole will never be taken
//	RetryAfter() time.Duration   not before so long
//	MaxBatch() int               at most so many at a time
//
// The two lanes call it at the same time.
type Sender func(ctx context.Context, t checkin.Traffic, records []checkin.Record) ([]checkin.Ack, error)

// A batch is small enough that a fresh record never waits long behind the
// deletion of one (measured: 200 costs 2 ms, 10,000 cost 60).
const (
	batchRecords = 200
	batchBytes   = 256 << 10
	firstRetry   = time.Second
	lastRetry    = 5 * time.Minute
	longestAsked = 30 * time.Minute
	settleLimit  = 5 * time.Second // of a disk that hangs
	soon         = 5 * time.Second // after the far end has been heard of
)

// Drain delivers the check-ins until ctx ends, in two lanes: what was made just
// now, newest batch first, and beside it what has waited, oldest first. Only
// what the platform names as stored or as a duplicate leaves the queue; what it
// refuses for good goes to the dead with the reason; what it calls a conflict comes
// again under another identity; everything else is tried
// again for ever, with full jitter from one second to five minutes. It returns
// nil: a disk that fails is waited for, too.
func (q *Queue) Drain(ctx context.Context, send Sender) error {
	b := q.boxes[checkins]
	live := &courier{box: b, traffic: checkin.Live, send: send}
	backlog := &courier{box: b, traffic: checkin.Backlog, send: send}
	var lanes sync.WaitGroup
	lanes.Go(func() { live.run(ctx) })
	lanes.Go(func() { backlog.run(ctx) })
	lanes.Wait()
	return nil
}

// DrainReports delivers the reports to one recipient as Drain delivers what has
// waited: oldest first, with the same patience, and rejected ones to dead of
// their own.
func (q *Queue) DrainReports(ctx context.Context, recipient string, send Sender) error {
	b, ok := q.boxes[recipient]
	if !ok || recipient == checkins {
		return fmt.Errorf("no recipient %q is configured", recipient)
	}
	(&courier{box: b, traffic: checkin.Backlog, send: send}).run(ctx)
	return nil
}

// Heard tells the queue that the platform has just answered something: who
// rests because it did not tries again soon. One that was asked to wait, waits.
func (q *Queue) Heard() {
	for _, c := range q.boxes[checkins].back {
		poke(c)
	}
}

//

// courier takes records from one box in one lane.
type courier struct {
	box     *box
	traffic checkin.Traffic
	send    Sender

	wait  *backoff.ExponentialBackOff
	limit int
	from  place // where the next batch of the backlog begins
}

// parcel is a record on its way, and where it stands.
type parcel struct {
	at     place
	size   int
	record checkin.Record
}

func (c *courier) run(ctx context.Context) {
	c.limit = batchRecords
	c.fresh()
	for ctx.Err() == nil {
		batch, err := c.batch()
		switch {
		case c.holding():
			c.hold(ctx)
		case err != nil:
			c.rest(ctx, err)
		case len(batch) > 0:
			c.deliver(ctx, batch)
		case c.from != place{}: // some were left behind for good reason; again from the start
			c.from = place{}
			c.rest(ctx, errUnanswered)
		default:
			c.sleep(ctx)
		}
	}
}

// errUnanswered is when the platform says nothing of records it was sent.
var errUnanswered = errors.New("the platform answered for none of the records")

// errTaken is when identities of this epoch are another event's.
var errTaken = errors.New("the platform holds other events under the identities of these records: the state folder was restored or copied; they go on under new ones")

func (c *courier) sleep(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-c.box.woken[c.traffic]:
	}
}

// fresh forgets what went wrong, batch by batch: what was too much for a slow
// line is not tried again at once.
func (c *courier) fresh() {
	c.wait, c.limit = newBackoff(), min(2*c.limit, batchRecords)
}

// deliver sends one batch, and settles what is answered.
func (c *courier) deliver(ctx context.Context, batch []parcel) {
	records := make([]checkin.Record, len(batch))
	for i := range batch {
		records[i] = batch[i].record
	}
	acks, err := c.send(ctx, c.traffic, records)
	switch {
	case err == nil:
		c.settle(ctx, batch, acks)
	case ctx.Err() != nil:
	case permanent(err) && len(batch) == 1:
		c.settle(ctx, batch, []checkin.Ack{{ID: records[0].Event.ID, Status: checkin.Rejected, Reason: err.Error()}})
	case permanent(err):
		c.limit = (len(batch) + 1) / 2 // the bad one is found by halving
	default:
		switch n, ok := asks[interface{ MaxBatch() int }](err); {
		case !ok: // nobody has answered: a slow line may not bring so much in time
			c.limit = (len(batch) + 1) / 2
		case n.MaxBatch() > 0:
			c.limit = min(c.limit, n.MaxBatch())
		}
		c.failed(ctx, err)
	}
}

// settle takes what was answered for out of the queue.
func (c *courier) settle(ctx context.Context, batch []parcel, acks []checkin.Ack) {
	said := answers(batch, acks)
	if said.len() == 0 && c.traffic == checkin.Live {
		c.failed(ctx, errUnanswered)
		return
	}
	if said.len() < len(batch) {
		c.from = batch[len(batch)-1].at // the rest must not stop the next
		c.from.key++
	}
	if said.len() == 0 {
		return
	}
	// What the far end holds is written down also when it is time to stop.
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleLimit)
	defer cancel()
	began, err := c.box.q.settle(settling, c.box.name, said)
	switch {
	case err != nil:
		c.failed(ctx, err)
		return
	case began: // a platform that says so of every epoch does not wear out the flash
		c.failed(ctx, errTaken)
		return
	case len(said.held)+len(said.dead) == 0:
		return
	}
	c.fresh()
	c.box.note(nil, time.Time{})
	if c.traffic == checkin.Live {
		c.box.held.Store(0)
		poke(c.box.back[checkin.Backlog])
	}
}

// failed rests. What could not be delivered at once has waited then, and is the
// backlog's, which holds as long.
func (c *courier) failed(ctx context.Context, why error) {
	d, asked := c.pause(why)
	if c.traffic == checkin.Live {
		c.box.held.Store(time.Now().Add(d).UnixNano()) // before the backlog sees them
		c.box.q.allHasWaited()
		poke(c.box.woken[checkin.Backlog])
	}
	c.restFor(ctx, d, asked, why)
}

// answers sorts a batch by what was said of each record. An answer for a record
// that was not sent is ignored, and so is a second one.
func answers(batch []parcel, acks []checkin.Ack) (said answered) {
	sent := map[checkin.ID]parcel{}
	for _, p := range batch {
		sent[p.record.Event.ID] = p
	}
	for _, a := range acks {
		p, ok := sent[a.ID]
		if !ok {
			continue
		}
		switch a.Status {
		case checkin.Stored, checkin.Duplicate:
			said.held = append(said.held, p)
		case checkin.Conflict:
			said.taken = append(said.taken, p)
		case checkin.Rejected:
			said.dead = append(said.dead, burial{p, a.Reason})
		default:
			continue
		}
		delete(sent, a.ID)
	}
	return said
}

func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = firstRetry, lastRetry
	b.Multiplier, b.RandomizationFactor = 2, 0 // the jitter is full, and ours
	return b
}

// rest waits before the next attempt.
func (c *courier) rest(ctx context.Context, why error) {
	d, asked := c.pause(why)
	c.restFor(ctx, d, asked, why)
}

// pause is how long to wait after a failure: with full jitter, or as long as
// was asked for, ± 50 %.
func (c *courier) pause(why error) (d time.Duration, asked bool) {
	if r, ok := asks[interface{ RetryAfter() time.Duration }](why); ok && r.RetryAfter() > 0 {
		d := min(max(r.RetryAfter(), time.Second), longestAsked)
		return d/2 + rand.N(d), true
	}
	return rand.N(c.wait.NextBackOff()) + 50*time.Millisecond, false
}

// restFor waits. A new record does not cut it short: a platform in trouble must
// not be asked more often by a busy lane. That it has been heard of does, unless
// it asked for the wait.
func (c *courier) restFor(ctx context.Context, d time.Duration, asked bool, why error) {
	c.box.note(why, time.Now().Add(d))
	back := c.box.back[c.traffic]
	select {
	case <-back: // of before
	default:
	}
	if asked {
		back = nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-back:
		t.Reset(min(d, rand.N(soon)))
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

// holding reports whether the backlog is to wait because the live lane was told
// to: what is refused to a visitor of this minute will not be taken from
// yesterday's.
func (c *courier) holding() bool {
	return c.traffic == checkin.Backlog && time.Until(time.Unix(0, c.box.held.Load())) > 0
}

func (c *courier) hold(ctx context.Context) {
	t := time.NewTimer(time.Until(time.Unix(0, c.box.held.Load())))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-c.box.back[checkin.Backlog]: // the live lane has come through
	}
}

// note is what became of the last attempt.
type note struct {
	last string
	next time.Time
}

func (b *box) note(err error, next time.Time) {
	n := note{next: next}
	if err != nil {
		n.last = err.Error()
	}
	b.q.mu.Lock()
	defer b.q.mu.Unlock()
	b.q.notes[b.name] = n
}

func permanent(err error) bool {
	p, ok := asks[interface{ Permanent() bool }](err)
	return ok && p.Permanent()
}

// asks finds what an error can say beyond its text.
func asks[T any](err error) (T, bool) {
	var t T
	ok := errors.As(err, &t)
	return t, ok
}
