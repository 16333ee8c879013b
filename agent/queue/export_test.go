package queue

import (
	"os"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Breakable gives o a disk that breakDisk breaks: every later write of the
// queue's file fails, as on a dying card.
func Breakable(o Opts) (_ Opts, breakDisk func()) {
	var file *os.File
	o.openFile = func(path string, flag int, mode os.FileMode) (f *os.File, err error) {
		file, err = os.OpenFile(path, flag, mode)
		return file, err
	}
	return o, func() { _ = file.Close() }
}

// Decode is the parser of stored values, for the fuzzer.
func Decode(value []byte) (*checkin.Record, error) { return decode(value) }

// Encode writes what Decode reads.
func Encode(r *checkin.Record) ([]byte, error) { return encode(r) }
