package statuslist

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
)

// Build makes a table. People may come in any order. Of those who share a
// fingerprint one record is kept, with the worse of their states; pairs says how
// often that happened. The same people give the same bytes. A city of 25 million
// takes about 0.5 GB while it is built.
func Build(h Head, people iter.Seq2[uint64, Value]) (table []byte, pairs int, err error) {
	if err := h.check(); err != nil {
		return nil, 0, err
	}
	parts, err := sorted(people)
	if err != nil {
		return nil, 0, err
	}
	count := 0
	for i, part := range parts {
		parts[i] = merge(part, h)
		count += len(parts[i])
		pairs += len(part) - len(parts[i])
	}
	w := newWriter(h, count)
	for _, part := range parts {
		for _, person := range part {
			if err := w.put(person>>8, Value(person&255)); err != nil {
				return nil, 0, err
			}
		}
	}
	table, err = w.close()
	return table, pairs, err
}

// sorted splits people, packed as fingerprint << 8 | value, by the first eight
// bits of the fingerprint and sorts each part: they are small enough for a
// processor's cache, which makes it several times faster than sorting the whole.
func sorted(people iter.Seq2[uint64, Value]) (*[256][]uint64, error) {
	const shift = FingerprintBits - 8
	var parts [256][]uint64
	count := 0
	for fingerprint, v := range people {
		if fingerprint >= universe || v >= values {
			return nil, fmt.Errorf("%w: fingerprint or value has too many bits", ErrPeople)
		}
		if count++; count > MaxPeople {
			return nil, fmt.Errorf("%w: more than %d people", ErrPeople, MaxPeople)
		}
		part := &parts[fingerprint>>shift]
		*part = append(*part, fingerprint<<8|uint64(v))
	}
	var spare []uint64
	for i, part := range parts {
		spare = slices.Grow(spare[:0], len(part))[:len(part)]
		sortPacked(part, spare, 8+shift)
		parts[i] = part
	}
	return &parts, nil
}

// sortPacked sorts by the bits from 8 up to bits, of which the caller says that
// the rest are equal or do not matter. spare is as long as a.
func sortPacked(a, spare []uint64, bits int) {
	if len(a) < 64 {
		slices.Sort(a)
		return
	}
	from, to := a, spare
	for shift := 8; shift < bits; shift += 8 {
		var at [257]int
		for _, x := range from {
			at[x>>shift&255+1]++
		}
		for i := range 256 {
			at[i+1] += at[i]
		}
		for _, x := range from {
			digit := x >> shift & 255
			to[at[digit]] = x
			at[digit]++
		}
		from, to = to, from
	}
	if &from[0] != &a[0] {
		copy(a, from)
	}
}

// merge makes one of those who share a fingerprint, in place.
func merge(part []uint64, h Head) []uint64 {
	kept := part[:0]
	for _, x := range part {
		last := len(kept) - 1
		if last >= 0 && kept[last]>>8 == x>>8 {
			worse := Worse(Value(kept[last]&255), Value(x&255), h.AsOf)
			kept[last] = x>>8<<8 | uint64(worse)
			continue
		}
		kept = append(kept, x)
	}
	return kept
}

// writer writes a table of a count that is known, person by person in order.
type writer struct {
	data []byte
	layout
	count int
	done  int    // people so far
	index int    // prefixes whose beginning is written
	next  uint64 // least fingerprint that may follow
}

func newWriter(h Head, count int) *writer {
	w := &writer{layout: layoutOf(count), count: count}
	w.data = make([]byte, w.size)
	copy(w.data, tableMagic)
	w.data[4], w.data[5] = version, byte(w.prefix)
	le := binary.LittleEndian
	le.PutUint64(w.data[8:], h.Epoch)
	le.PutUint64(w.data[16:], uint64(h.AsOf.Unix()))
	le.PutUint32(w.data[24:], uint32(count))
	return w
}

func (w *writer) put(fingerprint uint64, v Value) error {
	if fingerprint < w.next || fingerprint >= universe || w.done == w.count {
		return bad("people out of order or too many")
	}
	w.next = fingerprint + 1
	rest := FingerprintBits - w.prefix
	w.begin(int(fingerprint >> rest))
	record := fingerprint&(1<<rest-1)<<7 | uint64(v)
	// Eight bytes whatever the width: the next record goes over the zeros.
	binary.LittleEndian.PutUint64(w.data[w.records+w.width*w.done:], record)
	w.done++
	return nil
}

// copy puts all people of one prefix of a table of the same layout, in whatever
// order they are there.
func (w *writer) copy(t *Table, prefix int) error {
	lo, hi := t.bounds(prefix)
	if hi-lo > w.count-w.done {
		return bad("too many people")
	}
	w.begin(prefix)
	copy(w.data[w.records+w.width*w.done:], t.data[t.records+t.width*lo:t.records+t.width*hi])
	w.done += hi - lo
	return nil
}

// begin writes where the prefixes up to this one begin.
func (w *writer) begin(prefix int) {
	for ; w.index <= prefix; w.index++ {
		binary.LittleEndian.PutUint32(w.data[tableHead+4*w.index:], uint32(w.done))
	}
}

func (w *writer) close() ([]byte, error) {
	if w.done != w.count {
		return nil, bad("%d people instead of %d", w.done, w.count)
	}
	w.begin(1 << w.prefix)
	return w.data, nil
}
