package feed_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

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
	recipients := func(data []byte) error { _, err := feed.ParseRecipients(data); return err }
	index := func(data []byte) error { _, err := feed.ParseIndex(data); return err }
	quoted := string(marshal(t, pemKey(t)))
	many := strings.TrimSuffix(strings.Repeat(`{"name":"a","product":"card"},`, 1025), ",")
	rows := []struct {
		name  string
		parse func([]byte) error
		data  string
	}{
		{"no JSON", index, `keys`},
		{"bytes after the end", index, `{"version":1}{}`},
		{"another version", index, `{"version":2}`},
		{"no version", index, `{}`},
		{"a critical member that nobody knows", index, `{"version":1,"critical":["quorum"]}`},
		{"one that another document knows", index, `{"version":1,"critical":["not_before"]}`},
		{"a critical list that is none", index, `{"version":1,"critical":"keys"}`},
		{"a key without an id", index, `{"version":1,"keys":{"":` + quoted + `}}`},
		{"a time that is none", recipients, `{"version":1,"recipients":[{"id":"a","key":"age1q","not_after":"soon"}]}`},
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
	data := fmt.Sprintf(`{"version":1,"critical":["keys","epoch"],"later":{"a":1},"keys":{"a":%s},"shards":[{"name":"a","product":"card","later":2}]}`, marshal(t, pemKey(t)))
	if d, err := feed.ParseIndex([]byte(data)); err != nil || len(d.Keys) != 1 || len(d.Shards) != 1 {
		t.Errorf("parse: %v", err)
	}
}

// FuzzDocuments: what is accepted can be written and read again, and says the
// same.
func FuzzDocuments(f *testing.F) {
	f.Add(marshal(f, &feed.Index{Version: 1, Keys: map[string]string{"a": pemKey(f)}, Shards: []feed.Shard{{Name: "a", Product: "card", Snapshot: "status/a.1.snap"}}}))
	f.Add(marshal(f, &feed.Recipients{Version: 1, Recipients: []feed.Recipient{{ID: "a", Key: "age1q"}}}))
	f.Add([]byte(`{"version":1,"critical":["keys"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
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
