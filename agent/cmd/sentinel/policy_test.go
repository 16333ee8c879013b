package main

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/configs/policies"
)

func TestTable(t *testing.T) {
	got := table([][]string{
		{"rule", "when"},
		{"green", "绿码；核酸阴性"},
		{"long-one", "a green code and more than that"},
	}, []int{10, 12})
	want := `rule      when
green     绿码；核酸阴
          性
long-one  a green code
          and more
          than that
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A wrapped text is the same text in lines that fit, but for words too long for
// any.
func TestWrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringOfN(rapid.RuneFrom([]rune("ab；，绿码。-")), 1, 8, -1)).Draw(t, "words")
		most := rapid.IntRange(1, 30).Draw(t, "most")
		text := strings.Join(words, " ")
		lines := wrap(text, most)
		if got := strings.Join(lines, ""); bare(got) != bare(text) {
			t.Fatalf("%q is wrapped to %q", text, lines)
		}
		for _, line := range lines {
			if width(line) > most && len(pieces(line)) > 1 && !strings.ContainsFunc(line, unicode.IsPunct) {
				t.Fatalf("line %q of %q is wider than %d", line, text, most)
			}
		}
	})
}

func bare(s string) string { return strings.ReplaceAll(s, " ", "") }

// Every shipped policy can be printed in both languages, and every rule is in
// its table.
func TestShippedPoliciesPrint(t *testing.T) {
	for _, name := range policies.Names() {
		for _, lang := range []string{"zh", "en"} {
			var out strings.Builder
			env := quiet(nil)
			env.Stdout, env.Stderr = &out, &out
			file := "../../../configs/policies/" + name + ".yaml"
			if code := Run(t.Context(), []string{"policy", "check", "--lang", lang, file}, env); code != exitOK {
				t.Fatalf("%s: exit code %d:\n%s", name, code, out.String())
			}
			sheet, err := readPolicy(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range sheet.Policy.Rules {
				if !strings.Contains(out.String(), "\n"+r.ID+" ") {
					t.Errorf("%s in %s: no row for rule %s", name, lang, r.ID)
				}
			}
		}
	}
}
