package signed

import (
	"bytes"
	"crypto"
	"fmt"
	"time"
)

// Time is what the platform says the time is, in answer to one kiosk's nonce:
// the one thing that bounds a kiosk's idea of the time from above. Its payload is
// a CBOR map with the integer keys of its fields; key 1 says what it is, so that
// it is taken for nothing else, nor anything else for it.
type Time struct {
	Type  string `cbor:"1,keyasint"` // "time"
	Nonce []byte `cbor:"2,keyasint"` // 16 bytes
	Kiosk string `cbor:"3,keyasint"`
	Now   int64  `cbor:"4,keyasint"` // Unix seconds
}

const timeType = "time"

// SignTime makes the answer; it is the writing half.
func SignTime(key crypto.Signer, kid string, nonce []byte, kiosk string, now time.Time) ([]byte, error) {
	payload, err := encoder.Marshal(Time{timeType, nonce, kiosk, now.Unix()})
	if err != nil {
		return nil, fmt.Errorf("encoding a time: %w", err)
	}
	return SignPayload(key, kid, payload)
}

// OpenTime returns the time that raw says, if it answers this nonce of this
// kiosk.
func OpenTime(keys Keys, raw, nonce []byte, kiosk string) (time.Time, error) {
	payload, err := OpenPayload(keys, raw)
	if err != nil {
		return time.Time{}, err
	}
	var t Time
	if err := decoder.Unmarshal(payload, &t); err != nil {
		return time.Time{}, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	switch {
	case t.Type != timeType || t.Now <= 0 || t.Now > latest:
		return time.Time{}, fmt.Errorf("%w: this says no time", ErrFormat)
	case !bytes.Equal(t.Nonce, nonce) || t.Kiosk != kiosk:
		return time.Time{}, fmt.Errorf("%w: nonce or kiosk differs", ErrOther)
	}
	return time.Unix(t.Now, 0).UTC(), nil
}
