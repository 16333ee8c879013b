package signed_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/signed"
)

func TestTime(t *testing.T) {
	key, keys := ed(t)
	nonce := bytes.Repeat([]byte{7}, 16)
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	raw, err := signed.SignTime(key, "k1", nonce, "kiosk", now)
	if err != nil {
		t.Fatal(err)
	}
	// A time is no statement, and a statement is no time.
	if _, err := signed.Open(keys, raw); !errors.Is(err, signed.ErrFormat) {
		t.Errorf("a time is read as a statement: %v", err)
	}
	said, err := signed.Sign(key, "k1", statement())
	if err != nil {
		t.Fatal(err)
	}
	beyond, _ := signed.SignTime(key, "k1", nonce, "kiosk", now.AddDate(300, 0, 0))
	for _, tt := range []struct {
		name  string
		raw   []byte
		nonce []byte
		kiosk string
		want  error
	}{
		{"as it was asked", raw, nonce, "kiosk", nil},
		{"another nonce", raw, make([]byte, 16), "kiosk", signed.ErrOther},
		{"another kiosk", raw, nonce, "other", signed.ErrOther},
		{"a statement", said, nonce, "kiosk", signed.ErrFormat},
		{"a time that cannot be", beyond, nonce, "kiosk", signed.ErrFormat},
		{"cut off", raw[:len(raw)-1], nonce, "kiosk", signed.ErrUnsigned},
	} {
		got, err := signed.OpenTime(keys, tt.raw, tt.nonce, tt.kiosk)
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || err == nil && !got.Equal(now) {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}
