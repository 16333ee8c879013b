package statuslist

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

// Key turns handles into fingerprints for the length of an epoch. Whoever has
// it and a table can ask about any handle he can make up.
//
// That is the limit of the whole scheme, and no other way of looking people up
// by number without a link is free of it. There are about 6e8 possible numbers
// of one city's residents; a stolen kiosk with its live key answers for all of
// them in minutes, as fast as an HMAC is. The name in the handle stops him who
// has numbers only; it does not stop him who has a list of both. So the key
// belongs in the memory of a running kiosk and nowhere else, or behind a secure
// element that answers slowly; it changes with the epoch; and a venue gets the
// shard of its own people and not the city.
type Key [32]byte

// String does not tell the key.
func (Key) String() string { return "epoch key" }

// GoString does not tell it either.
func (k Key) GoString() string { return k.String() }

// Handle is a person for all epochs: a version byte, then 32 bytes. The version
// says how they were made; 1 is one SHA-256, which costs a guesser nothing. A
// slow function (Argon2id, tens of milliseconds) would be version 2: then the
// publisher computes it once for each person, and the kiosk once a look-up.
type Handle [33]byte

// String does not tell the handle: it names a person.
func (Handle) String() string { return "handle" }

// GoString does not tell it either.
func (h Handle) GoString() string { return h.String() }

// NewHandle makes a handle from a kind of paper, its number and the holder's
// name, as the reader of the paper gives them. Publisher and kiosk both call
// it. Blanks around them, which cards pad with, and the case of the number's
// check letter do not count.
func NewHandle(kind, number, name string) Handle {
	clean := func(s string) string { return strings.ReplaceAll(s, "\x00", "") }
	number = strings.ToUpper(strings.TrimSpace(clean(number)))
	text := clean(kind) + "\x00" + number + "\x00" + strings.TrimSpace(clean(name))
	sum := sha256.Sum256([]byte(text))
	h := Handle{handleVersion}
	copy(h[1:], sum[:])
	return h
}

const handleVersion = 1

// Fingerprint returns the first 47 bits of the HMAC-SHA-256 of a handle.
func (k *Key) Fingerprint(h Handle) uint64 {
	mac := hmac.New(sha256.New, k[:])
	mac.Write(h[:])
	return binary.BigEndian.Uint64(mac.Sum(nil)) >> (64 - FingerprintBits)
}
