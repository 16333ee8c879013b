package backend

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
)

// ring makes every key of a publisher from one seed, by name: the same seed
// signs the same bytes in the same way, and there is one secret to keep. The
// offline keys of an authority lie in five safes instead.
type ring struct{ seed []byte }

// secret is the HMAC-SHA-256 of a name under the seed.
func (r ring) secret(name string) [32]byte {
	mac := hmac.New(sha256.New, r.seed)
	mac.Write([]byte(name))
	return [32]byte(mac.Sum(nil))
}

// key is the signing key of a name.
func (r ring) key(name string) ed25519.PrivateKey {
	secret := r.secret("sign\x00" + name)
	return ed25519.NewKeyFromSeed(secret[:])
}

// epoch is the key of a shard's fingerprints: each shard has its own, so that
// a stolen one tells nothing of other venues.
func (r ring) epoch(shard string, epoch uint64) [32]byte {
	return r.secret(string(binary.BigEndian.AppendUint64([]byte("epoch\x00"+shard+"\x00"), epoch)))
}

// person is the issuer's keyed hash of a holder, for codes.
func (r ring) person(ref string) []byte {
	secret := r.secret("person\x00" + ref)
	return secret[:8]
}

// code is the id of the nth code, and a place in the status list for it.
func (r ring) code(n uint64) (id []byte, index uint32) {
	secret := r.secret(string(binary.BigEndian.AppendUint64([]byte("code\x00"), n)))
	return secret[:8], binary.BigEndian.Uint32(secret[8:])
}

// Key ids: of the feed's lanes, and of the issuer of codes. The old keys were
// withdrawn before this publisher began.
const (
	feedKey, denyKey, codeKey = "feed-1", "deny-1", "code-1"
	oldFeedKey, oldCodeKey    = "feed-0", "code-0"
)

// publicPEM is the public half of a key, as documents name it.
func publicPEM(key ed25519.PrivateKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", fmt.Errorf("a public key: %w", err)
	}
	return string(block("PUBLIC KEY", der)), nil
}
