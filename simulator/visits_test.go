package simulator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A run that is told to end says so. It said "the passage was not seen", which
// sent people looking for a passage.
func TestVisitsThatAreInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := errors.New("told to end")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Second, func() { cancel(ended) })
		r, err := Visits(ctx, Opts{Front: Memory}, VisitOpts{N: 1000, By: "code"})
		if !errors.Is(err, ended) {
			t.Errorf("%v, want the cause", err)
		}
		if r.Granted == 0 || r.Granted == 1000 {
			t.Errorf("%d were let through: this test interrupts nothing", r.Granted)
		}
	})
}
