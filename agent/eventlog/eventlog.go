// Package eventlog keeps what happened at a kiosk, without who it was, for as
// long as the law wants it: in files of a month each, apart from the queue, so
// that delivery and its troubles do not touch them.
//
// # Files
//
// The folder holds files named by a number that only rises, and the month (UTC)
// as it was believed to be when the file was begun:
//
//	events-000007-2026-10.log.gz   closed
//	events-000008-2026-11.log      the present one: the highest number
//
// The number orders them; the month is for people, since a clock may be wrong.
// A new file is begun when the clock is believed and shows another month, and
// when the present one is over 32 MiB. An unbelieved clock begins none.
//
// A file is lines of
//
//	CRC-32C (8 hexadecimal digits) SP event as JSON LF
//
// Closed files are compressed, byte for byte, with gzip.
//
// # What it promises
//
//   - What Append has taken is still there after a power cut.
//   - It may be there twice, since the queue asks again after a crash: readers
//     drop repeats by identity. A line that is damaged costs that event and no
//     other.
//   - A file goes Opts.Keep after its end, and no earlier than Keep after the
//     last believable time in it. The end of a file is the first believable
//     time in the files after it. While the clock is not believed, nothing goes,
//     whatever it shows: a kiosk that never learns the time keeps everything.
//
// # What each failure leaves
//
// A power cut while lines are written leaves a torn last line: Open cuts it
// off. Before it may stand lines with holes: they are told as damaged and were
// never acknowledged, so that the queue asks for their events again. A disk that is full, or a write that fails: Append takes nothing, cuts
// the file back to its last line, and works again when there is room. A sync
// that fails: likewise, and what follows goes into a new file, since nobody
// knows what the disk holds of this one. A cut while a file is compressed
// leaves the plain file, or both; Open goes on from there.
//
// One process writes: the caller holds the lock of the state folder (the
// queue's). Read needs no lock.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/durable"
)

// Folder is the log's own folder in the state folder of a kiosk.
const Folder = "events"

// Keep is the least time that events are kept: half a year.
const Keep = 184 * 24 * time.Hour

// Opts is what a Log is made of.
type Opts struct {
	Dir  string               // the log's folder; made if it is not there, mode 0700
	Keep time.Duration        // 0 is the constant Keep; less is refused
	Now  func() checkin.Stamp // the time, and whether it is believed

	// hooks stand in for the disk and the size of a file in tests.
	open func(name string, flag int, mode os.FileMode) (file, error)
	most int64
	step func(string) error
}

// Log is an opened event log. It is safe for concurrent use.
type Log struct {
	o Opts

	mu      sync.Mutex
	now     place // the present file
	f       file
	size    int64 // up to the last good line
	torn    bool  // more than size may be in the file
	suspect bool  // a sync has failed
	tail    tail
	day     string // of the last upkeep
	stats   Stats

	kick chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// Stats is how the log is.
type Stats struct {
	File     string `json:"file"` // the present one
	Files    int    `json:"files"`
	Bytes    int64  `json:"bytes"`    // of all files
	Appended int    `json:"appended"` // since Open
	Repeated int    `json:"repeated"` // asked again, and there already
	Gone     int    `json:"gone"`     // files whose time was over, since Open
	// Err is what went wrong last with old files; they are tried again.
	Err string `json:"err,omitempty"`
}

// maxFile is when a file is closed before its month is over: what is packed
// and read at a time stays small.
const maxFile = 32 << 20

// Open opens the log in o.Dir, and makes it if there is none. Old files are
// looked after in the background until Close.
func Open(o Opts) (*Log, error) {
	if o.Keep == 0 {
		o.Keep = Keep
	}
	switch {
	case o.Keep < Keep:
		return nil, fmt.Errorf("the event log is to be kept for %v, and the law wants %v", o.Keep, Keep)
	case o.Now == nil:
		return nil, errors.New("the event log has no clock")
	}
	o.fill()
	if err := makeDir(o.Dir); err != nil {
		return nil, fmt.Errorf("making the event log's folder: %w", err)
	}
	l := &Log{o: o, kick: make(chan struct{}, 1), done: make(chan struct{})}
	if err := l.resume(); err != nil {
		return nil, fmt.Errorf("opening the event log: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	go l.upkeep(ctx)
	l.kick <- struct{}{}
	return l, nil
}

// Append writes events, and returns when they are on the disk. All of them are
// there then; after an error none of them counts as there, and the same call
// may be made again. What was written lately is not written twice.
func (l *Log) Append(events ...checkin.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return errors.New("the event log is closed")
	}
	lines, ids, err := l.news(events)
	if err != nil {
		return err
	}
	l.stats.Repeated += len(events) - len(ids)
	if err := l.ready(); err != nil {
		return fmt.Errorf("writing the event log: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	if err := l.write(lines); err != nil {
		return fmt.Errorf("writing the event log: %w", err)
	}
	l.stats.Appended += len(ids)
	for _, id := range ids {
		l.tail.add(id)
	}
	return nil
}

// Close gives the files back, and waits for the work on old ones to stop. It
// may be called again.
func (l *Log) Close() error {
	l.mu.Lock()
	f := l.f
	l.f = nil
	l.mu.Unlock()
	l.stop()
	<-l.done
	if f == nil {
		return nil
	}
	return f.Close()
}

// Stats tells how the log is.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	s := l.stats
	s.File = l.now.name()
	l.mu.Unlock()
	files, err := list(l.o.Dir)
	if err != nil {
		s.Err = err.Error()
	}
	for _, p := range files {
		s.Files++
		for _, name := range p.names() {
			if fi, err := os.Stat(filepath.Join(l.o.Dir, name)); err == nil {
				s.Bytes += fi.Size()
			}
		}
	}
	return s
}

//

// news encodes those of events that the tail does not hold.
func (l *Log) news(events []checkin.Event) (lines []byte, ids []checkin.ID, err error) {
	asked := map[checkin.ID]bool{}
	for i := range events {
		id := events[i].ID
		if l.tail.has(id) || asked[id] {
			continue
		}
		if lines, err = appendLine(lines, &events[i]); err != nil {
			return nil, nil, err
		}
		asked[id] = true
		ids = append(ids, id)
	}
	return lines, ids, nil
}

// ready makes the present file one that can be written to.
func (l *Log) ready() error {
	if l.torn {
		if err := l.f.Truncate(l.size); err != nil {
			return err
		}
		l.torn = false
	}
	now := l.o.Now()
	if today := now.Wall.UTC().Format(time.DateOnly); now.Trusted && today != l.day {
		l.day = today
		l.wake()
	}
	// A file that is empty is taken again, lest a bad disk fill with such.
	if l.size == 0 || !l.suspect && l.size < l.o.most && !(now.Trusted && l.now.over(now.Wall)) {
		return nil
	}
	err := l.begin(place{number: l.now.number + 1, month: month(now.Wall)})
	if err != nil && !l.suspect {
		l.stats.Err = "beginning a file: " + err.Error()
		return nil // the present one takes events all the same
	}
	return err
}

// write appends lines and syncs them, or takes them back.
func (l *Log) write(lines []byte) error {
	_, err := l.f.Write(lines)
	if err == nil {
		if err = l.f.Sync(); err != nil {
			l.suspect = true
		}
	}
	if err != nil {
		l.torn = l.f.Truncate(l.size) != nil
		return err
	}
	l.size += int64(len(lines))
	l.suspect = false
	return nil
}

// begin makes the file of p, durably, and writes to it from now on.
func (l *Log) begin(p place) error {
	path := filepath.Join(l.o.Dir, p.name())
	f, err := l.o.open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), durable.SyncDir(l.o.Dir)); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	if l.f != nil {
		_ = l.f.Close() // all of it is synced
	}
	l.f, l.now, l.size, l.torn, l.suspect = f, p, 0, false, false
	l.wake()
	return nil
}

// resume goes on with the file of the highest number, or with a new one.
func (l *Log) resume() error {
	files, err := list(l.o.Dir)
	if err != nil {
		return err
	}
	if err := sweep(l.o.Dir); err != nil {
		return err
	}
	next := place{number: 1, month: month(l.o.Now().Wall)}
	if len(files) > 0 {
		last := files[len(files)-1]
		if last.plain && !last.packed {
			if err = l.reopen(last); err == nil {
				return nil
			}
			l.stats.Err = err.Error() // a file that cannot be read stops nobody
		}
		next.number = last.number + 1
	}
	return l.begin(next)
}

func (l *Log) reopen(p place) error {
	path := filepath.Join(l.o.Dir, p.name())
	size, err := mend(path)
	if err == nil {
		err = durable.SyncDir(l.o.Dir) // likewise its name
	}
	if err != nil {
		return err
	}
	if err := l.tail.load(path, size); err != nil {
		return err
	}
	f, err := l.o.open(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	l.f, l.now, l.size = f, p, size
	return nil
}

// wake has old files looked after soon. The caller may hold l.mu.
func (l *Log) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// fill puts in what tests replace.
func (o *Opts) fill() {
	if o.open == nil {
		o.open = func(name string, flag int, mode os.FileMode) (file, error) {
			f, err := os.OpenFile(name, flag, mode)
			if err != nil {
				return nil, err // and no typed nil
			}
			return f, nil
		}
	}
	if o.most == 0 {
		o.most = maxFile
	}
	if o.step == nil {
		o.step = func(string) error { return nil }
	}
}
