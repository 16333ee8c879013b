package feed_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

var (
	key  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	keys = signed.Keys{"feed-1": key.Public()}
	asOf = time.Date(2022, 3, 27, 8, 0, 0, 0, time.UTC)
)

// step returns a good header.
func step(seq uint64) *feed.Header {
	body := sha256.Sum256([]byte("body"))
	return &feed.Header{
		Version: 1, Shard: "venue-1", Product: feed.Card, Epoch: 7, Seq: seq,
		Prev: root(seq - 1), Next: root(seq), AsOf: asOf.Unix() + int64(seq), ValidUntil: asOf.Add(time.Hour).Unix(),
		Count: 3, Body: body[:],
	}
}

func root(seq uint64) []byte {
	sum := sha256.Sum256([]byte{byte(seq)})
	return sum[:]
}

func TestHeaderSurvivesTheWire(t *testing.T) {
	want := step(5)
	raw, err := feed.Sign(key, "feed-1", want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := feed.Open(keys, raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if len(raw) > 300 {
		t.Errorf("a header takes %d bytes", len(raw))
	}
}

func TestHeaderThatIsNone(t *testing.T) {
	rows := []struct {
		name  string
		spoil func(h *feed.Header)
	}{
		{"another version", func(h *feed.Header) { h.Version = 2 }},
		{"no shard", func(h *feed.Header) { h.Shard = "" }},
		{"a shard that is a path", func(h *feed.Header) { h.Shard = "../x" }},
		{"a shard that is a flag", func(h *feed.Header) { h.Shard = "-x" }},
		{"a shard that is too long", func(h *feed.Header) { h.Shard = string(bytes.Repeat([]byte("x"), 65)) }},
		{"no product", func(h *feed.Header) { h.Product = "" }},
		{"a short root before", func(h *feed.Header) { h.Prev = h.Prev[:31] }},
		{"a short root after", func(h *feed.Header) { h.Next = nil }},
		{"a long hash of the body", func(h *feed.Header) { h.Body = append(h.Body, 0) }},
		{"as of the beginning of time", func(h *feed.Header) { h.AsOf = 0 }},
		{"over before it begins", func(h *feed.Header) { h.ValidUntil = h.AsOf - 1 }},
		{"valid for ever", func(h *feed.Header) { h.ValidUntil = 1 << 40 }},
		{"a critical field that nobody knows", func(h *feed.Header) { h.Critical = []int{13} }},
		{"a critical field of no number", func(h *feed.Header) { h.Critical = []int{0} }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			h := step(5)
			row.spoil(h)
			raw, err := feed.Sign(key, "feed-1", h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := feed.Open(keys, raw); !errors.Is(err, feed.ErrFormat) {
				t.Errorf("Open: %v", err)
			}
		})
	}
}

func TestHeaderKeepsWhatMayComeLater(t *testing.T) {
	payload, err := cbor.Marshal(step(5))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[int]any
	if err := cbor.Unmarshal(payload, &fields); err != nil {
		t.Fatal(err)
	}
	fields[40] = "later"
	fields[12] = []int{4, 7}
	raw := signPayload(t, fields)
	if h, err := feed.Open(keys, raw); err != nil || h.Seq != 5 {
		t.Errorf("a field that nobody knows: %v", err)
	}
	fields[12] = []int{40}
	if _, err := feed.Open(keys, signPayload(t, fields)); !errors.Is(err, feed.ErrFormat) {
		t.Errorf("and that is critical: %v", err)
	}
}

func signPayload(t testing.TB, v any) []byte {
	t.Helper()
	payload, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.SignPayload(key, "feed-1", payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestWhoSignedIt(t *testing.T) {
	raw, err := feed.Sign(key, "feed-1", step(5))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := feed.Open(signed.Keys{"feed-2": key.Public()}, raw); !errors.Is(err, signed.ErrKey) {
		t.Errorf("a key that is not listed: %v", err)
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	if _, err := feed.Open(signed.Keys{"feed-1": other.Public()}, raw); !errors.Is(err, signed.ErrSignature) {
		t.Errorf("another key of that name: %v", err)
	}
	for i := range raw {
		bent := bytes.Clone(raw)
		bent[i] ^= 1
		if _, err := feed.Open(keys, bent); err == nil {
			t.Errorf("byte %d may be bent", i)
		}
	}
}

func TestFollows(t *testing.T) {
	rows := []struct {
		name  string
		spoil func(h *feed.Header)
		want  error
	}{
		{"the next step", func(*feed.Header) {}, nil},
		{"another shard", func(h *feed.Header) { h.Shard = "venue-2" }, feed.ErrOther},
		{"another product", func(h *feed.Header) { h.Product = feed.Deny }, feed.ErrOther},
		{"another epoch", func(h *feed.Header) { h.Epoch = 8 }, feed.ErrOther},
		{"the same step", func(h *feed.Header) { h.Seq = 4 }, feed.ErrReplay},
		{"an older step", func(h *feed.Header) { h.Seq = 1 }, feed.ErrReplay},
		{"a step too far", func(h *feed.Header) { h.Seq = 6 }, feed.ErrGap},
		{"the right number, another root before", func(h *feed.Header) { h.Prev = root(9) }, feed.ErrFork},
		{"as of an earlier time", func(h *feed.Header) { h.AsOf -= 2 }, feed.ErrReplay},
		{"as of the same time", func(h *feed.Header) { h.AsOf-- }, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			h := step(5)
			row.spoil(h)
			if err := h.Follows(step(4)); !errors.Is(err, row.want) {
				t.Errorf("Follows: %v, want %v", err, row.want)
			}
		})
	}
	if err := step(9).After(step(4)); err != nil {
		t.Errorf("a list pushed whole may skip steps: %v", err)
	}
}

func TestHeaderInTime(t *testing.T) {
	h := step(0)
	until := time.Unix(h.ValidUntil, 0)
	rows := []struct {
		name   string
		lo, hi time.Time
		want   error
	}{
		{"now", asOf, asOf, nil},
		{"its last second", until, until, nil},
		{"a second later", until.Add(time.Second), until.Add(time.Second), feed.ErrOver},
		{"perhaps over", asOf, until.Add(time.Hour), nil},
		{"no latest time", asOf, time.Time{}, nil},
		{"five minutes ahead of the latest time", asOf.Add(-time.Hour), asOf.Add(-5 * time.Minute), nil},
		{"a second more", asOf.Add(-time.Hour), asOf.Add(-5*time.Minute - time.Second), feed.ErrAhead},
		{"an hour ahead", asOf.Add(-time.Hour), asOf.Add(-time.Hour), feed.ErrAhead},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if err := h.At(row.lo, row.hi); !errors.Is(err, row.want) {
				t.Errorf("At: %v, want %v", err, row.want)
			}
		})
	}
}

func TestFresh(t *testing.T) {
	h := step(0)
	const limit = 4 * time.Hour
	rows := []struct {
		name string
		hi   time.Time
		want bool
	}{
		{"at once", asOf, true},
		{"as old as it may be", asOf.Add(limit), true},
		{"a second older", asOf.Add(limit + time.Second), false},
		{"no latest time", time.Time{}, false},
		{"five minutes from the future", asOf.Add(-5 * time.Minute), true},
		{"an hour from the future", asOf.Add(-time.Hour), false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := h.Fresh(row.hi, limit); got != row.want {
				t.Errorf("Fresh: %v, want %v", got, row.want)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	h := step(5)
	if err := h.Covers([]byte("body")); err != nil {
		t.Error(err)
	}
	if err := h.Covers([]byte("bodY")); !errors.Is(err, feed.ErrFork) {
		t.Errorf("another body: %v", err)
	}
}

// FuzzHeader: whatever is signed, a header that is accepted can be signed again
// and says the same.
func FuzzHeader(f *testing.F) {
	for _, h := range []*feed.Header{step(1), step(300), {Version: 1}} {
		payload, err := cbor.Marshal(h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Add([]byte{0xa1, 0x01, 0x01})
	f.Add([]byte{0xbf, 0x01, 0x01, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		raw, err := signed.SignPayload(key, "feed-1", payload)
		if err != nil {
			t.Skip()
		}
		h, err := feed.Open(keys, raw)
		if err != nil {
			return
		}
		if len(h.Next) != 32 || len(h.Prev) != 32 || len(h.Body) != 32 || h.AsOf > h.ValidUntil || h.Shard == "" {
			t.Fatalf("accepted: %+v", h)
		}
		again, err := feed.Sign(key, "feed-1", h)
		if err != nil {
			t.Fatal(err)
		}
		h2, err := feed.Open(keys, again)
		if err != nil {
			t.Fatalf("signed again: %v", err)
		}
		if d := cmp.Diff(h, h2); d != "" {
			t.Errorf("-first +second:\n%s", d)
		}
	})
}

// FuzzOpen: bytes that nobody signed are never accepted, and never end the
// program.
func FuzzOpen(f *testing.F) {
	raw, err := feed.Sign(key, "feed-1", step(5))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:40])
	f.Add([]byte{0xd2, 0x84, 0x40, 0xa0, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := feed.Open(keys, data)
		if err == nil && h.Seq != 5 {
			t.Fatalf("accepted step %d", h.Seq)
		}
	})
}
