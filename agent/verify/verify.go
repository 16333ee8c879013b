// Package verify answers who a visitor is and what the authority says of him,
// by a ladder of ways. The platform is the first rung; the signed cache comes
// below it. A rung that fails says why, and nothing that is not known is made
// up: the policy decides what unknown means.
package verify

import (
	"context"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Limit bounds an answer, whatever the platform does.
const Limit = 2 * time.Second

// Asker is the platform's side of a question.
type Asker interface {
	Verify(ctx context.Context, c checkin.Credential) (checkin.Status, error)
}

// Ladder asks rung by rung.
type Ladder struct {
	Online Asker
	// Why names the reason for an error of Online.
	Why func(error) checkin.Reason
	// Failed hears of every error of Online; nil hears nothing.
	Failed func(error)
}

// Verify returns the status, or a status that is not Known and the reason. It
// returns within Limit, or at once when ctx ends.
func (l *Ladder) Verify(ctx context.Context, c checkin.Credential) (checkin.Status, checkin.Reason) {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	status, err := l.ask(ctx, c)
	if err == nil {
		return status, ""
	}
	if l.Failed != nil {
		l.Failed(err)
	}
	return checkin.Status{}, l.Why(err)
}

// ask returns when the platform has answered or ctx ends, also if Online does
// not watch its context.
func (l *Ladder) ask(ctx context.Context, c checkin.Credential) (checkin.Status, error) {
	type reply struct {
		status checkin.Status
		err    error
	}
	got := make(chan reply, 1)
	go func() {
		s, err := l.Online.Verify(ctx, c)
		got <- reply{s, err}
	}()
	select {
	case r := <-got:
		return r.status, r.err
	case <-ctx.Done():
		return checkin.Status{}, context.Cause(ctx)
	}
}
