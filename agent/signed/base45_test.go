package signed_test

import (
	"bytes"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/signed"
)

func TestBase45(t *testing.T) {
	for _, tt := range []struct{ name, plain, text string }{
		{"RFC 9285, 4.3, first", "AB", "BB8"},
		{"RFC 9285, 4.3, second", "Hello!!", "%69 VD92EX0"},
		{"RFC 9285, 4.3, third", "base-45", "UJCLQE7W581"},
		{"RFC 9285, 4.4", "ietf!", "QED8WEX0"},
		{"nothing", "", ""},
		{"the greatest single byte", "\xff", "U5"},
		{"the greatest pair", "\xff\xff", "FGW"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := signed.EncodeBase45([]byte(tt.plain)); got != tt.text {
				t.Errorf("EncodeBase45() = %q, want %q", got, tt.text)
			}
			if got, err := signed.DecodeBase45(tt.text); err != nil || string(got) != tt.plain {
				t.Errorf("DecodeBase45() = %q, %v, want %q", got, err, tt.plain)
			}
		})
	}
}

func TestBase45Refuses(t *testing.T) {
	for name, text := range map[string]string{
		"a single character": "A", "four characters": "BB8A", "a byte of 256": "V5", "a pair of 65536": "GGW",
		"the last group of all": ":::", "a small letter": "bb8", "a character of no alphabet": "B#8",
		"a line end": "BB8\n", "a letter of two bytes": "é8", "a pair whose low digits are none": "..a",
	} {
		if got, err := signed.DecodeBase45(text); err == nil {
			t.Errorf("%s, %q: DecodeBase45() = %q, want an error", name, text, got)
		}
	}
}

// FuzzBase45: what is read is written the same, and the reverse.
func FuzzBase45(f *testing.F) {
	for _, seed := range []string{"", "BB8", "%69 VD92EX0", "GGW", ":::", "U5", "V5", "a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if data, err := signed.DecodeBase45(text); err == nil {
			if again := signed.EncodeBase45(data); again != text {
				t.Errorf("%q is read and written as %q", text, again)
			}
		}
		data := []byte(text)
		if again, err := signed.DecodeBase45(signed.EncodeBase45(data)); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x is written and read as %x, %v", data, again, err)
		}
	})
}
