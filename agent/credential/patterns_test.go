package credential_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
)

// apps are the beginnings of a city whose codes are shown by three apps, and
// of its neighbours.
var apps = credential.Patterns{
	Personal: []string{
		site + "p/", "https://pay.example/code/", "https://chat.example/open?from=health&code=*", "SSM:",
	},
	Relative: []string{site + "r/", "https://pay.example/family/"},
	Venue:    []string{site + "v/", "https://pay.example/place?id=*"},
	Paper:    []string{site + "o/", "https://bank.example/offline#"},
	Issuers: map[string][]string{
		"jiangsu":  {"https://su.example/c/", "https://pay.example/su?code=*"},
		"zhejiang": {"https://zhe.example/c/"},
	},
}

// TestOneCodeFromManyApps: one token is one credential, whichever app showed
// it and whatever the app hung on behind.
func TestOneCodeFromManyApps(t *testing.T) {
	for _, tt := range []struct {
		name, code string
		kind       checkin.Kind
		issuer     string
		value      string
	}{
		{"the city's own", site + "p/T0k-n_", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"in another app", "https://pay.example/code/T0k-n_", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"in a parameter", "https://chat.example/open?from=health&code=T0k-n_", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"in no address at all", "SSM:T0k-n_", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"with a slash behind", "https://pay.example/code/T0k-n_/", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"with more slashes behind", site + "p/T0k-n_//", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"with parameters", site + "p/T0k-n_?app=pay&t=1", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"with a slash and parameters", site + "p/T0k-n_/?app=pay", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"with more parameters", "https://chat.example/open?from=health&code=T0k-n_&t=1", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"with a fragment", site + "p/T0k-n_#top", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"with a blank and a word", site + "p/T0k-n_ hello", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"with the host in capitals", "HTTPS://PAY.EXAMPLE/CODE/T0k-n_", checkin.PersonalCode, "", site + "p/T0k-n_"},
		{"a token in capitals is another", site + "p/T0K-N_", checkin.PersonalCode, "", site + "p/T0K-N_"},
		{"a token of several parts", "https://pay.example/code/a/b", checkin.PersonalCode, "", site + "p/a/b"},

		{"a relative's", "https://pay.example/family/T0k-n_?x", checkin.RelativeCode, "", site + "r/T0k-n_"},
		{"a venue's", "https://pay.example/place?id=310101-1&t=2", checkin.VenueCode, "", site + "v/310101-1"},
		{"a paper one", "https://bank.example/offline#handle", checkin.PaperCode, "", site + "o/handle"},
		{"a neighbour's", "https://su.example/c/T0k-n_", checkin.PersonalCode, "jiangsu", "https://su.example/c/T0k-n_"},
		{"a neighbour's in an app of ours", "https://pay.example/su?code=T0k-n_&x", checkin.PersonalCode, "jiangsu", "https://su.example/c/T0k-n_"},
		{"another neighbour's", "https://zhe.example/c/T0k-n_/", checkin.PersonalCode, "zhejiang", "https://zhe.example/c/T0k-n_"},

		{"another order of parameters is not read", "https://chat.example/open?code=T&from=health", checkin.PersonalCode, "", "https://chat.example/open?code=T&from=health"},
		{"no token", site + "p/?t=1", checkin.PersonalCode, "", site + "p/?t=1"},
		{"only slashes", site + "p///", checkin.PersonalCode, "", site + "p///"},
		{"a beginning of nobody's", "https://wan.example/c/T/?x#y", checkin.PersonalCode, "", "https://wan.example/c/T/?x#y"},
		{"a beginning of no address, in small letters", "ssm:T", checkin.UnknownText, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := credential.Classify([]byte(tt.code), apps)
			want := checkin.Credential{Kind: tt.kind, Issuer: tt.issuer, Value: tt.value}
			if got != want {
				t.Errorf("got %s %q of %q, want %s %q of %q", got.Kind, got.Value, got.Issuer, want.Kind, want.Value, want.Issuer)
			}
		})
	}
}

// TestEveryAppGivesOneKey, for any token.
func TestEveryAppGivesOneKey(t *testing.T) {
	lists := map[string][]string{
		"personal": apps.Personal, "relative": apps.Relative, "venue": apps.Venue, "paper": apps.Paper,
		"jiangsu": apps.Issuers["jiangsu"],
	}
	rapid.Check(t, func(t *rapid.T) {
		list := lists[rapid.SampledFrom([]string{"personal", "relative", "venue", "paper", "jiangsu"}).Draw(t, "list")]
		token := rapid.StringMatching(`[A-Za-z0-9_~.%+=-]{1,40}`).Draw(t, "token")
		want := credential.Classify([]byte(list[0]+token), apps)
		if want.Value != list[0]+token {
			t.Fatalf("%s%s became %q", list[0], token, want.Value)
		}
		app := strings.TrimSuffix(rapid.SampledFrom(list).Draw(t, "app"), "*")
		tail := rapid.SampledFrom([]string{"", "/", "?t=1", "/?t=1&u=2", "&t=1", "#x", "\r\n", " \n"}).Draw(t, "tail")
		got := credential.Classify([]byte(app+token+tail), apps)
		if got != want || got.Key() != want.Key() {
			t.Fatalf("%s%s%s gives %s %q, want %s %q", app, token, tail, got.Kind, got.Value, want.Kind, want.Value)
		}
	})
}

// TestTwoIssuersOfOneBeginning: a configuration is refused for it; code that
// makes its own patterns gets the same answer every time.
func TestTwoIssuersOfOneBeginning(t *testing.T) {
	p := credential.Patterns{Issuers: map[string][]string{}}
	for _, name := range []string{"zhejiang", "anhui", "jiangsu", "fujian"} {
		p.Issuers[name] = []string{"https://delta.example/"}
	}
	for range 50 {
		if got := credential.Classify([]byte("https://delta.example/T"), p); got.Issuer != "anhui" {
			t.Fatalf("got the issuer %q, want anhui", got.Issuer)
		}
	}
	p.Personal = []string{"https://delta.example/"}
	if got := credential.Classify([]byte("https://delta.example/T"), p); got.Issuer != "" {
		t.Errorf("got the issuer %q for a code of our own", got.Issuer)
	}
}

// TestALongerBeginningMustFit: what would not be sent as it came is not sent
// longer either.
func TestALongerBeginningMustFit(t *testing.T) {
	p := credential.Patterns{Personal: []string{site + "p/", "https://a.example/"}}
	for n, want := range map[int]checkin.Kind{
		credential.MaxAddress - len(site+"p/"):     checkin.PersonalCode,
		credential.MaxAddress - len(site+"p/") + 1: checkin.UnknownText,
	} {
		got := credential.Classify([]byte("https://a.example/"+strings.Repeat("a", n)), p)
		if got.Kind != want || len(got.Value) > credential.MaxAddress {
			t.Errorf("a token of %d: got %s of %d bytes, want %s", n, got.Kind, len(got.Value), want)
		}
	}
}

// TestNothingIsPrinted: whatever was held up, no way of printing the result
// shows any of it.
func TestNothingIsPrinted(t *testing.T) {
	for _, code := range []string{
		site + "p/s3cret-t0ken", "https://other.example/s3cret-t0ken", "DS1:s3cret-t0ken", "s3cret-t0ken", "https://su.example/c/s3cret-t0ken",
	} {
		got := credential.Classify([]byte(code), apps)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			text := fmt.Sprintf(verb, got) + fmt.Sprintf(verb, &got) + fmt.Sprintf(verb, []checkin.Credential{got})
			if strings.Contains(text, "s3cret") || strings.Contains(text, "7333637265742d") {
				t.Errorf("%s of %s shows %q", verb, got.Kind, text)
			}
		}
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range []string{
		"", site + "p/" + token + "\r\n", site + "v/1", "DS1:" + strings.Repeat("9", 3000), "https://\x00",
		"\xd5\xc5\xc8\xfd", "http://a b", "HTTPS://A", " \r\n ", "SSM:a?b", site + "p/ ?", site + "p//x#",
		"https://chat.example/open?from=health&code=a/&b", "https://pay.example/su?code=SSM:x", "https://zhe.example/c/a ",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		for _, p := range []credential.Patterns{{}, apps} {
			checkClass(t, code, p)
		}
	})
}

func checkClass(t *testing.T, code []byte, p credential.Patterns) {
	got := credential.Classify(code, p)
	switch got.Kind {
	case checkin.UnknownText:
		if got != (checkin.Credential{Kind: checkin.UnknownText}) {
			t.Errorf("unknown text is kept: %q", got.Value)
		}
		return
	case checkin.PersonalCode, checkin.RelativeCode, checkin.VenueCode, checkin.PaperCode, checkin.SignedCode:
	default:
		t.Fatalf("kind %q", got.Kind)
	}
	if got.Issuer != "" && (p.Issuers[got.Issuer] == nil || got.Kind != checkin.PersonalCode) {
		t.Errorf("a %s of %q", got.Kind, got.Issuer)
	}
	for _, b := range []byte(got.Value) {
		if b < ' ' || b > '~' {
			t.Errorf("%q holds %#x", got.Value, b)
		}
	}
	if len(got.Value) > credential.MaxCode || got.Kind != checkin.SignedCode && len(got.Value) > credential.MaxAddress {
		t.Errorf("%d bytes of %s", len(got.Value), got.Kind)
	}
	if again := credential.Classify([]byte(got.Value), p); again != got {
		t.Errorf("%q becomes %q of %q, and that %q of %q", code, got.Value, got.Issuer, again.Value, again.Issuer)
	}
	// It came from the code: whole, or a piece of it behind a known beginning.
	if s := strings.Trim(string(code), "\r\n "); got.Value != s && !strings.Contains(s, got.Value[beginning(got, p):]) {
		t.Errorf("%q became %q", code, got.Value)
	}
}

// beginning is how long the canonical beginning of a credential is.
func beginning(c checkin.Credential, p credential.Patterns) int {
	def := credential.DefaultPatterns()
	lists := map[checkin.Kind][2][]string{
		checkin.PersonalCode: {p.Personal, def.Personal}, checkin.RelativeCode: {p.Relative, def.Relative},
		checkin.VenueCode: {p.Venue, def.Venue}, checkin.PaperCode: {p.Paper, def.Paper},
	}
	list := lists[c.Kind][0]
	switch {
	case c.Issuer != "":
		list = p.Issuers[c.Issuer]
	case list == nil:
		list = lists[c.Kind][1]
	}
	return len(strings.TrimSuffix(list[0], "*"))
}

func BenchmarkClassify(b *testing.B) {
	for _, bb := range []struct {
		name, code string
		p          credential.Patterns
	}{
		{"as shipped", site + "p/" + token + "\r\n", credential.Patterns{}},
		{"of many apps, the canonical one", site + "p/" + token + "\r\n", apps},
		{"of many apps, another", "https://pay.example/code/" + token + "?t=1\r\n", apps},
		{"nobody's address", "https://other.example/" + token, apps},
		{"signed, 1 kB", "DS1:" + strings.Repeat("A0", 500), apps},
		{"a password", "Tr0ub4dor&3", apps},
	} {
		b.Run(bb.name, func(b *testing.B) {
			code := []byte(bb.code)
			b.ReportAllocs()
			for b.Loop() {
				credential.Classify(code, bb.p)
			}
		})
	}
}
