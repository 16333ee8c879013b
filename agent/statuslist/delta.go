package statuslist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"
)

const (
	deltaMagic = "DSDL"
	deltaHead  = 40
)

// Diff returns the delta from one table to a later one of the same epoch. A new
// epoch has other fingerprints for everybody: it begins with a snapshot. Both
// tables must verify.
//
// That time goes by is not in it: a sample that falls out of the reach of the
// buckets between the two is dropped by Apply without being told.
func Diff(before, after *Table) ([]byte, error) {
	if before.head.Epoch != after.head.Epoch {
		return nil, fmt.Errorf("%w: of epoch %d", ErrState, after.head.Epoch)
	}
	if after.head.AsOf.Before(before.head.AsOf) {
		return nil, fmt.Errorf("%w: the later one is older", ErrState)
	}
	if err := errors.Join(before.Verify(), after.Verify()); err != nil {
		return nil, err
	}
	changes, added := compare(before, after)
	out := make([]byte, deltaHead, deltaHead+2*len(changes)+8*len(added)+64)
	copy(out, deltaMagic)
	out[4] = version
	le := binary.LittleEndian
	le.PutUint64(out[8:], before.head.Epoch)
	le.PutUint64(out[16:], uint64(before.head.AsOf.Unix()))
	le.PutUint64(out[24:], uint64(after.head.AsOf.Unix()))
	le.PutUint32(out[32:], uint32(before.count))
	le.PutUint32(out[36:], uint32(after.count))
	out = appendColumn(out, uint64(before.count), unpack(changes))
	return appendColumn(out, universe, unpack(added)), nil
}

// Apply makes the next table of no more than so many people; the one before
// stays as it is, and may be in use meanwhile. A delta for a table of another
// epoch, time or size is ErrState at once. That it was made for another table of
// the same three shows in the Root of the result, which the caller compares with
// the signed one before he uses it.
func Apply(before *Table, delta []byte, most int) ([]byte, error) {
	after, count, err := deltaFor(before, delta)
	if err != nil {
		return nil, err
	}
	changes, rest, err := openColumn(delta[deltaHead:], uint64(before.count), removed)
	if err != nil {
		return nil, err
	}
	added, rest, err := openColumn(rest, universe, values-1)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 || count != before.count-changes.out+added.items || count > most {
		return nil, bad("delta has bytes or people too many")
	}
	m := merger{writer: newWriter(after, count), changes: changes, added: added}
	m.aging = aging(before.head.AsOf, after.AsOf)
	m.plain = m.prefix == before.prefix && bucketOf(before.head.AsOf) == bucketOf(after.AsOf)
	for p := range 1 << before.prefix {
		if err := m.bucket(before, p); err != nil {
			return nil, err
		}
	}
	if err := m.insert(universe); err != nil {
		return nil, err
	}
	return m.close()
}

//

// deltaFor reads the head of a delta: what it leads to, if it is for this table.
func deltaFor(before *Table, delta []byte) (after Head, count int, err error) {
	le := binary.LittleEndian
	if len(delta) < deltaHead || string(delta[:4]) != deltaMagic || le.Uint32(delta[4:]) != version {
		return Head{}, 0, bad("no delta of version %d", version)
	}
	from := Head{Epoch: le.Uint64(delta[8:]), AsOf: unix(le.Uint64(delta[16:]))}
	if from.Epoch != before.head.Epoch || !from.AsOf.Equal(before.head.AsOf) || le.Uint32(delta[32:]) != uint32(before.count) {
		return Head{}, 0, fmt.Errorf("%w: epoch %d as of %s", ErrState, from.Epoch, from.AsOf.Format(time.RFC3339))
	}
	after = Head{Epoch: from.Epoch, AsOf: unix(le.Uint64(delta[24:]))}
	if err := after.check(); err != nil {
		return Head{}, 0, err
	}
	people := le.Uint32(delta[36:])
	if after.AsOf.Before(from.AsOf) || people > MaxPeople {
		return Head{}, 0, bad("delta to %d people, or back in time", people)
	}
	return after, int(people), nil
}

// merger writes the next table.
type merger struct {
	*writer
	changes, added *column
	aging          *[values]Value
	plain          bool // records of before that the delta leaves alone stay as they are
}

// bucket puts the people of one prefix of the table before, and those who come
// before them or among them.
func (m *merger) bucket(before *Table, prefix int) error {
	lo, hi := before.bounds(prefix)
	rest := FingerprintBits - before.prefix
	if m.plain && m.changes.item >= uint64(hi) && m.added.item>>rest > uint64(prefix) {
		return m.copy(before, prefix)
	}
	for rank := lo; rank < hi; rank++ {
		r := before.record(rank)
		fingerprint := uint64(prefix)<<rest | r>>7
		if err := m.insert(fingerprint); err != nil {
			return err
		}
		if err := m.old(fingerprint, uint64(rank), m.aging[r&(values-1)]); err != nil {
			return err
		}
	}
	return nil
}

// old puts a person of the table before with what is changed.
func (m *merger) old(fingerprint, rank uint64, v Value) error {
	if m.added.item == fingerprint {
		return bad("somebody who is there is put in")
	}
	if m.changes.item == rank {
		if m.changes.value == v {
			return bad("a change changes nothing")
		}
		v = m.changes.value
		if err := m.changes.advance(); err != nil {
			return err
		}
	}
	if v == removed {
		return nil
	}
	return m.put(fingerprint, v)
}

// insert puts those who are put in below a fingerprint.
func (m *merger) insert(below uint64) error {
	for m.added.item < below {
		if err := m.put(m.added.item, m.added.value); err != nil {
			return err
		}
		if err := m.added.advance(); err != nil {
			return err
		}
	}
	return nil
}

// compare goes through two tables that verify. It returns what is changed or removed as rank << 8 | value, and who is
// added as fingerprint << 8 | value.
func compare(before, after *Table) (changes, added []uint64) {
	to := aging(before.head.AsOf, after.head.AsOf)
	a := cursor{t: before}
	a.load()
	b := cursor{t: after}
	b.load()
	for a.fingerprint != none || b.fingerprint != none {
		rank := uint64(a.rank) << 8
		switch {
		case b.fingerprint < a.fingerprint:
			added = append(added, b.fingerprint<<8|uint64(b.value))
			b.advance()
		case a.fingerprint < b.fingerprint:
			changes = append(changes, rank|uint64(removed))
			a.advance()
		default:
			if to[a.value] != b.value {
				changes = append(changes, rank|uint64(b.value))
			}
			a.advance()
			b.advance()
		}
	}
	return changes, added
}

// cursor stands at a person of a table, or at none behind the last.
type cursor struct {
	fingerprint uint64
	value       Value

	t      *Table
	rank   int
	prefix int
}

func (c *cursor) advance() {
	c.rank++
	c.load()
}

func (c *cursor) load() {
	if c.rank == c.t.count {
		c.fingerprint = none
		return
	}
	for {
		if _, end := c.t.bounds(c.prefix); c.rank < end {
			break
		}
		c.prefix++
	}
	r := c.t.record(c.rank)
	c.fingerprint = uint64(c.prefix)<<(FingerprintBits-c.t.prefix) | r>>7
	c.value = Value(r & (values - 1))
}

// unpack goes through what was packed as item << 8 | value.
func unpack(items []uint64) iter.Seq2[uint64, Value] {
	return func(yield func(uint64, Value) bool) {
		for _, x := range items {
			if !yield(x>>8, Value(x&255)) {
				return
			}
		}
	}
}
