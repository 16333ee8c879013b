package trust_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

func TestFollowTheFeed(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	wantColour(t, table, "nothing")
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	wantColour(t, table, "step 1 green true")
	p.turn(statuslist.Red)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	wantColour(t, table, "step 2 red true")
	for range 5 {
		p.turn(statuslist.Yellow)
	}
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	wantColour(t, table, "step 7 yellow true")
	if err := f.refresh(table); err != nil {
		t.Errorf("nothing new: %v", err)
	}
	wantColour(t, f.open(feed.Card), "step 7 yellow true") // after a restart
	if got := len(filesIn(t, f.c.dir, "feed")); got != 4 {
		t.Errorf("%d files lie below feed: two tables, pointer and floor were expected", got)
	}
}

// TestFarBehind takes the newer snapshot rather than hundreds of steps, and so
// does a new epoch.
func TestFarBehind(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	for range 70 {
		p.turn(statuslist.Green)
	}
	p.begin(map[uint64]statuslist.Value{1: value(statuslist.Yellow)})
	p.turn(statuslist.Red)
	for seq := range 71 {
		delete(p.r.extra, fmt.Sprintf("feed/venue-1/%d.cose", seq+1))
	}
	f.c.ok("TUF")
	table = f.open(feed.Card)
	if err := f.late(table, 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	wantColour(t, table, "step 73 red true")
	p.shard.Epoch = 8
	p.begin(map[uint64]statuslist.Value{1: value(statuslist.Green)})
	f.c.ok("TUF")
	table = f.open(feed.Card)
	if err := f.late(table, 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	wantColour(t, table, "step 74 green true")
}

// TestFeedThatIsNotBelieved has a row for each fault of a feed: the old table
// stays, and the error says of which kind it was.
func TestFeedThatIsNotBelieved(t *testing.T) {
	rows := []struct {
		name  string
		spoil func(p *station)
		want  error
		more  error
	}{
		{"right number, another root before", func(p *station) {
			p.last.Prev = make([]byte, 32)
			p.put(p.last, p.r.extra["feed/venue-1/3.body"])
		}, trust.ErrRefused, feed.ErrFork},
		{"another root after", func(p *station) {
			p.last.Next = make([]byte, 32)
			p.put(p.last, p.r.extra["feed/venue-1/3.body"])
		}, trust.ErrRefused, feed.ErrFork},
		{"a body cut short", func(p *station) {
			p.r.extra["feed/venue-1/3.body"] = p.r.extra["feed/venue-1/3.body"][:20]
		}, trust.ErrRefused, feed.ErrFork},
		{"a body of nonsense, rightly signed", func(p *station) {
			sum := sha256.Sum256([]byte("nonsense"))
			p.last.Body = sum[:]
			p.put(p.last, []byte("nonsense"))
		}, trust.ErrRefused, statuslist.ErrFormat},
		{"more people than the header allows", func(p *station) {
			p.last.Count = 1
			p.put(p.last, p.r.extra["feed/venue-1/3.body"])
		}, trust.ErrRefused, statuslist.ErrFormat},
		{"as of another time than the table", func(p *station) {
			p.last.AsOf++
			p.put(p.last, p.r.extra["feed/venue-1/3.body"])
		}, trust.ErrRefused, trust.ErrRefused},
		{"another key", func(p *station) {
			p.key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
			p.put(p.last, p.r.extra["feed/venue-1/3.body"])
		}, trust.ErrRefused, trust.ErrRefused},
		{"another shard", func(p *station) {
			p.last.Shard = "venue-2"
			p.put(p.last, p.r.extra["feed/venue-1/3.body"])
		}, trust.ErrRefused, feed.ErrOther},
		{"an epoch that the index does not know yet", func(p *station) {
			p.last.Epoch = 8
			p.put(p.last, p.r.extra["feed/venue-1/3.body"])
		}, feed.ErrOther, feed.ErrOther},
		{"an epoch that is over", func(p *station) {
			p.last.Epoch = 6
			p.put(p.last, p.r.extra["feed/venue-1/3.body"])
		}, trust.ErrRefused, feed.ErrOther},
		{"an hour from the future", func(p *station) {
			p.last.AsOf, p.last.ValidUntil = now.Add(2*time.Hour).Unix(), now.Add(3*time.Hour).Unix()
			p.put(p.last, p.r.extra["feed/venue-1/3.body"])
		}, trust.ErrRefused, feed.ErrAhead},
		{"over", func(p *station) {
			p.last.ValidUntil = p.last.AsOf
			p.last.AsOf -= 600
			p.last.ValidUntil -= 600
			p.put(p.last, p.r.extra["feed/venue-1/3.body"])
		}, trust.ErrExpired, feed.ErrOver},
		{"an older head", func(p *station) {
			p.r.extra["feed/venue-1/head.cose"] = p.r.extra["feed/venue-1/1.cose"]
		}, trust.ErrRefused, feed.ErrReplay},
		{"the same number with another root", func(p *station) {
			p.last.Seq = 2
			p.put(p.last, nil)
		}, trust.ErrRefused, feed.ErrFork},
		{"a step is missing", func(p *station) {
			p.turn(statuslist.Red)
			delete(p.r.extra, "feed/venue-1/3.cose")
		}, trust.ErrNotFound, trust.ErrNotFound},
		{"a body is missing", func(p *station) { delete(p.r.extra, "feed/venue-1/3.body") }, trust.ErrNotFound, trust.ErrNotFound},
		{"the head is missing", func(p *station) { delete(p.r.extra, "feed/venue-1/head.cose") }, trust.ErrNotFound, trust.ErrNotFound},
		{"an endless header", func(p *station) { p.r.extra["feed/venue-1/head.cose"] = make([]byte, 1<<20) }, trust.ErrTooLong, trust.ErrTooLong},
		{"an endless body", func(p *station) { p.r.extra["feed/venue-1/3.body"] = make([]byte, 5<<20) }, trust.ErrTooLong, trust.ErrTooLong},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := newStation(t)
			f := newFollower(t, p)
			p.turn(statuslist.Yellow)
			table := f.open(feed.Card)
			if err := f.refresh(table); err != nil {
				t.Fatal(err)
			}
			p.turn(statuslist.Red)
			row.spoil(p)
			err := f.refresh(table)
			if !errors.Is(err, row.want) || !errors.Is(err, row.more) {
				t.Errorf("Refresh: %v", err)
			}
			if row.want == feed.ErrOther && errors.Is(err, trust.ErrRefused) {
				t.Errorf("this is no attack: %v", err)
			}
			wantColour(t, table, "step 2 yellow true")
			wantColour(t, f.open(feed.Card), "step 2 yellow true")
		})
	}
}

// TestSnapshotOfAnotherEpoch: the header says one epoch, the table another; its
// fingerprints would be looked up with the wrong key.
func TestSnapshotOfAnotherEpoch(t *testing.T) {
	p := newStation(t)
	p.shard.Epoch = 9
	p.now = p.table(2, map[uint64]statuslist.Value{1: value(statuslist.Green)})
	packed, err := statuslist.Snapshot(p.now)
	if err != nil {
		t.Fatal(err)
	}
	p.shard.Epoch, p.shard.Seq = 7, 2
	p.r.artifact("status", p.shard.Snapshot, packed)
	p.put(p.header(2, make([]byte, 32), packed), packed)
	p.index()
	f := newFollower(t, p)
	table := f.open(feed.Card)
	if err := f.refresh(table); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("Refresh: %v", err)
	}
	wantColour(t, table, "nothing")
}

// TestStepsThatCanNoLongerBeHad: the snapshot helps, however near it is.
func TestStepsThatCanNoLongerBeHad(t *testing.T) {
	rows := []struct {
		name  string
		spoil func(p *station)
		want  error
	}{
		{"a header is gone", func(p *station) { delete(p.r.extra, "feed/venue-1/3.cose") }, nil},
		{"a body is gone", func(p *station) { delete(p.r.extra, "feed/venue-1/3.body") }, nil},
		{"a body is another", func(p *station) { p.r.extra["feed/venue-1/3.body"] = []byte("x") }, trust.ErrRefused},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := newStation(t)
			p.turn(statuslist.Yellow)
			f := newFollower(t, p)
			table := f.open(feed.Card)
			if err := f.refresh(table); err != nil {
				t.Fatal(err)
			}
			p.turn(statuslist.Green)
			p.begin(map[uint64]statuslist.Value{1: value(statuslist.Green)})
			p.turn(statuslist.Red)
			row.spoil(p)
			f.c.ok("TUF")
			table = f.open(feed.Card)
			if err := f.refresh(table); !errors.Is(err, row.want) || row.want == nil && err != nil {
				t.Errorf("Refresh: %v", err)
			}
			wantColour(t, table, "step 5 red true")
			if err := f.refresh(table); err != nil {
				t.Errorf("the next refresh: %v", err)
			}
		})
	}
}

// TestWhatWentWellIsKept: the third of four steps is bad.
func TestWhatWentWellIsKept(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	p.turn(statuslist.Yellow)
	p.turn(statuslist.Red)
	p.turn(statuslist.Green)
	p.r.extra["feed/venue-1/4.body"] = []byte("x")
	p.turn(statuslist.Green)
	table := f.open(feed.Card)
	if err := f.refresh(table); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("Refresh: %v", err)
	}
	wantColour(t, table, "step 3 red true")
}

// TestKeyThatIsNoLongerListed vouches for nothing, at once.
func TestKeyThatIsNoLongerListed(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	p.key, p.kid = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32)), "feed-2"
	p.index()
	f.c.ok("TUF")
	table = f.open(feed.Card)
	wantColour(t, table, "nothing")
	if err := f.refresh(table); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("Refresh: %v", err)
	}
	p.begin(map[uint64]statuslist.Value{1: value(statuslist.Green)})
	f.c.ok("TUF")
	table = f.open(feed.Card)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	wantColour(t, table, "step 2 green true")
}

// TestIndexThatHasExpired: nothing new is taken, what is here stays.
func TestIndexThatHasExpired(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	p.turn(statuslist.Red)
	p.last.ValidUntil = now.Add(40 * day).Unix() // it is not the header that is over
	p.put(p.last, p.r.extra["feed/venue-1/2.body"])
	if err := f.late(table, 31*day); !errors.Is(err, trust.ErrExpired) || errors.Is(err, feed.ErrOver) {
		t.Errorf("Refresh: %v", err)
	}
	wantColour(t, table, "step 1 green true")
	if _, err := table.Refresh(t.Context(), p.r, now, time.Time{}); err != nil {
		t.Errorf("with no latest time: %v", err)
	}
	wantColour(t, table, "step 2 red true")
}

func TestDenyLane(t *testing.T) {
	p := newStation(t)
	p.denied(map[uint64]statuslist.Value{1: value(statuslist.Red)})
	p.index(feed.Shard{Name: "venue-1", Product: feed.Deny, Epoch: 7})
	f := newFollower(t, p)
	list := f.open(feed.Deny)
	for range 2 { // the second time there is nothing new
		if err := f.refresh(list); err != nil {
			t.Fatal(err)
		}
	}
	held := func(list *trust.Feed) (n int) {
		_ = list.View(func(v trust.View) error { n = v.Deny.Len(); return nil })
		return n
	}
	if held(list) != 1 {
		t.Errorf("%d are on the list", held(list))
	}
	old, oldBody := p.r.extra["feed/venue-1/deny.cose"], p.r.extra["feed/venue-1/deny.body"]
	p.denied(nil)
	p.denied(map[uint64]statuslist.Value{1: value(statuslist.Red), 2: value(statuslist.Yellow)})
	if err := f.refresh(list); err != nil || held(list) != 2 {
		t.Errorf("%d are on the list: %v", held(list), err)
	}
	p.r.extra["feed/venue-1/deny.cose"], p.r.extra["feed/venue-1/deny.body"] = old, oldBody
	if err := f.refresh(list); !errors.Is(err, feed.ErrReplay) || held(list) != 2 {
		t.Errorf("an older list: %v", err)
	}
	p.denied(map[uint64]statuslist.Value{2: value(statuslist.Yellow)})
	p.r.extra["feed/venue-1/deny.body"] = oldBody
	if err := f.refresh(list); !errors.Is(err, trust.ErrRefused) || held(list) != 2 {
		t.Errorf("another body: %v", err)
	}
	if list := f.open(feed.Deny); held(list) != 2 {
		t.Errorf("after a restart %d are on the list", held(list))
	}
}

func TestFeedsThatCannotBe(t *testing.T) {
	s := newKiosk(t, kioskRepo(t)).open()
	for _, name := range [][2]string{{"venue-1", "cars"}, {"../venue-1", feed.Card}, {"", feed.Card}, {"a/b", feed.Card}} {
		if _, err := s.OpenFeed(name[0], name[1]); err == nil {
			t.Errorf("%v was opened", name)
		}
	}
	table, err := s.OpenFeed("venue-9", feed.Card)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Refresh(t.Context(), nil, now, now); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("without a set: %v", err)
	}
	if err := table.View(func(trust.View) error { return nil }); !errors.Is(err, trust.ErrNoTable) {
		t.Errorf("View: %v", err)
	}
}
