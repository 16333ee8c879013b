package queue

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/digital-sentinel/sentinel/agent/durable"
)

// openAll opens every generation, oldest first, and begins a new one where the
// newest cannot be gone on with.
func (q *Queue) openAll() error {
	list, err := q.prepare()
	if err != nil {
		return err
	}
	n := following(list)
	adopted, err := q.adopt(n)
	if err != nil {
		return err
	}
	if adopted {
		list = append(list, n)
	}
	clean := q.wasClean()
	if err := q.forgetClean(); err != nil {
		return err
	}
	goOn := len(list) > 0 && !adopted
	for i, n := range list {
		goOn = q.openOne(n, clean, i < len(list)-1) && goOn
	}
	q.learnGone()
	q.reserve.find()
	if goOn {
		q.next = q.state.Reserved + 1
	} else if err := q.begin(list); err != nil {
		return err
	}
	q.ranBefore = q.state.Ran
	_ = q.reserve.refill() // while it is missing nothing new is taken in, and Err says so
	q.allHasWaited()
	q.age()
	return nil
}

// prepare clears away what was never finished, and lists the files.
func (q *Queue) prepare() ([]uint64, error) {
	entries, err := os.ReadDir(q.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, prefix) && (strings.HasSuffix(name, ".new") || strings.HasSuffix(name, ".salvage")) {
			if err := remove(filepath.Join(q.o.Dir, name)); err != nil {
				return nil, fmt.Errorf("opening the queue: %w", err)
			}
		}
	}
	list, err := generations(q.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	return list, nil
}

// openOne opens generation n, salvaging it where that must be, and reports
// whether it was as it was left.
func (q *Queue) openOne(n uint64, clean, readOnly bool) (whole bool) {
	path := filepath.Join(q.o.Dir, fileName(n))
	var damage error
	if !clean {
		damage = q.check(path)
	}
	for salvaged := false; damage == nil || !salvaged; {
		if damage != nil {
			if err := q.inReserve(func() error { return q.salvage(n, damage) }); err != nil {
				q.leave(err)
				return false
			}
			salvaged, damage = true, nil
		}
		f, s, err := q.openFile(n, readOnly)
		if err == nil {
			q.files = append(q.files, f)
			counters := q.state.Counters
			q.state = *s
			if salvaged {
				q.state.Counters = counters // those of before are the last that are known
			}
			return !salvaged
		}
		if errors.Is(err, errSchema) {
			// A newer program made it, which will read it again. It stays as it is.
			q.rescued.Foreign++
			return false
		}
		damage = err
	}
	q.leave(damage)
	return false
}

// leave goes on without a file that cannot be saved now: it stays where it is,
// and the next start tries again.
func (q *Queue) leave(why error) {
	q.rescued.Damaged++
	q.notes[checkins] = note{last: why.Error()}
}

// begin begins a new store of identities: where there is none, and where the
// newest file was damaged, so that it is not known which seqs were given.
func (q *Queue) begin(list []uint64) error {
	n := following(list)
	s := state{Epoch: newEpoch(), Reserved: seqBlock, Born: q.o.Now(), Ran: q.state.Ran, Counters: q.state.Counters}
	s.BornRan = s.Ran
	s.Counters.Damaged += q.rescued.Damaged
	s.Counters.Foreign = q.rescued.Foreign
	s.Counters.Salvaged += q.rescued.Salvaged
	if err := q.inReserve(func() error { return q.makeFile(n, &s) }); err != nil {
		return err
	}
	f, _, err := q.openFile(n, false)
	if err != nil {
		return err
	}
	q.files, q.state, q.next = append(q.files, f), s, 1
	return nil
}

// inReserve does what must be done at a start; where the disk has no room for
// it, in that of the reserve.
func (q *Queue) inReserve(do func() error) error {
	err := do()
	if full(err) {
		q.reserve.use()
		err = do()
	}
	return err
}

func newEpoch() string { return rand.Text()[:16] }

// following is the number of the next generation.
func following(list []uint64) uint64 {
	if len(list) == 0 {
		return 1
	}
	return list[len(list)-1] + 1
}

// closeFiles gives the files back.
func (q *Queue) closeFiles() error {
	var errs []error
	for _, f := range q.files {
		if f.db != nil {
			errs = append(errs, f.db.Close())
		}
	}
	return errors.Join(errs...)
}

// cleanName is a file that lists the generations as an orderly Close has left
// them. Without it they are looked at before they are opened.
const cleanName = "queue.clean"

func (q *Queue) cleanList() []byte {
	list, _ := generations(q.o.Dir)
	var b strings.Builder
	for _, n := range list {
		if fi, err := os.Stat(filepath.Join(q.o.Dir, fileName(n))); err == nil {
			fmt.Fprintf(&b, "%d %d\n", n, fi.Size())
		}
	}
	return []byte(b.String())
}

func (q *Queue) noteClean() error {
	return durable.WriteFile(filepath.Join(q.o.Dir, cleanName), q.cleanList(), 0o600)
}

func (q *Queue) wasClean() bool {
	was, err := os.ReadFile(filepath.Join(q.o.Dir, cleanName))
	return err == nil && bytes.Equal(was, q.cleanList())
}

// forgetClean is done before the first file is opened: if that ends the
// process, the next one is careful.
func (q *Queue) forgetClean() error {
	if err := durable.Remove(filepath.Join(q.o.Dir, cleanName)); err != nil {
		return fmt.Errorf("opening the queue: %w", err)
	}
	return nil
}
