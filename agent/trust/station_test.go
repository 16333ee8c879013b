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

func (f *follower) late(t *trust.Feed, d time.Duration) error {
	_, err := t.Refresh(f.t.Context(), f.p.r, now.Add(d), now.Add(d))
	return err
}
