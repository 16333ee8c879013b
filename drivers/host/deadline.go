package host

import (
	"sync"
	"time"
)

// deadline is a point in time that a blocked call can wait for and that another
// goroutine can move meanwhile, with the meaning of net.Conn: a point that has
// passed stays passed until it is moved, and the zero time never comes.
//
// It is made of a channel and a timer only, so it holds under testing/synctest.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{} // closed when it has come; renewed when it is moved on
}

// set moves the deadline. A call that waits already follows it.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.passed == nil || closed(d.passed) {
		d.passed = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		close(d.passed)
		return
	}
	var mine *time.Timer
	mine = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.timer == mine { // or the deadline was moved just as it came
			d.timer = nil
			close(d.passed)
		}
	})
	d.timer = mine
}

// wait gives the channel that is closed when the deadline comes. A waiting call
// asks once, at its beginning.
func (d *deadline) wait() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	return d.passed
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
