package backend

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// A record on disk is
//
//	version (1 byte) | CRC-32C of the rest (4, big-endian) | received (8, Unix
//	milliseconds) | visit (1: 0 or 1) | mark (16) | record as JSON
//
// The fixed part lets what is held be counted without reading the JSON.
const (
	valueVersion = 1
	valueHead    = 1 + 4 + 8 + 1 + 16
)

// value is a record as it is on disk.
type value struct {
	received int64 // Unix milliseconds
	visit    bool
	mark     [16]byte
	body     []byte
}

var errDamaged = errors.New("a stored record is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (v *value) encode() []byte {
	b := make([]byte, valueHead, valueHead+len(v.body))
	b[0] = valueVersion
	binary.BigEndian.PutUint64(b[5:], uint64(v.received))
	if v.visit {
		b[13] = 1
	}
	copy(b[14:], v.mark[:])
	b = append(b, v.body...)
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(b[5:], castagnoli))
	return b
}

// decodeValue reads what encode wrote. The body is a part of b.
func decodeValue(b []byte) (value, error) {
	switch {
	case len(b) < valueHead:
		return value{}, fmt.Errorf("%w: it is %d bytes long", errDamaged, len(b))
	case b[0] != valueVersion:
		return value{}, fmt.Errorf("a stored record has format %d, this program reads %d", b[0], valueVersion)
	case b[13] > 1 || binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(b[5:], castagnoli):
		return value{}, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	return value{
		received: int64(binary.BigEndian.Uint64(b[5:])), visit: b[13] == 1,
		mark: [16]byte(b[14:valueHead]), body: b[valueHead:],
	}, nil
}

// record reads the record of a value.
func (v *value) record() (checkin.Record, error) {
	r, err := checkin.DecodeRecord(v.body)
	if err != nil {
		return checkin.Record{}, fmt.Errorf("%w: %v", errDamaged, err)
	}
	return *r, nil
}
