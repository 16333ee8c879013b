package credential_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/signed"
)

// BenchmarkCodes measures what it costs to judge a code, and how many times that
// is of checking its signatures alone ("x-bare").
func BenchmarkCodes(b *testing.B) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for _, bm := range []struct {
		name          string
		kind          signed.Kind
		issuer, phone crypto.Signer
	}{
		{"paper/EdDSA", signed.Paper, issuerKey, nil},
		{"paper/ES256", signed.Paper, p256, nil},
		{"bearer/EdDSA", signed.Bearer, issuerKey, nil},
		{"bearer/ES256", signed.Bearer, p256, nil},
		{"pass/EdDSA", signed.Pass, issuerKey, nil},
		{"pass/ES256", signed.Pass, p256, nil},
		{"phone/EdDSA+EdDSA", signed.Phone, issuerKey, phoneKey},
		{"phone/EdDSA+ES256", signed.Phone, issuerKey, p256},
		{"phone/ES256+ES256", signed.Phone, p256, p256},
	} {
		b.Run(bm.name, func(b *testing.B) {
			text := signedBy(b, bm.kind, bm.issuer, bm.phone)
			codes := trusted(bm.issuer.Public())
			b.ReportAllocs()
			for b.Loop() {
				if r := codes.Open(text, exactly(noon)); !r.Valid {
					b.Fatal(r.Detail)
				}
			}
			each := b.Elapsed() / time.Duration(b.N)
			bare := bareCheck(b, bm.issuer)
			if bm.phone != nil {
				bare += bareCheck(b, bm.phone)
			}
			b.ReportMetric(float64(bare.Nanoseconds()), "bare-ns")
			b.ReportMetric(float64(each)/float64(bare), "x-bare")
		})
	}
	b.Run("rubbish/30MB", func(b *testing.B) {
		codes, bomb := trusted(issuerKey.Public()), "DS1:"+string(make([]byte, 30<<20))
		b.ReportAllocs()
		for b.Loop() {
			codes.Open(bomb, exactly(noon))
		}
	})
}

// signedBy is a good code of a kind by these keys.
func signedBy(b *testing.B, kind signed.Kind, issuer, phone crypto.Signer) string {
	b.Helper()
	code, err := signed.ParseCode(coded(b, kind, nil))
	if kind == signed.Phone {
		code, err = signed.ParseCode(shown(b, noon, nil))
	}
	if err != nil {
		b.Fatal(err)
	}
	if phone != nil {
		code.Claims.Device = phone.Public()
	}
	text, err := signed.SignCode(issuer, "k1", &code.Claims)
	if err == nil && phone != nil {
		text, err = signed.Show(phone, text, noon.Unix())
	}
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// bareCheck is the time of one check of a signature over as many bytes.
func bareCheck(b *testing.B, key crypto.Signer) time.Duration {
	b.Helper()
	message := make([]byte, 80)
	digest := sha256.Sum256(message)
	var check func() bool
	switch k := key.(type) {
	case ed25519.PrivateKey:
		public, sig := k.Public().(ed25519.PublicKey), ed25519.Sign(k, message)
		check = func() bool { return ed25519.Verify(public, message, sig) }
	case *ecdsa.PrivateKey:
		sig, err := ecdsa.SignASN1(rand.Reader, k, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		check = func() bool { return ecdsa.VerifyASN1(&k.PublicKey, digest[:], sig) }
	}
	const n = 3000
	start := time.Now()
	for range n {
		if !check() {
			b.Fatal("the bare check fails")
		}
	}
	return time.Since(start) / n
}
