package signed

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// Kind is the kind of a code.
type Kind uint8

// The kinds.
const (
	Paper  Kind = 1 + iota // a handle: who it is, nothing of his health
	Bearer                 // a status that anybody can show who has the picture
	Phone                  // a status with the signature of the phone that shows it
	Pass                   // a host's word for a visitor
)

var kinds = [...]string{"", "paper", "bearer", "phone", "pass"}

// String gives the kind's word; none for a number that is no kind.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return ""
}

// ParseKind reads a kind's word.
func ParseKind(word string) (Kind, error) {
	for k := Paper; k <= Pass; k++ {
		if kinds[k] == word {
			return k, nil
		}
	}
	return 0, fmt.Errorf("%q is no kind of code", word)
}

// Claims is what an issuer says in a code. Times are Unix seconds. The package
// comment tells which claim belongs to which kind.
type Claims struct {
	Kind      Kind
	Issuer    string
	Issued    int64
	NotBefore int64
	Expires   int64
	ID        []byte           // the code's own, by which it is revoked
	Person    []byte           // the holder's, by which all of his older codes are
	Device    crypto.PublicKey // the phone's key
	Index     *uint32          // in the status list
	Name      string           // masked
	Tail      string           // the last four characters of the holder's number
	Status    uint8            // as the status list has it, its time bits set
	Sampled   int64            // of the last negative NAT; 0: none
	Venue     string
	Host      string
}

// Colour is the colour in Status: 0 unknown, 1 green, 2 yellow, 3 red.
func (c *Claims) Colour() uint8 { return c.Status >> 5 & 3 }

// String tells the kind and no more, for logs.
func (c Claims) String() string { return "code(" + c.Kind.String() + ")" }

// GoString is String.
func (c Claims) GoString() string { return c.String() }

// StatusByte is the Status of a colour.
func StatusByte(colour uint8) uint8 { return colour&3<<5 | noBucket }

// Longest is how long a code of kind k may be good: from when it was issued, and
// a pass from when it begins.
func (k Kind) Longest() time.Duration {
	const day = 24 * time.Hour
	switch k {
	case Paper:
		return 180 * day
	case Pass:
		return 31 * day
	}
	return day
}

//

// Limits of the claims.
const (
	noBucket  = 31 // the status list's "no time"
	minID     = 8
	maxID     = 16
	personLen = 8
	tailLen   = 4
	maxText   = 32
)

// claims is Claims on the wire.
type claims struct {
	Issuer    string        `cbor:"1,keyasint"`
	Expires   int64         `cbor:"4,keyasint"`
	NotBefore int64         `cbor:"5,keyasint,omitempty"`
	Issued    int64         `cbor:"6,keyasint"`
	ID        []byte        `cbor:"7,keyasint"`
	Confirmed *confirmation `cbor:"8,keyasint,omitempty"`
	Own       own           `cbor:"-65537,keyasint"`
}

type own struct {
	Kind    Kind    `cbor:"1,keyasint"`
	Person  []byte  `cbor:"2,keyasint,omitempty"`
	Index   *uint32 `cbor:"3,keyasint,omitempty"`
	Name    string  `cbor:"4,keyasint,omitempty"`
	Tail    string  `cbor:"5,keyasint,omitempty"`
	Status  uint8   `cbor:"6,keyasint,omitempty"`
	Sampled int64   `cbor:"7,keyasint,omitempty"`
	Venue   string  `cbor:"8,keyasint,omitempty"`
	Host    string  `cbor:"9,keyasint,omitempty"`
}

// confirmation is RFC 8747's cnf with a COSE_Key.
type confirmation struct {
	Key coseKey `cbor:"1,keyasint"`
}

type coseKey struct {
	Type  int    `cbor:"1,keyasint"`
	Curve int    `cbor:"-1,keyasint"`
	X     []byte `cbor:"-2,keyasint"`
	Odd   *bool  `cbor:"-3,keyasint,omitempty"`
}

func (c *Claims) parse(payload []byte) error {
	var w claims
	if err := strictly(payload, &w); err != nil {
		return err
	}
	o := &w.Own
	*c = Claims{
		Kind: o.Kind, Issuer: w.Issuer, Issued: w.Issued, NotBefore: w.NotBefore, Expires: w.Expires,
		ID: w.ID, Person: o.Person, Index: o.Index, Name: o.Name, Tail: o.Tail,
		Status: o.Status, Sampled: o.Sampled, Venue: o.Venue, Host: o.Host,
	}
	if w.Confirmed != nil {
		var err error
		if c.Device, err = w.Confirmed.Key.public(); err != nil {
			return err
		}
	}
	return c.check()
}

func (c *Claims) encode() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	w := claims{
		Issuer: c.Issuer, Issued: c.Issued, NotBefore: c.NotBefore, Expires: c.Expires, ID: c.ID,
		Own: own{
			Kind: c.Kind, Person: c.Person, Index: c.Index, Name: c.Name, Tail: c.Tail,
			Status: c.Status, Sampled: c.Sampled, Venue: c.Venue, Host: c.Host,
		},
	}
	if c.Device != nil {
		k, err := confirm(c.Device)
		if err != nil {
			return nil, err
		}
		w.Confirmed = &confirmation{k}
	}
	return encoder.Marshal(w)
}

// check refuses claims that are well-formed and still no code.
func (c *Claims) check() error {
	if c.Kind < Paper || c.Kind > Pass {
		return errors.New("a kind of code that is none")
	}
	from := c.Issued
	if c.Kind == Pass {
		from = c.NotBefore
	}
	health, holder := c.Kind == Bearer || c.Kind == Phone, c.Kind != Pass
	switch {
	case c.Issued <= 0 || c.Expires > latest || c.NotBefore < 0 || c.Expires <= max(c.Issued, c.NotBefore):
		return errors.New("times that cannot be")
	case c.Expires-from > int64(c.Kind.Longest()/time.Second):
		return errors.New("good for longer than its kind may be")
	case (c.NotBefore > 0) != (c.Kind == Pass), (c.Device != nil) != (c.Kind == Phone):
		return errors.New("a claim of another kind")
	case len(c.ID) < minID || len(c.ID) > maxID || !printable(c.Issuer, 1, maxText):
		return errors.New("an id or issuer that cannot be")
	case len(c.Person) != length(holder, personLen), c.Kind == Paper && c.Index == nil, !holder && c.Index != nil:
		return errors.New("a person or index that cannot be")
	case !printable(c.Name, length(holder, 1), maxText), !printable(c.Tail, length(holder, tailLen), tailLen) || len(c.Tail)%tailLen > 0:
		return errors.New("a name or number that cannot be")
	case health && c.Status != StatusByte(c.Colour()), !health && c.Status != 0:
		return errors.New("a status that cannot be")
	case c.Sampled < 0 || c.Sampled > c.Issued || c.Sampled > 0 && !health:
		return errors.New("a test that cannot be")
	case !printable(c.Venue, length(!holder, 1), length(!holder, maxText)), !printable(c.Host, length(!holder, 1), length(!holder, maxText)):
		return errors.New("a venue or host that cannot be")
	}
	return nil
}

// length is n if something has to be there.
func length(there bool, n int) int {
	if there {
		return n
	}
	return 0
}

// printable reports whether s has from least to most bytes and nothing in it
// that a page or a terminal would obey.
func printable(s string, least, most int) bool {
	if len(s) < least || len(s) > most || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// The COSE_Keys that are taken (RFC 9053, section 7).
const (
	typeOKP, curveEd25519 = 1, 6
	typeEC2, curveP256    = 2, 1
)

func (k *coseKey) public() (crypto.PublicKey, error) {
	switch {
	case len(k.X) != 32:
	case k.Type == typeOKP && k.Curve == curveEd25519 && k.Odd == nil:
		return ed25519.PublicKey(k.X), nil
	case k.Type == typeEC2 && k.Curve == curveP256 && k.Odd != nil:
		point := append([]byte{2 + byte(length(*k.Odd, 1))}, k.X...)
		if x, y := elliptic.UnmarshalCompressed(elliptic.P256(), point); x != nil {
			full := make([]byte, 65)
			full[0] = 4
			x.FillBytes(full[1:33])
			y.FillBytes(full[33:])
			return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), full)
		}
	}
	return nil, errors.New("the phone's key is none")
}

func confirm(key crypto.PublicKey) (coseKey, error) {
	if _, err := algorithm(key); err != nil {
		return coseKey{}, err
	}
	if k, ok := key.(ed25519.PublicKey); ok {
		return coseKey{Type: typeOKP, Curve: curveEd25519, X: k}, nil
	}
	k := key.(*ecdsa.PublicKey)
	point, err := k.Bytes()
	if err != nil {
		return coseKey{}, err
	}
	odd := point[64]&1 == 1
	return coseKey{Type: typeEC2, Curve: curveP256, X: point[1:33], Odd: &odd}, nil
}
