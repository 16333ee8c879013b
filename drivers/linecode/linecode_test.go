package linecode_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/drivers/linecode"
)

func split(s *linecode.Splitter, data string) []string {
	var got []string
	take := func(c linecode.Code, ok bool) {
		switch {
		case ok && c.Truncated:
			got = append(got, "too long")
		case ok:
			got = append(got, string(c.Data))
		}
	}
	for i := range len(data) {
		take(s.Put(data[i]))
	}
	take(s.Flush())
	return got
}

func TestSplitter(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"carriage return", "A\r", []string{"A"}},
		{"line feed", "A\n", []string{"A"}},
		{"both", "A\r\nB\r\n", []string{"A", "B"}},
		{"a silence", "A", []string{"A"}},
		{"framed", "\x02A\x03\r", []string{"A"}},
		{"empty lines", "\r\n\r\n\x02\x03\r", nil},
		{"GBK and control bytes are kept", "\xd5\xc5\x1b[31m\x00\r", []string{"\xd5\xc5\x1b[31m\x00"}},
		{"the largest QR code", strings.Repeat("x", 2953) + "\r", []string{strings.Repeat("x", 2953)}},
		{"the tail of a long one is no code", strings.Repeat("x", 5000) + "\rB\r", []string{"too long", "B"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := split(&linecode.Splitter{}, tt.in)
			if strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add([]byte("A\r\nB"))
	f.Add(bytes.Repeat([]byte("x"), 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &linecode.Splitter{Max: 64}
		for _, b := range data {
			if c, ok := s.Put(b); ok && !c.Truncated && (len(c.Data) == 0 || len(c.Data) > 64 || bytes.ContainsAny(c.Data, "\r\n")) {
				t.Errorf("code of %d bytes", len(c.Data))
			}
		}
		s.Flush()
		if s.Pending() {
			t.Error("something is left after Flush")
		}
	})
}
