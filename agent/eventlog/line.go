package eventlog

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// maxLine bounds a line, in bytes; an event is about a thousand.
const maxLine = 64 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine writes e behind b. Only an Event fits: who it was is in another
// type, and cannot come here.
func appendLine(b []byte, e *checkin.Event) ([]byte, error) {
	if e.ID.Device == "" || e.ID.Epoch == "" {
		return nil, errors.New("an event without an identity cannot be logged: the queue gives it one")
	}
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding an event: %v", err)
	}
	if len(body)+10 > maxLine {
		return nil, fmt.Errorf("an event of %d bytes is larger than a line of the log may be", len(body))
	}
	b = fmt.Appendf(b, "%08x ", crc32.Checksum(body, castagnoli))
	return append(append(b, body...), '\n'), nil
}

// parseLine reads a line, without its LF.
func parseLine(line []byte) (e checkin.Event, err error) {
	if len(line) < 10 || len(line) >= maxLine || line[8] != ' ' {
		return e, errors.New("this is no line of an event log")
	}
	var sum [4]byte
	if _, err := hex.Decode(sum[:], line[:8]); err != nil || bytes.ContainsAny(line[:8], "ABCDEF") {
		return e, errors.New("this is no line of an event log")
	}
	body := line[9:]
	if got := crc32.Checksum(body, castagnoli); sum != [4]byte{byte(got >> 24), byte(got >> 16), byte(got >> 8), byte(got)} {
		return e, errors.New("its checksum is wrong")
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return checkin.Event{}, fmt.Errorf("it is no event: %v", err)
	}
	if e.Version < 1 || e.Version > checkin.EventVersion {
		return checkin.Event{}, fmt.Errorf("it has version %d, this program reads 1 to %d", e.Version, checkin.EventVersion)
	}
	return e, nil
}

// lines reads lines of a file, those that are too long by their beginning.
type lines struct {
	r *bufio.Reader
}

func newLines(r io.Reader) *lines { return &lines{bufio.NewReaderSize(r, maxLine)} }

// next returns a line without its LF, good until the next call; whole is false
// for one that does not end. The error is io.EOF after the last.
func (l *lines) next() (line []byte, whole bool, err error) {
	line, err = l.r.ReadSlice('\n')
	switch {
	case err == nil:
		return line[:len(line)-1], true, nil
	case errors.Is(err, bufio.ErrBufferFull): // and parseLine refuses it
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.r.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, false, err
		}
		return line, err == nil, nil
	case errors.Is(err, io.EOF) && len(line) > 0:
		return line, false, nil
	}
	return nil, false, err
}

// tail is what the end of the log holds, by identity.
type tail struct {
	ring []checkin.ID
	next int
	in   map[checkin.ID]bool
}

// A queue asks again for what was on its way when it crashed: a few batches of
// 200 records.
const (
	tailEvents = 4096
	tailBytes  = 4 << 20
)

func (t *tail) has(id checkin.ID) bool { return t.in[id] }

func (t *tail) add(id checkin.ID) {
	if t.in == nil {
		t.in = map[checkin.ID]bool{}
	}
	if t.in[id] {
		return
	}
	if len(t.ring) < tailEvents {
		t.ring = append(t.ring, id)
	} else {
		delete(t.in, t.ring[t.next])
		t.ring[t.next] = id
		t.next = (t.next + 1) % tailEvents
	}
	t.in[id] = true
}

// load fills t from the end of a file. What is damaged there is not held.
func (t *tail) load(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	begin := max(0, size-tailBytes)
	in := newLines(io.NewSectionReader(f, begin, size-begin))
	for n := 0; ; n++ {
		line, _, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 && begin > 0 {
			continue // its beginning lies before
		}
		if e, err := parseLine(line); err == nil {
			t.add(e.ID)
		}
	}
}
