package credential_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
)

const (
	site  = "https://code.sentinel.example/"
	token = "AbCdEfGhIjKlMnOpQrStUv"
)

func gbk(t testing.TB, s string) string {
	t.Helper()
	out, err := simplifiedchinese.GBK.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		name, code string
		kind       checkin.Kind
		value      string // "=": the code as it is
	}{
		{"personal code", site + "p/" + token, checkin.PersonalCode, "="},
		{"relative's code", site + "r/" + token, checkin.RelativeCode, "="},
		{"venue code", site + "v/310101-0001", checkin.VenueCode, "="},
		{"paper code", site + "o/handle", checkin.PaperCode, "="},
		{"signed code", "DS1:6BF-00*/:%", checkin.SignedCode, "="},
		{"signed code of 3 kB", "DS1:" + strings.Repeat("A0", 1500), checkin.SignedCode, "="},
		{"another platform's address", "https://other.example/x?token=1", checkin.PersonalCode, "="},
		{"an address without TLS", "http://other.example/x", checkin.PersonalCode, "="},
		{"an address in capitals", "HTTPS://OTHER.EXAMPLE/X", checkin.PersonalCode, "="},
		{"our venue code in capitals", "HTTPS://CODE.SENTINEL.EXAMPLE/V/1", checkin.VenueCode, site + "v/1"},
		{"another platform's address with all it has", "https://other.example/x/?a=1&b=2#c/", checkin.PersonalCode, "="},
		{"a look-alike host", "https://code.sentinel.example.evil.example/v/1", checkin.PersonalCode, "="},
		{"a line end", site + "p/" + token + "\r\n", checkin.PersonalCode, site + "p/" + token},
		{"blanks around", " \n" + site + "p/" + token + " ", checkin.PersonalCode, site + "p/" + token},
		{"longest address", "https://" + strings.Repeat("a", 1016), checkin.PersonalCode, "="},
		{"longest signed code", "DS1:" + strings.Repeat("A", 4092), checkin.SignedCode, "="},

		{"nothing", "", checkin.UnknownText, ""},
		{"only a line end", "\r\n", checkin.UnknownText, ""},
		{"address too long", "https://" + strings.Repeat("a", 1017), checkin.UnknownText, ""},
		{"signed code too long", "DS1:" + strings.Repeat("A", 4093), checkin.UnknownText, ""},
		{"far too long", strings.Repeat(" ", 1<<20), checkin.UnknownText, ""},
		{"a scheme and no more", "https://", checkin.UnknownText, ""},
		{"a prefix and no more", "DS1:", checkin.UnknownText, ""},
		{"a signed code's prefix in small letters", "ds1:ABC", checkin.UnknownText, ""},
		{"a script as address", "javascript:alert(1)", checkin.UnknownText, ""},
		{"a page as address", "data:text/html,<b>1</b>", checkin.UnknownText, ""},
		{"a file as address", "file:///etc/passwd", checkin.UnknownText, ""},
		{"access to a network", "WIFI:T:WPA;S:home;P:correct horse;;", checkin.UnknownText, ""},
		{"a password", "Tr0ub4dor&3", checkin.UnknownText, ""},
		{"3 kB of anything", strings.Repeat("0123456789", 300), checkin.UnknownText, ""},
		{"an address of 3 kB", "https://other.example/" + strings.Repeat("a", 3000), checkin.UnknownText, ""},
		{"plain text", "hello", checkin.UnknownText, ""},
		{"an ID number as text", "11010519491231002X", checkin.UnknownText, ""},
		{"Chinese", "https://other.example/张三", checkin.UnknownText, ""},
		{"Chinese in GBK", "https://other.example/" + gbk(t, "张三"), checkin.UnknownText, ""},
		{"broken UTF-8", "https://other.example/\xff\xfe", checkin.UnknownText, ""},
		{"a NUL inside", "https://other.example/\x00", checkin.UnknownText, ""},
		{"a line end inside", "https://other.example/\r\nX-Header: 1", checkin.UnknownText, ""},
		{"two codes in two lines", site + "p/" + token + "\n" + site + "p/" + token, checkin.UnknownText, ""},
		{"our code with a line end inside", site + "p/AbCd\nEf", checkin.UnknownText, ""},
		{"text that runs backwards", site + "p/\u202eAbCd", checkin.UnknownText, ""},
		{"a blank of no width", site + "p/Ab\u200bCd", checkin.UnknownText, ""},
		{"a blank of full width", site + "p/AbCd\u3000", checkin.UnknownText, ""},
		{"a DEL inside", site + "p/Ab\x7fCd", checkin.UnknownText, ""},
		{"Chinese in GBK behind our beginning", site + "p/" + gbk(t, "张三"), checkin.UnknownText, ""},
		{"a tab behind", site + "p/" + token + "\t", checkin.UnknownText, ""},
		{"an escape sequence", "\x1b[2Jhttps://other.example/", checkin.UnknownText, ""},
		{"a byte order mark", "\ufeffhttps://other.example/", checkin.UnknownText, ""},
		{"markup", "<script>alert(1)</script>", checkin.UnknownText, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := credential.Classify([]byte(tt.code), credential.Patterns{})
			want := tt.value
			if want == "=" {
				want = tt.code
			}
			if got.Kind != tt.kind || got.Value != want || got.Name != "" || got.Fault != "" {
				t.Errorf("got %s %q (fault %q), want %s %q", got.Kind, got.Value, got.Fault, tt.kind, want)
			}
		})
	}
}

func TestPatterns(t *testing.T) {
	p := credential.Patterns{
		Venue:  []string{"https://city.example/place?id=", "https://city.example/"},
		Signed: []string{"HC1:"},
	}
	for _, tt := range []struct {
		name, code string
		want       checkin.Kind
	}{
		{"the configured venue prefix", "https://city.example/place?id=7", checkin.VenueCode},
		{"the default it replaced", site + "v/7", checkin.PersonalCode},
		{"the configured signed prefix", "HC1:ABC", checkin.SignedCode},
		{"the default it replaced", "DS1:ABC", checkin.UnknownText},
		{"an untouched list keeps its default", site + "r/x", checkin.RelativeCode},
	} {
		if got := credential.Classify([]byte(tt.code), p); got.Kind != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got.Kind, tt.want)
		}
	}
}

// The longest prefix wins, wherever it stands.
func TestLongestPrefix(t *testing.T) {
	p := credential.Patterns{Personal: []string{"https://a.example/venue/me/"}, Venue: []string{"https://a.example/venue/"}}
	for code, want := range map[string]checkin.Kind{
		"https://a.example/venue/me/1": checkin.PersonalCode,
		"https://a.example/venue/1":    checkin.VenueCode,
	} {
		if got := credential.Classify([]byte(code), p); got.Kind != want {
			t.Errorf("%s: got %s, want %s", code, got.Kind, want)
		}
	}
}

func TestInputUntouched(t *testing.T) {
	code := []byte(" https://other.example/x\r\n")
	before := bytes.Clone(code)
	got := credential.Classify(code, credential.Patterns{})
	code[5] = 'X'
	if got.Value != "https://other.example/x" {
		t.Errorf("the value follows the scanner's buffer: %q", got.Value)
	}
	code[5] = before[5]
	if !bytes.Equal(code, before) {
		t.Errorf("the scanner's buffer was changed to %q", code)
	}
}

func ExampleClassify() {
	code := []byte("https://code.sentinel.example/p/AbCdEfGhIjKlMnOpQrStUv\r\n")
	fmt.Println(credential.Classify(code, credential.Patterns{}))
	fmt.Println(credential.Classify([]byte("my password"), credential.Patterns{}))
	// Output:
	// personal-code
	// unknown
}
