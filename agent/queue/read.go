package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Item is a record as it stands in the queue.
type Item struct {
	Recipient string          `json:"recipient,omitempty"` // whose report it is; empty: a check-in
	Dead      bool            `json:"dead,omitempty"`
	Why       string          `json:"why,omitempty"` // it was refused for good
	Record    *checkin.Record `json:"record"`
}

// Read looks into the queue in dir without an agent, changing nothing.
// ErrLocked is wrapped when an agent has it: ask that one.
func Read(dir string) (Stats, error) {
	var s Stats
	err := reading(dir, func(q *Queue) error {
		s = q.count()
		return nil
	})
	return s, err
}

// Items gives every record in the queue in dir without an agent, oldest first,
// changing nothing. A damaged one is an error, after which it goes on.
func Items(dir string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		err := reading(dir, func(q *Queue) error { return q.items(yield) })
		if err != nil && !errors.Is(err, errEnough) {
			yield(Item{}, err)
		}
	}
}

var errEnough = errors.New("enough")

// Requeue lets the dead of every box wait again, and counts them: whoever
// refused them has been mended.
func (q *Queue) Requeue(ctx context.Context) (n int, err error) {
	q.mu.Lock()
	files := q.files[:len(q.files):len(q.files)]
	q.mu.Unlock()
	for _, f := range files {
		for _, s := range q.leftovers(f) {
			if !s.dead {
				continue
			}
			m, err := q.raise(ctx, f, s)
			n += m
			if err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

//

// raise lets the dead of one shelf wait again. What is damaged stays dead.
func (q *Queue) raise(ctx context.Context, f *file, s shelf) (n int, err error) {
	for from := uint64(0); ; {
		q.mu.Lock()
		list := f.first(s, from, math.MaxUint64, moveAtOne)
		q.mu.Unlock()
		if len(list) == 0 {
			return n, nil
		}
		from = list[len(list)-1].at.key + 1
		var good []raw
		for _, r := range list {
			if of := (found{s, r.value}); of.record() != nil {
				good = append(good, r)
			}
		}
		err := q.do(ctx, &op{frees: true, apply: func(t *turn) error {
			for _, r := range good {
				_, value, _ := epitaph(r.value)
				if err := t.carry(s, r.at, len(r.value), shelf{box: s.box}, value); err != nil {
					return err
				}
			}
			return nil
		}})
		if err != nil {
			return n, err
		}
		n += len(good)
	}
}

// reading opens the queue in dir for reading.
func reading(dir string, look func(*Queue) error) error {
	o := Opts{Dir: dir}
	if err := o.complete(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, lockName)); err != nil {
		return fmt.Errorf("there is no queue yet: %w", err)
	}
	unlock, err := lock(dir, syscall.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	q := &Queue{o: o, reserve: reserve{path: filepath.Join(dir, reserveName), size: o.Reserve}}
	defer q.closeFiles()
	list, err := generations(dir)
	if err != nil {
		return fmt.Errorf("reading the queue: %w", err)
	}
	for _, n := range list {
		f, s, err := q.openFile(n, true)
		if err != nil {
			return err
		}
		q.files, q.state = append(q.files, f), *s
	}
	if len(list) == 0 {
		return fmt.Errorf("there is no queue in %s yet", dir)
	}
	q.learnGone()
	q.reserve.find()
	q.ranBefore = q.state.Ran
	q.age()
	return look(q)
}

func (q *Queue) items(yield func(Item, error) bool) error {
	for _, f := range q.files {
		for _, s := range q.leftovers(f) {
			if err := f.items(s, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *file) items(s shelf, yield func(Item, error) bool) error {
	for from := uint64(0); ; {
		list := f.first(s, from, math.MaxUint64, batchRecords)
		if len(list) == 0 {
			return nil
		}
		for _, r := range list {
			item := Item{Recipient: s.box, Dead: s.dead}
			of := found{s, r.value}
			var err error
			if item.Record = of.record(); item.Record == nil {
				err = fmt.Errorf("%s: record %d: %w", f.path, r.at.key, errDamaged)
			}
			if s.dead {
				item.Why, _, _ = epitaph(r.value)
			}
			if !yield(item, err) {
				return errEnough
			}
		}
		from = list[len(list)-1].at.key + 1
	}
}
