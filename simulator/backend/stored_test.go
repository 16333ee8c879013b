package backend_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// FuzzStored: whatever a bad disk makes of stored bytes, they are what was
// written or an error, and no panic.
func FuzzStored(f *testing.F) {
	r := visit(1)
	body, err := checkin.EncodeRecord(&r)
	if err != nil {
		f.Fatal(err)
	}
	m := backend.NewMemory()
	e, err := m.Note(f.Context(), backend.Entry{At: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), By: "tester", Why: "case 7", What: "who", Rows: 3})
	if err != nil {
		f.Fatal(err)
	}
	entry := []byte(`{"seq":1,"at":"2026-11-24T08:00:00Z","by":"tester","reason":"case 7","what":"who","rows":3,"prev":"","hash":"` + e.Hash + `"}`)
	if got, err := backend.DecodeEntry(entry); got != e || err != nil {
		f.Fatalf("decoding an entry: %+v, %v, want %+v", got, err, e)
	}
	value := backend.EncodeValue(body)
	for _, seed := range [][]byte{value, value[:20], entry, nil, bytes.Repeat([]byte{0xFF}, 40), append([]byte{0, 0, 0, 1, 0, 7, 0x9B, 0x10, 1}, "1granted"...)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if again, err := backend.DecodeValue(b); err == nil && !bytes.Equal(again, b) {
			t.Errorf("a stored record is read as another: %x", b)
		}
		if e, err := backend.DecodeEntry(b); err == nil && len(b) == 0 {
			t.Errorf("nothing is read as the entry %+v", e)
		}
		if tally, err := backend.DecodeTally(b, []byte{7: 1}); err == nil && (len(b) < 9 || len(tally.Lane) != int(b[8])) {
			t.Errorf("%x is read as %+v", b, tally)
		}
	})
}

// TestABentBitIsFound wherever it is.
func TestABentBitIsFound(t *testing.T) {
	r := visit(1)
	body, err := checkin.EncodeRecord(&r)
	if err != nil {
		t.Fatal(err)
	}
	value := backend.EncodeValue(body)
	if _, err := backend.DecodeValue(value); err != nil {
		t.Fatal(err)
	}
	for i := range value {
		bent := bytes.Clone(value)
		bent[i] ^= 1
		if _, err := backend.DecodeValue(bent); err == nil {
			t.Errorf("bit 0 of byte %d is bent, and nobody sees it", i)
		}
	}
}
