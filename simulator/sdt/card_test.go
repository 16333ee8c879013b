package sdt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

// The vector of the fact sheet, 1.13: record, and check bytes of the frames
// that carry it.
func TestTheVector(t *testing.T) {
	text, err := cards["resident"].Record()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text[:])
	if got, want := hex.EncodeToString(sum[:]), "1d0db9bfa07dbff6a81ddd1c495707d7f5d57c44ea1325f8ec540e31ed0a183b"; got != want {
		t.Errorf("SHA-256 %s, want %s", got, want)
	}
	tests := []struct {
		what   string
		prints bool
		size   int
		check  byte
	}{
		{"30 01", false, 1295, 0xFF},
		{"30 10 of a card without prints", true, 1297, 0xFD},
	}
	for _, tt := range tests {
		r := New(Opts{})
		if err := r.Lay(cards["resident"]); err != nil {
			t.Fatal(err)
		}
		r.stage = sequenceDone
		status, data, _ := r.readCard(tt.prints)
		got := frame(status, data)
		if len(got) != tt.size || got[len(got)-1] != tt.check {
			t.Errorf("%s: %d bytes, check byte %02X, want %d, %02X", tt.what, len(got), got[len(got)-1], tt.size, tt.check)
		}
	}
}

func TestResidentFollowsTheNumber(t *testing.T) {
	tests := []struct{ what, number, sex, birth string }{
		{"an even 17th digit", "11010519491231002X", "2", "19491231"},
		{"an odd 17th digit", "440524188001010014", "1", "18800101"},
		{"no number of 18 places", "110105", "2", "19900101"},
	}
	for _, tt := range tests {
		c := Resident("张三", tt.number)
		if c.Sex != tt.sex || c.Birth != tt.birth || c.Number != tt.number || c.Name != "张三" {
			t.Errorf("%s: sex %s, birth %s, want %s, %s", tt.what, c.Sex, c.Birth, tt.sex, tt.birth)
		}
		if _, err := c.Record(); err != nil {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

func TestAFieldThatDoesNotFitIsAnError(t *testing.T) {
	tests := []struct {
		what  string
		card  Card
		place string
	}{
		{"a name of 16 characters", Card{Name: strings.Repeat("张", 16)}, "at 0 takes 15"},
		{"a name of 8 rare characters", Card{Name: strings.Repeat("𠮷", 8)}, "at 0 takes 15"},
		{"a number of 19 digits", Card{Number: strings.Repeat("1", 19)}, "at 122 takes 18"},
		{"an address of 36 characters", Card{Address: strings.Repeat("路", 36)}, "at 52 takes 35"},
		{"an English name of 47 letters", Card{Type: 'Y', EnglishName: strings.Repeat("A", 47)}, "at 220 takes 11"},
		{"an English name of 61 letters", Card{Type: 'I', EnglishName: strings.Repeat("A", 61)}, "at 0 takes 60"},
		{"a pass number of 10 signs", Card{Type: 'J', PassNumber: strings.Repeat("H", 10)}, "at 220 takes 9"},
		{"two fields, of which the first is told", Card{Number: strings.Repeat("1", 19), To: strings.Repeat("1", 9)}, "at 122 takes 18"},
	}
	for _, tt := range tests {
		_, err := tt.card.Record()
		if err == nil || !strings.Contains(err.Error(), tt.place) {
			t.Errorf("%s: %v, want an error with %q", tt.what, err, tt.place)
		}
		r := New(Opts{})
		if lerr := r.Lay(tt.card); lerr == nil || r.card != nil {
			t.Errorf("%s: Lay() = %v, want an error and no card", tt.what, lerr)
		}
	}
	full := Card{Type: 'Y', EnglishName: strings.Repeat("A", 46), Number: strings.Repeat("1", 18), Nationality: "682", OldNumber: "007"}
	if _, err := full.Record(); err != nil {
		t.Errorf("a card filled to its last place: %v", err)
	}
}

func FuzzNextRequest(f *testing.F) {
	for _, s := range []string{readID, find, choose, read, "00 AA AA 69 " + find, "AAAAAA9669 0041 " + find, "AAAAAA9669 0000", "AAAAAA9669 00"} {
		f.Add(bytesOf(s), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		want, left := requests(nil, in)
		var got [][]byte
		var rest []byte
		for _, p := range slicesOf(in, max(1, piece)) {
			var more [][]byte
			more, rest = requests(rest, p)
			got = append(got, more...)
		}
		if !bytes.Equal(bytes.Join(got, preamble), bytes.Join(want, preamble)) || !bytes.Equal(rest, left) {
			t.Errorf("in pieces of %d: % X, want % X", piece, got, want)
		}
		if len(rest) >= 7+maxRequest {
			t.Errorf("%d bytes kept", len(rest))
		}
		at := 0 // every request stands in the stream, in this order
		for _, q := range want {
			whole := append(bytes.Clone(preamble), q...)
			if n := int(q[0])<<8 | int(q[1]); n != len(q)-2 {
				t.Errorf("a request of %d bytes says %d", len(q)-2, n)
			}
			i := bytes.Index(in[at:], whole)
			if i < 0 {
				t.Fatalf("% X was never sent", q)
			}
			at += i + len(whole)
			if r := New(Opts{}); len(q) >= 5 && xor(q) != 0 {
				if status, _, _ := r.carryOut(q); status != badSum {
					t.Errorf("% X is carried out, want a bad checksum", q)
				}
			}
		}
	})
}

// requests takes all whole requests out of what was kept and what came.
func requests(kept, came []byte) (all [][]byte, rest []byte) {
	rest = append(bytes.Clone(kept), came...)
	for {
		q, r, ok := nextRequest(rest)
		rest = r
		if !ok {
			return all, rest
		}
		all = append(all, q)
	}
}
