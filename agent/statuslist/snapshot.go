package statuslist

import (
	"encoding/binary"
	"iter"
)

const (
	snapshotMagic = "DSSN"
	listHead      = 28
)

// Snapshot returns a table's content for the wire. The table must verify.
func Snapshot(t *Table) ([]byte, error) {
	if err := t.Verify(); err != nil {
		return nil, err
	}
	return encode(snapshotMagic, t.head, t.count, t.All()), nil
}

// Expand makes a table of a snapshot that holds no more than so many people; the
// signed header says how many. Of the memory it takes only the table itself is
// more than a few kilobytes, and that is in proportion to the snapshot's bytes
// whatever they promise.
func Expand(snapshot []byte, most int) ([]byte, error) {
	h, count, c, err := decode(snapshotMagic, snapshot)
	if err != nil {
		return nil, err
	}
	if count > most {
		return nil, bad("snapshot of %d people, not %d", count, most)
	}
	w := newWriter(h, count)
	for c.item != none {
		if err := w.put(c.item, c.value); err != nil {
			return nil, err
		}
		if err := c.advance(); err != nil {
			return nil, err
		}
	}
	return w.close()
}

//

// encode writes what snapshot and deny list have in common.
func encode(magic string, h Head, count int, people iter.Seq2[uint64, Value]) []byte {
	out := make([]byte, listHead, listHead+count*9/2)
	copy(out, magic)
	out[4] = version
	binary.LittleEndian.PutUint64(out[8:], h.Epoch)
	binary.LittleEndian.PutUint64(out[16:], uint64(h.AsOf.Unix()))
	binary.LittleEndian.PutUint32(out[24:], uint32(count))
	return appendColumn(out, universe, people)
}

// decode reads that: it stands at the first person.
func decode(magic string, data []byte) (Head, int, *column, error) {
	if len(data) < listHead || string(data[:4]) != magic {
		return Head{}, 0, nil, bad("no %s", magic)
	}
	le := binary.LittleEndian
	if le.Uint32(data[4:]) != version {
		return Head{}, 0, nil, bad("no %s of version %d", magic, version)
	}
	h := Head{Epoch: le.Uint64(data[8:]), AsOf: unix(le.Uint64(data[16:]))}
	if err := h.check(); err != nil {
		return Head{}, 0, nil, err
	}
	c, rest, err := openColumn(data[listHead:], universe, values-1)
	if err != nil {
		return Head{}, 0, nil, err
	}
	if len(rest) > 0 || le.Uint32(data[24:]) != uint32(c.items) {
		return Head{}, 0, nil, bad("%s has bytes or people too many", magic)
	}
	return h, c.items, c, nil
}
