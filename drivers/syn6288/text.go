package syn6288

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// piece is what one frame speaks.
type piece struct {
	gbk   []byte
	runes int
}

// A prompt is bounded: two minutes of speech are none. The bytes are counted
// before anything is looked at.
const (
	maxRunes = 500
	maxBytes = 16 * maxRunes
)

// split turns text into pieces of at most limit bytes of GBK, cut behind
// punctuation where there is some in the second half of a piece. No piece has
// a byte that could begin or end a control tag.
func split(text string, limit int) ([]piece, error) {
	if len(text) > maxBytes {
		return nil, fmt.Errorf("a prompt of more than %d bytes", maxBytes)
	}
	var pieces []piece
	var p piece
	cut := piece{} // p up to the last place where it may be parted
	total := 0
	for _, r := range text {
		c := encode(r)
		if c == nil {
			continue
		}
		if total++; total > maxRunes {
			return nil, fmt.Errorf("a prompt of more than %d characters", maxRunes)
		}
		if len(p.gbk)+len(c) > limit {
			if cut.runes == 0 {
				cut = p
			}
			pieces = add(pieces, cut)
			p = piece{bytes.Clone(p.gbk[len(cut.gbk):]), p.runes - cut.runes}
			cut = piece{}
		}
		p.gbk = append(p.gbk, c...)
		p.runes++
		if strings.ContainsRune(stops, r) && len(p.gbk) > limit/2 {
			cut = piece{bytes.Clone(p.gbk), p.runes}
		}
	}
	if pieces = add(pieces, p); len(pieces) == 0 {
		return nil, errors.New("a prompt without a word that can be spoken")
	}
	return pieces, nil
}

// add appends p unless it is silence.
func add(pieces []piece, p piece) []piece {
	text, err := simplifiedchinese.GBK.NewDecoder().Bytes(p.gbk)
	if err != nil || !strings.ContainsFunc(string(text), spoken) {
		return pieces
	}
	return append(pieces, p)
}

func spoken(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }

// stops are the places where a text may be parted.
const stops = "。！？；，、：….!?;,: "

// encode gives the GBK bytes of r, nil if r is not to be spoken: control
// characters, brackets (also the wide ones, which a module may fold), and what
// GBK lacks. A few rare characters have 5B or 5D, the brackets' bytes, as
// their second byte; a module that looks for tags byte by byte would stumble
// over them, so they are left out as well.
func encode(r rune) []byte {
	if unicode.IsSpace(r) {
		return []byte{' '}
	}
	if unicode.IsControl(r) || strings.ContainsRune("[]［］", r) {
		return nil
	}
	b, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte(string(r)))
	if err != nil || len(b) == 1 && b[0] > '~' || bytes.ContainsAny(b, "[]") {
		return nil // 80 is the euro sign in some tables, and nothing in others
	}
	return b
}
