package eventlog

import (
	"os"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Disk is the file that tests break.
type Disk = file

// On gives o a disk of the test's own.
func On(o Opts, open func(name string, flag int, mode os.FileMode) (Disk, error)) Opts {
	o.open = open
	return o
}

// Small gives o files of about most bytes.
func Small(o Opts, most int64) Opts {
	o.most = most
	return o
}

// Stopping has old files looked after up to a step, as if the agent were killed
// there.
func Stopping(o Opts, step func(string) error) Opts {
	o.step = step
	return o
}

// ParseLine is the parser of lines.
func ParseLine(line []byte) (checkin.Event, error) { return parseLine(line) }

// AppendLine writes what ParseLine reads, and a LF.
func AppendLine(b []byte, e *checkin.Event) ([]byte, error) { return appendLine(b, e) }

// Settle waits until all that was due for old files is done: each word is taken
// when the work on the one before is over.
func Settle(l *Log) {
	for range 3 {
		l.kick <- struct{}{}
	}
}
