package credential_test

import (
	"crypto"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// noon is when the codes of these tests are shown; they were issued at eight.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

var (
	issuerKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("i", 32)))
	phoneKey  = ed25519.NewKeyFromSeed([]byte(strings.Repeat("p", 32)))
)

// coded is a good code of a kind, changed by change.
func coded(t testing.TB, kind signed.Kind, change func(c *signed.Claims)) string {
	t.Helper()
	index := uint32(7)
	c := &signed.Claims{
		Kind: kind, Issuer: "sh", Issued: noon.Add(-4 * time.Hour).Unix(), Expires: noon.Add(8 * time.Hour).Unix(),
		ID: []byte("code-001"), Person: []byte("person-1"), Name: "王*", Tail: "002X",
	}
	switch kind {
	case signed.Paper:
		c.Index = &index
	case signed.Bearer, signed.Phone:
		c.Status, c.Sampled = signed.StatusByte(1), noon.Add(-20*time.Hour).Unix()
	case signed.Pass:
		c.Person, c.Tail, c.Venue, c.Host = nil, "", "v-1", "h-1"
		c.NotBefore = noon.Add(-time.Hour).Unix()
	}
	if kind == signed.Phone {
		c.Device = phoneKey.Public()
	}
	if change != nil {
		change(c)
	}
	text, err := signed.SignCode(issuerKey, "k1", c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// shown is a phone code as the phone shows it at a time.
func shown(t testing.TB, at time.Time, change func(c *signed.Claims)) string {
	t.Helper()
	text, err := signed.Show(phoneKey, coded(t, signed.Phone, change), at.Unix())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func trusted(key crypto.PublicKey) *credential.Codes {
	return &credential.Codes{Issuers: credential.Issuers{"k1": {Key: key, Name: "sh"}}, Venue: "v-1"}
}

func exactly(t time.Time) credential.Interval { return credential.Interval{Lo: t, Hi: t} }

func red(c *signed.Claims) { c.Status = signed.StatusByte(3) }

// rules are those of a place that asks for green and a test within two days, or
// for a pass.
var rules = &checkin.Policy{ID: "test", Rules: []checkin.Rule{
	{ID: "red", When: checkin.Condition{Colours: []checkin.Colour{checkin.Red}}, Outcome: checkin.Refused, Reason: checkin.CodeRed},
	{ID: "green", When: checkin.Condition{Colours: []checkin.Colour{checkin.Green}, NAT: []checkin.Result{checkin.Negative}, NATWithin: 48 * time.Hour}, MaxAge: 24 * time.Hour, Outcome: checkin.Granted, Reason: checkin.OK},
	{ID: "pass", When: checkin.Condition{Credentials: []checkin.Kind{checkin.VisitorPass}}, MaxAge: 24 * time.Hour, Outcome: checkin.Granted, Reason: checkin.OK},
}}

// TestWhatTheLaneMakesOfIt: from the text to the verdict.
func TestWhatTheLaneMakesOfIt(t *testing.T) {
	unbounded := credential.Interval{Lo: noon}
	for _, tt := range []struct {
		name   string
		code   string
		at     credential.Interval
		bearer bool
		kind   checkin.Kind
		want   string
		mode   checkin.Mode
	}{
		{"a phone", shown(t, noon, nil), exactly(noon), false, checkin.SignedCode, "granted ok", checkin.ModeSigned},
		{"a red phone", shown(t, noon, red), exactly(noon), false, checkin.SignedCode, "refused code-red", checkin.ModeSigned},
		{"a phone without a colour", shown(t, noon, func(c *signed.Claims) { c.Status = signed.StatusByte(0) }), exactly(noon), false, checkin.SignedCode, "manual no-status", checkin.ModeNone},
		{"a phone whose test is too old", shown(t, noon, func(c *signed.Claims) { c.Sampled = noon.Add(-49 * time.Hour).Unix() }), exactly(noon), false, checkin.SignedCode, "manual not-covered", checkin.ModeSigned},
		{"a screenshot of yesterday", shown(t, noon.Add(-time.Hour), nil), exactly(noon), false, checkin.SignedCode, "refused code-expired", checkin.ModeNone},
		{"a phone at a kiosk without a clock", shown(t, noon, nil), unbounded, false, checkin.SignedCode, "manual clock-unknown", checkin.ModeNone},
		{"a red phone at a kiosk without a clock", shown(t, noon, red), unbounded, false, checkin.SignedCode, "refused code-red", checkin.ModeSigned},
		{"a bearer code", coded(t, signed.Bearer, nil), exactly(noon), false, checkin.SignedCode, "manual not-covered", checkin.ModeNone},
		{"somebody's red bearer code", coded(t, signed.Bearer, red), exactly(noon), false, checkin.SignedCode, "manual not-covered", checkin.ModeNone},
		{"a bearer code where it counts", coded(t, signed.Bearer, nil), exactly(noon), true, checkin.SignedCode, "granted ok", checkin.ModeSigned},
		{"paper", coded(t, signed.Paper, nil), exactly(noon), false, checkin.PaperCode, "manual paper-code", checkin.ModeNone},
		{"paper out of date", coded(t, signed.Paper, nil), exactly(noon.Add(9 * time.Hour)), false, checkin.PaperCode, "manual paper-code", checkin.ModeNone},
		{"a pass", coded(t, signed.Pass, nil), exactly(noon), false, checkin.VisitorPass, "granted ok", checkin.ModeSigned},
		{"a pass of three days ago that begins today", coded(t, signed.Pass, func(c *signed.Claims) { c.Issued -= 3 * 86400 }), exactly(noon), false, checkin.VisitorPass, "granted ok", checkin.ModeSigned},
		{"a pass for elsewhere", coded(t, signed.Pass, func(c *signed.Claims) { c.Venue = "v-2" }), exactly(noon), false, checkin.VisitorPass, "refused credential-invalid", checkin.ModeNone},
		{"a pass at a kiosk without a clock", coded(t, signed.Pass, nil), unbounded, false, checkin.VisitorPass, "manual clock-unknown", checkin.ModeNone},
		{"a pass that is over", coded(t, signed.Pass, nil), exactly(noon.Add(9 * time.Hour)), false, checkin.VisitorPass, "refused credential-expired", checkin.ModeNone},
		{"rubbish", "DS1:RUBBISH", exactly(noon), false, checkin.SignedCode, "refused credential-invalid", checkin.ModeNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			codes := trusted(issuerKey.Public())
			codes.Bearer = tt.bearer
			r := codes.Open(tt.code, tt.at)
			v := checkin.Decide(rules, "office", &checkin.Evidence{
				Credential: r.Credential, Status: r.Status, Why: r.Why, Now: noon, ClockOK: !tt.at.Hi.IsZero(),
			})
			if got := string(v.Outcome) + " " + string(v.Reason); got != tt.want || v.Mode != tt.mode || r.Credential.Kind != tt.kind {
				t.Errorf("%s, mode %s, as %s (%s), want %s, mode %s, as %s", got, v.Mode, r.Credential.Kind, r.Detail, tt.want, tt.mode, tt.kind)
			}
		})
	}
}

// TestStatusOfAPhone: each field from its claim.
func TestStatusOfAPhone(t *testing.T) {
	r := trusted(issuerKey.Public()).Open(shown(t, noon, nil), exactly(noon))
	want := checkin.Status{
		Known: true, Colour: checkin.Green, NAT: checkin.Negative, Sampled: noon.Add(-20 * time.Hour), Antigen: checkin.NoTest,
		Host: checkin.HostNone, MaskedName: "王*", Mode: checkin.ModeSigned, AsOf: noon.Add(-4 * time.Hour), ValidUntil: noon.Add(8 * time.Hour),
	}
	if diff := cmp.Diff(want, r.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	// The value goes into the record of the visit; it must name the code.
	if got, want := r.Credential.Value, "sh/636f64652d303031"; got != want {
		t.Errorf("Value = %q, want %q", got, want)
	}
}

// TestTimesThatAreHeard: an issuer's time may move the kiosk's clock, a phone's
// and a pass's may not, nor anything by a key that was withdrawn.
func TestTimesThatAreHeard(t *testing.T) {
	ahead := noon.Add(12 * time.Hour)
	later := func(c *signed.Claims) { c.Issued, c.Expires = ahead.Unix(), ahead.Add(time.Hour).Unix() }
	for _, tt := range []struct {
		name string
		code string
		key  credential.Issuer
		want time.Time
	}{
		{"paper", coded(t, signed.Paper, later), credential.Issuer{}, ahead},
		{"bearer", coded(t, signed.Bearer, later), credential.Issuer{}, ahead},
		{"a phone that is ahead itself", shown(t, ahead, nil), credential.Issuer{}, noon.Add(-4 * time.Hour)},
		{"a pass", coded(t, signed.Pass, func(c *signed.Claims) { later(c); c.NotBefore = c.Issued }), credential.Issuer{}, time.Time{}},
		{"a withdrawn key", coded(t, signed.Paper, later), credential.Issuer{Revoked: true}, time.Time{}},
		{"a key that was over", coded(t, signed.Paper, later), credential.Issuer{NotAfter: ahead}, time.Time{}},
	} {
		codes := trusted(issuerKey.Public())
		tt.key.Key, tt.key.Name = issuerKey.Public(), "sh"
		codes.Issuers["k1"] = &tt.key
		if r := codes.Open(tt.code, exactly(noon)); !r.Heard.Equal(tt.want) {
			t.Errorf("%s: Heard = %v, want %v", tt.name, r.Heard, tt.want)
		}
	}
}

// TestDoubtNeverHelps: what is valid in an interval is valid at each of its
// moments since it was issued, and not where nothing bounds the interval.
func TestDoubtNeverHelps(t *testing.T) {
	codes := trusted(issuerKey.Public())
	texts := []string{coded(t, signed.Paper, nil), coded(t, signed.Bearer, nil), shown(t, noon, nil), coded(t, signed.Pass, nil)}
	seconds := func(t *rapid.T, label string) time.Duration {
		return time.Duration(rapid.IntRange(-6*3600, 9*3600).Draw(t, label)) * time.Second
	}
	valid := 0
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(texts).Draw(t, "code")
		at := credential.Interval{Lo: noon.Add(seconds(t, "lo"))}
		at.Hi = at.Lo.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "width")) * time.Second)
		if !codes.Open(text, at).Valid {
			return
		}
		if r := codes.Open(text, credential.Interval{Lo: at.Lo}); r.Valid {
			t.Error("valid without an upper end")
		}
		if at.Lo = latest(at.Lo, noon.Add(-4*time.Hour)); at.Hi.Before(at.Lo) {
			return // the issuer's clock is minutes ahead of ours, and is believed
		}
		valid++
		moment := at.Lo.Add(time.Duration(rapid.Int64Range(0, int64(at.Hi.Sub(at.Lo))).Draw(t, "moment")))
		if r := codes.Open(text, exactly(moment)); !r.Valid {
			t.Errorf("valid in [%v, %v], and at %v %s", at.Lo, at.Hi, moment, r.Reason)
		}
	})
	if valid == 0 {
		t.Error("nothing was ever valid")
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// TestWindow: a policy may narrow the window.
func TestWindow(t *testing.T) {
	codes := trusted(issuerKey.Public())
	codes.Window, codes.Bound = 30*time.Second, 10*time.Second
	for d, want := range map[time.Duration]checkin.Reason{40 * time.Second: checkin.OK, 41 * time.Second: checkin.CodeExpired, -40 * time.Second: checkin.OK, -41 * time.Second: checkin.CredentialInvalid} {
		if r := codes.Open(shown(t, noon, nil), exactly(noon.Add(d))); r.Reason != want {
			t.Errorf("%v later: %s, want %s", d, r.Reason, want)
		}
	}
}

// TestOthersCodes: a region of others is what policies ask for.
func TestOthersCodes(t *testing.T) {
	codes := trusted(issuerKey.Public())
	codes.Issuers["k1"].Region = "jiangsu"
	if r := codes.Open(shown(t, noon, nil), exactly(noon)); r.Credential.Issuer != "jiangsu" {
		t.Errorf("issuer %q", r.Credential.Issuer)
	}
}

// TestResultsHidePeople: neither what is logged nor an error tells who it was.
func TestResultsHidePeople(t *testing.T) {
	text := shown(t, noon, nil)
	for _, code := range []string{text, text[:len(text)-3], coded(t, signed.Paper, nil)} {
		r := trusted(phoneKey.Public()).Open(code, exactly(noon))
		for _, format := range []string{"%v", "%+v", "%#v"} {
			for _, secret := range []string{"王", "002X", code[4:20], "code-001"} {
				if s := fmt.Sprintf(format, r) + r.Detail + fmt.Sprintf(format, r.Credential); strings.Contains(s, secret) {
					t.Errorf("%s tells %q: %s", format, secret, s)
				}
			}
		}
	}
}

// FuzzCodes: nothing but what was signed is valid, whatever is scanned.
func FuzzCodes(f *testing.F) {
	codes := known(f)
	good := map[string]bool{}
	for _, v := range vectors(f) {
		good[v.code] = good[v.code] || codes.Open(v.code, v.at).Proven
		if len(v.code) < 2000 {
			f.Add(v.code, v.at.Lo.Unix(), int64(0))
		}
	}
	f.Fuzz(func(t *testing.T, code string, lo, width int64) {
		at := credential.Interval{Lo: time.Unix(lo, 0)}
		if width >= 0 {
			at.Hi = time.Unix(lo+width, 0)
		}
		r := codes.Open(code, at)
		switch {
		case r.Proven && !good[code]:
			t.Errorf("something that was not signed is believed: %s", r.Detail)
		case r.Valid != (r.Reason == checkin.OK), r.Valid && !r.Proven, r.Valid && width < 0:
			t.Errorf("valid %v, reason %s, proven %v", r.Valid, r.Reason, r.Proven)
		case r.Status.Known && !r.Valid && r.Status.Colour != checkin.Red && r.Status.Colour != checkin.Yellow:
			t.Errorf("a good status of a code that is %s", r.Reason)
		case !r.Valid && r.Credential.Kind != checkin.PaperCode && r.Credential.Fault == "" && r.Why == "" && !r.Status.Known:
			t.Errorf("not valid (%s), and nothing says so", r.Reason)
		}
	})
}
