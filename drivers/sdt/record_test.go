package sdt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/hal"
)

// blank is a record of nothing but padding, with fields put in.
func blank(fields map[int]string) []byte {
	text := bytes.Repeat([]byte{' ', 0}, recordLen/2)
	for at, s := range fields {
		for i, u := range utf16.Encode([]rune(s)) {
			binary.LittleEndian.PutUint16(text[at+2*i:], u)
		}
	}
	return text
}

// The SHA-256 of the fact sheet, 1.13.
func TestRaw(t *testing.T) {
	text, err := textOf(recordAnswer(t, "resident")[10:])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if got, want := hex.EncodeToString(sum[:]), "1d0db9bfa07dbff6a81ddd1c495707d7f5d57c44ea1325f8ec540e31ed0a183b"; got != want {
		t.Errorf("SHA-256 %s, want %s", got, want)
	}
	for kind := range cards {
		whole := recordAnswer(t, kind)
		text, err := textOf(whole[10:])
		if err != nil {
			t.Fatal(err)
		}
		if card := decode(text); !bytes.Equal(card.Raw[:], whole[14:270]) {
			t.Errorf("%s: the record is not handed up as it was read", kind)
		}
	}
}

// Offsets and lengths of the fact sheet, 1.9: each field is filled to its last
// character and its neighbours are blank.
func TestEachFieldOfEachLayout(t *testing.T) {
	resident := map[string][2]int{
		"Name": {0, 15}, "Sex": {30, 1}, "Ethnic": {32, 2}, "Birth": {36, 8}, "Address": {52, 35},
		"Number": {122, 18}, "Issuer": {158, 15}, "ValidFrom": {188, 8}, "ValidTo": {204, 8},
	}
	tests := []struct {
		kind   hal.CardType
		fields map[string][2]int // offset in bytes, length in characters
	}{
		{hal.Resident, resident},
		{hal.HKMOTWPermit, map[string][2]int{
			"Name": {0, 15}, "Sex": {30, 1}, "Birth": {36, 8}, "Address": {52, 35}, "Number": {122, 18},
			"Issuer": {158, 15}, "ValidFrom": {188, 8}, "ValidTo": {204, 8}, "PassNumber": {220, 9}, "IssueCount": {238, 2},
		}},
		{hal.ForeignOld, map[string][2]int{
			"EnglishName": {0, 60}, "Sex": {120, 1}, "Number": {122, 15}, "Nationality": {152, 3}, "Name": {158, 15},
			"ValidFrom": {188, 8}, "ValidTo": {204, 8}, "Birth": {220, 8}, "CardVersion": {236, 2}, "Authority": {240, 4},
		}},
		{hal.ForeignNew, map[string][2]int{
			"Name": {0, 15}, "Sex": {30, 1}, "IssueCount": {32, 2}, "Birth": {36, 8}, "Number": {122, 18},
			"ValidFrom": {188, 8}, "ValidTo": {204, 8}, "Nationality": {242, 3}, "OldNumber": {250, 3},
		}},
	}
	for _, tt := range tests {
		for name, place := range tt.fields {
			value := strings.Repeat("文", place[1])
			got := decode(blank(map[int]string{place[0]: value, typeAt: string(rune(tt.kind))}))
			want := hal.Card{Type: tt.kind, Raw: got.Raw}
			reflect.ValueOf(&want).Elem().FieldByName(name).SetString(value)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%v, %s alone (-want +got):\n%s", tt.kind, name, diff)
			}
		}
	}
}

func TestDecode(t *testing.T) {
	english := strings.Repeat("A", 35)
	tests := []struct {
		what   string
		fields map[int]string
		want   hal.Card
	}{
		{"a type of zeros is a resident's", map[int]string{typeAt: "\x00", 0: "王"}, hal.Card{Type: hal.Resident, Name: "王"}},
		{"zeros pad as blanks do", map[int]string{0: "王\x00\x00 \x00"}, hal.Card{Type: hal.Resident, Name: "王"}},
		{"blanks inside a field stay", map[int]string{0: "A B"}, hal.Card{Type: hal.Resident, Name: "A B"}},
		{"a rare character of two units", map[int]string{0: "王𠮷"}, hal.Card{Type: hal.Resident, Name: "王𠮷"}},
		{"a private character is handed up", map[int]string{0: "王\uE863"}, hal.Card{Type: hal.Resident, Name: "王\uE863"}},
		{"an ethnic code that nobody agrees on is handed up", map[int]string{32: "57"}, hal.Card{Type: hal.Resident, Ethnic: "57"}},
		{"an ethnic code on a permit is none", map[int]string{typeAt: "J", 32: "01"}, hal.Card{Type: hal.HKMOTWPermit}},
		{"a number of old form is handed up", map[int]string{122: "110105491231002"}, hal.Card{Type: hal.Resident, Number: "110105491231002"}},
		{"an English name in one piece", map[int]string{typeAt: "Y", 52: "SAMPLE, TEST"}, hal.Card{Type: hal.ForeignNew, EnglishName: "SAMPLE, TEST"}},
		{"an English name that goes on", map[int]string{typeAt: "Y", 52: english, 220: "BBBBBBBBBBB"}, hal.Card{Type: hal.ForeignNew, EnglishName: english + "BBBBBBBBBBB"}},
		{"a blank before the seam of an English name", map[int]string{typeAt: "Y", 52: english[1:], 220: "B"}, hal.Card{Type: hal.ForeignNew, EnglishName: english[1:] + " B"}},
		{"a blank behind the seam of an English name", map[int]string{typeAt: "Y", 52: english, 220: " B"}, hal.Card{Type: hal.ForeignNew, EnglishName: english + " B"}},
		{"a letter that nobody knows", map[int]string{typeAt: "Z", 0: "王"}, hal.Card{}},
		{"a small letter is another one", map[int]string{typeAt: "j", 0: "王"}, hal.Card{}},
		{"a letter in the high byte", map[int]string{typeAt: "\u4A00", 0: "王"}, hal.Card{}},
	}
	for _, tt := range tests {
		got := decode(blank(tt.fields))
		got.Raw = [256]byte{}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.what, diff)
		}
	}
}

func TestALoneHalfOfACharacterStaysInRaw(t *testing.T) {
	text := blank(nil)
	binary.LittleEndian.PutUint16(text, 0xD842)
	card := decode(text)
	if card.Name != "\uFFFD" || !bytes.Equal(card.Raw[:2], []byte{0x42, 0xD8}) {
		t.Errorf("%q, raw % X, want U+FFFD, raw 42 D8", card.Name, card.Raw[:2])
	}
}

func TestTextOf(t *testing.T) {
	whole := func(text, photo, have int) []byte {
		b := []byte{byte(text >> 8), byte(text), byte(photo >> 8), byte(photo)}
		return append(b, make([]byte, have)...)
	}
	tests := []struct {
		what string
		data []byte
		good bool
	}{
		{"text and photo", whole(256, 1024, 1280), true},
		{"text and no photo", whole(256, 0, 256), true},
		{"more than was announced", whole(256, 1024, 2304), true},
		{"a longer photo", whole(256, 2048, 2304), true},
		{"no lengths", []byte{1, 0, 4}, false},
		{"nothing", nil, false},
		{"a byte too little", whole(256, 1024, 1279), false},
		{"lengths in the other order of bytes", whole(1, 4, 1280), false},
		{"a text too short", whole(254, 1024, 1280), false},
		{"a text too long", whole(512, 1024, 1536), false},
		{"a photo beyond the answer", whole(256, 0xFFFF, 1280), false},
	}
	for _, tt := range tests {
		text, err := textOf(tt.data)
		if (err == nil) != tt.good || tt.good && len(text) != recordLen {
			t.Errorf("%s: %d bytes, %v, good is %v", tt.what, len(text), err, tt.good)
		}
	}
}

func TestACardPrintsMasked(t *testing.T) {
	text, err := textOf(recordAnswer(t, "resident")[10:])
	if err != nil {
		t.Fatal(err)
	}
	card := decode(text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, card); strings.Contains(s, card.Number) || strings.Contains(s, card.Name) {
			t.Errorf("%s prints the card in clear", verb)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for kind := range cards {
		f.Add(recordAnswer(f, kind)[10:])
	}
	f.Add([]byte{1, 0, 0, 0})
	f.Add([]byte{1, 0, 0xFF, 0xFF, 0x4A, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := textOf(data)
		if err != nil {
			return
		}
		if len(text) != recordLen || !bytes.Equal(text, data[4:4+recordLen]) {
			t.Fatalf("%d bytes of text, want the 256 behind the lengths", len(text))
		}
		card := decode(text)
		if !bytes.Equal(card.Raw[:], text) {
			t.Error("Raw is not the record")
		}
		v := reflect.ValueOf(card)
		for i := range v.NumField() {
			if v.Field(i).Kind() != reflect.String {
				continue
			}
			name, s := v.Type().Field(i).Name, v.Field(i).String()
			switch {
			case card.Type == hal.UnknownCard && s != "":
				t.Errorf("%s of a card that nobody knows is not empty", name)
			case strings.Trim(s, " \x00") != s:
				t.Errorf("%s has padding", name)
			case name != "EnglishName" && !strings.ContainsRune(s, '\uFFFD') && !bytes.Contains(text, utf16le(s)):
				t.Errorf("%s does not stand in the record", name)
			}
		}
	})
}

func utf16le(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
