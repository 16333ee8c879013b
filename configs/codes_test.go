package configs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/configs"
)

// TestGoodCodes: what an operator writes who knows his city's apps.
func TestGoodCodes(t *testing.T) {
	data := good + `codes:
  personal: [https://code.sentinel.example/p/, "https://app.example/open?code=*", "https://app.example?c=*", "SSM:"]
  venue: [https://code.sentinel.example/v/, https://app.example/place/]
  issuers:
    jiangsu: ["https://su.example/c/*"]
    hong-kong: [https://hk.example/c/, https://hk.example/c/old/]
`
	c, problems := configs.Parse([]byte(data), "k.yaml")
	if len(problems) > 0 {
		t.Fatal(configs.Invalid(problems))
	}
	if got := c.Codes.Issuers["jiangsu"]; !slices.Equal(got, []string{"https://su.example/c/*"}) {
		t.Errorf("jiangsu's beginnings are %q", got)
	}
}

// TestTooManyCodes: one answer, and not one for every pair.
func TestTooManyCodes(t *testing.T) {
	for n, want := range map[int]int{195: 0, 196: 1, 5000: 1} {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("https://x%d.example/", i)
		}
		data := good + "codes: {issuers: {jiangsu: [" + strings.Join(list, ", ") + "]}}\n"
		_, problems := configs.Parse([]byte(data), "k.yaml")
		if len(problems) != want {
			t.Errorf("%d beginnings and five of ours: %d problems, want %d", n, len(problems), want)
		}
	}
}

// TestALikenessInOneKindIsNone: the longer of two beginnings wins, and both
// are the same kind.
func TestALikenessInOneKindIsNone(t *testing.T) {
	for what, want := range map[string]int{
		"relative: [https://a.example/, https://a.example/b/]":                    0,
		"{relative: [https://a.example/], paper: [https://a.example/b/]}":         1,
		"{relative: [https://a.example/b/], paper: [HTTPS://A.EXAMPLE/]}":         1,
		"{relative: ['SSM:'], paper: ['ssm:']}":                                   0,
		"{relative: ['SSM:'], paper: ['SSM:*']}":                                  1,
		"{paper: [https://code.sentinel.example/]}":                               3,
		"{issuers: {anhui: [https://a.example/], jiangsu: [https://a.example/]}}": 1,
	} {
		data := good + "codes: " + what + "\n"
		if !strings.HasPrefix(what, "{") {
			data = good + "codes:\n  " + what + "\n"
		}
		if _, problems := configs.Parse([]byte(data), "k.yaml"); len(problems) != want {
			t.Errorf("%s: %d problems, want %d\n%v", what, len(problems), want, configs.Invalid(problems))
		}
	}
}
