package signed_test

import (
	"crypto"
	"testing"
	"time"

	qrcode "github.com/skip2/go-qrcode"

	"github.com/digital-sentinel/sentinel/agent/signed"
)

// issued is when every code of these tests was issued.
var issued = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC).Unix()

const day = 24 * 60 * 60

// claimed is a good code of a kind, with every claim that it must have.
func claimed(kind signed.Kind, device crypto.PublicKey) *signed.Claims {
	c := &signed.Claims{
		Kind: kind, Issuer: "sh", Issued: issued, Expires: issued + day,
		ID: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Person: []byte{8, 7, 6, 5, 4, 3, 2, 1}, Name: "王*", Tail: "002X",
	}
	index := uint32(24_999_999)
	switch kind {
	case signed.Paper:
		c.Expires, c.Index = issued+180*day, &index
	case signed.Phone:
		c.Device = device
		fallthrough
	case signed.Bearer:
		c.Status, c.Sampled = signed.StatusByte(1), issued-3600
	case signed.Pass:
		c.Person, c.Tail, c.Name = nil, "", "王*"
		c.NotBefore, c.Expires, c.Venue, c.Host = issued+day, issued+2*day, "v-1", "h-20417"
	}
	return c
}

// TestSizes holds the codes to the sizes that the format was chosen for, and
// prints them (go test -v -run Sizes).
func TestSizes(t *testing.T) {
	edKey, _ := ed(t)
	esKey, _ := es(t)
	for _, tt := range []struct {
		name    string
		kind    signed.Kind
		issuer  crypto.Signer
		device  crypto.Signer
		bytes   int // at most; of the reference 142, 156, 284
		version int // of the QR code at level M; of the reference 8, 9, 13
	}{
		{"paper, EdDSA", signed.Paper, edKey, nil, 142, 8},
		{"paper, ES256", signed.Paper, esKey, nil, 142, 8},
		{"bearer, EdDSA", signed.Bearer, edKey, nil, 145, 9},
		{"phone, EdDSA + EdDSA", signed.Phone, edKey, edKey, 271, 12},
		{"phone, EdDSA + ES256", signed.Phone, edKey, esKey, 273, 12},
		{"phone, ES256 + ES256", signed.Phone, esKey, esKey, 273, 12},
		{"pass, EdDSA", signed.Pass, edKey, nil, 145, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := made(t, tt.kind, tt.issuer, tt.device)
			raw, err := signed.DecodeBase45(text[len(signed.Prefix):])
			if err != nil {
				t.Fatal(err)
			}
			m, err := qrcode.New(text, qrcode.Medium)
			if err != nil {
				t.Fatal(err)
			}
			q, err := qrcode.New(text, qrcode.High)
			if err != nil {
				t.Fatal(err)
			}
			side := 17 + 4*m.VersionNumber
			t.Logf("%-20s %3d bytes %3d characters  M v%d (%dx%d)  Q v%d", tt.name, len(raw), len(text), m.VersionNumber, side, side, q.VersionNumber)
			if len(raw) > tt.bytes || m.VersionNumber > tt.version {
				t.Errorf("%d bytes, version %d, want at most %d and %d", len(raw), m.VersionNumber, tt.bytes, tt.version)
			}
		})
	}
}

// made is a good code as it is shown.
func made(t testing.TB, kind signed.Kind, issuer, device crypto.Signer) string {
	t.Helper()
	var public crypto.PublicKey
	if device != nil {
		public = device.Public()
	}
	text, err := signed.SignCode(issuer, "k1", claimed(kind, public))
	if err != nil {
		t.Fatal(err)
	}
	if device != nil {
		if text, err = signed.Show(device, text, issued+30); err != nil {
			t.Fatal(err)
		}
	}
	return text
}
