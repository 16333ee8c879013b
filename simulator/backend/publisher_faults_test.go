package backend_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// TestFaultsAreSeen as what they are by a kiosk that knows the time; what it
// held before stays in use, and it follows again when the fault is over.
func TestFaultsAreSeen(t *testing.T) {
	for _, tt := range []struct {
		fault                  backend.PublisherFault
		repository, card, deny error // nil: nothing is wrong
	}{
		{backend.StaleTimestamp, trust.ErrExpired, nil, nil},
		{backend.OldSnapshot, trust.ErrRefused, nil, nil},
		{backend.WrongRoot, nil, feed.ErrFork, nil},
		{backend.Ahead, nil, feed.ErrAhead, feed.ErrAhead},
		{backend.Truncated, nil, feed.ErrFork, feed.ErrFork},
		{backend.WrongKey, nil, signed.ErrSignature, signed.ErrSignature},
		{backend.RevokedKey, nil, signed.ErrKey, signed.ErrKey},
		{backend.Rollback, trust.ErrRefused, feed.ErrReplay, feed.ErrReplay},
		{backend.PoisonedTime, nil, feed.ErrAhead, feed.ErrAhead},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			t.Parallel() // they wait for the disk
			p := newPress(t, backend.PublisherOpts{})
			p.publish(0)
			p.publish(5 * time.Minute)
			r := p.reader()
			r.current()
			p.set("wang", number, "red")
			if err := p.Order(tt.fault); err != nil {
				t.Fatal(err)
			}
			p.publish(5 * time.Minute)
			repository, card, deny := r.refresh(false)
			for what, err := range map[string][2]error{"repository": {tt.repository, repository}, "table": {tt.card, card}, "deny list": {tt.deny, deny}} {
				if want, got := err[0], err[1]; (want == nil) != (got == nil) || !errors.Is(got, want) {
					t.Errorf("%s: %v, want %v", what, got, want)
				}
			}
			if tt.card != nil {
				if diff := cmp.Diff(people{"wang": "green", "zhang": "green", "li": "red"}, r.colours(r.card)); diff != "" {
					t.Errorf("the table that was there (-want +got):\n%s", diff)
				}
			}
			if err := p.Order(backend.NoFault); err != nil {
				t.Fatal(err)
			}
			p.publish(5 * time.Minute)
			r.current()
			r.check("after the fault", people{"wang": "red", "zhang": "green", "li": "red"}, people{"wang": "red"})
		})
	}
}

// TestTheFastLaneIsSpoiltToo without a Publish, and only the lists are new.
func TestTheFastLaneIsSpoiltToo(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	r := p.reader()
	r.current()
	if err := p.Order(backend.WrongKey); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{signed.ErrSignature, nil} {
		p.now = p.now.Add(time.Minute)
		if err := p.Deny(p.now); err != nil {
			t.Fatal(err)
		}
		repository, _, deny := r.refresh(false)
		if repository != nil || (deny == nil) != (want == nil) || !errors.Is(deny, want) {
			t.Errorf("list %d: repository %v, deny list %v, want %v", i, repository, deny, want)
		}
		if err := p.Order(backend.NoFault); err != nil {
			t.Fatal(err)
		}
	}
	r.current()
}

// TestAFaultOfAPathSparesTheOthers: the platform's own faults reach its files.
func TestAFaultOfAPathSparesTheOthers(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	var faults backend.Faults
	h := faults.Wrap(p.platform.Handler())
	paths := map[string]string{"tuf": "/tuf/timestamp.json", "feed": "/feed/v-1/head.cose", "epoch": "/v1/epoch"}
	for call := range paths {
		if err := faults.Set(backend.Fault{Kind: "refuse", Status: 503, Call: call}); err != nil {
			t.Fatal(err)
		}
		for other, path := range paths {
			if w := ask(h, http.MethodGet, path); (w.Code == http.StatusServiceUnavailable) != (call == other) {
				t.Errorf("a fault of %s: %s gives %d", call, other, w.Code)
			}
		}
	}
}

// TestATruncatedSnapshot is no target: a kiosk that has nothing stays so.
func TestATruncatedSnapshot(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	if err := p.Order(backend.Truncated); err != nil {
		t.Fatal(err)
	}
	p.publish(0)
	r := p.reader()
	if repository, _, _ := r.refresh(false); !errors.Is(repository, trust.ErrRefused) {
		t.Errorf("half a snapshot: %v, want it refused", repository)
	}
}

// TestAPoisonedTime is believed by a kiosk that does not know the time; what is
// right forks from it then, and a new epoch leads out.
func TestAPoisonedTime(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	r := p.reader()
	r.current()
	if err := p.Order(backend.PoisonedTime); err != nil {
		t.Fatal(err)
	}
	p.publish(5 * time.Minute)
	if repository, card, deny := r.refresh(true); repository != nil || card != nil || deny != nil {
		t.Errorf("without an upper bound: %v, %v, %v, want it believed", repository, card, deny)
	}
	if got := r.store.State(p.now, time.Time{}).AsOf; got.Sub(p.now) < 9*365*day {
		t.Errorf("the timestamp is as of %v, want years ahead", got)
	}
	if err := p.Order(backend.NoFault); err != nil {
		t.Fatal(err)
	}
	p.publish(5 * time.Minute)
	if _, card, deny := r.refresh(false); !errors.Is(card, trust.ErrRefused) || !errors.Is(deny, trust.ErrRefused) {
		t.Errorf("the right steps: %v, %v, want them refused after the poisoned ones", card, deny)
	}
	p.now = p.now.Add(time.Minute)
	if _, err := p.Rotate(p.now, 2); err != nil {
		t.Fatal(err)
	}
	r.current()
	r.check("new epoch", people{"wang": "green", "zhang": "green", "li": "red"}, people{})
}

// TestFaultsThatCannotBe are told, and serve nothing new.
func TestFaultsThatCannotBe(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	if err := p.Order("tired"); err == nil {
		t.Error("an unknown fault is taken")
	}
	if err := p.Deny(p.now); err == nil {
		t.Error("there is a deny list before the first publication")
	}
	q := newPress(t, backend.PublisherOpts{})
	if err := q.Order(backend.Rollback); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Publish(q.now); err == nil || len(q.Files()) > 0 {
		t.Errorf("the first publication shows an earlier one: %v, %d files", err, len(q.Files()))
	}
	p.publish(0)
	before := p.Files()
	if _, err := p.Publish(p.now.Add(-time.Second)); err == nil {
		t.Error("there is a publication as of before the last")
	}
	if err := p.Deny(p.now.Add(-time.Second)); err == nil {
		t.Error("there is a deny list as of before the last publication")
	}
	if diff := cmp.Diff(before, p.Files()); diff != "" {
		t.Errorf("what is served has changed:\n%s", diff)
	}
}
