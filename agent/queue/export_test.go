package queue

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"sync"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Disk is what a queue's files lie on, for tests that break it.
type Disk struct {
	mu   sync.Mutex
	open []*os.File
	gone bool
}

// On puts the files of o on d.
func (d *Disk) On(o Opts) Opts {
	o.openFile = func(path string, flag int, mode os.FileMode) (*os.File, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.gone {
			return nil, errors.New("the disk is gone")
		}
		f, err := os.OpenFile(path, flag, mode)
		d.open = append(d.open, f)
		return f, err
	}
	return o
}

// BreakFiles lets every later write of the files that are open fail. New ones
// can be made.
func (d *Disk) BreakFiles() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.open {
		_ = f.Close()
	}
	d.open = nil
}

// Break breaks the files, and lets no other be opened until Mend.
func (d *Disk) Break() {
	d.BreakFiles()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
}

// Mend lets files be opened again.
func (d *Disk) Mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = false
}

// Decode is the parser of stored values, for the fuzzer.
func Decode(value []byte) (string, *checkin.Record, error) { return decode(value) }

// Encode writes what Decode reads.
func Encode(box string, r *checkin.Record) ([]byte, error) { return encode(box, r) }

// Leaf is the parser of pages of a damaged file, for the fuzzer. It counts the
// records.
func Leaf(page []byte) int { return len(leaf(page)) }

// EncodeOld writes a value as programs before generations did.
func EncodeOld(r *checkin.Record) []byte {
	body, err := checkin.EncodeRecord(r)
	if err != nil {
		panic(err)
	}
	value := append([]byte{oldVersion, 0, 0, 0, 0}, body...)
	binary.BigEndian.PutUint32(value[1:], crc32.Checksum(body, castagnoli))
	return value
}
