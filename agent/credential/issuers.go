package credential

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/digital-sentinel/sentinel/agent/signed"
)

// Issuers are those whose codes are taken, by key id: the file issuers/keys.json
// of the signed cache.
type Issuers map[string]*Issuer

// Issuer is one key of an issuer.
type Issuer struct {
	Key  crypto.PublicKey
	Name string // as codes name him (iss)
	// The key signs from NotBefore on, and nothing that it has signed is good
	// from NotAfter on. Zero is no limit.
	NotBefore, NotAfter time.Time
	Revoked             bool
	Kinds               []signed.Kind // what it may sign; none: everything
	// Region is what policies call the issuer if he is not our own city's
	// (checkin.Credential.Issuer): jiangsu.
	Region string
}

// ParseIssuers reads issuers/keys.json, an object of key ids:
//
//	{"sh-2026": {
//	  "key":        "-----BEGIN PUBLIC KEY-----\n…",
//	  "name":       "sh",
//	  "not_before": "2026-01-01T00:00:00Z",   may be left out, like all below
//	  "not_after":  "2028-01-01T00:00:00Z",
//	  "revoked":    false,
//	  "kinds":      ["paper", "bearer", "phone", "pass"],
//	  "region":     ""
//	}}
//
// A member that it does not know is an error: it may be a limit.
func ParseIssuers(data []byte) (Issuers, error) {
	var file map[string]*struct {
		Key       string    `json:"key"`
		Name      string    `json:"name"`
		NotBefore time.Time `json:"not_before"`
		NotAfter  time.Time `json:"not_after"`
		Revoked   bool      `json:"revoked"`
		Kinds     []string  `json:"kinds"`
		Region    string    `json:"region"`
	}
	if err := decodeJSON(data, &file); err != nil {
		return nil, fmt.Errorf("issuers: %w", err)
	}
	all := Issuers{}
	for kid, f := range file {
		if f == nil || f.Name == "" || kid == "" {
			return nil, fmt.Errorf("issuers: %q has no name", kid)
		}
		i := &Issuer{Name: f.Name, NotBefore: f.NotBefore, NotAfter: f.NotAfter, Revoked: f.Revoked, Region: f.Region}
		var err error
		if i.Key, err = signed.ParseKey([]byte(f.Key)); err != nil {
			return nil, fmt.Errorf("issuers: %q: %w", kid, err)
		}
		for _, word := range f.Kinds {
			kind, err := signed.ParseKind(word)
			if err != nil {
				return nil, fmt.Errorf("issuers: %q: %w", kid, err)
			}
			i.Kinds = append(i.Kinds, kind)
		}
		all[kid] = i
	}
	return all, nil
}

// Revocations are codes and holders whose codes were withdrawn. A code is known
// by its id and never by its signature, of which there may be several.
type Revocations struct {
	codes  map[revoked]bool
	floors map[revoked]time.Time
}

// revoked is a code or a person of an issuer.
type revoked struct{ issuer, id string }

// ParseRevocations reads them, ids in hexadecimal, by issuer:
//
//	{"codes":  {"sh": ["0102030405060708"]},
//	 "floors": {"sh": {"0807060504030201": "2026-11-24T08:00:00Z"}}}
//
// A floor withdraws all of a person's codes that were issued before it.
func ParseRevocations(data []byte) (Revocations, error) {
	var file struct {
		Codes  map[string][]string             `json:"codes"`
		Floors map[string]map[string]time.Time `json:"floors"`
	}
	r := Revocations{map[revoked]bool{}, map[revoked]time.Time{}}
	if err := decodeJSON(data, &file); err != nil {
		return Revocations{}, fmt.Errorf("revocations: %w", err)
	}
	for issuer, list := range file.Codes {
		for _, text := range list {
			key, ok := revokedOf(issuer, text)
			if !ok {
				return Revocations{}, fmt.Errorf("revocations: a code of %q is no hexadecimal id", issuer)
			}
			r.codes[key] = true
		}
	}
	for issuer, list := range file.Floors {
		for text, floor := range list {
			key, ok := revokedOf(issuer, text)
			if !ok {
				return Revocations{}, fmt.Errorf("revocations: a person of %q is no hexadecimal id", issuer)
			}
			r.floors[key] = floor
		}
	}
	return r, nil
}

// revokedOf reads an id in hexadecimal.
func revokedOf(issuer, text string) (revoked, bool) {
	id, err := hex.DecodeString(text)
	return revoked{issuer, string(id)}, err == nil && len(id) > 0
}

// may reports whether the key may sign codes of kind k.
func (i *Issuer) may(k signed.Kind) bool { return len(i.Kinds) == 0 || slices.Contains(i.Kinds, k) }

func (r *Revocations) code(issuer string, id []byte) bool {
	return r.codes[revoked{issuer, string(id)}]
}

func (r *Revocations) floor(issuer string, person []byte) time.Time {
	if len(person) == 0 {
		return time.Time{}
	}
	return r.floors[revoked{issuer, string(person)}]
}

// decodeJSON reads one JSON value with no member that is not known, and nothing
// after it.
func decodeJSON[T any](data []byte, v *T) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind it")
	}
	return nil
}
