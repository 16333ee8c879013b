// Package verify answers who a visitor is and what the authority says of him,
// by a ladder of ways:
//
//	platform A → platform B → what was answered a moment ago → below (signed cache, signed code)
//
// Nothing that is not known is made up: a rung that cannot answer says why, and
// the policy decides what unknown means. An answer comes within two seconds
// whatever the platform does.
//
// B is asked at once when A has failed. When A is only slow B is asked beside it
// for one question in twenty at most: an overloaded platform must not be
// doubled. After three failures in a row an attempt is shortened to 300 ms and
// never left out, so that the first answer after a recovery is taken at once.
package verify

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/scrub"
)

// Limits of an answer.
const (
	// Limit bounds an answer, whatever the platform does.
	Limit = 2 * time.Second
	// Short bounds it while the platform does not answer.
	Short = 300 * time.Millisecond
	// failures in a row shorten the attempts.
	failures = 3
	// hedgeAfter is when A counts as slow.
	hedgeAfter = 400 * time.Millisecond
	// hedgeShare is how many questions may be asked twice.
	hedgeShare = 0.05
	// hedgeBurst is how many of them may come together.
	hedgeBurst = 2
)

// Asker is a platform's side of a question.
type Asker interface {
	Verify(ctx context.Context, c checkin.Credential) (checkin.Status, error)
}

// Rung is a way below the platform. It answers at once.
type Rung interface {
	// Lookup returns a status that is Known, or false.
	Lookup(c checkin.Credential) (checkin.Status, bool)
}

// Ladder asks rung by rung. Its zero value but for Online and Why is ready.
type Ladder struct {
	Online Asker
	// Second is another address of the platform; nil: there is none.
	Second Asker
	// Below are the ways without the platform, in their order.
	Below []Rung
	// Why names the reason for an error of Online or Second.
	Why func(error) checkin.Reason
	// Failed hears of every question that no platform answered; nil hears
	// nothing.
	Failed func(error)

	recent recent

	mu     sync.Mutex
	failed int     // questions in a row that no platform answered
	hedges float64 // how many questions may be asked twice now
}

// Verify returns the status, or a status that is not Known and the reason. It
// returns within Limit, or at once when ctx ends.
func (l *Ladder) Verify(ctx context.Context, c checkin.Credential) (checkin.Status, checkin.Reason) {
	ctx, cancel := context.WithTimeout(ctx, l.limit())
	defer cancel()
	status, err := l.online(ctx, c)
	l.saw(err)
	if err == nil {
		l.recent.keep(c, status)
		return status, ""
	}
	if l.Failed != nil {
		l.Failed(err)
	}
	why := l.Why(err)
	if why != checkin.PlatformUnreachable {
		return checkin.Status{}, why // it has answered: nobody has this credential
	}
	if status, ok := l.recent.Lookup(c); ok {
		return status, ""
	}
	for _, rung := range l.Below {
		if status, ok := rung.Lookup(c); ok {
			return status, ""
		}
	}
	return checkin.Status{}, why
}

//

// limit is how long the platform has for this question.
func (l *Ladder) limit() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed >= failures {
		return Short
	}
	return Limit
}

// saw keeps count of what became of a question.
func (l *Ladder) saw(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hedges = min(hedgeBurst, l.hedges+hedgeShare)
	if err == nil || l.Why(err) != checkin.PlatformUnreachable {
		l.failed = 0
		return
	}
	l.failed++
}

// mayHedge takes one of the questions that may be asked twice.
func (l *Ladder) mayHedge() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hedges < 1 {
		return false
	}
	l.hedges--
	return true
}

type reply struct {
	status checkin.Status
	err    error
}

// online asks A, and B if A fails or is slow. It returns when one has answered
// or ctx ends, also if an Asker does not watch its context.
func (l *Ladder) online(ctx context.Context, c checkin.Credential) (checkin.Status, error) {
	a := ask(ctx, l.Online, c)
	if l.Second == nil {
		return first(ctx, a, nil)
	}
	slow := time.NewTimer(hedgeAfter)
	defer slow.Stop()
	select {
	case r := <-a:
		if r.err == nil || l.Why(r.err) != checkin.PlatformUnreachable {
			return r.status, r.err
		}
		status, err := first(ctx, ask(ctx, l.Second, c), nil)
		if err != nil {
			err = errors.Join(r.err, err)
		}
		return status, err
	case <-slow.C:
		if !l.mayHedge() {
			return first(ctx, a, nil)
		}
		return first(ctx, a, ask(ctx, l.Second, c))
	case <-ctx.Done():
		return checkin.Status{}, context.Cause(ctx)
	}
}

func ask(ctx context.Context, p Asker, c checkin.Credential) <-chan reply {
	got := make(chan reply, 1)
	go func() {
		scrub.Stack()
		s, err := p.Verify(ctx, c)
		scrub.Stack()
		got <- reply{s, err}
	}()
	return got
}

// first returns the first good answer of a and b, or the last error. b may be
// nil.
func first(ctx context.Context, a, b <-chan reply) (checkin.Status, error) {
	for {
		var r reply
		select {
		case r = <-a:
			a = nil
		case r = <-b:
			b = nil
		case <-ctx.Done():
			return checkin.Status{}, context.Cause(ctx)
		}
		if r.err == nil || a == nil && b == nil {
			return r.status, r.err
		}
	}
}
