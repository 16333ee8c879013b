package statuslist

import (
	"encoding/binary"
	"math/bits"
)

// riceBits returns the k for so many items of a universe: with it items that
// lie at random cost within a tenth of a bit of their entropy. It is the nearest
// power of two to ln 2 times the mean distance, in whole numbers, so that every
// machine finds the same.
func riceBits(universe uint64, items int) int {
	t := universe / uint64(items) * 11357 >> 14 // ln 2
	k := bits.Len64(max(t, 1)) - 1
	if t*29 >= 41<<k { // the square root of 2: nearer to the next
		k++
	}
	return k
}

// listWriter writes one list of a column.
type listWriter struct {
	out   []byte
	acc   uint64 // bits not yet written, from the low end
	n     int    // how many, fewer than 8 between calls
	k     int
	next  uint64 // least item that may follow
	items int
}

func (w *listWriter) put(item uint64) {
	gap := item - w.next
	w.next = item + 1
	q := gap >> w.k
	for ; q >= 32; q -= 32 {
		w.bits(1<<32-1, 32)
	}
	w.bits(1<<q-1, int(q)+1)
	w.bits(gap&(1<<w.k-1), w.k)
}

// bits writes up to 48 of them.
func (w *listWriter) bits(b uint64, n int) {
	w.acc |= b << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
}

func (w *listWriter) close() []byte {
	if w.n > 0 {
		w.out = append(w.out, byte(w.acc))
	}
	return w.out
}

// listReader reads one list of a column.
type listReader struct {
	in       []byte
	acc      uint64
	n        int // bits in acc
	k        int
	left     int    // items to come
	next     uint64 // least item that may follow
	universe uint64
}

// read returns the next item.
func (r *listReader) read() (uint64, error) {
	q := uint64(0)
	for {
		r.fill()
		ones := min(bits.TrailingZeros64(^r.acc), r.n)
		q += uint64(ones)
		r.drop(ones)
		if r.n > 0 {
			r.drop(1) // the zero
			break
		}
		if len(r.in) == 0 {
			return 0, bad("list ends early")
		}
	}
	if r.fill(); r.n < r.k {
		return 0, bad("list ends early")
	}
	// Neither can overflow: q is no more than the bits of a body, and checked
	// against the universe before it is shifted.
	if q > r.universe>>r.k {
		return 0, bad("item out of its universe")
	}
	item := r.next + q<<r.k + r.acc&(1<<r.k-1)
	if item >= r.universe {
		return 0, bad("item out of its universe")
	}
	r.drop(r.k)
	r.next = item + 1
	r.left--
	return item, nil
}

// fill takes bytes in until at least 56 bits are there or no more are to be had.
func (r *listReader) fill() {
	if r.n > 48 {
		return
	}
	if len(r.in) >= 8 {
		r.acc |= binary.LittleEndian.Uint64(r.in) << r.n
		taken := (63 - r.n) / 8
		r.in = r.in[taken:]
		r.n += 8 * taken
		r.acc &= 1<<r.n - 1
		return
	}
	for r.n <= 56 && len(r.in) > 0 {
		r.acc |= uint64(r.in[0]) << r.n
		r.in = r.in[1:]
		r.n += 8
	}
}

func (r *listReader) drop(n int) {
	r.acc >>= n
	r.n -= n
}

// close checks that nothing is left but the zeros that fill the last byte.
func (r *listReader) close() error {
	if len(r.in) > 0 || r.n >= 8 || r.acc != 0 {
		return bad("list has bits too many")
	}
	return nil
}
