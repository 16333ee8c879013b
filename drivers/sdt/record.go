package sdt

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/digital-sentinel/sentinel/hal"
)

// recordLen is the length of the text block (GA/T 490).
const recordLen = 256

// typeAt is where the record says which of the four layouts it has.
const typeAt = 248

// textOf takes the text block out of an answer to 30 01: two lengths, text,
// photo. The lengths are read, not assumed; the photo stays where it is.
func textOf(data []byte) ([]byte, error) {
	if len(data) < 4 {
		return nil, errors.New("the answer has no lengths")
	}
	text, photo := int(binary.BigEndian.Uint16(data)), int(binary.BigEndian.Uint16(data[2:]))
	if text != recordLen || len(data) < 4+text+photo {
		return nil, errors.New("the answer's lengths do not fit it")
	}
	return data[4 : 4+text], nil
}

// decode reads a text block by its layout (fact sheet 1.9). A type letter that
// is not known leaves all but Raw empty.
func decode(text []byte) hal.Card {
	var c hal.Card
	copy(c.Raw[:], text)
	f := fields{text}
	switch unit := binary.LittleEndian.Uint16(text[typeAt:]); unit {
	case ' ', 0:
		c.Type = hal.Resident
		f.resident(&c)
	case 'J':
		c.Type = hal.HKMOTWPermit
		f.resident(&c)
		c.Ethnic = ""
		c.PassNumber, c.IssueCount = f.at(220, 18), f.at(238, 4)
	case 'I':
		c.Type = hal.ForeignOld
		f.foreignOld(&c)
	case 'Y':
		c.Type = hal.ForeignNew
		f.foreignNew(&c)
	default:
		c.Type = hal.UnknownCard
	}
	return c
}

// fields reads UTF-16LE fields out of a text block.
type fields struct{ text []byte }

// at returns the field of n bytes at offset.
func (f fields) at(offset, n int) string { return plain(f.text[offset : offset+n]) }

// plain reads UTF-16LE without its padding: spaces, and from some issuers
// zeros. Surrogate pairs stay characters; a lone half becomes U+FFFD, and Raw
// still has it.
func plain(field []byte) string {
	units := make([]uint16, 0, len(field)/2)
	for i := 0; i < len(field); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(field[i:]))
	}
	return strings.Trim(string(utf16.Decode(units)), " \x00")
}

func (f fields) resident(c *hal.Card) {
	c.Name, c.Sex, c.Ethnic = f.at(0, 30), f.at(30, 2), f.at(32, 4)
	c.Birth, c.Address, c.Number = f.at(36, 16), f.at(52, 70), f.at(122, 36)
	c.Issuer, c.ValidFrom, c.ValidTo = f.at(158, 30), f.at(188, 16), f.at(204, 16)
}

func (f fields) foreignOld(c *hal.Card) {
	c.EnglishName, c.Sex, c.Number = f.at(0, 120), f.at(120, 2), f.at(122, 30)
	c.Nationality, c.Name = f.at(152, 6), f.at(158, 30)
	c.ValidFrom, c.ValidTo, c.Birth = f.at(188, 16), f.at(204, 16), f.at(220, 16)
	c.CardVersion, c.Authority = f.at(236, 4), f.at(240, 8)
}

// foreignNew looks like a resident record in its first 52 bytes, with a renewal
// count where the ethnic group is; the English name stands in two places.
func (f fields) foreignNew(c *hal.Card) {
	c.Name, c.Sex, c.IssueCount, c.Birth = f.at(0, 30), f.at(30, 2), f.at(32, 4), f.at(36, 16)
	// Trimmed only when whole: a blank may fall on the seam.
	c.EnglishName = plain(slices.Concat(f.text[52:52+70], f.text[220:220+22]))
	c.Number, c.ValidFrom, c.ValidTo = f.at(122, 36), f.at(188, 16), f.at(204, 16)
	c.Nationality, c.OldNumber = f.at(242, 6), f.at(250, 6)
}
