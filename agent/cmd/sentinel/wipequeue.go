package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/eventlog"
	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/agent/wipe"
	"github.com/digital-sentinel/sentinel/configs"
)

// hold takes the queue's lock, and tells what is in it. The lock that reads is
// not the lock that holds: a kiosk that ran between them is found by its files.
func (c *command) hold(config *configs.Config, f *wipeFlags, now func() checkin.Stamp) (wipe.Lost, func() error, error) {
	before := generations(config.State)
	lost := wipe.Lost{Known: true, Reports: map[string]int{}, Identities: map[string]int{}}
	if len(before) > 0 {
		if err := c.inventory(config, f, &lost, now); err != nil {
			return lost, nil, err
		}
	}
	unlock, err := queue.Lock(config.State)
	if err != nil {
		return lost, nil, err
	}
	if !slices.Equal(before, generations(config.State)) {
		unlock()
		return lost, nil, errors.New("a kiosk has run here just now: stop it, and wipe again")
	}
	return lost, func() error { unlock(); return nil }, nil
}

// inventory counts what is in the queue, and who it is sealed to. If the wipe
// is meant and the event log stays, the events of what is lost go there first:
// a queue keeps them until they are delivered, and the law may want them.
func (c *command) inventory(config *configs.Config, f *wipeFlags, lost *wipe.Lost, now func() checkin.Stamp) error {
	err := eachItem(config.State, func(i *queue.Item) error {
		switch {
		case i.Recipient != "":
			lost.Reports[i.Recipient]++
		case i.Dead:
			lost.Dead++
		default:
			lost.Records++
		}
		if len(i.Record.Identity) > 0 {
			lost.Identities[i.Record.KeyID]++
		}
		return nil
	})
	if errors.Is(err, queue.ErrLocked) {
		return err
	}
	if err != nil {
		fmt.Fprintln(c.env.Stderr, "sentinel: the queue cannot be read:", err)
		lost.Known = false
	}
	meant := lost.Number() == f.undelivered || wipe.Pending(config.State) != nil
	if f.events != "keep" || !meant {
		return nil
	}
	if lost.EventsKept, err = saveEvents(config.State, now); err != nil {
		return fmt.Errorf("keeping the events of undelivered records: %w; nothing was removed (--events=remove gives them up)", err)
	}
	return nil
}

// saveEvents puts the events of the queue into the event log, as far as they can
// be read, and counts them. Those that are there already count once there.
func saveEvents(state string, now func() checkin.Stamp) (n int, err error) {
	l, err := eventlog.Open(eventlog.Opts{Dir: filepath.Join(state, eventlog.Folder), Now: now})
	if err != nil {
		return 0, err
	}
	var batch []checkin.Event
	flush := func() error {
		if err := l.Append(batch...); err != nil {
			return &logError{err}
		}
		n += len(batch)
		batch = batch[:0]
		return nil
	}
	err = eachItem(state, func(i *queue.Item) error {
		if i.Recipient != "" {
			return nil // a report is a check-in, too
		}
		if batch = append(batch, i.Record.Event); len(batch) < 200 {
			return nil
		}
		return flush()
	})
	var failed *logError
	if !errors.As(err, &failed) { // what could not be read is lost all the same
		err = flush()
	}
	return n, errors.Join(err, l.Close())
}

// logError is the event log's, not the queue's.
type logError struct{ error }

// eachItem reads the queue. A damaged file may fault where it is read, which is
// no reason not to wipe it. Of what goes wrong the last is told.
func eachItem(state string, f func(*queue.Item) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("its files are damaged: %v", r)
		}
	}()
	for item, ierr := range queue.Items(state) {
		if ierr != nil {
			err = ierr
			continue
		}
		if err := f(&item); err != nil {
			return err
		}
	}
	return err
}

// generations are the queue's files as they are now.
func generations(state string) []string {
	entries, err := os.ReadDir(state)
	if err != nil {
		return nil
	}
	var all []string
	for _, e := range entries {
		old, _ := filepath.Match("queue.db", e.Name())
		is, _ := filepath.Match("q-*.db", e.Name())
		if fi, err := e.Info(); err == nil && (is || old) {
			all = append(all, fmt.Sprint(e.Name(), fi.Size(), fi.ModTime().UnixNano()))
		}
	}
	return all
}
