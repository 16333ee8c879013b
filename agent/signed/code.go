package signed

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"strings"

	"github.com/veraison/go-cose"
)

// Prefix begins every signed code.
const Prefix = "DS1:"

// MaxCode bounds a code, in characters.
const MaxCode = 4096

// ErrCode is wrapped by every error of ParseCode: this is no code of ours.
var ErrCode = errors.New("no well-formed signed code")

// Code is a code taken apart. What it says is unproven until Verify.
type Code struct {
	KeyID  string // of the issuer's key
	Claims Claims
	// Shown is when the phone signed, in Unix seconds, by its own clock; 0 for
	// codes without a phone's signature.
	Shown int64

	issued, shown *cose.Sign1Message
}

// ParseCode takes a code apart. It costs little whatever it is given.
func ParseCode(text string) (*Code, error) {
	body, ok := strings.CutPrefix(text, Prefix)
	if !ok || len(text) > MaxCode {
		return nil, fmt.Errorf("%w: not %q and at most %d characters", ErrCode, Prefix, MaxCode)
	}
	raw, err := DecodeBase45(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCode, err)
	}
	c := new(Code)
	m, kid, err := open(raw)
	if err == nil && kid == "" {
		m, kid, err = c.unwrap(m)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCode, err)
	}
	c.issued, c.KeyID = m, kid
	if err := c.Claims.parse(m.Payload); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCode, err)
	}
	if (c.Claims.Kind == Phone) != (c.shown != nil) {
		return nil, fmt.Errorf("%w: a phone's signature belongs to a phone code and to no other", ErrCode)
	}
	return c, nil
}

// Verify checks the issuer's signature against key, and the phone's against the
// key that the issuer has confirmed.
func (c *Code) Verify(key crypto.PublicKey) error {
	if err := verify(c.issued, key); err != nil {
		return err
	}
	if c.shown == nil {
		return nil
	}
	if err := verify(c.shown, c.Claims.Device); err != nil {
		return fmt.Errorf("the phone's: %w", err)
	}
	return nil
}

// SignCode makes the code that says c. A phone code is good only when Show has
// wrapped it.
func SignCode(key crypto.Signer, kid string, c *Claims) (string, error) {
	if !printable(kid, 1, maxKeyID) {
		return "", fmt.Errorf("a key id is 1 to %d printable characters", maxKeyID)
	}
	payload, err := c.encode()
	if err != nil {
		return "", err
	}
	raw, err := SignPayload(key, kid, payload)
	if err != nil {
		return "", err
	}
	return Prefix + EncodeBase45(raw), nil
}

// Show wraps a phone code for being shown at a time: what the app does every
// 30 seconds, with the key that never leaves the phone.
func Show(device crypto.Signer, code string, at int64) (string, error) {
	inner, err := DecodeBase45(strings.TrimPrefix(code, Prefix))
	if err != nil {
		return "", err
	}
	payload, err := encoder.Marshal(showing{Time: at, Code: inner})
	if err != nil {
		return "", err
	}
	raw, err := SignPayload(device, "", payload)
	if err != nil {
		return "", err
	}
	return Prefix + EncodeBase45(raw), nil
}

//

// maxKeyID bounds a key id, in bytes.
const maxKeyID = 16

// showing is what a phone signs.
type showing struct {
	_    struct{} `cbor:",toarray"`
	Time int64
	Code []byte
}

// unwrap takes out of m what the phone has wrapped.
func (c *Code) unwrap(m *cose.Sign1Message) (*cose.Sign1Message, string, error) {
	var s showing
	if err := strictly(m.Payload, &s); err != nil {
		return nil, "", err
	}
	if s.Time <= 0 || s.Time > latest {
		return nil, "", errors.New("the phone's time cannot be")
	}
	c.shown, c.Shown = m, s.Time
	inner, kid, err := open(s.Code)
	if err == nil && kid == "" {
		err = errors.New("no key id")
	}
	return inner, kid, err
}

// open takes an envelope of the codes' strict form apart and returns its key id.
func open(raw []byte) (*cose.Sign1Message, string, error) {
	m, err := envelope(raw)
	if err != nil {
		return nil, "", err
	}
	alg, err := m.Headers.Protected.Algorithm()
	if err != nil {
		return nil, "", err
	}
	headers := map[int64]any{cose.HeaderLabelAlgorithm: alg}
	kid, named := m.Headers.Protected[cose.HeaderLabelKeyID].([]byte)
	if named {
		headers[cose.HeaderLabelKeyID] = kid
	}
	want, err := encoder.Marshal(headers)
	if err == nil {
		want, err = encoder.Marshal(want)
	}
	if err != nil || !bytes.Equal(want, m.Headers.RawProtected) || len(m.Headers.Unprotected) > 0 {
		return nil, "", errors.New("headers that are none of ours")
	}
	if named && !printable(string(kid), 1, maxKeyID) {
		return nil, "", errors.New("the key id cannot be")
	}
	if again, err := m.MarshalCBOR(); err != nil || !bytes.Equal(again, raw) {
		return nil, "", errors.New("not deterministic CBOR")
	}
	return m, string(kid), nil
}
