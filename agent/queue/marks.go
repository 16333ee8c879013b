package queue

// marks are keys, in one bit each.
type marks struct {
	bits  []uint64
	first uint64 // every key below it is marked
}

// maxMark bounds what a damaged key could make of it: 8 MB.
const maxMark = 1 << 26

// add marks a key, and reports whether it is new.
func (m *marks) add(key uint64) bool {
	if key >= maxMark || m.has(key) {
		return false
	}
	for uint64(len(m.bits)) <= key/64 {
		m.bits = append(m.bits, 0)
	}
	m.bits[key/64] |= 1 << (key % 64)
	for m.first == 0 || m.has(m.first) {
		m.first++
	}
	return true
}

func (m *marks) has(key uint64) bool {
	return m != nil && key/64 < uint64(len(m.bits)) && m.bits[key/64]&(1<<(key%64)) != 0
}

// start is the lowest key that may not be marked.
func (m *marks) start() uint64 {
	if m == nil {
		return 0
	}
	return m.first
}
