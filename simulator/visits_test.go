package simulator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/simulator/backend"
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

// After a long outage a kiosk comes back minutes later, on purpose: the report
// waits for it, and does not call its records undelivered.
func TestVisitsWaitForAKioskThatBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Opts{Front: Memory, Settle: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		report, err := b.visits(t.Context(), VisitOpts{N: 1, By: "code"})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.setPlatform(backend.Fault{Kind: "down"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // the same code at once would be the same visit
		if err := b.visit1(t.Context(), VisitOpts{By: "code"}, 0, report); err == nil {
			t.Fatal("somebody was granted without a platform")
		}
		waits := func() bool {
			s, err := b.seen.status(t.Context())
			return err == nil && time.Until(s.Queue.NextTry) > 2*settleAfter
		}
		for !waits() {
			time.Sleep(time.Second)
		}
		if err := b.setPlatform(backend.Fault{Kind: "up"}); err != nil {
			t.Fatal(err)
		}
		if err := b.settled(t.Context(), report); err != nil {
			t.Error(err)
		}
		if got := report.Records; got.stored != 2 || got.delivered != 2 {
			t.Errorf("%+v, want two records, both delivered", got)
		}
	})
}
