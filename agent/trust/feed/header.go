// Package feed reads and writes what is published beside the TUF metadata: the
// headers of the fast feed, and the documents that are TUF targets. Pure: bytes
// and keys in, values and errors out, no clock.
//
// # Header
//
// A header speaks of one step of a shard's table. It is a COSE_Sign1 with a key
// id (package signed) over a CBOR map with integer keys:
//
//	1 version    2 shard    3 product    4 epoch    5 sequence number
//	6 root before (32 bytes)    7 root after (32)    8 as-of    9 valid-until (Unix s)
//	10 count of the body's changes    11 SHA-256 of the body    12 critical keys
//
// Unknown keys are passed over unless 12 names them. The body lies beside it and
// is not signed itself: its hash is.
//
//	feed/SHARD/head.cose            the newest header
//	feed/SHARD/SEQ.cose, SEQ.body   each step
//	feed/SHARD/deny.cose, deny.body the deny lane: the whole list, again and again
//
// # Documents
//
// issuers/keys.json, issuers/recipients.json and status/feed.json are JSON; see
// Issuers, Recipients and Index.
package feed

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/digital-sentinel/sentinel/agent/signed"
)

// Products.
const (
	Card = "card" // fingerprints of people: agent/statuslist's table
	Deny = "deny" // what got worse, a small list pushed whole
)

// HeaderVersion is the version this program reads.
const HeaderVersion = 1

// Header is one step of a shard.
type Header struct {
	Version    int    `cbor:"1,keyasint"`
	Shard      string `cbor:"2,keyasint"`
	Product    string `cbor:"3,keyasint"`
	Epoch      uint64 `cbor:"4,keyasint"`
	Seq        uint64 `cbor:"5,keyasint"`
	Prev       []byte `cbor:"6,keyasint"`
	Next       []byte `cbor:"7,keyasint"`
	AsOf       int64  `cbor:"8,keyasint"`
	ValidUntil int64  `cbor:"9,keyasint"`
	Count      uint64 `cbor:"10,keyasint"`
	Body       []byte `cbor:"11,keyasint"`
	Critical   []int  `cbor:"12,keyasint,omitempty"`
}

const lastKey = 12

// Why a header is not followed. They are wrapped; test with errors.Is.
var (
	ErrFormat = errors.New("feed header is malformed")
	ErrOther  = errors.New("feed header is of another shard, product or epoch")
	ErrReplay = errors.New("feed header is not newer than the last")
	ErrGap    = errors.New("feed headers are missing before this one")
	ErrFork   = errors.New("feed header does not continue what is here")
	ErrOver   = errors.New("feed header is no longer valid")
	ErrAhead  = errors.New("feed header is from the future")
)

// ahead is how far a header may be ahead of the latest time that it can be:
// clocks of honest publishers differ.
const ahead = 5 * time.Minute

// Sign makes a header; it is the writing half, for publishers and tests.
func Sign(key crypto.Signer, kid string, h *Header) ([]byte, error) {
	payload, err := signed.Encode(h)
	if err != nil {
		return nil, fmt.Errorf("encoding a feed header: %w", err)
	}
	return signed.SignPayload(key, kid, payload)
}

// Open verifies a header with the feed's keys.
func Open(keys signed.Keys, raw []byte) (*Header, error) {
	payload, err := signed.OpenPayload(keys, raw)
	if err != nil {
		return nil, err
	}
	h := new(Header)
	if err := signed.Decode(payload, h); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrFormat, err)
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	return h, nil
}

// Of reports whether h speaks of this shard, product and epoch.
func (h *Header) Of(s Shard) error {
	if h.Shard != s.Name || h.Product != s.Product || h.Epoch != s.Epoch {
		return fmt.Errorf("%w: %s %s epoch %d, not %s %s epoch %d", ErrOther, h.Product, h.Shard, h.Epoch, s.Product, s.Name, s.Epoch)
	}
	return nil
}

// Follows reports whether h is the next step after last.
func (h *Header) Follows(last *Header) error {
	switch err := h.After(last); {
	case err != nil:
		return err
	case h.Seq != last.Seq+1:
		return fmt.Errorf("%w: %d is here, this is %d", ErrGap, last.Seq, h.Seq)
	case !bytes.Equal(h.Prev, last.Next):
		return fmt.Errorf("%w: step %d begins at another root", ErrFork, h.Seq)
	}
	return nil
}

// After reports whether h is newer than last, for a list that is pushed whole.
func (h *Header) After(last *Header) error {
	switch err := h.Of(Shard{Name: last.Shard, Product: last.Product, Epoch: last.Epoch}); {
	case err != nil:
		return err
	case h.Seq <= last.Seq:
		return fmt.Errorf("%w: %d is here, this is %d", ErrReplay, last.Seq, h.Seq)
	case h.AsOf < last.AsOf:
		return fmt.Errorf("%w: step %d is as of an earlier time", ErrReplay, h.Seq)
	}
	return nil
}

// At reports whether h may be taken within the interval [lo, hi]: it is not
// surely over, and not surely from the future. A zero hi is no bound.
func (h *Header) At(lo, hi time.Time) error {
	switch {
	case lo.Unix() > h.ValidUntil:
		return fmt.Errorf("%w: step %d", ErrOver, h.Seq)
	case !hi.IsZero() && h.AsOf > hi.Add(ahead).Unix():
		return fmt.Errorf("%w: step %d", ErrAhead, h.Seq)
	}
	return nil
}

// Fresh reports whether, whatever time of [lo, hi] it is, what h speaks of is
// no older than limit. A zero hi is no bound: then nothing is fresh.
func (h *Header) Fresh(hi time.Time, limit time.Duration) bool {
	if hi.IsZero() || h.AsOf > hi.Add(ahead).Unix() {
		return false
	}
	return !hi.After(time.Unix(h.AsOf, 0).Add(limit))
}

// Covers reports whether body is the one that h speaks of.
func (h *Header) Covers(body []byte) error {
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], h.Body) {
		return fmt.Errorf("%w: the body of step %d is another", ErrFork, h.Seq)
	}
	return nil
}

//

// latest keeps times within what time.Time and people can do.
var latest = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

func (h *Header) check() error {
	switch {
	case h.Version != HeaderVersion:
		return fmt.Errorf("%w: version %d, this program reads %d", ErrFormat, h.Version, HeaderVersion)
	case !name(h.Shard) || !name(h.Product):
		return fmt.Errorf("%w: its shard or product cannot be", ErrFormat)
	case len(h.Prev) != 32 || len(h.Next) != 32 || len(h.Body) != 32:
		return fmt.Errorf("%w: a root or the body's hash has a wrong length", ErrFormat)
	case h.AsOf <= 0 || h.ValidUntil < h.AsOf || h.ValidUntil > latest:
		return fmt.Errorf("%w: its times cannot be", ErrFormat)
	}
	for _, key := range h.Critical {
		if key < 1 || key > lastKey {
			return fmt.Errorf("%w: critical field %d is not known to this program", ErrFormat, key)
		}
	}
	return nil
}
