package verify_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/verify"
)

type platform func(ctx context.Context) (checkin.Status, error)

func (p platform) Verify(ctx context.Context, _ checkin.Credential) (checkin.Status, error) {
	return p(ctx)
}

func TestVerify(t *testing.T) {
	broken := errors.New("garbage")
	for _, tt := range []struct {
		name  string
		ask   platform
		known bool
		why   checkin.Reason
		took  time.Duration
	}{
		{"an answer is handed on", func(context.Context) (checkin.Status, error) {
			return checkin.Status{Known: true, Colour: checkin.Green}, nil
		}, true, "", 0},
		{"an error is named", func(context.Context) (checkin.Status, error) {
			return checkin.Status{Known: true}, broken
		}, false, checkin.NoStatus, 0},
		{"a platform that heeds its context is bounded", func(ctx context.Context) (checkin.Status, error) {
			<-ctx.Done()
			return checkin.Status{}, ctx.Err()
		}, false, checkin.PlatformUnreachable, limit},
		{"a platform that heeds nothing is bounded too", func(context.Context) (checkin.Status, error) {
			time.Sleep(time.Minute)
			return checkin.Status{Known: true, Colour: checkin.Green}, nil
		}, false, checkin.PlatformUnreachable, limit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var failed error
				l := &verify.Ladder{Online: tt.ask, Failed: func(err error) { failed = err }, Why: func(err error) checkin.Reason {
					if errors.Is(err, broken) {
						return checkin.NoStatus
					}
					return checkin.PlatformUnreachable
				}}
				start := time.Now()
				got, why := l.Verify(t.Context(), checkin.Credential{Kind: checkin.PersonalCode})
				if got.Known != tt.known || why != tt.why {
					t.Errorf("Verify() = known %v, %q, want %v, %q", got.Known, why, tt.known, tt.why)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if (failed == nil) != tt.known {
					t.Errorf("Failed heard %v", failed)
				}
				time.Sleep(2 * time.Minute) // let the late platform end
			})
		})
	}
}

// limit is what a visitor was promised.
const limit = 2 * time.Second

// slow answers green after a delay and heeds nothing.
type slow struct {
	delay time.Duration
	mu    sync.Mutex
	asked []checkin.Credential
}

func (p *slow) Verify(_ context.Context, c checkin.Credential) (checkin.Status, error) {
	p.mu.Lock()
	p.asked = append(p.asked, c)
	p.mu.Unlock()
	time.Sleep(p.delay)
	return checkin.Status{Known: true, Colour: checkin.Green, MaskedName: c.Value}, nil
}

func unreachable(error) checkin.Reason { return checkin.PlatformUnreachable }

// TestTheLastMoment: just in time is in time, and late is never.
func TestTheLastMoment(t *testing.T) {
	for name, tt := range map[string]struct {
		delay time.Duration
		known bool
	}{
		"a moment before the limit": {limit - time.Nanosecond, true},
		"a moment after the limit":  {limit + time.Nanosecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &verify.Ladder{Online: &slow{delay: tt.delay}, Why: unreachable} // nobody listens to failures
				start := time.Now()
				got, why := l.Verify(t.Context(), checkin.Credential{Kind: checkin.PersonalCode})
				if got.Known != tt.known || (why == "") != tt.known || time.Since(start) > limit {
					t.Errorf("Verify() = known %v, %q after %v, want %v", got.Known, why, time.Since(start), tt.known)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// TestTheVisitEnds before the answer: the agent halts, or its own limit is
// shorter. Failed hears why.
func TestTheVisitEnds(t *testing.T) {
	halted := errors.New("halted")
	for name, tt := range map[string]struct {
		end  func(ctx context.Context) (context.Context, context.CancelFunc)
		want error
		took time.Duration
	}{
		"halted while asking": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(300*time.Millisecond, func() { cancel(halted) })
			return ctx, func() { cancel(nil) }
		}, halted, 300 * time.Millisecond},
		"halted before": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(halted)
			return ctx, func() { cancel(nil) }
		}, halted, 0},
		"a shorter limit": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, context.DeadlineExceeded, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := tt.end(t.Context())
				defer cancel()
				var failed error
				l := &verify.Ladder{Online: &slow{delay: time.Minute}, Why: unreachable, Failed: func(err error) { failed = err }}
				start := time.Now()
				got, why := l.Verify(ctx, checkin.Credential{Kind: checkin.PersonalCode})
				if got != (checkin.Status{}) || why != checkin.PlatformUnreachable || time.Since(start) != tt.took {
					t.Errorf("Verify() = %+v, %q after %v, want nothing after %v", got, why, time.Since(start), tt.took)
				}
				if !errors.Is(failed, tt.want) {
					t.Errorf("Failed heard %v, want %v", failed, tt.want)
				}
				time.Sleep(2 * time.Minute)
			})
		})
	}
}

// TestTwoVisitors at the same time hear each his own answer, whole.
func TestTwoVisitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		online := &slow{delay: time.Second}
		l := &verify.Ladder{Online: online, Why: unreachable}
		var both sync.WaitGroup
		for _, value := range []string{"first", "second"} {
			both.Go(func() {
				got, why := l.Verify(t.Context(), checkin.Credential{Kind: checkin.PersonalCode, Value: value})
				want := checkin.Status{Known: true, Colour: checkin.Green, MaskedName: value}
				if diff := cmp.Diff(want, got); diff != "" || why != "" {
					t.Errorf("Verify() because of %q (-want +got):\n%s", why, diff)
				}
			})
		}
		both.Wait()
		if len(online.asked) != 2 || online.asked[0].Kind != checkin.PersonalCode {
			t.Errorf("asked about %v, want each credential once", online.asked)
		}
	})
}
