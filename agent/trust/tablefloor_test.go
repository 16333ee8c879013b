package trust_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

// TestServerPutBackAsWell: the newest table is lost, or all of them, and the
// server offers an older step as the newest. The floor remembers.
func TestServerPutBackAsWell(t *testing.T) {
	for _, lost := range []string{"7-3.table", "current"} {
		t.Run(lost, func(t *testing.T) {
			p := newStation(t)
			f := newFollower(t, p)
			table := f.open(feed.Card)
			for range 3 {
				if err := f.refresh(table); err != nil {
					t.Fatal(err)
				}
				p.turn(statuslist.Green)
			}
			table.Close()
			put(t, f.c.dir, map[string][]byte{"feed/venue-1-card/" + lost: []byte("lost")})
			newest := p.r.extra["feed/venue-1/head.cose"]
			p.r.extra["feed/venue-1/head.cose"] = p.r.extra["feed/venue-1/2.cose"]
			table = f.open(feed.Card)
			before := colour(t, table)
			if err := f.refresh(table); !errors.Is(err, feed.ErrReplay) || !errors.Is(err, trust.ErrRefused) {
				t.Errorf("Refresh: %v", err)
			}
			wantColour(t, table, before)
			p.r.extra["feed/venue-1/head.cose"] = newest
			if err := f.refresh(table); err != nil {
				t.Fatal(err)
			}
			wantColour(t, table, "step 4 green true")
		})
	}
}

// TestKeyIsTakenAwayWhileWeRun: what it had vouched for is given up at once.
func TestKeyIsTakenAwayWhileWeRun(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	s := f.c.open()
	table, err := s.OpenFeed("venue-1", feed.Card)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	p.key, p.kid = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32)), "feed-2"
	p.index()
	if _, err := s.Refresh(t.Context(), p.r.sources(), now); err != nil {
		t.Fatal(err)
	}
	if err := f.refresh(table); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("Refresh: %v", err)
	}
	wantColour(t, table, "nothing")
}
