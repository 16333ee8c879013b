package trust_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

// station publishes a shard's feed into a repository.
type station struct {
	t     testing.TB
	r     *repo
	key   ed25519.PrivateKey
	kid   string
	shard feed.Shard
	now   *statuslist.Table
	last  *feed.Header
	deny  uint64
}

func newStation(t testing.TB) *station {
	t.Helper()
	p := &station{
		t: t, r: kioskRepo(t), kid: "feed-1", key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)),
		shard: feed.Shard{Name: "venue-1", Product: feed.Card, Epoch: 7},
	}
	p.begin(map[uint64]statuslist.Value{1: value(statuslist.Green), 2: value(statuslist.Green)})
	return p
}

func value(c statuslist.Colour) statuslist.Value { return statuslist.NewValue(c, now, now) }

// at is the time of a step: a minute each.
func at(seq uint64) time.Time { return now.Add(time.Duration(seq) * time.Minute) }

func (p *station) table(seq uint64, people map[uint64]statuslist.Value) *statuslist.Table {
	p.t.Helper()
	data, _, err := statuslist.Build(statuslist.Head{Epoch: p.shard.Epoch, AsOf: at(seq)}, maps.All(people))
	if err != nil {
		p.t.Fatal(err)
	}
	table, err := statuslist.Open(data)
	if err != nil {
		p.t.Fatal(err)
	}
	return table
}

// begin publishes a snapshot, and the header that speaks of it as the head.
func (p *station) begin(people map[uint64]statuslist.Value) {
	p.t.Helper()
	seq := uint64(1)
	if p.last != nil {
		seq = p.last.Seq + 1
	}
	p.now = p.table(seq, people)
	packed, err := statuslist.Snapshot(p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	p.shard.Seq = seq
	p.shard.Snapshot = fmt.Sprintf("status/venue-1.%d.snap", p.shard.Epoch)
	p.r.artifact("status", p.shard.Snapshot, packed)
	p.put(p.header(seq, make([]byte, 32), packed), packed)
	p.index()
}

// index publishes keys and shards through TUF.
func (p *station) index(more ...feed.Shard) {
	p.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(p.key.Public())
	if err != nil {
		p.t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	data, err := json.Marshal(feed.Index{Version: 1, Keys: map[string]string{p.kid: text}, Shards: append(more, p.shard)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.r.artifact("status", "status/feed.json", data)
	p.r.publish("status", "snapshot", "timestamp")
}

func (p *station) header(seq uint64, prev, body []byte) *feed.Header {
	root, sum := statuslist.Root(p.now.Bytes()), sha256.Sum256(body)
	return &feed.Header{
		Version: 1, Shard: p.shard.Name, Product: p.shard.Product, Epoch: p.shard.Epoch, Seq: seq, Prev: prev, Next: root[:],
		AsOf: at(seq).Unix(), ValidUntil: at(seq).Add(time.Hour).Unix(), Count: uint64(p.now.Len()), Body: sum[:],
	}
}

// put signs a header and publishes it as its step and as the head.
func (p *station) put(h *feed.Header, body []byte) {
	p.t.Helper()
	raw := p.sign(h)
	p.last = h
	dir := "feed/" + p.shard.Name + "/"
	p.r.extra[dir+"head.cose"] = raw
	p.r.extra[fmt.Sprintf("%s%d.cose", dir, h.Seq)] = raw
	p.r.extra[fmt.Sprintf("%s%d.body", dir, h.Seq)] = body
}

func (p *station) sign(h *feed.Header) []byte {
	p.t.Helper()
	raw, err := feed.Sign(p.key, p.kid, h)
	if err != nil {
		p.t.Fatal(err)
	}
	return raw
}

// step publishes the next state of everybody.
func (p *station) step(people map[uint64]statuslist.Value) {
	p.t.Helper()
	seq := p.last.Seq + 1
	after := p.table(seq, people)
	delta, err := statuslist.Diff(p.now, after)
	if err != nil {
		p.t.Fatal(err)
	}
	p.now = after
	p.put(p.header(seq, p.last.Next, delta), delta)
}

// turn changes person 1 and publishes the step.
func (p *station) turn(c statuslist.Colour) {
	p.step(map[uint64]statuslist.Value{1: value(c), 2: value(statuslist.Green)})
}

// denied publishes the deny list.
func (p *station) denied(people map[uint64]statuslist.Value) {
	p.t.Helper()
	p.deny++
	body, err := statuslist.EncodeDeny(statuslist.Head{Epoch: p.shard.Epoch, AsOf: at(p.deny)}, maps.All(people))
	if err != nil {
		p.t.Fatal(err)
	}
	root, sum := statuslist.Root(body), sha256.Sum256(body)
	p.r.extra["feed/venue-1/deny.body"] = body
	p.r.extra["feed/venue-1/deny.cose"] = p.sign(&feed.Header{
		Version: 1, Shard: "venue-1", Product: feed.Deny, Epoch: p.shard.Epoch, Seq: p.deny, Prev: make([]byte, 32), Next: root[:],
		AsOf: at(p.deny).Unix(), ValidUntil: at(p.deny).Add(time.Hour).Unix(), Count: uint64(len(people)), Body: sum[:],
	})
}

// follower is a kiosk's side of it.
type follower struct {
	t testing.TB
	p *station
	c *client
}

func newFollower(t testing.TB, p *station) *follower {
	t.Helper()
	c := newKiosk(t, p.r)
	c.o.Want = func(string) bool { return true }
	c.ok("TUF")
	return &follower{t, p, c}
}

func (f *follower) open(product string) *trust.Feed {
	f.t.Helper()
	s := f.c.open()
	feed, err := s.OpenFeed("venue-1", product)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(feed.Close)
	return feed
}

// refresh follows the feed an hour later at most.
func (f *follower) refresh(t *trust.Feed) error {
	_, err := t.Refresh(f.t.Context(), f.p.r, now, now.Add(time.Hour))
	return err
}

// colour looks person 1 up: step, colour, and whether it is behind.
func colour(t testing.TB, table *trust.Feed) string {
	t.Helper()
	text := "nothing"
	err := table.View(func(v trust.View) error {
		value, ok := v.Table.Lookup(1)
		text = fmt.Sprintf("step %d %v %v", v.Header.Seq, value.Colour(), ok)
		if v.Behind {
			text += " behind"
		}
		return nil
	})
	if err != nil && !errors.Is(err, trust.ErrNoTable) {
		text = err.Error()
	}
	return text
}

func wantColour(t testing.TB, table *trust.Feed, want string) {
	t.Helper()
	if got := colour(t, table); got != want {
		t.Errorf("there is %s; want %s", got, want)
	}
}

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

func (f *follower) late(t *trust.Feed, d time.Duration) error {
	_, err := t.Refresh(f.t.Context(), f.p.r, now.Add(d), now.Add(d))
	return err
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
			wantColour(t, table, "step 2 yellow true")
			wantColour(t, f.open(feed.Card), "step 2 yellow true")
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
	if err := f.late(table, 31*day); !errors.Is(err, trust.ErrExpired) {
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

// TestDamagedTables bends, cuts, removes and swaps each file of a feed.
func TestDamagedTables(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	var older map[string][]byte
	for _, c := range []statuslist.Colour{statuslist.Green, statuslist.Red} {
		p.turn(c)
		if err := f.refresh(table); err != nil {
			t.Fatal(err)
		}
		if c == statuslist.Green {
			older = filesIn(t, f.c.dir, "feed")
		}
	}
	table.Close()
	good := filesIn(t, f.c.dir, ".")
	harms := map[string]func(name string, b []byte) []byte{
		"bent":      func(_ string, b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut short": func(_ string, b []byte) []byte { return b[:len(b)/2] },
		"emptied":   func(string, []byte) []byte { return []byte{} },
		"removed":   func(string, []byte) []byte { return nil },
		"put back":  func(name string, _ []byte) []byte { return older[name] },
	}
	for name := range good {
		if !strings.HasPrefix(name, "feed/") {
			continue
		}
		for harm, spoil := range harms {
			t.Run(name+" is "+harm, func(t *testing.T) {
				f.c.dir = t.TempDir()
				put(t, f.c.dir, good)
				if data := spoil(name, bytes.Clone(good[name])); data == nil {
					if err := os.Remove(filepath.Join(f.c.dir, name)); err != nil {
						t.Fatal(err)
					}
				} else {
					put(t, f.c.dir, map[string][]byte{name: data})
				}
				table := f.open(feed.Card)
				switch got := colour(t, table); got {
				case "step 3 red true", "step 2 green true behind", "nothing":
				default:
					t.Errorf("there is %s", got)
				}
				if err := f.refresh(table); err != nil {
					t.Fatalf("refresh: %v", err)
				}
				wantColour(t, table, "step 3 red true")
				wantColour(t, f.open(feed.Card), "step 3 red true")
			})
		}
	}
}

// TestMappedFileIsCutShort: a page that is not there must not end the process.
func TestMappedFileIsCutShort(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	for name := range filesIn(t, f.c.dir, "feed") {
		if strings.HasSuffix(name, ".table") {
			if err := os.Truncate(filepath.Join(f.c.dir, name), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := table.View(func(v trust.View) error { v.Table.Lookup(1); return nil })
	if !errors.Is(err, trust.ErrRefused) {
		t.Errorf("View: %v", err)
	}
	wantColour(t, table, "nothing")
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	wantColour(t, table, "step 1 green true")
}

// TestPowerCutInTheFeed cuts the power at each operation of two steps.
func TestPowerCutInTheFeed(t *testing.T) {
	p := newStation(t)
	f := newFollower(t, p)
	table := f.open(feed.Card)
	if err := f.refresh(table); err != nil {
		t.Fatal(err)
	}
	table.Close()
	before := filesIn(t, f.c.dir, ".")
	p.turn(statuslist.Yellow)
	p.turn(statuslist.Red)
	for cut := 1; ; cut++ {
		f.c.dir = t.TempDir()
		put(t, f.c.dir, before)
		d := newDisk(t, f.c.dir)
		s, err := trust.OpenHooked(f.c.dir, f.c.o, d.hook)
		if err != nil {
			t.Fatal(err)
		}
		table, err := s.OpenFeed("venue-1", feed.Card)
		if err != nil {
			t.Fatal(err)
		}
		d.cut = d.n + cut
		err = f.refresh(table)
		table.Close()
		for world, dir := range d.worlds(t) {
			f.c.dir = dir
			table := f.open(feed.Card)
			switch got := colour(t, table); {
			case err == nil && got != "step 3 red true":
				t.Errorf("operation %d, %s: %s, though the refresh said that it was done", cut, world, got)
			case got != "step 3 red true" && got != "step 1 green true" && got != "step 1 green true behind":
				t.Errorf("operation %d, %s: %s", cut, world, got)
			}
			if err := f.refresh(table); err != nil {
				t.Errorf("operation %d, %s: the power is back: %v", cut, world, err)
			}
			wantColour(t, table, "step 3 red true")
		}
		if d.n < d.cut {
			if cut < 12 {
				t.Errorf("two steps took only %d operations", cut)
			}
			return
		}
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
