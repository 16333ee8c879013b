package gm65

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/drivers/linecode"
	"github.com/digital-sentinel/sentinel/drivers/transcript"
)

// The vectors of the fact sheet, 2.1.
func TestCommand(t *testing.T) {
	tests := []struct {
		what string
		kind byte
		zone uint16
		data []byte
		want []byte
	}{
		{"save to flash", 0x09, 0, []byte{0}, []byte{0x7E, 0, 0x09, 1, 0, 0, 0, 0xDE, 0xC8}},
		{"set 9600 baud", typeWrite, 0x002A, []byte{0x39, 0x01}, []byte{0x7E, 0, 8, 2, 0, 0x2A, 0x39, 0x01, 0xA7, 0xEA}},
		{"read the baud register", typeRead, 0x002A, []byte{2}, []byte{0x7E, 0, 7, 1, 0, 0x2A, 2, 0xD8, 0x0F}},
		{"read zone 0000", typeRead, zoneMode, []byte{1}, []byte{0x7E, 0, 7, 1, 0, 0, 1, 0x01, 0x41}},
		{"trigger once", typeWrite, zoneTrigger, []byte{1}, []byte{0x7E, 0, 8, 1, 0, 2, 1, 0x02, 0xDA}},
		{"software version", typeRead, zoneVersion, []byte{1}, []byte{0x7E, 0, 7, 1, 0, 0xE2, 1, 0x77, 0x91}},
		{"heartbeat", 0x0A, 0, []byte{0}, []byte{0x7E, 0, 0x0A, 1, 0, 0, 0, 0x30, 0x1A}},
		{"restore, 50", typeWrite, 0x00D9, []byte{0x50}, []byte{0x7E, 0, 8, 1, 0, 0xD9, 0x50, 0x81, 0xD3}},
		{"restore, 55", typeWrite, 0x00D9, []byte{0x55}, []byte{0x7E, 0, 8, 1, 0, 0xD9, 0x55, 0xD1, 0x76}},
	}
	for _, tt := range tests {
		if got := command(tt.kind, tt.zone, tt.data...); !bytes.Equal(got, tt.want) {
			t.Errorf("%s: % X, want % X", tt.what, got, tt.want)
		}
	}
}

// items lists what s has taken apart, replies first.
func items(s *stream) []string {
	var all []string
	for _, r := range s.replies {
		all = append(all, fmt.Sprintf("reply %02X % X", r.kind, r.data))
	}
	for _, c := range s.codes {
		if c.Truncated {
			all = append(all, "too long")
		} else {
			all = append(all, fmt.Sprintf("code %q", c.Data))
		}
	}
	return all
}

const ack = "\x02\x00\x00\x01\x00\x33\x31"

func TestStream(t *testing.T) {
	long := string(answer(replyOK, bytes.Repeat([]byte{0x0D}, 256)...))
	tests := []struct {
		what, in string
		want     []string
	}{
		{"ok reply", ack, []string{"reply 00 00"}},
		{"CRC-error reply", "\x02\x00\x01\x01\x00\x04\x01", []string{"reply 01 00"}},
		{"invalid-command reply", "\x02\x00\x03\x01\x00\x6A\x61", []string{"reply 03 00"}},
		{"a reply of two registers", "\x02\x00\x00\x02\x39\x01\xC1\x4C", []string{"reply 00 39 01"}},
		{"a reply of 256 registers", long, []string{"reply 00" + strings.Repeat(" 0D", 256)}},
		{"two replies", ack + ack, []string{"reply 00 00", "reply 00 00"}},
		{"a code glued to a reply", ack + "HS-1\r", []string{"reply 00 00", `code "HS-1"`}},
		{"a reply glued to a code", "HS-1\r" + ack, []string{"reply 00 00", `code "HS-1"`}},
		{"a code without a line end behind a reply", ack + "HS-1", []string{"reply 00 00", `code "HS-1"`}},
		{"a reply with a wrong CRC is text", "\x02\x00\x00\x01\x00\x33\x32", []string{`code "\x00\x00\x01\x0032"`}},
		{"a heartbeat's reply is text", "\x03\x00\x00\x01\x00\x33\x31\r", []string{`code "\x03\x00\x00\x01\x0031"`}},
		{"half a reply is text", "\x02\x00\x00\x01", []string{`code "\x00\x00\x01"`}},
		{"half a reply and then a whole one", "\x02\x00\x00" + ack, []string{"reply 00 00", `code "\x00\x00"`}},
		{"a start too many", "\x02" + ack, []string{"reply 00 00"}},
		{"a code framed by STX and ETX", "\x02HS-1\x03\r\n", []string{`code "HS-1"`}},
		{"noise in front of a reply", "\xFF\xAA\xAA\x00\x7E" + ack, []string{"reply 00 00", `code "\xff\xaa\xaa\x00~"`}},
		{"GBK and control characters", "\xD5\xC5\x00\x1B[31m\r", []string{`code "\xd5\xc5\x00\x1b[31m"`}},
		{"a code too long, and the next", strings.Repeat("7", 5000) + "\rHS-1\r", []string{"too long", `code "HS-1"`}},
		{"a reply in the middle of one too long", strings.Repeat("7", 5000) + ack + "7\r", []string{"reply 00 00", "too long"}},
		{"line ends and nothing else", "\r\n\r\n\x02\x03\r", nil},
	}
	for _, tt := range tests {
		var s stream
		s.feed([]byte(tt.in))
		s.gap()
		if diff := cmp.Diff(tt.want, items(&s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.what, diff)
		}
		if s.pending() {
			t.Errorf("%s: something is left after a silence", tt.what)
		}
	}
}

// What can be known before the line falls quiet is known at once.
func TestStreamWaitsForNothingItNeedsNot(t *testing.T) {
	for what, tt := range map[string]struct {
		in      string
		want    int
		pending bool
	}{
		"a reply":           {ack, 1, false},
		"a code":            {"HS-1\r", 1, false},
		"a reply in pieces": {"\x02\x00\x00\x01\x00\x33", 0, true},
		"a start byte":      {"\x02", 0, true},
		"a broken reply":    {"\x02\x00\x00\x01\x00\x33\x32\r", 1, false},
		"half a code":       {"HS", 0, true},
	} {
		var s stream
		s.feed([]byte(tt.in))
		if got := len(items(&s)); got != tt.want || s.pending() != tt.pending {
			t.Errorf("%s: %d items, pending = %v, want %d, %v", what, got, s.pending(), tt.want, tt.pending)
		}
	}
}

// inPieces feeds in, cut at random.
func inPieces(in []byte, seed uint64) *stream {
	r := rand.New(rand.NewPCG(seed, 1))
	var s stream
	for len(in) > 0 {
		n := min(1+r.IntN(9), len(in))
		s.feed(bytes.Clone(in[:n]))
		in = in[n:]
	}
	s.gap()
	return &s
}

// Whatever is sent and however it is cut, it comes out as it went in.
func TestStreamGivesBackWhatWasSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in []byte
		var replies, codes []string
		for range rapid.IntRange(1, 12).Draw(t, "items") {
			if rapid.Bool().Draw(t, "reply") {
				data := rapid.SliceOfN(rapid.Byte(), 1, 256).Draw(t, "data")
				kind := rapid.Byte().Draw(t, "kind")
				in = append(in, answer(kind, data...)...)
				replies = append(replies, fmt.Sprintf("reply %02X % X", kind, data))
				continue
			}
			text := rapid.StringMatching(`[^\r\n\x{02}\x{03}]{1,80}`).Draw(t, "text")
			in = append(in, text+rapid.SampledFrom([]string{"\r", "\n", "\r\n"}).Draw(t, "end")...)
			codes = append(codes, fmt.Sprintf("code %q", text))
		}
		s := inPieces(in, rapid.Uint64().Draw(t, "cuts"))
		if diff := cmp.Diff(append(replies, codes...), items(s)); diff != "" {
			t.Errorf("(-sent +got):\n%s", diff)
		}
	})
}

func FuzzStream(f *testing.F) {
	cs, err := transcript.Load("testdata/gm65.transcript")
	if err != nil {
		f.Fatal(err)
	}
	for i, c := range cs {
		var in []byte
		for _, s := range c.Steps {
			if s.Kind == '<' {
				in = append(in, s.Bytes...)
			}
		}
		f.Add(in, uint64(i))
	}
	f.Add([]byte("\x02\x00\x00\x00\x02\x00\x00\x01\x00\x33\x31HS-1\r"), uint64(7))
	f.Fuzz(func(t *testing.T, in []byte, cuts uint64) {
		var whole stream
		whole.feed(bytes.Clone(in))
		whole.gap()
		if diff := cmp.Diff(items(&whole), items(inPieces(in, cuts))); diff != "" {
			t.Errorf("cut, it is something else (-whole +cut):\n%s", diff)
		}
		if whole.pending() {
			t.Error("something is left after a silence")
		}
		checkReplies(t, whole.replies, in)
		checkCodes(t, whole.codes, in)
	})
}

// checkReplies wants that every reply stands in the input, in this order.
func checkReplies(t *testing.T, replies []reply, in []byte) {
	t.Helper()
	for _, r := range replies {
		frame := answer(r.kind, r.data...)
		at := bytes.Index(in, frame)
		if at < 0 {
			t.Fatalf("reply % X was never sent", frame)
		}
		in = in[at+len(frame):]
	}
}

// checkCodes wants that the codes' bytes stand in the input, in this order.
func checkCodes(t *testing.T, codes []linecode.Code, in []byte) {
	t.Helper()
	for _, c := range codes {
		if c.Truncated != (len(c.Data) == 0) || len(c.Data) > linecode.Max || bytes.ContainsAny(c.Data, "\r\n") {
			t.Errorf("a code of %d bytes, truncated = %v", len(c.Data), c.Truncated)
		}
		for _, b := range c.Data {
			at := bytes.IndexByte(in, b)
			if at < 0 {
				t.Fatalf("%q was never sent", c.Data)
			}
			in = in[at+1:]
		}
	}
}

func BenchmarkStream(b *testing.B) {
	for name, in := range map[string]string{
		"a reply and a code":  ack + "https://example.invalid/code?id=0123456789abcdef\r",
		"the largest QR code": strings.Repeat("7", 2953) + "\r",
		"the worst noise":     strings.Repeat("\x02\x00\x00\x00", 1024) + "\r",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				var s stream
				s.feed([]byte(in))
				s.gap()
			}
		})
	}
}
