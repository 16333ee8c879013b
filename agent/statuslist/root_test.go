package statuslist_test

import (
	"crypto/sha256"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

// paired computes the root from the leaves up: neighbours are joined, and whoever
// has none moves up as he is.
func paired(data []byte) [32]byte {
	if len(data) == 0 {
		return sha256.Sum256(nil)
	}
	var level [][32]byte
	for len(data) > 0 {
		n := min(len(data), 64<<10)
		level = append(level, sha256.Sum256(append([]byte{0}, data[:n]...)))
		data = data[n:]
	}
	for len(level) > 1 {
		var up [][32]byte
		for i := 0; i < len(level); i += 2 {
			if i+1 == len(level) {
				up = append(up, level[i])
				continue
			}
			both := append([]byte{1}, level[i][:]...)
			up = append(up, sha256.Sum256(append(both, level[i+1][:]...)))
		}
		level = up
	}
	return level[0]
}

func TestRoot(t *testing.T) {
	data := make([]byte, 13*statuslist.Page+5)
	for i := range data {
		data[i] = byte(mix(uint64(i / 8)))
	}
	seen := map[[32]byte]int{}
	for pages := range 14 {
		for _, size := range []int{pages * statuslist.Page, pages*statuslist.Page + 1, pages*statuslist.Page + 5} {
			got := statuslist.Root(data[:size])
			if got != paired(data[:size]) {
				t.Errorf("root of %d bytes is %x, want %x", size, got, paired(data[:size]))
			}
			if other, ok := seen[got]; ok {
				t.Errorf("%d and %d bytes have one root", other, size)
			}
			seen[got] = size
		}
	}
}
