// Package statuslist is the authority's word on many people, packed so that a
// kiosk can hold a city: who has which colour, and about when the last negative
// test was taken. Pure: bytes in, values out, no clock, no files.
//
// A person is a 47-bit keyed fingerprint (see Key), a state is a Value of seven
// bits. There are four forms, all little-endian, all with exactly one way to
// write the same content, and none with a checksum: a signed header names the
// digest of a body and the Root of the table that comes out of it.
//
//	table     what a kiosk holds and looks people up in; mapped, not loaded
//	snapshot  a table on the wire
//	delta     from one table to the next, by rank in the first
//	deny      a small list of those who got worse
//
// # Table
//
//	0  4  "DSTB"          16  8  as-of, Unix seconds    28  4  zero
//	4  1  version, 1      24  4  people n               32     index: where each prefix's
//	5  1  prefix bits p                                        people begin, uint32 × (2^p + 1)
//	6  2  zero                                                 records: w bytes × n
//	8  8  epoch                                                4 bytes zero
//
// A record is the fingerprint without its first p bits, then the value:
// remainder << 7 | value, in w bytes; records ascend. p follows from n, four to
// eight people a prefix between 6 and 22 bits, and w from p: a city of 25
// million has 22 bits and 4 bytes (25 + 7 bits; 4.67 bytes a person, the index
// with it), a venue of 20,000 has 12 bits and 6 bytes.
//
// # Columns
//
// Snapshot, delta and deny list are a head of numbers and then columns. A column
// says for ascending items of a universe of u which value each has, one list of
// items for each value that occurs:
//
//	groups   1 byte, how many
//	group    value (ascending), items and bytes of its list: uvarint each, shortest form
//	list     ceil(bits/8) bytes, bits from the low end, padded with zeros:
//	         for each item, item − last − 1 in Rice code: quotient in ones, a
//	         zero, then k bits; k follows from u and the number of items
//
// Splitting by value costs what the entropy of the values says, to a fiftieth of
// a bit. It is also why no general compressor is here: the one that was tried
// took 4.7 bits for a value of 4.5, brought 0.7 MB of code before which hostile
// bytes would arrive, and has bits that can be flipped without effect.
//
// # Snapshot, delta, deny list
//
//	snapshot "DSSN"  version 1 (1), zero (3), epoch (8), as-of (8), people (4);
//	                 column of fingerprints
//	delta    "DSDL"  version 1 (1), zero (3), epoch (8), as-of before (8), as-of
//	                 after (8), people before (4), people after (4);
//	                 column of ranks in the table before: their new values, or 128
//	                 for a person who is taken out; column of fingerprints put in
//	deny     "DSDN"  version 1 (1), zero (3), epoch (8), as-of (8), people (4);
//	                 column of fingerprints
//
// # What is not promised
//
// A table is no secret keeper: see Key. A stranger is taken for somebody with
// probability n / 2^47. Two people of one fingerprint share the worse of their
// states (see Worse); Build counts them, and the publisher may choose a new key.
// Open bounds every look-up whatever the bytes are, but only the signed root
// says that they are the authority's.
package statuslist

import (
	"errors"
	"fmt"
	"time"
)

// Why bytes are not taken. They are wrapped; test with errors.Is.
var (
	ErrFormat = errors.New("malformed status data")
	ErrState  = errors.New("delta is for another state") // a snapshot helps
	ErrPeople = errors.New("impossible status of a person")
)

// Most people that any table holds, and the bits of a fingerprint.
const (
	MaxPeople       = 1 << 26
	FingerprintBits = 47

	universe = 1 << FingerprintBits
)

// Head says of which epoch and time a table or list is.
type Head struct {
	Epoch uint64    // of the key that made the fingerprints
	AsOf  time.Time // whole seconds; NAT buckets count from here
}

// lastSecond is the last that time.Time prints in four digits.
const lastSecond = 253402300799

func (h Head) check() error {
	if s := h.AsOf.Unix(); s < 0 || s > lastSecond {
		return fmt.Errorf("%w: as-of %d", ErrFormat, s)
	}
	return nil
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFormat, fmt.Errorf(format, args...))
}
