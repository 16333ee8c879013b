package agent

import (
	"context"
	"time"
)

// watchEvery is how soon a full queue, and one that is not full any more, is
// seen.
const watchEvery = 2 * time.Second

// levels are the alarms of the queue, and the percentage at which each is up.
var levels = []struct {
	alarm   string
	percent int
}{{"queue-50", 50}, {"queue-80", 80}, {"queue-95", 95}}

// watchQueue tells how full the queue is, and closes and opens the lane with
// it, until ctx ends.
func (a *Agent) watchQueue(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	expired, damaged := a.o.Queue.Stats().Expired, 0
	for {
		s := a.o.Queue.Stats()
		for _, l := range levels {
			a.SetAlarm(l.alarm, s.Level >= l.percent)
		}
		if s.Expired > expired {
			a.o.Log.Error("identities were removed: nobody took them in time, and their events stay", "identities", s.Expired-expired)
			expired = s.Expired
			a.hub.raise("identity-expired")
		}
		if s.Depth == 0 {
			a.hub.clear("identity-expired")
		}
		if s.Damaged > damaged {
			damaged = s.Damaged
			a.hub.raise("queue-damaged")
		}
		if a.o.Queue.Err() == nil {
			_ = a.desk.settle(ctx) // what is owed stays owed, and is told as an alarm
		}
		a.lane.refresh()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
