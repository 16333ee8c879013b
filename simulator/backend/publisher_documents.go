package backend

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

// targets makes the targets of each role. What has not changed has the same
// bytes again.
func (u *Publisher) targets() (map[string]map[string]blob, error) {
	status := map[string]blob{}
	for _, s := range u.shards {
		status[s.target()] = s.snapshot
	}
	issuers := map[string]blob{}
	for _, d := range []struct {
		in   map[string]blob
		name string
		make func() ([]byte, error)
	}{
		{issuers, "issuers/keys.json", u.issuerKeys},
		{issuers, "issuers/revocations.json", func() ([]byte, error) { return json.Marshal(u.revoked) }},
		{issuers, "issuers/recipients.json", u.recipients},
		{status, "status/feed.json", u.index},
	} {
		data, err := d.make()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		d.in[d.name] = newBlob(append(data, '\n'))
	}
	return map[string]map[string]blob{
		metadata.TARGETS: nil, rolePolicy: u.policies, roleIssuers: issuers, roleStatus: status,
	}, nil
}

// target is the name of a shard's snapshot.
func (s *shard) target() string { return fmt.Sprintf("status/%s.%d.snap", s.name, s.epoch) }

// index is status/feed.json.
func (u *Publisher) index() ([]byte, error) {
	d := feed.Index{Version: 1, Keys: map[string]string{}}
	for _, kid := range []string{feedKey, denyKey} {
		text, err := publicPEM(u.ring.key(kid))
		if err != nil {
			return nil, err
		}
		d.Keys[kid] = text
	}
	for _, s := range u.shards {
		d.Shards = append(d.Shards,
			feed.Shard{Name: s.name, Product: feed.Card, Epoch: s.epoch, Snapshot: s.target(), Seq: s.baseSeq},
			feed.Shard{Name: s.name, Product: feed.Deny, Epoch: s.epoch})
	}
	return json.Marshal(d)
}

func (u *Publisher) recipients() ([]byte, error) {
	return json.Marshal(feed.Recipients{Version: 1, Recipients: slices.Concat([]feed.Recipient{}, u.o.Recipients)})
}

// issuerKey is one of issuers/keys.json (credential.ParseIssuers).
type issuerKey struct {
	Key       string    `json:"key"`
	Name      string    `json:"name"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Revoked   bool      `json:"revoked,omitempty"`
}

// issuerKeys names the platform's own key, and the one that was withdrawn.
func (u *Publisher) issuerKeys() ([]byte, error) {
	file := map[string]issuerKey{}
	for _, kid := range []string{codeKey, oldCodeKey} {
		text, err := publicPEM(u.ring.key(kid))
		if err != nil {
			return nil, err
		}
		file[kid] = issuerKey{
			Key: text, Name: u.o.CodeIssuer, Revoked: kid == oldCodeKey,
			NotBefore: u.began.Add(-24 * time.Hour), NotAfter: u.began.Add(u.o.Life.IssuerKey),
		}
	}
	return json.Marshal(file)
}

// revocations is issuers/revocations.json (credential.ParseRevocations).
type revocations struct {
	Codes  map[string][]string             `json:"codes"`
	Floors map[string]map[string]time.Time `json:"floors"`
}

func newRevocations() revocations {
	return revocations{Codes: map[string][]string{}, Floors: map[string]map[string]time.Time{}}
}

func (r *revocations) code(issuer string, id []byte) {
	if text := hex.EncodeToString(id); !slices.Contains(r.Codes[issuer], text) {
		r.Codes[issuer] = append(r.Codes[issuer], text)
	}
}

func (r *revocations) floor(issuer string, person []byte, at time.Time) {
	if r.Floors[issuer] == nil {
		r.Floors[issuer] = map[string]time.Time{}
	}
	r.Floors[issuer][hex.EncodeToString(person)] = at
}
