package credential_test

import (
	"strings"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

const publicKey = `-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n`

func TestParseIssuers(t *testing.T) {
	all, err := credential.ParseIssuers([]byte(`{"k1": {"name": "sh", "key": "` + publicKey + `", "not_before": "2026-01-01T00:00:00Z",
		"not_after": "2028-01-01T00:00:00Z", "revoked": true, "kinds": ["paper", "pass"], "region": "jiangsu"}}`))
	if err != nil {
		t.Fatal(err)
	}
	k := all["k1"]
	if k == nil || k.Name != "sh" || k.Key == nil || k.NotBefore.Year() != 2026 || k.NotAfter.Year() != 2028 || !k.Revoked ||
		len(k.Kinds) != 2 || k.Kinds[1] != signed.Pass || k.Region != "jiangsu" {
		t.Errorf("ParseIssuers() = %+v", k)
	}
}

func TestIssuersThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                   ``,
		"a list":                    `[]`,
		"no key":                    `{"k1": {"name": "sh"}}`,
		"no name":                   `{"k1": {"key": "` + publicKey + `"}}`,
		"no issuer":                 `{"k1": null}`,
		"no key id":                 `{"": {"name": "sh", "key": "` + publicKey + `"}}`,
		"a limit that nobody knows": `{"k1": {"name": "sh", "key": "` + publicKey + `", "venues": ["v-1"]}}`,
		"a kind that nobody knows":  `{"k1": {"name": "sh", "key": "` + publicKey + `", "kinds": ["plane"]}}`,
		"a day for a time":          `{"k1": {"name": "sh", "key": "` + publicKey + `", "not_after": "2028-01-01"}}`,
		"something behind":          `{} {}`,
		"a private key":             `{"k1": {"name": "sh", "key": "` + strings.ReplaceAll(publicKey, "PUBLIC", "PRIVATE") + `"}}`,
	} {
		if got, err := credential.ParseIssuers([]byte(text)); err == nil {
			t.Errorf("%s: ParseIssuers() = %v, want an error", name, got)
		}
	}
}

func TestRevocationsThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": ``, "no hexadecimal": `{"codes": {"sh": ["xyz"]}}`, "an empty id": `{"codes": {"sh": [""]}}`,
		"an empty person": `{"floors": {"sh": {"": "2026-01-01T00:00:00Z"}}}`, "a person that is none": `{"floors": {"sh": {"0": "2026-01-01T00:00:00Z"}}}`,
		"a list that nobody knows": `{"keys": []}`, "a day for a time": `{"floors": {"sh": {"00": "2026-01-01"}}}`,
	} {
		if got, err := credential.ParseRevocations([]byte(text)); err == nil {
			t.Errorf("%s: ParseRevocations() = %v, want an error", name, got)
		}
	}
}

// TestNobodyIsTrusted: the zero value.
func TestNobodyIsTrusted(t *testing.T) {
	var codes credential.Codes
	r := codes.Open(coded(t, signed.Paper, nil), exactly(noon))
	if r.Proven || r.Valid || r.Reason != checkin.CredentialInvalid {
		t.Errorf("the zero Codes believe: %v", r)
	}
}

// TestAKeysTime: nothing is good after its key.
func TestAKeysTime(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  credential.Issuer
		want checkin.Reason
	}{
		{"no limits", credential.Issuer{}, checkin.OK},
		{"within", credential.Issuer{NotBefore: noon.Add(-4 * time.Hour), NotAfter: noon.Add(time.Second)}, checkin.OK},
		{"over by now", credential.Issuer{NotAfter: noon}, checkin.CredentialExpired},
		{"over when it was issued", credential.Issuer{NotAfter: noon.Add(-4 * time.Hour)}, checkin.CredentialInvalid},
		{"not begun when it was issued", credential.Issuer{NotBefore: noon.Add(-4*time.Hour + time.Second)}, checkin.CredentialInvalid},
		{"withdrawn", credential.Issuer{Revoked: true}, checkin.CredentialRevoked},
		{"for other kinds", credential.Issuer{Kinds: []signed.Kind{signed.Pass, signed.Bearer}}, checkin.CredentialInvalid},
	} {
		tt.key.Key, tt.key.Name = issuerKey.Public(), "sh"
		codes := &credential.Codes{Issuers: credential.Issuers{"k1": &tt.key}}
		if r := codes.Open(coded(t, signed.Paper, nil), exactly(noon)); r.Reason != tt.want {
			t.Errorf("%s: %s (%s), want %s", tt.name, r.Reason, r.Detail, tt.want)
		}
	}
}
