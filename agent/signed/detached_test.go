package signed_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"

	. "github.com/digital-sentinel/sentinel/agent/signed"
)

const kind = "application/vnd.example+json"

func TestDetached(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("what is said. "), 1000)
	for i, key := range []crypto.Signer{ed, ec} {
		raw, err := SignDetached(key, kind, large)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > 200 {
			t.Errorf("a signature of %d bytes carries the content", len(raw))
		}
		if err := VerifyDetached(key.Public(), kind, large, raw); err != nil {
			t.Errorf("%T: %v", key, err)
		}
		for at := range raw {
			bent := bytes.Clone(raw)
			bent[at] ^= 1
			if VerifyDetached(key.Public(), kind, large, bent) == nil {
				t.Errorf("%T: byte %d does not matter", key, at)
			}
		}
		embedded, err := SignPayload(key, "", large[:100])
		if err != nil {
			t.Fatal(err)
		}
		other := []crypto.Signer{ec, ed}[i]
		for name, tt := range map[string]struct {
			key     crypto.Signer
			kind    string
			content []byte
			raw     []byte
			want    error
		}{
			"another content":  {key, kind, large[1:], raw, ErrSignature},
			"another kind":     {key, "text/plain", large, raw, ErrOther},
			"another key":      {other, kind, large, raw, ErrSignature},
			"its own content":  {key, kind, large[:100], embedded, ErrFormat},
			"nothing":          {key, kind, large, nil, ErrUnsigned},
			"something behind": {key, kind, large, append(bytes.Clone(raw), 0), ErrUnsigned},
		} {
			if err := VerifyDetached(tt.key.Public(), tt.kind, tt.content, tt.raw); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestCheckKey(t *testing.T) {
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if CheckKey(old.Public()) == nil || CheckKey(nil) == nil {
		t.Error("a key that cannot sign here is taken")
	}
	if _, err := SignDetached(old, kind, nil); err == nil {
		t.Error("an RSA key signs")
	}
}

func FuzzVerifyDetached(f *testing.F) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	good, err := SignDetached(key, kind, []byte("content"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0xd2, 0x84, 0x40, 0xa0, 0xf6, 0x40})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if VerifyDetached(key.Public(), kind, []byte("content"), raw) == nil && !bytes.Equal(raw, good) {
			t.Errorf("%x is good, too", raw)
		}
	})
}
