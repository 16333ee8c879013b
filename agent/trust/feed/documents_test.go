package feed_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

func pemKey(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestIssuers(t *testing.T) {
	want := &feed.Issuers{Version: 1, Keys: map[string]feed.Issuer{
		"a": {Name: "Health Commission", Key: pemKey(t), NotBefore: asOf, NotAfter: asOf.Add(time.Hour)},
		"b": {Name: "of last year", Key: pemKey(t), Revoked: true},
	}}
	got, err := feed.ParseIssuers(marshal(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	trusted := got.Trusted()
	if len(trusted) != 1 || trusted["a"] == nil {
		t.Errorf("trusted: %v", trusted)
	}
}

func TestIssuerInTime(t *testing.T) {
	issuer := feed.Issuer{NotBefore: asOf, NotAfter: asOf.Add(time.Hour)}
	rows := []struct {
		name   string
		i      feed.Issuer
		lo, hi time.Time
		want   bool
	}{
		{"within", issuer, asOf, asOf.Add(time.Hour), true},
		{"perhaps before", issuer, asOf.Add(-time.Second), asOf, false},
		{"perhaps after", issuer, asOf, asOf.Add(time.Hour + time.Second), false},
		{"no latest time", issuer, asOf, time.Time{}, false},
		{"no latest time and no end", feed.Issuer{NotBefore: asOf}, asOf, time.Time{}, true},
		{"revoked", feed.Issuer{Revoked: true}, asOf, asOf, false},
	}
	for _, row := range rows {
		if got := row.i.Valid(row.lo, row.hi); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

func TestIndex(t *testing.T) {
	want := &feed.Index{Version: 1, Keys: map[string]string{"feed-1": pemKey(t)}, Shards: []feed.Shard{
		{Name: "venue-1", Product: feed.Card, Epoch: 7, Snapshot: "status/venue-1.7.snap", Seq: 12},
		{Name: "venue-1", Product: feed.Deny, Epoch: 7},
	}}
	got, err := feed.ParseIndex(marshal(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if s, ok := got.Shard("venue-1", feed.Deny); !ok || s.Snapshot != "" {
		t.Errorf("the deny lane: %+v, %v", s, ok)
	}
	if _, ok := got.Shard("venue-2", feed.Card); ok {
		t.Error("there is a shard of another venue")
	}
	if len(got.Trusted()) != 1 {
		t.Error("its key is not trusted")
	}
}

func TestRecipients(t *testing.T) {
	want := &feed.Recipients{Version: 1, Recipients: []feed.Recipient{{ID: "authority-2022", Key: "age1qqqq", NotBefore: asOf}}}
	got, err := feed.ParseRecipients(marshal(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestDocumentThatCannotBeUsed has one row for each thing that is checked.
func TestDocumentThatCannotBeUsed(t *testing.T) {
	issuers := func(data []byte) error { _, err := feed.ParseIssuers(data); return err }
	recipients := func(data []byte) error { _, err := feed.ParseRecipients(data); return err }
	index := func(data []byte) error { _, err := feed.ParseIndex(data); return err }
	quoted := string(marshal(t, pemKey(t)))
	many := strings.TrimSuffix(strings.Repeat(`{"name":"a","product":"card"},`, 1025), ",")
	rows := []struct {
		name  string
		parse func([]byte) error
		data  string
	}{
		{"no JSON", issuers, `keys`},
		{"bytes after the end", issuers, `{"version":1}{}`},
		{"another version", issuers, `{"version":2}`},
		{"no version", index, `{}`},
		{"a critical member that nobody knows", issuers, `{"version":1,"critical":["quorum"]}`},
		{"one that another document knows", issuers, `{"version":1,"critical":["snapshot"]}`},
		{"a critical list that is none", issuers, `{"version":1,"critical":"keys"}`},
		{"a key that is none", issuers, `{"version":1,"keys":{"a":{"key":"PEM"}}}`},
		{"a key without an id", issuers, `{"version":1,"keys":{"":{"key":` + quoted + `}}}`},
		{"a key that ends before it begins", issuers, `{"version":1,"keys":{"a":{"key":` + quoted + `,"not_before":"2022-01-02T00:00:00Z","not_after":"2022-01-01T00:00:00Z"}}}`},
		{"a time that is none", issuers, `{"version":1,"keys":{"a":{"key":` + quoted + `,"not_after":"soon"}}}`},
		{"a recipient without an id", recipients, `{"version":1,"recipients":[{"key":"age1q"}]}`},
		{"two recipients of one id", recipients, `{"version":1,"recipients":[{"id":"a","key":"age1q"},{"id":"a","key":"age1r"}]}`},
		{"a recipient of another kind", recipients, `{"version":1,"recipients":[{"id":"a","key":"ssh-ed25519 AAAA"}]}`},
		{"a feed key that is none", index, `{"version":1,"keys":{"a":"PEM"}}`},
		{"a shard that is a path", index, `{"version":1,"shards":[{"name":"../a","product":"card"}]}`},
		{"a shard without a product", index, `{"version":1,"shards":[{"name":"a"}]}`},
		{"two shards of one name", index, `{"version":1,"shards":[{"name":"a","product":"card"},{"name":"a","product":"card"}]}`},
		{"a snapshot outside", index, `{"version":1,"shards":[{"name":"a","product":"card","snapshot":"status/../../x"}]}`},
		{"an epoch below zero", index, `{"version":1,"shards":[{"name":"a","product":"card","epoch":-1}]}`},
		{"too many shards", index, `{"version":1,"shards":[` + many + `]}`},
		{"too long", index, `{"version":1,"x":"` + strings.Repeat("x", 1<<20) + `"}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if err := row.parse([]byte(row.data)); !errors.Is(err, feed.ErrDocument) {
				t.Errorf("parse: %v", err)
			}
		})
	}
}

func TestDocumentKeepsWhatMayComeLater(t *testing.T) {
	data := fmt.Sprintf(`{"version":1,"critical":["keys","revoked","not_after"],"later":{"a":1},"keys":{"a":{"key":%s,"later":2}}}`, marshal(t, pemKey(t)))
	if d, err := feed.ParseIssuers([]byte(data)); err != nil || len(d.Keys) != 1 {
		t.Errorf("parse: %v", err)
	}
}

// FuzzDocuments: what is accepted can be written and read again, and says the
// same.
func FuzzDocuments(f *testing.F) {
	f.Add(marshal(f, &feed.Issuers{Version: 1, Keys: map[string]feed.Issuer{"a": {Key: pemKey(f), NotBefore: asOf}}}))
	f.Add(marshal(f, &feed.Index{Version: 1, Keys: map[string]string{"a": pemKey(f)}, Shards: []feed.Shard{{Name: "a", Product: "card", Snapshot: "status/a.1.snap"}}}))
	f.Add(marshal(f, &feed.Recipients{Version: 1, Recipients: []feed.Recipient{{ID: "a", Key: "age1q"}}}))
	f.Add([]byte(`{"version":1,"critical":["keys"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		again(t, data, feed.ParseIssuers)
		again(t, data, feed.ParseIndex)
		again(t, data, feed.ParseRecipients)
	})
}

func again[T any](t *testing.T, data []byte, parse func([]byte) (*T, error)) {
	first, err := parse(data)
	if err != nil {
		if !errors.Is(err, feed.ErrDocument) {
			t.Fatalf("an error of another kind: %v", err)
		}
		return
	}
	text, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	second, err := parse(text)
	if err != nil {
		t.Fatalf("written again as %s: %v", text, err)
	}
	if third := marshal(t, second); string(third) != string(text) {
		t.Errorf("%s became %s", text, third)
	}
}
