package syn6288

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

func TestSplit(t *testing.T) {
	long := strings.Repeat("请出示您的健康码或身份证，", 9) // 117 characters
	tests := []struct {
		name  string
		text  string
		limit int
		want  []string
	}{
		{"a short prompt", "请通行", 200, []string{"请通行"}},
		{"tags lose their brackets", "[v16]请[d]通行", 200, []string{"v16请d通行"}},
		{"wide brackets too", "［v16］请通行", 200, []string{"v16请通行"}},
		{"what GBK lacks is left out", "请\U0001F600通\u20ac行", 200, []string{"请通行"}},
		{"control characters are left out, white space is a space", "请\x00通\x1b\n行", 200, []string{"请通 行"}},
		{"broken UTF-8 is left out", "请\xff通行", 200, []string{"请通行"}},
		{"a second byte that looks like a bracket", "请乕通行", 200, []string{"请通行"}},
		{"parted behind a comma", long, 200, []string{strings.Repeat("请出示您的健康码或身份证，", 7), strings.Repeat("请出示您的健康码或身份证，", 2)}},
		{"parted between characters where there is no punctuation", strings.Repeat("王", 7), 9, []string{"王王王王", "王王王"}},
		{"a comma too early parts nothing", "请，通行通行通行", 10, []string{"请，通行通", "行通行"}},
		{"a piece of nothing but stops is not spoken", "王王王王，。。。。。", 10, []string{"王王王王，"}},
		{"one byte characters", "abc, def, ghi", 6, []string{"abc, ", "def, ", "ghi"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pieces, err := split(tt.text, tt.limit)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range pieces {
				s, err := simplifiedchinese.GBK.NewDecoder().Bytes(p.gbk)
				if err != nil || utf8.RuneCount(s) != p.runes {
					t.Errorf("piece % X: %v, counted %d characters", p.gbk, err, p.runes)
				}
				got = append(got, string(s))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNothingToSay(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "only stops": "，。！", "only brackets": "[][]", "only a picture": "\U0001F600",
		"too long": strings.Repeat("王", maxRunes+1),
	} {
		if got, err := split(text, 200); err == nil {
			t.Errorf("%s: split() = %d pieces, want an error", name, len(got))
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("请通行", 200)
	f.Add("[v16]王小明，您好！abc", 20)
	f.Add("乕\xff\x00。。。", 9)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = min(max(limit, 4), 200)
		pieces, err := split(text, limit)
		if err != nil {
			return
		}
		var whole []byte
		for _, p := range pieces {
			if len(p.gbk) == 0 || len(p.gbk) > limit {
				t.Errorf("a piece of %d bytes, want 1–%d", len(p.gbk), limit)
			}
			if bytes.ContainsAny(p.gbk, "[]") {
				t.Errorf("a bracket in % X", p.gbk)
			}
			s, err := simplifiedchinese.GBK.NewDecoder().Bytes(p.gbk)
			if err != nil || bytes.ContainsRune(s, utf8.RuneError) || utf8.RuneCount(s) != p.runes {
				t.Errorf("% X is %q: half a character, or not %d", p.gbk, s, p.runes)
			}
			whole = append(whole, s...)
		}
		var want []rune // every letter and number, in order
		for _, r := range text {
			if encode(r) != nil && spoken(r) {
				want = append(want, r)
			}
		}
		got := slices.DeleteFunc([]rune(string(whole)), func(r rune) bool { return !spoken(r) })
		if !slices.Equal(got, want) {
			t.Errorf("spoken %q, want %q", string(got), string(want))
		}
	})
}
