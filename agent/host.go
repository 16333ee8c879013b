package agent

import (
	"context"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// awaitHost asks the platform every few seconds whether the visitor's host has
// answered, until he has, the time is over, or somebody else comes to the
// lane: a release that comes late must never let the wrong person in.
func (l *lane) awaitHost(ctx context.Context, visit string, p presented) {
	ctx, cancel := context.WithTimeout(ctx, l.a.o.Timing.HostWait)
	l.mu.Lock()
	l.pending = cancel
	l.mu.Unlock()
	l.a.desk.calls.Go(func() {
		defer cancel()
		for pause(ctx, l.a.o.Timing.HostPoll) == nil {
			if l.hostAnswered(ctx, p) {
				p.after = visit
				l.again(ctx, p)
				return
			}
		}
	})
}

// hostAnswered reports whether the verdict would be another one now.
func (l *lane) hostAnswered(ctx context.Context, p presented) bool {
	e := checkin.Evidence{Credential: p.cred, Temperature: checkin.Normal}
	e.Status, e.Why = l.a.o.Verifier.Verify(ctx, p.cred)
	l.stamp(&e)
	return e.Status.Known && checkin.Decide(l.a.policy(), l.a.o.Class, &e).Reason != checkin.NeedsHost
}

// again examines a visitor once more, if nobody has come meanwhile.
func (l *lane) again(ctx context.Context, p presented) {
	l.mu.Lock()
	mine := !l.busy && ctx.Err() == nil
	if mine {
		l.pending = nil
		l.take1()
	}
	l.mu.Unlock()
	if mine {
		p.at = time.Now()
		l.a.desk.close(p.after)
		l.in <- func(ctx context.Context) { l.visit(ctx, p) }
	}
}
