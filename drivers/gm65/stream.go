package gm65

import (
	"encoding/binary"

	"github.com/digital-sentinel/sentinel/drivers/linecode"
)

// The module answers commands on the line that also carries the codes, with no
// boundary between the two:
//
//	reply = 02 00 | TYPE | LEN | data | CRC_HI CRC_LO     LEN 00 means 256
//	code  = bytes, ended by CR, LF, or a silence
//
// Only a 02 00 whose CRC is right begins a reply; any other is code text.
const replyHead = 4

// Types of replies.
const (
	replyOK      = 0x00
	replyBadCRC  = 0x01
	replyInvalid = 0x03
)

// reply is one answer to a command.
type reply struct {
	kind byte
	data []byte
}

// stream takes the line apart into replies and codes.
type stream struct {
	buf  []byte
	text linecode.Splitter

	replies []reply
	codes   []linecode.Code
}

// feed takes what was read.
func (s *stream) feed(b []byte) {
	s.buf = append(s.buf, b...)
	s.parse(false)
}

// gap says that the line has been quiet: what is half there is whole, and a
// reply that is not whole was none.
func (s *stream) gap() {
	s.parse(true)
	s.take(s.text.Flush())
}

// pending reports whether anything is half there.
func (s *stream) pending() bool { return len(s.buf) > 0 || s.text.Pending() }

// parse works through the buffer as far as it can tell what is what. final
// says that no more will come.
func (s *stream) parse(final bool) {
	for len(s.buf) > 0 {
		r, n, more := asReply(s.buf)
		switch {
		case n > 0:
			s.replies = append(s.replies, r)
			s.buf = s.buf[n:]
		case more && !final:
			s.buf = append([]byte(nil), s.buf...)
			return
		default:
			s.take(s.text.Put(s.buf[0]))
			s.buf[0] = 0 // a code is somebody's
			s.buf = s.buf[1:]
		}
	}
	s.buf = nil
}

func (s *stream) take(c linecode.Code, ok bool) {
	if ok {
		s.codes = append(s.codes, c)
	}
}

// asReply reads a reply at the beginning of b: how long it is, or whether more
// bytes could make it one.
func asReply(b []byte) (r reply, n int, more bool) {
	if b[0] != 0x02 || len(b) > 1 && b[1] != 0x00 {
		return reply{}, 0, false
	}
	if len(b) < replyHead {
		return reply{}, 0, true
	}
	size := int(b[3])
	if size == 0 {
		size = 256
	}
	n = replyHead + size + 2
	if len(b) < n {
		return reply{}, 0, true
	}
	if crc(b[2:n-2]) != binary.BigEndian.Uint16(b[n-2:n]) {
		return reply{}, 0, false
	}
	return reply{b[2], append([]byte(nil), b[replyHead:n-2]...)}, n, false
}

// command builds a frame: 7E 00 | TYPE | LEN | ADDR | data | CRC.
func command(kind byte, zone uint16, data ...byte) []byte {
	f := []byte{0x7E, 0x00, kind, byte(len(data)), byte(zone >> 8), byte(zone)}
	f = append(f, data...)
	return binary.BigEndian.AppendUint16(f, crc(f[2:]))
}

// crc is CRC-CCITT: polynomial 1021, start 0, not reflected. hash/crc32 has no
// 16-bit sibling, and eleven lines need no module.
func crc(b []byte) uint16 {
	var c uint16
	for _, v := range b {
		c ^= uint16(v) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
	}
	return c
}
