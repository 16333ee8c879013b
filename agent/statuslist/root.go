package statuslist

import (
	"crypto/sha256"
	"math/bits"
)

// Page is what a leaf of the Root covers.
const Page = 64 << 10

// Root returns the SHA-256 Merkle root of a table's bytes over pages of 64 KiB,
// built as RFC 9162 section 2.1 builds its tree: 0 before a leaf, 1 before two
// children, and the left child is the largest full tree that is not all.
func Root(data []byte) [32]byte {
	pages := (len(data) + Page - 1) / Page
	if pages == 0 {
		return sha256.Sum256(nil)
	}
	return subtree(data, pages)
}

func subtree(data []byte, pages int) [32]byte {
	h := sha256.New()
	var sum [32]byte
	if pages == 1 {
		h.Write([]byte{0})
		h.Write(data)
	} else {
		left := 1 << (bits.Len(uint(pages-1)) - 1)
		l, r := subtree(data[:left*Page], left), subtree(data[left*Page:], pages-left)
		h.Write([]byte{1})
		h.Write(l[:])
		h.Write(r[:])
	}
	h.Sum(sum[:0])
	return sum
}
