package agent

import (
	"context"
	"errors"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// ring calls a guard for the visitor of visit, unless one is being called
// already. A call that nobody answers is recorded, and raises an alarm.
func (d *desk) ring(ctx context.Context, visit string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ringer != nil {
		return
	}
	answer := make(chan struct{})
	d.ringer = answer
	began := time.Now()
	d.a.hub.emit(Happening{Type: "call", Visit: visit, State: "ringing"})
	d.calls.Go(func() {
		over := pauseOr(ctx, d.a.o.Timing.Call, answer)
		d.mu.Lock()
		d.ringer = nil
		d.mu.Unlock()
		d.called(visit, over == errAnswered, time.Since(began))
	})
}

// called writes down what became of a call.
func (d *desk) called(visit string, answered bool, waited time.Duration) {
	state := "answered"
	if !answered {
		state = "unanswered"
		d.a.o.Log.Warn("nobody answered the call for a guard", "waited", waited)
		d.a.hub.raise("guard-unanswered")
	}
	e := d.a.lane.event(checkin.KindCall)
	e.Visit, e.Answered, e.Waited = visit, answered, waited.Milliseconds()
	if err := d.a.lane.put(context.Background(), e, nil); err != nil {
		d.a.o.Log.Error("recording a call", "err", err)
	}
	d.a.hub.emit(Happening{Type: "call", Visit: visit, State: state})
}

// answered says that a guard is there.
func (d *desk) answered() {
	d.a.hub.clear("guard-unanswered")
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ringer != nil {
		close(d.ringer)
		d.ringer = nil
	}
}

// wait waits for the calls that are still ringing.
func (d *desk) wait() { d.calls.Wait() }

var errAnswered = errors.New("answered")

// pauseOr waits for d, for ctx, or for answer; which one, it returns.
func pauseOr(ctx context.Context, d time.Duration, answer <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-answer:
		return errAnswered
	case <-t.C:
		return nil
	}
}
