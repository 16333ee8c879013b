package signed

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	_ "crypto/sha256" // ES256 verifies with it; go-cose does not link it

	"github.com/veraison/go-cose"
)

// Why a statement is not believed. They are wrapped; test with errors.Is.
var (
	ErrUnsigned  = errors.New("not a signed statement")
	ErrKey       = errors.New("signed with a key that is not trusted")
	ErrSignature = errors.New("signature does not verify")
	ErrFormat    = errors.New("statement is malformed")
	ErrOther     = errors.New("statement is about another question")
)

// MaxSize bounds a statement, in bytes.
const MaxSize = 4096

// Version is the statement version this program reads.
const Version = 1

// Statement is what the platform says about the holder of one credential, in
// answer to one question. Times are whole seconds.
type Statement struct {
	Version       int      `cbor:"1,keyasint"`
	Issuer        string   `cbor:"2,keyasint"`
	Nonce         []byte   `cbor:"3,keyasint"` // 16 bytes, from the question
	Credential    []byte   `cbor:"4,keyasint"` // SHA-256, see checkin.Credential.Key
	Venue         string   `cbor:"5,keyasint"`
	Kiosk         string   `cbor:"6,keyasint"`
	Colour        string   `cbor:"7,keyasint,omitempty"`
	NAT           string   `cbor:"8,keyasint,omitempty"`
	Sampled       int64    `cbor:"9,keyasint,omitempty"` // Unix seconds
	Reported      int64    `cbor:"10,keyasint,omitempty"`
	Antigen       string   `cbor:"11,keyasint,omitempty"`
	Host          string   `cbor:"12,keyasint,omitempty"`
	Advice        []string `cbor:"13,keyasint,omitempty"`
	RegisterFirst bool     `cbor:"14,keyasint,omitempty"`
	ControlList   bool     `cbor:"15,keyasint,omitempty"`
	CodeExpired   bool     `cbor:"16,keyasint,omitempty"`
	MaskedName    string   `cbor:"17,keyasint,omitempty"`
	AsOf          int64    `cbor:"18,keyasint"`
	ValidUntil    int64    `cbor:"19,keyasint"`
	Critical      []int    `cbor:"20,keyasint,omitempty"` // keys that must be understood
	Time          int64    `cbor:"21,keyasint"`           // the platform's clock
}

// lastKey is the highest key that this program knows; all below are known.
const lastKey = 21

// Sign makes a signed statement. kid names the key to those who trust it.
func Sign(key crypto.Signer, kid string, s *Statement) ([]byte, error) {
	payload, err := encoder.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding a statement: %w", err)
	}
	return SignPayload(key, kid, payload)
}

// SignPayload signs any payload; an empty kid is left out. It is the writing half,
// for platforms and for tests that make what Open must refuse.
func SignPayload(key crypto.Signer, kid string, payload []byte) ([]byte, error) {
	m := cose.NewSign1Message()
	if kid != "" {
		m.Headers.Protected[cose.HeaderLabelKeyID] = []byte(kid)
	}
	m.Payload = payload
	if err := sign(key, m); err != nil {
		return nil, err
	}
	return m.MarshalCBOR()
}

// sign signs m, its payload and its protected headers.
func sign(key crypto.Signer, m *cose.Sign1Message) error {
	alg, err := algorithm(key.Public())
	if err != nil {
		return err
	}
	signer, err := cose.NewSigner(alg, key)
	if err != nil {
		return err
	}
	m.Headers.Protected.SetAlgorithm(alg)
	if err := m.Sign(rand.Reader, nil, signer); err != nil {
		return err
	}
	if alg == cose.AlgorithmES256 {
		m.Signature = lowS(m.Signature)
	}
	return nil
}

// Open checks raw against the trusted keys and returns what it says.
func Open(keys Keys, raw []byte) (*Statement, error) {
	payload, err := OpenPayload(keys, raw)
	if err != nil {
		return nil, err
	}
	s := new(Statement)
	if err := decoder.Unmarshal(payload, s); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	return s, s.check()
}

// OpenPayload checks raw and returns what is signed.
func OpenPayload(keys Keys, raw []byte) ([]byte, error) {
	m, err := envelope(raw)
	if err != nil {
		return nil, err
	}
	kid, _ := m.Headers.Protected[cose.HeaderLabelKeyID].([]byte)
	key, ok := keys[string(kid)]
	if !ok {
		return nil, ErrKey
	}
	if err := verify(m, key); err != nil {
		return nil, err
	}
	return m.Payload, nil
}

// Bound reports whether s answers this question: an ErrOther names what
// differs. All of the values are the asker's own, never the statement's.
func (s *Statement) Bound(nonce, credential []byte, venue, kiosk string) error {
	switch {
	case !bytes.Equal(s.Nonce, nonce):
		return fmt.Errorf("%w: nonce differs", ErrOther)
	case !bytes.Equal(s.Credential, credential):
		return fmt.Errorf("%w: credential differs", ErrOther)
	case s.Venue != venue:
		return fmt.Errorf("%w: venue differs", ErrOther)
	case s.Kiosk != kiosk:
		return fmt.Errorf("%w: kiosk differs", ErrOther)
	}
	return nil
}

// Keys are the keys that are trusted, by key id.
type Keys map[string]crypto.PublicKey

// ParseKey reads one public key, Ed25519 or ECDSA P-256, from PEM (PKIX).
func ParseKey(data []byte) (crypto.PublicKey, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("this is not one PEM block of type PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	if _, err := algorithm(key); err != nil {
		return nil, err
	}
	return key, nil
}

//

// envelope takes raw apart; nothing in it is believed yet.
func envelope(raw []byte) (*cose.Sign1Message, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrUnsigned, len(raw), MaxSize)
	}
	if err := decoder.Wellformed(raw); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnsigned, err)
	}
	m := new(cose.Sign1Message)
	if err := m.UnmarshalCBOR(raw); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnsigned, err)
	}
	return m, nil
}

// verify holds m against the key that is to have signed it. The key chooses the
// algorithm, not the message.
func verify(m *cose.Sign1Message, key crypto.PublicKey) error {
	alg, err := m.Headers.Protected.Algorithm()
	if want, kerr := algorithm(key); err != nil || kerr != nil || alg != want {
		return fmt.Errorf("%w: the algorithm is not the key's", ErrSignature)
	}
	if alg == cose.AlgorithmES256 && !bytes.Equal(lowS(m.Signature), m.Signature) {
		return fmt.Errorf("%w: high s", ErrSignature)
	}
	v, err := cose.NewVerifier(alg, key)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrSignature, err)
	}
	if err := m.Verify(nil, v); err != nil {
		return fmt.Errorf("%w: %v", ErrSignature, err)
	}
	return nil
}

// check refuses what is well-formed and still no statement.
func (s *Statement) check() error {
	switch {
	case s.Version != Version:
		return fmt.Errorf("%w: version %d, this program reads %d", ErrFormat, s.Version, Version)
	case len(s.Nonce) != 16 || len(s.Credential) != 32:
		return fmt.Errorf("%w: nonce or credential hash has a wrong length", ErrFormat)
	case s.AsOf <= 0 || s.ValidUntil < s.AsOf || s.Time <= 0 || s.ValidUntil > latest:
		return fmt.Errorf("%w: its times cannot be", ErrFormat)
	case s.Sampled < 0 || s.Reported < 0 || s.Sampled > latest || s.Reported > latest:
		return fmt.Errorf("%w: its test times cannot be", ErrFormat)
	}
	for _, key := range s.Critical {
		if key < 1 || key > lastKey {
			return fmt.Errorf("%w: critical field %d is not known to this program", ErrFormat, key)
		}
	}
	if !slices.Contains([]string{"", "green", "yellow", "red", "none"}, s.Colour) ||
		!slices.Contains(results, s.NAT) || !slices.Contains(results, s.Antigen) ||
		!slices.Contains([]string{"", "yes", "no", "silent", "none"}, s.Host) {
		return fmt.Errorf("%w: a value is none that it may have", ErrFormat)
	}
	return nil
}

var (
	results = []string{"", "negative", "positive", "pending", "none"}
	latest  = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
)

func algorithm(key crypto.PublicKey) (cose.Algorithm, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return cose.AlgorithmEdDSA, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return cose.AlgorithmES256, nil
		}
	}
	return 0, errors.New("the key is neither Ed25519 nor ECDSA P-256")
}

// lowS returns an ES256 signature r||s with the smaller of s and n-s. Both
// verify; only one may be accepted, or a signature has two spellings.
func lowS(sig []byte) []byte {
	if len(sig) != 64 {
		return sig
	}
	n := elliptic.P256().Params().N
	s := new(big.Int).SetBytes(sig[32:])
	other := new(big.Int).Sub(n, s)
	if other.Sign() <= 0 || s.Cmp(other) <= 0 {
		return sig
	}
	low := slices.Clone(sig)
	other.FillBytes(low[32:])
	return low
}
