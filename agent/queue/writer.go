package queue

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// op is one change that wants to be on the disk. apply may run twice: again on
// another file, after the first one has failed.
type op struct {
	apply   func(*turn) error
	outside func() error // instead of apply: something the writer does between commits
	records int          // that it brings
	frees   bool         // it makes room, and is let through when the disk is full
	done    chan error
}

// turn is one commit in the making. What ops want to have done to the memory
// once it is on the disk they leave in after.
type turn struct {
	q      *Queue
	tx     *bbolt.Tx
	f      *file // the newest
	state  state
	next   uint64 // seq
	after  []func()
	filing map[string]int // what this turn files in each outbox
	last   bool           // the queue is closed after it
}

// A commit takes whatever is waiting, up to groupRecords: no timer, so a lone
// record is not kept waiting, and a crowd shares one sync.
const groupRecords = 512

// A seq is given only from a block that an earlier commit has reserved: also
// one whose commit failed half-way is never given to another record.
const seqBlock = 1000

// do brings one op to the disk. It may still be written when ctx ends first.
func (q *Queue) do(ctx context.Context, o *op) error {
	o.done = make(chan error, 1)
	select {
	case <-q.closing:
		return errClosed
	default:
	}
	select {
	case q.ops <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-q.closing:
		return errClosed
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the one writer. It ends when Close has closed the queue, and what
// was waiting then has been answered.
func (q *Queue) write() {
	for {
		select {
		case o := <-q.ops:
			q.commit(q.gather(o))
		case <-q.closing:
			for {
				select {
				case o := <-q.ops:
					o.done <- errClosed
				default:
					return
				}
			}
		}
	}
}

// gather takes what else is waiting.
func (q *Queue) gather(first *op) []*op {
	group, records := []*op{first}, first.records
	// Those who were just answered may have the next one nearly ready: they are
	// let run as long as more of them come.
	for n := -1; n < len(q.ops); {
		n = len(q.ops)
		runtime.Gosched()
	}
	for records < groupRecords {
		select {
		case o := <-q.ops:
			group = append(group, o)
			records += o.records
		default:
			return group
		}
	}
	return group
}

// commit writes a group, and answers each of it. When the newest file fails, it
// is never written again: the group goes into a new one, at once.
func (q *Queue) commit(group []*op) {
	group = q.admit(group)
	if len(group) == 0 {
		return
	}
	err := q.try(group)
	if err != nil {
		err = q.goOn(err, group)
	}
	for _, o := range group {
		o.done <- err
	}
}

// admit answers what cannot be written now.
func (q *Queue) admit(group []*op) []*op {
	err := q.revive()
	full := q.reserve.refill()
	var in []*op
	for _, o := range group {
		switch {
		case err != nil:
			o.done <- err
		case full != nil && !o.frees:
			o.done <- fmt.Errorf("%w: the disk is: %v", ErrFull, full)
		case o.outside != nil:
			o.done <- o.outside()
		default:
			in = append(in, o)
		}
	}
	return in
}

// try runs one synced transaction on the newest file. An error leaves the file
// in doubt; the memory is as it was.
func (q *Queue) try(group []*op) error {
	n := need(group)
	if q.next+n > q.state.Reserved+1 {
		if err := q.turn(n, nil); err != nil {
			return err
		}
	}
	return q.turn(n, group)
}

func (q *Queue) turn(need uint64, group []*op) error {
	f := q.newest()
	t := turn{q: q, f: f, state: q.state, next: q.next, filing: map[string]int{}}
	err := f.db.Update(func(tx *bbolt.Tx) error {
		t.tx = tx
		for _, o := range group {
			if err := o.apply(&t); err != nil {
				return err
			}
		}
		if t.last {
			t.state.Reserved = t.next - 1 // what was reserved and not given is free again
		} else if t.state.Reserved < q.next+need+seqBlock/2 {
			t.state.Reserved = q.next + need + seqBlock
		}
		t.state.Ran = q.ran()
		if tx.Size() > largest {
			t.after = append(t.after, func() { poke(q.tidying) })
		}
		return t.state.write(tx)
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state, q.next = t.state, t.next
	for _, do := range t.after {
		do()
	}
	return nil
}

// goOn seals the file whose commit has failed, and writes the group into a new
// one. If that fails, too, the queue has stopped until revive succeeds.
func (q *Queue) goOn(why error, group []*op) error {
	err := q.seal(why)
	if err == nil {
		err = q.try(group)
	}
	if err == nil {
		return nil
	}
	// The disk may hold the group all the same: its identities are used up.
	q.next += need(group)
	q.stop(fmt.Errorf("%w: %v; then: %v", ErrStopped, why, err))
	return q.Err()
}

func need(group []*op) (n uint64) {
	for _, o := range group {
		n += uint64(o.records)
	}
	return n
}

func (q *Queue) stop(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped, q.stoppedAt = err, time.Now()
	poke(q.tidying)
}

// revive tries, at most once a second, to go on after everything has failed.
func (q *Queue) revive() error {
	err := q.stopped // and not Err: a full disk is no reason for another file
	if err == nil {
		return nil
	}
	if time.Since(q.stoppedAt) < reviveEvery {
		return err
	}
	if again := q.seal(err); again != nil {
		q.stop(fmt.Errorf("%w: %v", ErrStopped, again))
		return q.Err()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = nil
	return nil
}

const reviveEvery = time.Second

// seal ends the newest file, for whatever reason, and begins another. The old
// one is opened again for reading: its mapping may show what the disk has not.
func (q *Queue) seal(why error) error {
	if full(why) {
		q.reserve.use()
		poke(q.tidying)
	}
	old := q.newest()
	s := q.state
	// Nothing that the failed commit gave away is given again.
	s.Reserved = q.next + seqBlock
	s.Born, s.Ran = q.o.Now(), q.ran()
	s.BornRan = s.Ran
	if err := q.makeFile(old.n+1, &s); err != nil {
		return err
	}
	f, _, err := q.openFile(old.n+1, false)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state = s
	q.files = append(q.files, f)
	q.reopen(old)
	return nil
}

// reopen opens a file for reading only. The caller holds q.mu.
func (q *Queue) reopen(f *file) {
	_ = f.db.Close()
	again, _, err := q.openFile(f.n, true)
	if err != nil {
		// It is looked at again, and salvaged, at the next start.
		f.count, f.bytes, f.db = map[shelf]int{}, 0, nil
		return
	}
	f.db, f.count, f.bytes = again.db, again.count, again.bytes
}

// newest is the file that is written. The caller is the writer, or holds q.mu.
func (q *Queue) newest() *file { return q.files[len(q.files)-1] }

// ran is how long the queue has run, over all starts.
func (q *Queue) ran() time.Duration { return q.ranBefore + time.Since(q.opened) }

// identify gives a record its identity.
func (t *turn) identify() checkin.ID {
	id := checkin.ID{Device: t.q.o.Device, Epoch: t.state.Epoch, Seq: t.next}
	t.next++
	return id
}
