package signed_test

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
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/digital-sentinel/sentinel/agent/signed"
)

// statement is a good one.
func statement() *signed.Statement {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC).Unix()
	return &signed.Statement{
		Version: 1, Issuer: "test", Nonce: bytes.Repeat([]byte{1}, 16), Credential: bytes.Repeat([]byte{2}, 32),
		Venue: "v-1", Kiosk: "k-1", Colour: "green", NAT: "negative", Sampled: now - 3600, Reported: now - 1800,
		Antigen: "none", Host: "yes", Advice: []string{"a"}, RegisterFirst: true, MaskedName: "王*",
		AsOf: now, ValidUntil: now + 600, Time: now, Critical: []int{7, 8},
	}
}

func ed(t testing.TB) (crypto.Signer, signed.Keys) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private, signed.Keys{"k1": public}
}

func es(t testing.TB) (*ecdsa.PrivateKey, signed.Keys) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private, signed.Keys{"k1": private.Public()}
}

func TestWhatIsSignedIsRead(t *testing.T) {
	edKey, edKeys := ed(t)
	esKey, esKeys := es(t)
	for _, tt := range []struct {
		name string
		key  crypto.Signer
		keys signed.Keys
	}{{"Ed25519", edKey, edKeys}, {"ES256", esKey, esKeys}} {
		t.Run(tt.name, func(t *testing.T) {
			for range 20 { // half of all ES256 signatures have a high s before it is mended
				raw, err := signed.Sign(tt.key, "k1", statement())
				if err != nil {
					t.Fatal(err)
				}
				got, err := signed.Open(tt.keys, raw)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(statement(), got); diff != "" {
					t.Errorf("statement (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestValuesThatCannotBe: signed well, of the right types, and still no
// statement. Each row spoils one thing of a good one.
func TestValuesThatCannotBe(t *testing.T) {
	key, keys := ed(t)
	year3000 := time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for name, spoil := range map[string]func(s *signed.Statement){
		"a version of tomorrow":           func(s *signed.Statement) { s.Version = 2 },
		"a nonce of 17 bytes":             func(s *signed.Statement) { s.Nonce = append(s.Nonce, 0) },
		"no credential":                   func(s *signed.Statement) { s.Credential = nil },
		"as of the epoch":                 func(s *signed.Statement) { s.AsOf = 0 },
		"valid before it was made":        func(s *signed.Statement) { s.ValidUntil = s.AsOf - 1 },
		"valid until the year 3000":       func(s *signed.Statement) { s.ValidUntil = year3000 },
		"no clock":                        func(s *signed.Statement) { s.Time = 0 },
		"sampled before the epoch":        func(s *signed.Statement) { s.Sampled = -1 },
		"reported before the epoch":       func(s *signed.Statement) { s.Reported = -1 },
		"sampled in the year 3000":        func(s *signed.Statement) { s.Sampled = year3000 },
		"reported in the year 3000":       func(s *signed.Statement) { s.Reported = year3000 },
		"a critical field of tomorrow":    func(s *signed.Statement) { s.Critical = []int{7, 22} },
		"a critical field of number zero": func(s *signed.Statement) { s.Critical = []int{0} },
		"a colour that is none":           func(s *signed.Statement) { s.Colour = "blue" },
		"a result that is none":           func(s *signed.Statement) { s.NAT = "maybe" },
		"an antigen result that is none":  func(s *signed.Statement) { s.Antigen = "Positive" },
		"a consent that is none":          func(s *signed.Statement) { s.Host = "perhaps" },
	} {
		t.Run(name, func(t *testing.T) {
			s := statement()
			spoil(s)
			raw, err := signed.Sign(key, "k1", s)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := signed.Open(keys, raw); !errors.Is(err, signed.ErrFormat) {
				t.Errorf("Open() = %+v, %v, want ErrFormat", got, err)
			}
		})
	}
}

// TestTypesThatCannotBe: signed well, and not even a map of the right types.
func TestTypesThatCannotBe(t *testing.T) {
	key, keys := ed(t)
	for name, payload := range map[string][]byte{
		"nothing":                   {},
		"an array":                  {0x80},
		"a text for a number":       {0xA1, 0x01, 0x61, 'x'},
		"a number for a text":       {0xA1, 0x02, 0x01},
		"a version beyond 64 bits":  {0xA1, 0x01, 0xC2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"a map inside for a number": {0xA1, 0x01, 0xA0},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := signed.SignPayload(key, "k1", payload)
			if err != nil {
				t.Fatal(err)
			}
			if s, err := signed.Open(keys, raw); err == nil {
				t.Errorf("Open() = %+v, want an error", s)
			}
		})
	}
}

// TestKeysThatSignNothing: a curve that nobody reads must not be written.
func TestKeysThatSignNothing(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Sign(p384, "k1", statement()); err == nil {
		t.Error("a P-384 key signs")
	}
	key, _ := ed(t)
	raw, err := signed.Sign(key, "k1", statement())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Open(signed.Keys{"k1": p384.Public()}, raw); !errors.Is(err, signed.ErrSignature) {
		t.Errorf("Open() with a key of another curve = %v, want ErrSignature", err)
	}
}

// TestTheKeyChoosesTheAlgorithm: a message must not be able to say that it is
// to be checked in some other way.
func TestTheKeyChoosesTheAlgorithm(t *testing.T) {
	edKey, _ := ed(t)
	_, esKeys := es(t)
	raw, err := signed.Sign(edKey, "k1", statement())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.Open(esKeys, raw); !errors.Is(err, signed.ErrSignature) {
		t.Errorf("Open() = %v, want ErrSignature", err)
	}
}

func TestBound(t *testing.T) {
	s := statement()
	nonce, credential := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 32)
	other := bytes.Repeat([]byte{9}, 32)
	for _, tt := range []struct {
		name              string
		nonce, credential []byte
		venue, kiosk      string
		want              string
	}{
		{"the question", nonce, credential, "v-1", "k-1", ""},
		{"another nonce", other[:16], credential, "v-1", "k-1", "nonce"},
		{"another person", nonce, other, "v-1", "k-1", "credential"},
		{"another venue", nonce, credential, "v-2", "k-1", "venue"},
		{"another kiosk", nonce, credential, "v-1", "k-2", "kiosk"},
		{"nothing", nil, nil, "", "", "nonce"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := s.Bound(tt.nonce, tt.credential, tt.venue, tt.kiosk)
			if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, signed.ErrOther) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Bound() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestParseKey(t *testing.T) {
	edKey, _ := ed(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pemOf := func(kind string, key crypto.PublicKey) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	good := pemOf("PUBLIC KEY", edKey.Public())
	if k, err := signed.ParseKey(good); err != nil || !edKey.Public().(ed25519.PublicKey).Equal(k) {
		t.Errorf("ParseKey() = %v, %v, want the key", k, err)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "rubbish": []byte("rubbish"), "two keys": append(bytes.Clone(good), good...),
		"a private key's label": pemOf("PRIVATE KEY", edKey.Public()), "a curve that is not taken": pemOf("PUBLIC KEY", p384.Public()),
	} {
		if k, err := signed.ParseKey(data); err == nil {
			t.Errorf("%s gives the key %v, want an error", name, k)
		}
	}
}

func FuzzOpen(f *testing.F) {
	key, keys := ed(f)
	raw, err := signed.Sign(key, "k1", statement())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{0xD2, 0x84, 0x40, 0xA0, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := signed.Open(keys, data)
		if err == nil && !bytes.Equal(data, raw) {
			t.Errorf("something that was not signed was believed: %+v", s)
		}
	})
}

// FuzzPayload fuzzes what stands inside a good envelope: a platform gone mad.
func FuzzPayload(f *testing.F) {
	key, keys := ed(f)
	plain, err := cbor.Marshal(statement())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte{0xA1, 0x01, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, err := signed.SignPayload(key, "k1", data)
		if err != nil {
			return // no payload at all
		}
		s, err := signed.Open(keys, raw)
		if err != nil {
			return
		}
		if s.Version != 1 || len(s.Nonce) != 16 || len(s.Credential) != 32 || s.AsOf <= 0 || s.ValidUntil < s.AsOf {
			t.Errorf("believed %+v", s)
		}
		again, err := signed.Sign(key, "k1", s)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := signed.Open(keys, again); err != nil || !cmp.Equal(s, second, cmpopts.EquateEmpty()) {
			t.Errorf("%+v, written again, is read as %+v, %v", s, second, err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	edKey, edKeys := ed(b)
	esKey, esKeys := es(b)
	for name, k := range map[string]struct {
		key  crypto.Signer
		keys signed.Keys
	}{"Ed25519": {edKey, edKeys}, "ES256": {esKey, esKeys}} {
		raw, err := signed.Sign(k.key, "k1", statement())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := signed.Open(k.keys, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
