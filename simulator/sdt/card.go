package sdt

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// Card is a synthetic identity card. Fields that its layout does not have are
// ignored.
type Card struct {
	Type        byte // 0 or ' ' resident, 'J', 'I', 'Y'; any other letter only marks the record
	Name        string
	EnglishName string
	Sex         string
	Ethnic      string
	Birth       string
	Address     string
	Number      string
	Issuer      string
	From, To    string
	PassNumber  string // J
	Count       string // J: issues; Y: renewals
	Nationality string // I: three letters; Y: three digits
	OldNumber   string // Y
	Version     string // I
	Authority   string // I
}

// Resident makes a plausible resident card; sex and birthday are those of the
// number.
func Resident(name, number string) Card {
	c := Card{
		Type: ' ', Name: name, Number: number, Sex: "2", Ethnic: "01", Birth: "19900101",
		Address: "测试路1号", Issuer: "测试公安局", From: "20200101", To: "长期",
	}
	if len(number) == 18 {
		c.Birth = number[6:14]
		if (number[16]-'0')%2 == 1 {
			c.Sex = "1"
		}
	}
	return c
}

// Record writes the 256-byte text block of the card's layout (GA/T 490 and the
// notices on J, I and Y cards). A field that does not fit is an error.
func (c Card) Record() ([256]byte, error) {
	r := writer{}
	for i := 0; i < len(r.text); i += 2 {
		r.text[i] = ' '
	}
	switch c.Type {
	case 'I':
		r.put(0, 120, c.EnglishName)
		r.put(120, 2, c.Sex)
		r.put(122, 30, c.Number)
		r.put(152, 6, c.Nationality)
		r.put(158, 30, c.Name)
		r.put(188, 16, c.From)
		r.put(204, 16, c.To)
		r.put(220, 16, c.Birth)
		r.put(236, 4, c.Version)
		r.put(240, 8, c.Authority)
		r.put(248, 2, "I")
		return r.text, r.err
	case 'Y':
		english := []rune(c.EnglishName)
		r.put(32, 4, c.Count)
		r.put(52, 70, string(english[:min(35, len(english))]))
		r.put(220, 22, string(english[min(35, len(english)):]))
		r.put(242, 6, c.Nationality)
		r.put(248, 2, "Y")
		r.put(250, 6, c.OldNumber)
	case 'J':
		r.put(52, 70, c.Address)
		r.put(158, 30, c.Issuer)
		r.put(220, 18, c.PassNumber)
		r.put(238, 4, c.Count)
		r.put(248, 2, "J")
	default:
		r.put(32, 4, c.Ethnic)
		r.put(52, 70, c.Address)
		r.put(158, 30, c.Issuer)
		r.put(248, 2, string(rune(max(c.Type, ' '))))
	}
	r.put(0, 30, c.Name)
	r.put(30, 2, c.Sex)
	r.put(36, 16, c.Birth)
	r.put(122, 36, c.Number)
	r.put(188, 16, c.From)
	r.put(204, 16, c.To)
	return r.text, r.err
}

// writer fills a text block.
type writer struct {
	text [256]byte
	err  error
}

func (w *writer) put(at, n int, s string) {
	units := utf16.Encode([]rune(s))
	if 2*len(units) > n {
		if w.err == nil {
			w.err = fmt.Errorf("sdt: the field at %d takes %d characters, not %d", at, n/2, len(units))
		}
		return
	}
	for i, u := range units {
		binary.LittleEndian.PutUint16(w.text[at+2*i:], u)
	}
}

// photo is an opaque block with the head of a WLT picture, 102 by 126.
func photo() []byte {
	p := make([]byte, 1024)
	copy(p, []byte{0x57, 0x4C, 0x66, 0x00, 0x7E, 0x00, 0x32, 0x00, 0x00, 0xFF})
	return p
}
