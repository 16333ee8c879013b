package statuslist

import (
	"encoding/binary"
	"iter"
	"math/bits"
	"time"
)

// Table answers who has which state. It reads the bytes it was opened with where
// they are and never writes, so they may be a mapped file, and any number of
// goroutines may look up at once.
type Table struct {
	data  []byte
	head  Head
	count int
	layout
}

// layout is where the things of a table of a certain size are.
type layout struct {
	prefix  int // bits
	width   int // bytes of a record
	records int // offset of the first
	size    int // of the whole table
}

const (
	tableMagic = "DSTB"
	version    = 1
	tableHead  = 32
	tablePad   = 4 // so that a record of four bytes can be read as one of eight

	minPrefix, maxPrefix = 6, 22
)

func layoutOf(count int) layout {
	l := layout{prefix: min(max(bits.Len(uint(count))-3, minPrefix), maxPrefix)}
	l.width = (FingerprintBits - l.prefix + 7 + 7) / 8
	l.records = tableHead + 4*(1<<l.prefix+1)
	l.size = l.records + l.width*count + tablePad
	return l
}

// TableSize returns the bytes of a table of so many people.
func TableSize(people int) int { return layoutOf(people).size }

// Open checks everything that a look-up relies on: the head, the size, and that
// the index ascends within the records. That the records themselves ascend is
// for Verify; whether they are the authority's, for the Root. The bytes must
// not change as long as the table is in use; if they do all the same, a look-up
// gives a wrong answer, and still reads nothing else.
func Open(data []byte) (*Table, error) {
	if len(data) < tableHead || string(data[:4]) != tableMagic || data[4] != version {
		return nil, bad("no table of version %d", version)
	}
	le := binary.LittleEndian
	count := le.Uint32(data[24:])
	if count > MaxPeople {
		return nil, bad("table of %d people", count)
	}
	t := &Table{data: data, count: int(count), layout: layoutOf(int(count))}
	if int(data[5]) != t.prefix || le.Uint16(data[6:]) != 0 || le.Uint32(data[28:]) != 0 {
		return nil, bad("head of the table")
	}
	if len(data) != t.size || le.Uint32(data[t.size-tablePad:]) != 0 {
		return nil, bad("table of %d people in %d bytes, not %d", count, len(data), t.size)
	}
	t.head = Head{Epoch: le.Uint64(data[8:]), AsOf: unix(le.Uint64(data[16:]))}
	if err := t.head.check(); err != nil {
		return nil, err
	}
	if err := t.checkIndex(); err != nil {
		return nil, err
	}
	return t, nil
}

// Head returns the table's epoch and time.
func (t *Table) Head() Head { return t.head }

// Len returns how many people are in the table.
func (t *Table) Len() int { return t.count }

// Bytes returns the table's own bytes. They are not to be changed.
func (t *Table) Bytes() []byte { return t.data }

// Lookup returns the state of the person with a fingerprint, and whether there
// is one.
func (t *Table) Lookup(fingerprint uint64) (Value, bool) {
	if fingerprint >= universe {
		return 0, false
	}
	rest := FingerprintBits - t.prefix
	lo, hi := t.bounds(int(fingerprint >> rest))
	want := fingerprint & (1<<rest - 1)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch r := t.record(mid); {
		case r>>7 == want:
			return Value(r & (values - 1)), true
		case r>>7 < want:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return 0, false
}

// All goes through the people in the order of their ranks, which is that of
// their fingerprints.
func (t *Table) All() iter.Seq2[uint64, Value] {
	return func(yield func(uint64, Value) bool) {
		rest := FingerprintBits - t.prefix
		for p := range 1 << t.prefix {
			lo, hi := t.bounds(p)
			for i := lo; i < hi; i++ {
				r := t.record(i)
				if !yield(uint64(p)<<rest|r>>7, Value(r&(values-1))) {
					return
				}
			}
		}
	}
}

// Verify checks that the records ascend and have no bits too many, so that
// everybody in them can be found.
func (t *Table) Verify() error {
	for p := range 1 << t.prefix {
		lo, hi := t.bounds(p)
		next := uint64(0)
		for i := lo; i < hi; i++ {
			remainder := t.record(i) >> 7
			if remainder < next || remainder>>(FingerprintBits-t.prefix) != 0 {
				return bad("records do not ascend")
			}
			next = remainder + 1
		}
	}
	return nil
}

//

func (t *Table) checkIndex() error {
	last := uint32(0)
	for p := range 1<<t.prefix + 1 {
		begin := binary.LittleEndian.Uint32(t.data[tableHead+4*p:])
		if begin < last || p == 0 && begin != 0 {
			return bad("index does not ascend")
		}
		last = begin
	}
	if last != uint32(t.count) {
		return bad("index ends at %d of %d people", last, t.count)
	}
	return nil
}

// bounds returns the ranks between which the people of a prefix are. They are
// within the table even if the bytes have been changed since it was opened.
func (t *Table) bounds(prefix int) (lo, hi int) {
	both := binary.LittleEndian.Uint64(t.data[tableHead+4*prefix:])
	to := min(both>>32, uint64(t.count))
	return int(min(both&(1<<32-1), to)), int(to)
}

func (t *Table) record(rank int) uint64 {
	r := binary.LittleEndian.Uint64(t.data[t.records+t.width*rank:])
	return r & (1<<(8*t.width) - 1)
}

func unix(s uint64) time.Time {
	if s > lastSecond {
		s = lastSecond + 1 // no time at all; Head.check refuses it
	}
	return time.Unix(int64(s), 0).UTC()
}
