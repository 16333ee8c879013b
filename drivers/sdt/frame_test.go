package sdt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors of the fact sheet, 1.3.
func TestRequests(t *testing.T) {
	tests := []struct {
		what    string
		command uint16
		want    string
	}{
		{"reset", 0x10FF, "AA AA AA 96 69 00 03 10 FF EC"},
		{"status", 0x11FF, "AA AA AA 96 69 00 03 11 FF ED"},
		{"number of the SAM", cmdSAMID, "AA AA AA 96 69 00 03 12 FF EE"},
		{"find", cmdFind, "AA AA AA 96 69 00 03 20 01 22"},
		{"select", cmdSelect, "AA AA AA 96 69 00 03 20 02 21"},
		{"read text and photo", cmdReadText, "AA AA AA 96 69 00 03 30 01 32"},
		{"read with fingerprints", 0x3010, "AA AA AA 96 69 00 03 30 10 23"},
		{"newest address", 0x3003, "AA AA AA 96 69 00 03 30 03 30"},
		{"management number", 0x3005, "AA AA AA 96 69 00 03 30 05 36"},
		{"115200 baud", 0x6000, "AA AA AA 96 69 00 03 60 00 63"},
		{"9600 baud", 0x6004, "AA AA AA 96 69 00 03 60 04 67"},
	}
	for _, tt := range tests {
		if got, want := request(tt.command), unhex(t, tt.want); !bytes.Equal(got, want) {
			t.Errorf("%s: % X, want % X", tt.what, got, want)
		}
	}
}

// The vectors of the fact sheet, 1.4.
func TestAnswers(t *testing.T) {
	const head = "AA AA AA 96 69 00 "
	tests := []struct{ what, frame, data, name string }{
		{"done", head + "04 00 00 90 94", "", "done"},
		{"found", head + "08 00 00 9F 00 00 00 00 97", "00 00 00 00", "card found"},
		{"selected", head + "0C 00 00 90 00 00 00 00 00 00 00 00 9C", "00 00 00 00 00 00 00 00", "done"},
		{"no card", head + "04 00 00 80 84", "", "no card"},
		{"select failed", head + "04 00 00 81 85", "", "card not selected"},
		{"read failed", head + "04 00 00 41 45", "", "reading the card failed"},
		{"card does not know the reader", head + "04 00 00 31 35", "", "the card failed to authenticate the reader"},
		{"reader does not know the card", head + "04 00 00 32 36", "", "the reader failed to authenticate the card"},
		{"no such item", head + "04 00 00 91 95", "", "the card has no such item"},
		{"bad checksum", head + "04 00 00 10 14", "", "the reader saw a bad checksum"},
		{"bad length", head + "04 00 00 11 15", "", "the reader saw a bad length"},
		{"bad command", head + "04 00 00 21 25", "", "the reader does not know the command"},
		{"self-test", head + "04 00 00 60 64", "", "the reader's self-test failed"},
		{"not authorised", head + "04 00 00 66 62", "", "the reader is not authorised"},
		{"a card's own status word in SW1 and SW2", head + "04 6A 82 41 AD", "", "reading the card failed"},
		{"a status of the future", head + "04 00 00 77 73", "", "status 77"},
		{"the number of the SAM", head + "14 00 00 90 05 00 01 00 25 3B 34 01 4E 61 BC 00 78 56 34 12 30", "05 00 01 00 25 3B 34 01 4E 61 BC 00 78 56 34 12", "done"},
	}
	for _, tt := range tests {
		p := newParser()
		p.feed(unhex(t, tt.frame))
		r, ok := p.next()
		if !ok || r.status.String() != tt.name || !bytes.Equal(r.data, unhex(t, tt.data)) {
			t.Errorf("%s: %v, %v, data % X, want %s, data %s", tt.what, ok, r.status, r.data, tt.name, tt.data)
		}
		if _, ok := p.next(); ok || len(p.buf) != 0 || p.bad != 0 {
			t.Errorf("%s: %d bytes left, %d bad", tt.what, len(p.buf), p.bad)
		}
	}
}

func TestFindsFramesInAnything(t *testing.T) {
	const none, found = "AA AA AA 96 69 00 04 00 00 80 84 ", "AA AA AA 96 69 00 08 00 00 9F 00 00 00 00 97 "
	tests := []struct {
		what, in string
		want     []Status
		bad      int
	}{
		{"nothing", "", nil, 0},
		{"two frames", none + found, []Status{NoCard, Found}, 0},
		{"noise before, between and behind", "00 69 " + none + "AA AA 96 69 " + found + "AA AA", []Status{NoCard, Found}, 0},
		{"a preamble with an AA too many", "AA " + none, []Status{NoCard}, 0},
		{"a wrong check byte", "AA AA AA 96 69 00 04 00 00 80 85 " + none, []Status{NoCard}, 1},
		{"a check byte that is right but for the preamble", "AA AA AA 96 69 00 04 00 00 80 D1 " + none, []Status{NoCard}, 1},
		{"a length of nothing", "AA AA AA 96 69 00 00 " + none, []Status{NoCard}, 1},
		{"a length that leaves no room for a status", "AA AA AA 96 69 00 03 00 80 83 " + none, []Status{NoCard}, 1},
		{"a length beyond all cards", "AA AA AA 96 69 10 01 00 " + none, []Status{NoCard}, 1},
		{"a length that swallows the next frame", "AA AA AA 96 69 00 0B " + none + none, []Status{NoCard, NoCard}, 1},
		{"half a frame", "AA AA AA 96 69 00 04 00 00 80", nil, 0},
		{"half a frame, and then a whole one", "AA AA AA 96 69 00 04 00 " + none, []Status{NoCard}, 1},
	}
	for _, tt := range tests {
		p := newParser()
		p.feed(unhex(t, tt.in))
		var got []Status
		for r, ok := p.next(); ok; r, ok = p.next() {
			got = append(got, r.status)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || p.bad != tt.bad {
			t.Errorf("%s: %d bad, want %d; frames (-want +got):\n%s", tt.what, p.bad, tt.bad, diff)
		}
	}
}

// The check bytes and lengths of the fact sheet, 1.5 and 1.13. A read with
// fingerprints is never asked for, and its answer still a good frame.
func TestTheLongFrames(t *testing.T) {
	text := recordAnswer(t, "resident")[14 : 14+recordLen]
	photo := append(unhex(t, "57 4C 66 00 7E 00 32 00 00 FF"), make([]byte, 1014)...)
	prints := make([]byte, 1024)
	tests := []struct {
		what, head string
		parts      [][]byte
		size       int
		check      byte
	}{
		{"text and photo", "0508 000090 0100 0400", [][]byte{text, photo}, 1295, 0xFF},
		{"without fingerprints", "050A 000090 0100 0400 0000", [][]byte{text, photo}, 1297, 0xFD},
		{"with fingerprints", "090A 000090 0100 0400 0400", [][]byte{text, photo, prints}, 2321, 0xF5},
	}
	for _, tt := range tests {
		frame := append(bytes.Clone(preamble), unhex(t, tt.head)...)
		frame = append(frame, bytes.Join(tt.parts, nil)...)
		frame = append(frame, tt.check)
		p := newParser()
		p.feed(frame)
		r, ok := p.next()
		if len(frame) != tt.size || !ok || r.status != Done || len(r.data) != tt.size-11 {
			t.Errorf("%s: %d bytes, %v, %v, %d bytes of data, want %d bytes", tt.what, len(frame), ok, r.status, len(r.data), tt.size)
		}
	}
}

// frames is the parser's meaning in the fewest words: the stream is searched
// from each byte on, and a frame that is not whole yet ends the search.
func frames(in []byte) (all []reply, bad int) {
	for i := 0; i < len(in); i++ {
		if !bytes.HasPrefix(in[i:], []byte("\xAA\xAA\xAA\x96\x69")) {
			continue
		}
		if len(in) < i+7 {
			return all, bad
		}
		n := int(in[i+5])<<8 | int(in[i+6])
		if n < 4 || n > 4096 {
			bad++
			continue
		}
		if len(in) < i+7+n {
			return all, bad
		}
		var sum byte
		for _, b := range in[i+5 : i+7+n] {
			sum ^= b
		}
		if sum != 0 { // the XOR of everything and its check byte
			bad++
			continue
		}
		all = append(all, reply{Status(in[i+9]), in[i+10 : i+6+n]})
		i += 6 + n
	}
	return all, bad
}

func FuzzParser(f *testing.F) {
	for _, c := range load(f) {
		var said []byte
		for _, s := range c.Steps {
			if s.Kind == '<' {
				said = append(said, s.Bytes...)
			}
		}
		f.Add(said, uint16(7))
	}
	f.Add(unhex(f, "AA AA AA AA 96 69 00 04 00 00 80 84"), uint16(1))
	f.Add(unhex(f, "AA AA AA 96 69 00 0B AA AA AA 96 69 00 04 00 00 80 84"), uint16(512))
	f.Add(binary.BigEndian.AppendUint16(bytes.Clone(preamble), maxLen), uint16(3))
	f.Fuzz(func(t *testing.T, in []byte, piece uint16) {
		want, bad := frames(in)
		p := newParser()
		room := cap(p.buf)
		var got []reply
		size := 1 + int(piece)%chunk
		for rest := in; len(rest) > 0; {
			n := min(size, len(rest))
			p.feed(rest[:n])
			rest = rest[n:]
			for r, ok := p.next(); ok; r, ok = p.next() {
				got = append(got, r)
			}
			if len(p.buf) >= headerLen+maxLen {
				t.Fatalf("%d bytes kept", len(p.buf))
			}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(reply{}), cmpopts.EquateEmpty()); diff != "" || p.bad != bad {
			t.Errorf("in pieces of %d: %d bad, want %d; frames (-want +got):\n%s", size, p.bad, bad, diff)
		}
		if cap(p.buf) != room {
			t.Error("the buffer has grown, and left a copy behind")
		}
		p.reset()
		if len(p.buf) != 0 || !bytes.Equal(p.buf[:room], make([]byte, room)) {
			t.Error("reset left something")
		}
	})
}
