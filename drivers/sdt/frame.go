package sdt

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A frame on the wire (GA/T 467; hardware fact sheet 1.2):
//
//	request   AA AA AA 96 69 | LEN_HI LEN_LO | CMD PARA      | data | CHK
//	response  AA AA AA 96 69 | LEN_HI LEN_LO | SW1 SW2 SW3   | data | CHK
//
// LEN counts everything behind itself, CHK included. CHK is the XOR of every
// byte from LEN_HI to the last one before it.
var preamble = []byte{0xAA, 0xAA, 0xAA, 0x96, 0x69}

const (
	headerLen = 7    // preamble and LEN
	minLen    = 4    // SW1 SW2 SW3 CHK
	maxLen    = 4096 // the longest known is 2314; anything longer is noise
	chunk     = 512  // what is read at once
)

// Commands, as CMD and PARA.
const (
	cmdSAMID    uint16 = 0x12FF
	cmdFind     uint16 = 0x2001
	cmdSelect   uint16 = 0x2002
	cmdReadText uint16 = 0x3001 // text and photo; never 3010, which adds fingerprints
)

// Status is SW3 of an answer.
type Status byte

// The statuses that the driver tells apart (fact sheet 1.4).
const (
	Done       Status = 0x90
	Found      Status = 0x9F
	NoCard     Status = 0x80
	NotChosen  Status = 0x81
	samSum     Status = 0x10 // the SAM saw a bad checksum
	samLength  Status = 0x11 // the SAM saw a bad length
	cardAuth   Status = 0x31
	samAuth    Status = 0x32
	infoCheck  Status = 0x33
	cardType   Status = 0x40
	cardRead   Status = 0x41
	cardRandom Status = 0x47
	selfTest   Status = 0x60
	noLicence  Status = 0x66
)

// String names the status as the protocol's tables do.
func (s Status) String() string {
	names := map[Status]string{
		Done: "done", Found: "card found", NoCard: "no card", NotChosen: "card not selected",
		samSum: "the reader saw a bad checksum", samLength: "the reader saw a bad length",
		0x21: "the reader does not know the command", 0x23: "not permitted", 0x24: "not recognised",
		cardAuth: "the card failed to authenticate the reader", samAuth: "the reader failed to authenticate the card",
		infoCheck: "information check failed", 0x37: "fingerprint check failed", 0x3F: "information length wrong",
		cardType: "card type not recognised", cardRead: "reading the card failed", cardRandom: "random number failed",
		selfTest: "the reader's self-test failed", noLicence: "the reader is not authorised", 0x91: "the card has no such item",
	}
	if n, ok := names[s]; ok {
		return n
	}
	return fmt.Sprintf("status %02X", byte(s))
}

// reply is one good answer. SW1 and SW2 may carry the card's own status word
// and are not looked at: peers that match on three bytes break there.
type reply struct {
	status Status
	data   []byte
}

// misheard reports whether the reader got the command spoilt.
func (r reply) misheard() bool { return r.status == samSum || r.status == samLength }

// request builds a frame without data.
func request(command uint16) []byte {
	f := append([]byte(nil), preamble...)
	f = append(f, 0, 3)
	f = binary.BigEndian.AppendUint16(f, command)
	return append(f, xor(f[5:]))
}

// parser finds answers in a stream that may hold noise, halves and lies.
type parser struct {
	buf []byte
	bad int // frames with a wrong checksum or length so far
}

// newParser gives a parser whose buffer never grows: growing would leave pieces
// of records behind that nobody wipes.
func newParser() parser { return parser{buf: make([]byte, 0, headerLen+maxLen+chunk)} }

func (p *parser) feed(b []byte) { p.buf = append(p.buf, b...) }

// reset forgets what is half there, and wipes it: it may be somebody's record.
func (p *parser) reset() {
	clear(p.buf[:cap(p.buf)])
	p.buf = p.buf[:0]
}

// next returns the first whole answer, if there is one.
func (p *parser) next() (reply, bool) {
	for {
		at := bytes.Index(p.buf, preamble)
		if at < 0 {
			p.drop(max(0, len(p.buf)-len(preamble)+1))
			return reply{}, false
		}
		p.drop(at)
		if len(p.buf) < headerLen {
			return reply{}, false
		}
		n := int(binary.BigEndian.Uint16(p.buf[5:]))
		if n < minLen || n > maxLen {
			p.resync()
			continue
		}
		if len(p.buf) < headerLen+n {
			return reply{}, false
		}
		frame := p.buf[:headerLen+n]
		if xor(frame[5:len(frame)-1]) != frame[len(frame)-1] {
			p.resync()
			continue
		}
		r := reply{Status(frame[9]), bytes.Clone(frame[10 : len(frame)-1])}
		p.drop(len(frame))
		return r, true
	}
}

// resync gives up one byte of a frame that lies: the real one may begin inside.
func (p *parser) resync() {
	p.bad++
	p.drop(1)
}

func (p *parser) drop(n int) { p.buf = p.buf[:copy(p.buf, p.buf[n:])] }

func xor(b []byte) byte {
	var x byte
	for _, v := range b {
		x ^= v
	}
	return x
}
