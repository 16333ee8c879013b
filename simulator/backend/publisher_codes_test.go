package backend_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// codes is what a kiosk at venue v-1 judges codes by, from the signed cache.
func (r *reader) codes() *credential.Codes {
	r.t.Helper()
	r.current()
	keys, _, err := r.store.Target("issuers/keys.json")
	if err != nil {
		r.t.Fatal(err)
	}
	revoked, _, err := r.store.Target("issuers/revocations.json")
	if err != nil {
		r.t.Fatal(err)
	}
	c := &credential.Codes{Venue: "v-1", Bearer: true}
	if c.Issuers, err = credential.ParseIssuers(keys); err != nil {
		r.t.Fatal(err)
	}
	if c.Revoked, err = credential.ParseRevocations(revoked); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *reader) open(text string) credential.Result {
	return r.codes().Open(text, credential.Interval{Lo: r.press.now, Hi: r.press.now})
}

// codeOf issues a code of wang, who is green.
func (p *press) codeOf(kind string) string {
	p.t.Helper()
	issue := map[string]func() (string, error){
		"paper":  func() (string, error) { return p.IssuePaper("wang") },
		"bearer": func() (string, error) { return p.IssueStatus("wang") },
		"phone":  func() (string, error) { return p.IssuePhone("wang", time.Time{}) },
		"pass": func() (string, error) {
			return p.IssuePass("wang", backend.Invitation{Venue: "v-1", Host: "h-1", From: p.now, Until: p.now.Add(8 * hour)})
		},
	}[kind]
	text, err := issue()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// TestCodesAreWhatAKioskTakes, of every kind.
func TestCodesAreWhatAKioskTakes(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	r := p.reader()
	for _, tt := range []struct {
		kind   string
		want   checkin.Kind
		colour checkin.Colour
		life   time.Duration
	}{
		{"paper", checkin.PaperCode, checkin.NoColour, 180 * day},
		{"bearer", checkin.SignedCode, checkin.Green, day},
		{"phone", checkin.SignedCode, checkin.Green, day},
		{"pass", checkin.VisitorPass, checkin.NoColour, 8 * hour},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			got := r.open(p.codeOf(tt.kind))
			if !got.Valid || got.Kind.String() != tt.kind || got.Credential.Kind != tt.want || got.Colour() != tt.colour {
				t.Errorf("Open() = %v, %s of %s (%s), want a valid %s", got, got.Colour(), got.Credential.Kind, got.Detail, tt.kind)
			}
			if got.Claims.Name != "王*" || !got.Expires().Equal(p.now.Add(tt.life)) {
				t.Errorf("name %q, until %v, want 王* and %v from now", got.Claims.Name, got.Expires(), tt.life)
			}
			if health := tt.colour == checkin.Green; health != got.Sampled().Equal(p.now.Add(-12*hour)) {
				t.Errorf("sampled %v", got.Sampled())
			}
		})
	}
	if a, b := r.open(p.codeOf("paper")), r.open(p.codeOf("paper")); a.Credential.Value == b.Credential.Value || string(a.Claims.Person) != string(b.Claims.Person) {
		t.Error("two codes of one person have one id, or two persons in them")
	}
	if _, err := p.IssuePaper("nobody"); err == nil {
		t.Error("nobody gets a code")
	}
	late, err := p.IssuePhone("wang", p.now.Add(-hour))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.open(late); got.Reason != checkin.CodeExpired {
		t.Errorf("a phone that shows of an hour ago: %v, want code-expired", got)
	}
}

// TestWithdrawnCodes are refused offline with the next publication, and the
// platform knows at once.
func TestWithdrawnCodes(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	r := p.reader()
	one, other := p.codeOf("bearer"), p.codeOf("bearer")
	if err := p.Revoke(one); err != nil {
		t.Fatal(err)
	}
	if got := r.open(one); !got.Valid {
		t.Errorf("before the publication: %v", got)
	}
	p.publish(time.Minute)
	if got := r.open(one); got.Reason != checkin.CredentialRevoked {
		t.Errorf("withdrawn: %v, want credential-revoked", got)
	}
	if got := r.open(other); !got.Valid {
		t.Errorf("the other one: %v (%s), want it valid", got, got.Detail)
	}
	p.RevokeBefore("wang", p.now)
	newer := p.codeOf("bearer")
	p.publish(time.Minute)
	for text, want := range map[string]checkin.Reason{other: checkin.CredentialRevoked, newer: checkin.OK} {
		if got := r.open(text); got.Reason != want {
			t.Errorf("after the floor: %v, want %s", got, want)
		}
	}
	if err := p.Revoke("DS1:no code"); err == nil {
		t.Error("something that is no code is withdrawn")
	}
	if err := p.Order(backend.RevokedKey); err != nil {
		t.Fatal(err)
	}
	if got := r.open(p.codeOf("bearer")); got.Reason != checkin.CredentialRevoked {
		t.Errorf("a code of the withdrawn key: %v, want credential-revoked", got)
	}
}

// TestThePlatformKnowsItsCodes by what a kiosk reads out of them.
func TestThePlatformKnowsItsCodes(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		now := time.Now()
		u, err := backend.NewPublisher(h.platform, backend.PublisherOpts{Shards: []string{"v-1"}})
		if err != nil {
			t.Fatal(err)
		}
		code := func(text string, err error) checkin.Credential {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			c, err := signed.ParseCode(text)
			if err != nil {
				t.Fatal(err)
			}
			kind := checkin.SignedCode
			if c.Claims.Kind == signed.Pass {
				kind = checkin.VisitorPass
			}
			return checkin.Credential{Kind: kind, Value: c.Claims.Issuer + "/" + hexOf(c.Claims.ID)}
		}
		pass := func(venue string, from time.Time) checkin.Credential {
			return code(u.IssuePass("wang", backend.Invitation{Venue: venue, Host: "h-1", From: from, Until: from.Add(hour)}))
		}
		phone := code(u.IssuePhone("wang", time.Time{}))
		withdrawn, err := u.IssueStatus("wang")
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Revoke(withdrawn); err != nil {
			t.Fatal(err)
		}
		good := pass("v-1", now)
		wrongKind := good
		wrongKind.Kind = checkin.SignedCode
		for _, tt := range []struct {
			name           string
			cred           checkin.Credential
			known, expired bool
			host           checkin.Consent
		}{
			{"a phone code", phone, true, false, ""},
			{"a phone code again", phone, true, false, ""},
			{"a code of a red person", code(u.IssueStatus("red")), true, false, ""},
			{"a withdrawn code", code(withdrawn, nil), true, true, ""},
			{"a code that nobody has issued", checkin.Credential{Kind: checkin.SignedCode, Value: "ref/00"}, false, false, ""},
			{"a pass", good, true, false, checkin.HostYes},
			{"the pass again, of the same kiosk", good, true, false, checkin.HostYes},
			{"a pass as another kind", wrongKind, false, false, ""},
			{"a pass for another venue", pass("v-2", now), false, false, ""},
			{"a pass before its time", pass("v-1", now.Add(hour)), false, false, ""},
		} {
			s, err := h.client.Verify(t.Context(), tt.cred)
			if s.Known != tt.known || s.CodeExpired != tt.expired || s.Host != tt.host {
				t.Errorf("%s: known %v, expired %v, host %q (%v), want %v, %v, %q", tt.name, s.Known, s.CodeExpired, s.Host, err, tt.known, tt.expired, tt.host)
			}
		}
		time.Sleep(day)
		if s, err := h.client.Verify(t.Context(), phone); !s.CodeExpired {
			t.Errorf("after a day: %+v, %v, want it expired", s, err)
		}
	})
}

// TestAPassOpensOnce: the first kiosk that asks has it, and a kiosk that asks
// before its time or for another venue has not.
func TestAPassOpensOnce(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	text, err := p.IssuePass("wang", backend.Invitation{Venue: "v-1", Host: "h-1", From: p.now.Add(hour), Until: p.now.Add(2 * hour)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := signed.ParseCode(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name         string
		after        time.Duration
		kiosk, venue string
		status       int
		expired      bool
	}{
		{"before its time", 0, "k-1", "v-1", 404, false},
		{"another venue", hour, "k-1", "v-2", 404, false},
		{"the first", 0, "k-2", "v-1", 200, false},
		{"another", time.Minute, "k-1", "v-1", 200, true},
		{"the first again", time.Minute, "k-2", "v-1", 200, false},
		{"out of date", hour, "k-2", "v-1", 200, true},
	} {
		p.now = p.now.Add(tt.after)
		body, err := json.Marshal(api.VerifyRequest{
			Kind: "visitor-pass", Value: c.Claims.Issuer + "/" + hexOf(c.Claims.ID), Venue: tt.venue, Kiosk: tt.kiosk, Nonce: nonce,
		})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		p.platform.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/verify", bytes.NewReader(body)))
		if w.Code != tt.status {
			t.Errorf("%s: status %d, want %d", tt.name, w.Code, tt.status)
		}
		if w.Code != http.StatusOK {
			continue
		}
		s, err := signed.Open(signed.Keys{"statement-1": ed25519.NewKeyFromSeed(make([]byte, 32)).Public()}, w.Body.Bytes())
		if err != nil || s.CodeExpired != tt.expired || s.Host != "yes" {
			t.Errorf("%s: %+v, %v, want expired %v", tt.name, s, err, tt.expired)
		}
	}
}

func hexOf(id []byte) string { return hex.EncodeToString(id) }
