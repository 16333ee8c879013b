package syn6288

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

// frame is one frame, or a place where one should have been (ok false).
type frame struct {
	ok   bool
	cmd  byte
	data []byte // parameter and text
}

// parser finds frames in a stream. It keeps at most one unfinished frame.
type parser struct {
	xfs  bool
	rest []byte
}

func (p *parser) push(b []byte) { p.rest = append(p.rest, b...) }

// next takes the next frame. Bytes before a start are dropped without a word;
// a start with something wrong behind it gives a frame that is not ok, and the
// search goes on one byte behind it.
func (p *parser) next() (frame, bool) {
	i := bytes.IndexByte(p.rest, start)
	if i < 0 {
		p.rest = nil
		return frame{}, false
	}
	p.rest = bytes.Clone(p.rest[i:])
	if len(p.rest) < 3 {
		return frame{}, false
	}
	n := int(p.rest[1])<<8 | int(p.rest[2])
	if n < p.least() || n > p.most() {
		p.rest = p.rest[1:]
		return frame{}, true
	}
	if len(p.rest) < 3+n {
		return frame{}, false
	}
	f, ok := p.check(p.rest[:3+n])
	if !ok {
		p.rest = p.rest[1:]
		return frame{}, true
	}
	p.rest = p.rest[3+n:]
	return f, true
}

func (p *parser) least() int {
	if p.xfs {
		return 1
	}
	return 2
}

func (p *parser) most() int {
	if p.xfs {
		return 2 + 4096
	}
	return 3 + 200
}

// check looks at one whole frame.
func (p *parser) check(b []byte) (frame, bool) {
	if !p.xfs {
		var x byte
		for _, v := range b {
			x ^= v
		}
		if x != 0 {
			return frame{}, false
		}
		b = b[:len(b)-1]
	}
	f := frame{true, b[3], b[4:]}
	want := 0 // bytes behind the command
	switch f.cmd {
	case cmdSpeak:
		return f, len(f.data) >= 2
	case cmdBaud:
		want = 1
	case cmdStop, cmdPause, cmdResume, cmdStatus, cmdSleep:
	default:
		return frame{}, false
	}
	return f, len(f.data) == want
}

// decode turns parameter and text into what is spoken and the volume that a
// tag sets, −1 for none. Text that its encoding does not have is not ok.
func decode(data []byte) (text string, volume int, ok bool) {
	var enc encoding.Encoding
	switch data[0] & 7 {
	case 0, 1: // GB2312 is a part of GBK
		enc = simplifiedchinese.GBK
	case 2:
		enc = traditionalchinese.Big5
	case 3:
		enc = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	default:
		return "", 0, false
	}
	b, err := enc.NewDecoder().Bytes(data[1:])
	if err != nil || bytes.ContainsRune(b, utf8.RuneError) {
		return "", 0, false
	}
	text, volume = strip(string(b))
	return text, volume, true
}

// strip takes the tags out of a text: a small letter with a number, or 2 or 3,
// in brackets. Other brackets are text, and are spoken as nothing in
// particular.
func strip(text string) (string, int) {
	volume := -1
	var out strings.Builder
	for {
		before, behind, found := strings.Cut(text, "[")
		out.WriteString(before)
		if !found {
			return out.String(), volume
		}
		tag, rest, closed := strings.Cut(behind, "]")
		if !closed || !isTag(tag) {
			out.WriteByte('[')
			text = behind
			continue
		}
		if v, err := strconv.Atoi(tag[1:]); err == nil && tag[0] == 'v' {
			volume = min(v, 16)
		}
		text = rest
	}
}

func isTag(s string) bool {
	if s == "2" || s == "3" {
		return true
	}
	if s == "" || len(s) > 3 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	return strings.Trim(s[1:], "0123456789") == ""
}

// Bytes of the wire.
const (
	start = 0xFD

	cmdSpeak  = 0x01
	cmdStop   = 0x02
	cmdPause  = 0x03
	cmdResume = 0x04
	cmdStatus = 0x21
	cmdBaud   = 0x31
	cmdSleep  = 0x88

	ready    = 0x4A
	accepted = 0x41
	rejected = 0x45
	busy     = 0x4E
	idle     = 0x4F
)
