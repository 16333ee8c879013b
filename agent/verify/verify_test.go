package verify_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

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
		}, false, checkin.PlatformUnreachable, verify.Limit},
		{"a platform that heeds nothing is bounded too", func(context.Context) (checkin.Status, error) {
			time.Sleep(time.Minute)
			return checkin.Status{Known: true, Colour: checkin.Green}, nil
		}, false, checkin.PlatformUnreachable, verify.Limit},
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
