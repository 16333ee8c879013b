package statuslist

import (
	"fmt"
	"iter"
	"slices"
)

// MaxDeny bounds the bytes of a deny list: about 250,000 people.
const MaxDeny = 1 << 20

const denyMagic = "DSDN"

// Deny is the list of those who got worse since the table was made, small enough
// to be sent whole every minute. It can make nobody green.
type Deny struct {
	head   Head
	people []uint64 // fingerprint << 8 | value, ascending
}

// EncodeDeny makes a deny list of people in any order. Those who share a
// fingerprint get the worse of their states.
func EncodeDeny(h Head, people iter.Seq2[uint64, Value]) ([]byte, error) {
	if err := h.check(); err != nil {
		return nil, err
	}
	var packed []uint64
	for fingerprint, v := range people {
		if fingerprint >= universe || v >= values || v.Colour() == Green {
			return nil, fmt.Errorf("%w: not one for a deny list", ErrPeople)
		}
		packed = append(packed, fingerprint<<8|uint64(v))
	}
	slices.Sort(packed)
	packed = merge(packed, h)
	out := encode(denyMagic, h, len(packed), unpack(packed))
	if len(out) > MaxDeny {
		return nil, fmt.Errorf("%w: a deny list of %d people is too long", ErrPeople, len(packed))
	}
	return out, nil
}

// OpenDeny reads a deny list. It keeps nothing of data.
func OpenDeny(data []byte) (*Deny, error) {
	if len(data) > MaxDeny {
		return nil, bad("deny list of %d bytes", len(data))
	}
	h, count, c, err := decode(denyMagic, data)
	if err != nil {
		return nil, err
	}
	d := &Deny{head: h, people: make([]uint64, 0, count)}
	for c.item != none {
		if c.value.Colour() == Green {
			return nil, bad("green on a deny list")
		}
		d.people = append(d.people, c.item<<8|uint64(c.value))
		if err := c.advance(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Head returns the list's epoch and time.
func (d *Deny) Head() Head { return d.head }

// Len returns how many people are on the list.
func (d *Deny) Len() int { return len(d.people) }

// Lookup returns the state of the person with a fingerprint, and whether he is
// on the list.
func (d *Deny) Lookup(fingerprint uint64) (Value, bool) {
	if fingerprint >= universe {
		return 0, false
	}
	i, _ := slices.BinarySearch(d.people, fingerprint<<8)
	if i == len(d.people) || d.people[i]>>8 != fingerprint {
		return 0, false
	}
	return Value(d.people[i] & 255), true
}

// All goes through the people in the order of their fingerprints.
func (d *Deny) All() iter.Seq2[uint64, Value] { return unpack(d.people) }
