package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

// reader is a kiosk's signed cache.
type reader struct {
	t          testing.TB
	press      *press
	store      *trust.Store
	card, deny *trust.Feed
}

func (p *press) reader() *reader {
	p.t.Helper()
	s, err := trust.Open(p.t.TempDir(), trust.Options{
		Root: p.RootJSON(), Roles: []string{trust.RolePolicy, trust.RoleIssuers, trust.RoleStatus},
		Want: func(string) bool { return true },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	r := &reader{t: p.t, press: p, store: s}
	for product, f := range map[string]**trust.Feed{feed.Card: &r.card, feed.Deny: &r.deny} {
		if *f, err = s.OpenFeed("v-1", product); err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup((*f).Close)
	}
	return r
}

// refresh brings the cache up to date at the press's time, and returns what was
// wrong with the repository, the table and the deny list. hi is none if unbounded.
func (r *reader) refresh(unbounded bool) (repository, card, deny error) {
	r.t.Helper()
	lo, hi := r.press.now, r.press.now
	if unbounded {
		hi = time.Time{}
	}
	_, repository = r.store.Refresh(r.t.Context(), trust.Sources{
		Metadata: trust.Below(r.press, "tuf"), Targets: trust.Below(r.press, "tuf/targets"),
	}, lo)
	_, card = r.card.Refresh(r.t.Context(), r.press, lo, hi)
	_, deny = r.deny.Refresh(r.t.Context(), r.press, lo, hi)
	return repository, card, deny
}

// current refreshes, and nothing may be wrong.
func (r *reader) current() {
	r.t.Helper()
	if repository, card, deny := r.refresh(false); repository != nil || card != nil || deny != nil {
		r.t.Fatalf("refresh: repository %v, table %v, deny list %v", repository, card, deny)
	}
}

// colours says what a list has of everybody: on the table or the deny list.
func (r *reader) colours(f *trust.Feed) map[string]string {
	r.t.Helper()
	found := map[string]string{}
	err := f.View(func(v trust.View) error {
		secret, ok := r.press.EpochKey("v-1", v.Header.Epoch)
		if !ok {
			return fmt.Errorf("there is no key of epoch %d", v.Header.Epoch)
		}
		key := statuslist.Key(secret)
		for ref, kind := range map[string]checkin.Kind{
			"wang": checkin.ResidentID, "zhang": checkin.ResidentID, "li": checkin.HKMOTWPermit, "left out": checkin.ForeignerCard,
		} {
			person, _ := r.press.platform.Person(ref)
			fingerprint := key.Fingerprint(statuslist.NewHandle(string(kind), person.Number, person.Name))
			var value statuslist.Value
			if v.Table != nil {
				value, ok = v.Table.Lookup(fingerprint)
			} else {
				value, ok = v.Deny.Lookup(fingerprint)
			}
			if sampled, tested := value.Sampled(time.Unix(v.Header.AsOf, 0)); ok {
				found[ref] = value.Colour().String()
				if tested && sampled.After(person.Sampled) {
					r.t.Errorf("%s: a sample looks fresher than it is", ref)
				}
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

func (r *reader) check(what string, table, deny map[string]string) {
	r.t.Helper()
	if diff := cmp.Diff(table, r.colours(r.card)); diff != "" {
		r.t.Errorf("%s: table (-want +got):\n%s", what, diff)
	}
	if diff := cmp.Diff(deny, r.colours(r.deny)); diff != "" {
		r.t.Errorf("%s: deny list (-want +got):\n%s", what, diff)
	}
}
