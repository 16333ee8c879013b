// Package linecode splits what a scanner sends into codes: the text grammar
// that every serial scanner shares. Pure.
//
// A code ends with CR, LF, CR LF, or a silence (Flush). STX and ETX around it
// are framing. A code longer than Max is told as such and thrown away up to
// the next end, so that its tail never passes for a code of its own.
package linecode

// Max is the longest code by default: a QR code holds at most 2953 bytes.
const Max = 4096

// Code is one code. A Truncated one was longer than Max and has no Data.
type Code struct {
	Data      []byte
	Truncated bool
}

// Splitter collects bytes into codes. The zero Splitter is ready.
type Splitter struct {
	Max  int // 0 means the constant Max
	buf  []byte
	over bool
}

// Put takes one byte, and returns the code that it ends.
func (s *Splitter) Put(b byte) (Code, bool) {
	switch b {
	case '\r', '\n':
		return s.Flush()
	}
	limit := s.Max
	if limit == 0 {
		limit = Max
	}
	if len(s.buf) >= limit {
		s.over = true
	}
	if !s.over {
		s.buf = append(s.buf, b)
	}
	return Code{}, false
}

// Flush ends the code that is half there: a line end came, or a silence. The
// second half of CR LF ends nothing.
func (s *Splitter) Flush() (Code, bool) {
	defer func() { s.buf, s.over = nil, false }()
	if s.over {
		clear(s.buf)
		return Code{Truncated: true}, true
	}
	data := s.buf
	for len(data) > 0 && data[0] == 0x02 {
		data = data[1:]
	}
	for len(data) > 0 && data[len(data)-1] == 0x03 {
		data = data[:len(data)-1]
	}
	return Code{Data: data}, len(data) > 0
}

// Pending reports whether a code is half there.
func (s *Splitter) Pending() bool { return len(s.buf) > 0 || s.over }
