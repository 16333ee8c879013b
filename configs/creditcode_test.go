package configs_test

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/configs"
)

const creditAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"

// weights are those of the standard's table, one by one.
var weights = [17]int64{1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28}

// credit ends a code of 17 with the check that the standard's formula gives,
// in numbers without end: 31 - (sum mod 31), where 31 is 0.
func credit(head string) string {
	sum := new(big.Int)
	for i, w := range weights {
		v := int64(strings.IndexByte(creditAlphabet, head[i]))
		sum.Add(sum, new(big.Int).Mul(big.NewInt(v), big.NewInt(w)))
	}
	check := new(big.Int).Sub(big.NewInt(31), sum.Mod(sum, big.NewInt(31)))
	return head + string(creditAlphabet[check.Mod(check, big.NewInt(31)).Int64()])
}

func TestCreditCode(t *testing.T) {
	for _, tt := range []struct{ name, code, want string }{
		{"the standard's example", "91350100M000100Y43", ""},
		{"a software house's, from its licence", "9144030071526726XG", ""},
		{"a telephone maker's", "914403001922038216", ""},
		{"a search engine's", "91110000802100433B", ""},
		{"a radio maker's", "91110108551385082Q", ""},
		{"worked out by hand: all zeros", "000000000000000000", ""},
		{"worked out by hand: one", "10000000000000000Y", ""},
		{"worked out by hand: 2 in the last place but one", "000000000000000026", ""},

		{"nothing", "", "has 0 characters, not 18"},
		{"one too few", "91350100M000100Y4", "has 17 characters, not 18"},
		{"one too many", "91350100M000100Y430", "has 19 characters, not 18"},
		{"the old registration number", "350100100001004", "has 15 characters, not 18"},
		{"small letters", "91350100m000100Y43", "has a small letter in place 9; its letters are capitals"},
		{"an O for a zero", "9135O100M000100Y43", "has 'O' in place 5; there are only digits and capitals, without I, O, S, V and Z"},
		{"an I for a one", "9I350100M000100Y43", "has 'I' in place 2; there are only digits and capitals, without I, O, S, V and Z"},
		{"a Z", "Z1350100M000100Y43", "has 'Z' in place 1; there are only digits and capitals, without I, O, S, V and Z"},
		{"an S for the check", "91350100M000100Y4S", "has 'S' in place 18; there are only digits and capitals, without I, O, S, V and Z"},
		{"a V", "91350100M000100V43", "has 'V' in place 16; there are only digits and capitals, without I, O, S, V and Z"},
		{"full-width digits", "９１350100M000100Y43", "has '９' in place 1; there are only digits and capitals, without I, O, S, V and Z"},
		{"a control character", "91350100M000100Y4\x1b", `has '\x1b' in place 18; there are only digits and capitals, without I, O, S, V and Z`},
		{"broken UTF-8", "91350100M000100Y4\xff", `has '�' in place 18; there are only digits and capitals, without I, O, S, V and Z`},
		{"a blank behind", "91350100M000100Y4 ", "has ' ' in place 18; there are only digits and capitals, without I, O, S, V and Z"},
		{"another check", "91350100M000100Y44", "does not check out: a character is wrong, or two have changed places"},
		{"two changed places", "91350100M001000Y43", "does not check out: a character is wrong, or two have changed places"},
		{"a resident's number", "11010519491231002X", "does not check out: a character is wrong, or two have changed places"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := configs.CreditCode(tt.code); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("CreditCode(%q) = %q, want %q", tt.code, got, tt.want)
			}
		})
	}
}

// TestCreditCodesWorkedOut: one for every kind of owner that the standard has,
// with a check that another way of counting gives.
func TestCreditCodesWorkedOut(t *testing.T) {
	for _, head := range []string{
		"11310000000000001", "12310000MB0000002", "13310000ABCDEFGH3", "19310000YYYYYYYY4", "21310000000000005",
		"31310000LMNPQRTU6", "41310000000000017", "5131000050000000A", "52310000MJ000000B", "53310000000000XYX",
		"71310000000000001", "81310000WXY00000Y", "91310000MA0000001", "92310101MA00000QT", "93310101000000NKL",
		"A1310000000000001", "N1310000N00000001", "Y1310000000000001",
	} {
		code := credit(head)
		if err := configs.CreditCode(code); err != nil {
			t.Errorf("%s %v", code, err)
		}
		for i := range creditAlphabet {
			if other := head + creditAlphabet[i:i+1]; (configs.CreditCode(other) == nil) != (other == code) {
				t.Errorf("%s passes or fails, where %s is the one that is right", other, code)
			}
		}
	}
}

// TestOneSlipInACreditCode: every wrong character is found, and every two that
// changed places but for the first and the check: 31 is a prime, and all other
// weights differ.
func TestOneSlipInACreditCode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := credit(rapid.StringMatching("[0-9A-HJ-NP-RTUWXY]{17}").Draw(t, "head"))
		if err := configs.CreditCode(code); err != nil {
			t.Fatalf("%s %v", code, err)
		}
		i := rapid.IntRange(0, 17).Draw(t, "place")
		wrong := rapid.SampledFrom(strings.Split(creditAlphabet, "")).Draw(t, "character")
		if slip := code[:i] + wrong + code[i+1:]; slip != code && configs.CreditCode(slip) == nil {
			t.Errorf("%s passed, a slip for %s", slip, code)
		}
		j := rapid.IntRange(0, 16).Draw(t, "other place")
		swapped := []byte(code)
		swapped[i%17], swapped[j] = swapped[j], swapped[i%17]
		if s := string(swapped); s != code && configs.CreditCode(s) == nil {
			t.Errorf("%s passed, for %s", s, code)
		}
	})
}

// TestTheVenuesCreditCode: left out, right and wrong in a file.
func TestTheVenuesCreditCode(t *testing.T) {
	for code, want := range map[string]string{
		`91350100M000100Y43`:   "",
		`914403001922038216`:   "", // a number to YAML, and a code to us
		`""`:                   "",
		`91350100M000100Y44`:   `venue.credit_code: "91350100M000100Y44" does not check out: a character is wrong, or two have changed places`,
		`91350100%sM00100Y43`:  `venue.credit_code: "91350100%sM00100Y43" has 19 characters, not 18`,
		`"91350100M000100Y4O"`: `venue.credit_code: "91350100M000100Y4O" has 'O' in place 18; there are only digits and capitals, without I, O, S, V and Z`,
	} {
		data := strings.Replace(good, "class: office", "class: office, credit_code: "+code, 1)
		c, problems := configs.Parse([]byte(data), "k.yaml")
		got := ""
		if len(problems) > 0 {
			got = problems[0].What
			if problems[0].Line != 3 {
				t.Errorf("%s is told of line %d, want 3", code, problems[0].Line)
			}
		}
		if got != want || len(problems) > 1 || c == nil {
			t.Errorf("%s: %v, want %q", code, problems, want)
		}
	}
}

func FuzzCreditCode(f *testing.F) {
	for _, s := range []string{"", "91350100M000100Y43", "91350100M000100Y4\xff", "９１３５０１００", "91350100m000100Y43"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := configs.CreditCode(s)
		good := len(s) == 18 && strings.Trim(s, creditAlphabet) == "" && credit(s[:17]) == s
		if (err == nil) != good {
			t.Errorf("CreditCode(%q) = %v, and it is %v", s, err, good)
		}
		if err != nil && (err.Error() == "" || len(err.Error()) > 200) {
			t.Errorf("%q is answered with %q", s, err)
		}
	})
}
