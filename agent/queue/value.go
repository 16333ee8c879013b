package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"filippo.io/age"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// A value on disk is
//
//	version (1 byte, 2) | CRC-32C of the rest (4, big-endian) | length of the
//	box's name (1) | name | record as JSON
//
// The sum finds what a bad card has bent; bbolt has none for values. The name
// tells a salvager, who has only the page, whose the record was. Version 1 had
// no name; only the check-ins are salvaged from it.
const (
	valueVersion  = 2
	oldVersion    = 1
	valueHead     = 5
	maxRecordSize = 64 << 10
	maxValue      = valueHead + 1 + maxBoxName + maxRecordSize
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged is a value that is not what was written.
var errDamaged = errors.New("a stored record is damaged")

func encode(box string, r *checkin.Record) ([]byte, error) {
	body, err := checkin.EncodeRecord(r)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %v", err)
	}
	if len(body) > maxRecordSize {
		return nil, fmt.Errorf("a record of %d bytes is larger than %d", len(body), maxRecordSize)
	}
	value := make([]byte, valueHead, valueHead+1+len(box)+len(body))
	value[0] = valueVersion
	value = append(value, byte(len(box)))
	value = append(append(value, box...), body...)
	binary.BigEndian.PutUint32(value[1:], crc32.Checksum(value[valueHead:], castagnoli))
	return value, nil
}

// decode reads a value, and says in whose box it was put.
func decode(value []byte) (box string, _ *checkin.Record, _ error) {
	switch {
	case len(value) <= valueHead || len(value) > maxValue:
		return "", nil, fmt.Errorf("%w: it is %d bytes long", errDamaged, len(value))
	case value[0] != valueVersion && value[0] != oldVersion:
		return "", nil, fmt.Errorf("a stored record has format %d, this program reads %d and %d", value[0], oldVersion, valueVersion)
	case binary.BigEndian.Uint32(value[1:]) != crc32.Checksum(value[valueHead:], castagnoli):
		return "", nil, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	body := value[valueHead:]
	if value[0] == valueVersion {
		n := int(body[0])
		if n > maxBoxName || len(body) < 1+n {
			return "", nil, fmt.Errorf("%w: the name of its box is too long", errDamaged)
		}
		box, body = string(body[1:1+n]), body[1+n:]
	}
	r, err := checkin.DecodeRecord(body)
	return box, r, err
}

// sealTo encrypts plain to the recipient.
func sealTo(to age.Recipient, plain []byte) ([]byte, error) {
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to)
	if err != nil {
		return nil, fmt.Errorf("sealing an identity: %v", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("sealing an identity: %v", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sealing an identity: %v", err)
	}
	return sealed.Bytes(), nil
}
