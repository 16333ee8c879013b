package signed

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"

	"github.com/veraison/go-cose"
)

// SignDetached signs content that stays where it is, and is of any length:
//
//	18([ protected: bstr .cbor {1: alg, 3: kind}, {}, nil, signature ])
//
// kind is a media type. It is signed too, so that what a key says in one
// matter is not taken for another.
func SignDetached(key crypto.Signer, kind string, content []byte) ([]byte, error) {
	m := cose.NewSign1Message()
	m.Headers.Protected[cose.HeaderLabelContentType] = kind
	m.Payload = content
	if err := sign(key, m); err != nil {
		return nil, err
	}
	m.Payload = nil
	return m.MarshalCBOR()
}

// VerifyDetached reports whether raw is key's signature of content as kind; if
// not, the error wraps one of this package's.
func VerifyDetached(key crypto.PublicKey, kind string, content, raw []byte) error {
	m, err := envelope(raw)
	if err != nil {
		return err
	}
	if m.Payload != nil {
		return fmt.Errorf("%w: it brings a content of its own", ErrFormat)
	}
	if got, ok := m.Headers.Protected[cose.HeaderLabelContentType].(string); !ok || got != kind {
		return fmt.Errorf("%w: it is no %s", ErrOther, kind)
	}
	if again, err := m.MarshalCBOR(); err != nil || !bytes.Equal(again, raw) || len(m.Headers.Unprotected) > 0 {
		return fmt.Errorf("%w: it has another spelling", ErrFormat)
	}
	m.Payload = content
	return verify(m, key)
}

// CheckKey reports whether key is of a kind that signs here: Ed25519 or ECDSA
// P-256.
func CheckKey(key crypto.PublicKey) error {
	if key == nil {
		return errors.New("there is no key")
	}
	_, err := algorithm(key)
	return err
}
