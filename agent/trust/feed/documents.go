package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/signed"
)

// ErrDocument is a document that cannot be used.
var ErrDocument = errors.New("document cannot be used")

// Limits of a document.
const (
	maxDocument = 1 << 20
	maxEntries  = 1024
	maxName     = 64
)

// Recipients is issuers/recipients.json: to whom identities are sealed.
type Recipients struct {
	Version    int         `json:"version"` // 1
	Critical   []string    `json:"critical,omitempty"`
	Recipients []Recipient `json:"recipients"`
}

// Recipient is one public key of an authority.
type Recipient struct {
	ID        string    `json:"id"`
	Key       string    `json:"key"` // age1…
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
}

// Index is status/feed.json: the keys that sign feed headers, and the shards.
type Index struct {
	Version  int               `json:"version"` // 1
	Critical []string          `json:"critical,omitempty"`
	Keys     map[string]string `json:"keys"` // key id: PEM, PKIX
	Shards   []Shard           `json:"shards"`
}

// Shard is one product of one place: its epoch, and where its snapshot is.
type Shard struct {
	Name     string `json:"name"`
	Product  string `json:"product"`
	Epoch    uint64 `json:"epoch"`
	Snapshot string `json:"snapshot,omitempty"` // the target's name
	Seq      uint64 `json:"seq,omitempty"`      // the header that speaks of the snapshot
}

// Trusted returns the keys of the feed, for Open.
func (d *Index) Trusted() signed.Keys {
	keys := signed.Keys{}
	for kid, text := range d.Keys {
		if key, err := signed.ParseKey([]byte(text)); err == nil {
			keys[kid] = key
		}
	}
	return keys
}

// Shard returns a shard by name and product.
func (d *Index) Shard(name, product string) (Shard, bool) {
	for _, s := range d.Shards {
		if s.Name == name && s.Product == product {
			return s, true
		}
	}
	return Shard{}, false
}

// ParseRecipients reads issuers/recipients.json. The keys themselves are parsed
// by who seals to them.
func ParseRecipients(data []byte) (*Recipients, error) {
	d, err := parse[Recipients](data)
	if err != nil {
		return nil, err
	}
	if err := head(d.Version, len(d.Recipients)); err != nil {
		return nil, err
	}
	for i, r := range d.Recipients {
		again := slices.ContainsFunc(d.Recipients[:i], func(o Recipient) bool { return o.ID == r.ID })
		if !name(r.ID) || again || !strings.HasPrefix(r.Key, "age1") || len(r.Key) > 4096 {
			return nil, fmt.Errorf("%w: recipient %d has no id or key of its own", ErrDocument, i)
		}
	}
	return d, nil
}

// ParseIndex reads status/feed.json.
func ParseIndex(data []byte) (*Index, error) {
	d, err := parse[Index](data)
	if err != nil {
		return nil, err
	}
	if err := head(d.Version, max(len(d.Keys), len(d.Shards))); err != nil {
		return nil, err
	}
	for kid, key := range d.Keys {
		if err := checkKey(kid, key); err != nil {
			return nil, err
		}
	}
	for i, s := range d.Shards {
		again := slices.ContainsFunc(d.Shards[:i], func(o Shard) bool { return o.Name == s.Name && o.Product == s.Product })
		if !name(s.Name) || !name(s.Product) || again ||
			s.Snapshot != "" && (path.Clean("/"+s.Snapshot) != "/"+s.Snapshot || len(s.Snapshot) > 256) {
			return nil, fmt.Errorf("%w: shard %d has no name, product or snapshot that can be", ErrDocument, i)
		}
	}
	return d, nil
}

//

// parse reads one JSON document. Members that this program does not know are
// passed over, so that a later publisher can add some; those that its list
// "critical" names must be known.
func parse[T any](data []byte) (*T, error) {
	if len(data) > maxDocument {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrDocument, len(data), maxDocument)
	}
	d := new(T)
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDocument, err)
	}
	var list struct {
		Critical []string `json:"critical"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDocument, err)
	}
	known := members(reflect.TypeFor[T](), nil)
	for _, c := range list.Critical {
		if !slices.Contains(known, c) {
			return nil, fmt.Errorf("%w: critical member %.40q is not known to this program", ErrDocument, c)
		}
	}
	return d, nil
}

// members lists the names of a document's members, of the inner ones as well.
func members(t reflect.Type, names []string) []string {
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		return members(t.Elem(), names)
	case reflect.Struct:
		for f := range t.Fields() {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if tag != "" {
				names = members(f.Type, append(names, tag))
			}
		}
	}
	return names
}

func head(version, entries int) error {
	switch {
	case version != 1:
		return fmt.Errorf("%w: version %d, this program reads 1", ErrDocument, version)
	case entries > maxEntries:
		return fmt.Errorf("%w: %d entries, at most %d are read", ErrDocument, entries, maxEntries)
	}
	return nil
}

func checkKey(kid, text string) error {
	if kid == "" || len(kid) > maxName {
		return fmt.Errorf("%w: a key id of %d bytes", ErrDocument, len(kid))
	}
	if _, err := signed.ParseKey([]byte(text)); err != nil {
		return fmt.Errorf("%w: key %q: %v", ErrDocument, kid, err)
	}
	return nil
}

// name reports whether s can be a shard, a product or an id: it becomes part of
// a file's name.
func name(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
