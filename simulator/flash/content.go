package flash

// A card writes whole sectors; a file system gives out room in blocks.
const (
	sectorBytes = 512
	blockBytes  = 4096
)

// content is the bytes of a file. Blocks that were never written are zero and
// take no room.
type content struct {
	size   int64
	blocks map[int64]*[blockBytes]byte
}

func newContent() content { return content{blocks: map[int64]*[blockBytes]byte{}} }

// readAt fills p from offset; what lies past the end is zero.
func (c *content) readAt(p []byte, offset int64) {
	for len(p) > 0 {
		n, at := offset/blockBytes, offset%blockBytes
		part := p[:min(int64(len(p)), blockBytes-at)]
		if b := c.blocks[n]; b != nil {
			copy(part, b[at:])
		} else {
			clear(part)
		}
		p, offset = p[len(part):], offset+int64(len(part))
	}
}

// writeAt writes p at offset; the size is not changed.
func (c *content) writeAt(p []byte, offset int64) {
	for len(p) > 0 {
		n, at := offset/blockBytes, offset%blockBytes
		if c.blocks[n] == nil {
			c.blocks[n] = new([blockBytes]byte)
		}
		done := copy(c.blocks[n][at:], p)
		p, offset = p[done:], offset+int64(done)
	}
}

// resize cuts or extends; what is cut off is zero when it comes back.
func (c *content) resize(size int64) {
	for n, b := range c.blocks {
		switch start := n * blockBytes; {
		case start >= size:
			delete(c.blocks, n)
		case start+blockBytes > size:
			clear(b[size-start:])
		}
	}
	c.size = size
}

// take copies one sector of from.
func (c *content) take(from *content, sector int64) {
	if from.blocks[sector*sectorBytes/blockBytes] == nil && c.blocks[sector*sectorBytes/blockBytes] == nil {
		return
	}
	var s [sectorBytes]byte
	from.readAt(s[:], sector*sectorBytes)
	c.writeAt(s[:], sector*sectorBytes)
}

func (c *content) clone() content {
	n := content{size: c.size, blocks: make(map[int64]*[blockBytes]byte, len(c.blocks))}
	for k, b := range c.blocks {
		twin := *b
		n.blocks[k] = &twin
	}
	return n
}

// room is the bytes that writing n at offset would newly take.
func (c *content) room(offset int64, n int) int64 {
	var need int64
	for b := offset / blockBytes; b*blockBytes < offset+int64(n); b++ {
		if c.blocks[b] == nil {
			need += blockBytes
		}
	}
	return need
}

func (c *content) held() int64 { return int64(len(c.blocks)) * blockBytes }
