package statuslist

import (
	"encoding/binary"
	"iter"
)

// removed is what a column of ranks says of a person who is taken out.
const removed Value = values

// none is the current item of a column that is at its end.
const none = ^uint64(0)

// appendColumn appends a column of ascending items, which it goes through twice.
func appendColumn(out []byte, universe uint64, items iter.Seq2[uint64, Value]) []byte {
	var lists [values + 1]listWriter
	for _, v := range items {
		lists[v].items++
	}
	groups := byte(0)
	for v := range lists {
		if n := lists[v].items; n > 0 {
			lists[v].k = riceBits(universe, n)
			lists[v].out = make([]byte, 0, n*(lists[v].k+3)/8+8)
			groups++
		}
	}
	for item, v := range items {
		lists[v].put(item)
	}
	out = append(out, groups)
	for v := range lists {
		if n := lists[v].items; n > 0 {
			out = append(out, byte(v))
			out = binary.AppendUvarint(out, uint64(n))
			out = binary.AppendUvarint(out, uint64(len(lists[v].close())))
		}
	}
	for v := range lists {
		out = append(out, lists[v].out...)
	}
	return out
}

// column merges the lists of a column. item and value are what it stands at.
type column struct {
	item  uint64
	value Value

	items  int // of all lists
	out    int // of those that are removed
	lists  []listReader
	values []Value
	heap   []uint64 // the next item of each list << 8 | the list's number; the least on top
}

// openColumn reads the groups of a column, stands at its first item, and returns
// what follows it. It takes memory for the groups only: no list promises more
// items than its bytes can hold.
func openColumn(in []byte, universe uint64, most Value) (*column, []byte, error) {
	if len(in) == 0 {
		return nil, nil, bad("no column")
	}
	c := &column{}
	groups := int(in[0])
	in = in[1:]
	sizes := make([]int, 0, groups)
	for i := range groups {
		var g group
		var err error
		if g, in, err = readGroup(in, universe); err != nil {
			return nil, nil, err
		}
		if g.value > most || i > 0 && g.value <= c.values[i-1] {
			return nil, nil, bad("values do not ascend")
		}
		c.values = append(c.values, g.value)
		c.lists = append(c.lists, listReader{k: g.k, left: g.items, universe: universe})
		sizes = append(sizes, g.size)
		if c.items += g.items; c.items > MaxPeople {
			return nil, nil, bad("too many people")
		}
		if g.value == removed {
			c.out = g.items
		}
	}
	for i, size := range sizes {
		if size > len(in) {
			return nil, nil, bad("column ends early")
		}
		c.lists[i].in, in = in[:size], in[size:]
	}
	return c, in, c.start()
}

// advance moves to the next item.
func (c *column) advance() error {
	i := c.heap[0] & 255
	if l := &c.lists[i]; l.left > 0 {
		item, err := l.read()
		if err != nil {
			return err
		}
		c.heap[0] = item<<8 | i
	} else {
		if err := l.close(); err != nil {
			return err
		}
		last := len(c.heap) - 1
		c.heap[0] = c.heap[last]
		c.heap = c.heap[:last]
	}
	c.sift(0)
	before := c.item
	if c.stand(); c.item == before {
		return bad("an item has two values")
	}
	return nil
}

//

func (c *column) start() error {
	for i := range c.lists {
		item, err := c.lists[i].read()
		if err != nil {
			return err
		}
		c.heap = append(c.heap, item<<8|uint64(i))
	}
	for i := len(c.heap) / 2; i >= 0; i-- {
		c.sift(i)
	}
	c.stand()
	return nil
}

func (c *column) stand() {
	if len(c.heap) == 0 {
		c.item = none
		return
	}
	c.item, c.value = c.heap[0]>>8, c.values[c.heap[0]&255]
}

// sift lets the key at i sink until those below it are greater.
func (c *column) sift(i int) {
	h := c.heap
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[i] < h[child] {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

type group struct {
	value       Value
	items, size int
	k           int
}

func readGroup(in []byte, universe uint64) (group, []byte, error) {
	if len(in) == 0 {
		return group{}, nil, bad("column ends early")
	}
	g := group{value: Value(in[0])}
	items, in, err := uvarint(in[1:])
	if err != nil {
		return group{}, nil, err
	}
	size, in, err := uvarint(in)
	if err != nil {
		return group{}, nil, err
	}
	if items == 0 || items > MaxPeople || size > uint64(len(in)) {
		return group{}, nil, bad("%d items in %d bytes", items, size)
	}
	g.items, g.size, g.k = int(items), int(size), riceBits(universe, int(items))
	if items*uint64(g.k+1) > 8*size {
		return group{}, nil, bad("%d items in %d bytes", items, size)
	}
	return g, in, nil
}

// uvarint reads a number in its shortest form.
func uvarint(in []byte) (uint64, []byte, error) {
	x, n := binary.Uvarint(in)
	if n <= 0 || n > 1 && in[n-1] == 0 {
		return 0, nil, bad("number in a column")
	}
	return x, in[n:], nil
}
