package eventlog

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Damage is a place in the log that cannot be read. The events after it can,
// unless Line is 0: then it is the rest of the file.
type Damage struct {
	File string
	Line int
	Err  error
}

// Error tells where, and what is wrong.
func (d *Damage) Error() string {
	if d.Line == 0 {
		return fmt.Sprintf("%s cannot be read to its end: %v", d.File, d.Err)
	}
	return fmt.Sprintf("%s line %d is damaged: %v", d.File, d.Line, d.Err)
}

// Unwrap gives the cause.
func (d *Damage) Unwrap() error { return d.Err }

// Read gives the events of the log in dir from the time from until before the
// time to, in the order in which they were written, each once. A zero time is
// no bound. It changes nothing and may run beside the log's writer.
//
// An event whose clock was not believed is given if it may have been then: if
// the believable times around it in the log do not rule it out.
//
// What is damaged is given as an error of type *Damage, and reading goes on;
// after another error it ends.
func Read(dir string, from, to time.Time) iter.Seq2[checkin.Event, error] {
	return func(yield func(checkin.Event, error) bool) {
		files, err := list(dir)
		if err != nil {
			yield(checkin.Event{}, fmt.Errorf("reading the event log: %w", err))
			return
		}
		r := &reader{from: from, to: to, yield: yield}
		for i, p := range files {
			if !r.file(dir, p, i == len(files)-1) {
				return
			}
		}
		r.flush(time.Time{})
	}
}

// reader is one run of Read.
type reader struct {
	from, to time.Time
	yield    func(checkin.Event, error) bool
	seen     seen
	last     time.Time       // the last believable time
	unsure   []checkin.Event // since then, without one
}

// mostUnsure bounds what waits for the next believable time; more are given
// without waiting.
const mostUnsure = 4096

// file reads one file; false ends the run.
func (r *reader) file(dir string, p place, present bool) bool {
	for line, err := range scan(dir, p) {
		switch {
		case err != nil && !r.yield(checkin.Event{}, err):
			return false
		case err != nil:
			continue
		case !line.whole && present:
			return true // it is being written
		case line.err != nil || !line.whole:
			why := line.err
			if why == nil {
				why = io.ErrUnexpectedEOF
			}
			if !r.yield(checkin.Event{}, &Damage{File: p.name(), Line: line.number, Err: why}) {
				return false
			}
		case r.seen.add(line.event.ID) && !r.event(line.event):
			return false
		}
	}
	return true
}

// event gives e if it is wanted; false ends the run.
func (r *reader) event(e checkin.Event) bool {
	if !e.At.Trusted {
		r.unsure = append(r.unsure, e)
		return len(r.unsure) < mostUnsure || r.flush(time.Time{})
	}
	if !r.flush(e.At.Wall) {
		return false
	}
	r.last = e.At.Wall
	if e.At.Wall.Before(r.from) || !r.to.IsZero() && !e.At.Wall.Before(r.to) {
		return true
	}
	return r.yield(e, nil)
}

// flush gives what waits, if it may have been in the wanted time: it was after
// r.last, and before next, if there is one.
func (r *reader) flush(next time.Time) bool {
	waiting := r.unsure
	r.unsure = nil
	if !next.IsZero() && next.Before(r.from) || !r.to.IsZero() && !r.last.IsZero() && !r.last.Before(r.to) {
		return true
	}
	for _, e := range waiting {
		if !r.yield(e, nil) {
			return false
		}
	}
	return true
}

// scanned is one line of a file.
type scanned struct {
	number int // from 1
	whole  bool
	event  checkin.Event
	err    error // the line is damaged
}

// scan reads the lines of one file, in whichever form it is there. The error is
// a *Damage, after which there are no more lines.
func scan(dir string, p place) iter.Seq2[scanned, error] {
	return func(yield func(scanned, error) bool) {
		f, err := openFile(dir, p)
		if errors.Is(err, fs.ErrNotExist) {
			return // its time was over just now
		}
		if err != nil {
			yield(scanned{}, &Damage{File: p.name(), Err: err})
			return
		}
		defer f.Close()
		in := newLines(f)
		for n := 1; ; n++ {
			line, whole, err := in.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(scanned{}, &Damage{File: p.name(), Err: err})
				return
			}
			s := scanned{number: n, whole: whole}
			s.event, s.err = parseLine(line)
			if !yield(s, nil) {
				return
			}
		}
	}
}

// openFile opens a file of the log: the plain form, or the packed one, which
// takes its place at any moment.
func openFile(dir string, p place) (io.ReadCloser, error) {
	path := filepath.Join(dir, p.name())
	f, err := os.Open(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if f, err = os.Open(path + packedEnd); err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &unpacked{z, f}, nil
}

// unpacked is a packed file being read.
type unpacked struct {
	*gzip.Reader
	f *os.File
}

func (u *unpacked) Close() error { return errors.Join(u.Reader.Close(), u.f.Close()) }

// seen is a set of identities. Numbers of an epoch are dense, so that a million
// take 125 kB.
type seen struct {
	pages map[page]*[pageSize / 64]uint64
}

const pageSize = 8192

type page struct {
	device, epoch string
	number        uint64
}

// add reports whether id is new.
func (s *seen) add(id checkin.ID) bool {
	if s.pages == nil {
		s.pages = map[page]*[pageSize / 64]uint64{}
	}
	k := page{id.Device, id.Epoch, id.Seq / pageSize}
	bits := s.pages[k]
	if bits == nil {
		bits = new([pageSize / 64]uint64)
		s.pages[k] = bits
	}
	word, bit := id.Seq%pageSize/64, uint64(1)<<(id.Seq%64)
	if bits[word]&bit != 0 {
		return false
	}
	bits[word] |= bit
	return true
}
