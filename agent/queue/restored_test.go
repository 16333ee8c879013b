package queue_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// registry is a far end that holds one event under each identity, the first.
type registry struct {
	mu   sync.Mutex
	held map[checkin.ID]string // uuid
	lie  bool                  // says of each record that another has its identity
	asks int
}

func (r *registry) take(_ context.Context, _ checkin.Traffic, batch []checkin.Record) ([]checkin.Ack, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asks++
	acks := make([]checkin.Ack, len(batch))
	for i := range batch {
		e := &batch[i].Event
		acks[i] = checkin.Ack{ID: e.ID, Status: checkin.Stored}
		switch held, there := r.held[e.ID]; {
		case r.lie || there && held != e.UUID:
			acks[i].Status = checkin.Conflict
		case there:
			acks[i].Status = checkin.Duplicate
		default:
			r.held[e.ID] = e.UUID
		}
	}
	return acks, nil
}

// times counts under how many identities each event is held.
func (r *registry) times() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := map[string]int{}
	for _, uuid := range r.held {
		n[uuid]++
	}
	return n
}

// TestARestoredFolderLosesNothing: a kiosk goes on with a backup of its state,
// and gives identities that the platform holds already.
func TestARestoredFolderLosesNothing(t *testing.T) {
	for _, further := range []int{1, 30, 150} { // visits after the backup, in each life
		t.Run(fmt.Sprint(further), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key, backup := authority(t), filepath.Join(t.TempDir(), "backup")
				k := newKiosk(t, key)
				platform, cdc := &registry{held: map[checkin.ID]string{}}, &registry{held: map[checkin.ID]string{}}
				k.Recipients = []string{"cdc"}
				life := func(name string, visits int) queue.Stats {
					q := k.open(t)
					var entries []queue.Entry
					for n := range visits {
						entries = append(entries, pair(fmt.Sprintf("%s-%d", name, n))...)
					}
					_, err := q.PutAll(t.Context(), entries...)
					must(t, err)
					draining(t, q, 20*time.Minute, map[string]queue.Sender{"": platform.take, "cdc": cdc.take})
					must(t, q.Close())
					return q.Stats()
				}
				life("before", 3)
				must(t, os.CopyFS(backup, os.DirFS(k.Dir)))
				first := life("lost", further)
				must(t, os.RemoveAll(k.Dir))
				must(t, os.CopyFS(k.Dir, os.DirFS(backup)))
				s := life("after", further)
				if s.Renumbered == 0 || s.Depth+s.Dead != 0 || s.Epoch == first.Epoch || s.Delivered != first.Delivered {
					t.Errorf("stats = %+v, want some renumbered, all delivered", s)
				}
				more := life("later", 3)
				if more.Renumbered != s.Renumbered || more.Epoch != s.Epoch {
					t.Errorf("a new epoch is not kept: %+v", more)
				}
				for name, far := range map[string]*registry{"the platform": platform, "cdc": cdc} {
					events := far.times()
					for uuid, n := range events {
						if n != 1 {
							t.Errorf("%s holds %s %d times", name, uuid, n)
						}
					}
					if want := 6 + 2*further; len(events) != want && name == "cdc" || len(events) != 2*want && name != "cdc" {
						t.Errorf("%s holds %d events of %d visits", name, len(events), want)
					}
				}
			})
		})
	}
}

// TestAPlatformThatCallsAllConflicts does not wear out the flash, and nothing
// is given up for it.
func TestAPlatformThatCallsAllConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		q := k.open(t)
		defer q.Close()
		const records = 250 // more than a batch
		for n := range records {
			put(t, q, fmt.Sprint(n))
		}
		liar := &registry{held: map[checkin.ID]string{}, lie: true}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		must(t, q.Drain(ctx, liar.take))
		if s := q.Stats(); s.Depth != records || s.Dead != 0 || s.LastError == "" {
			t.Errorf("stats = %+v, want all waiting, and why", s)
		}
		if liar.asks > 150 { // two batches in 2½ minutes on average, more in the beginning
			t.Errorf("it was asked %d times in an hour", liar.asks)
		}
		liar.lie = false
		empty(t, q, liar.take)
		for uuid, n := range liar.times() {
			if n != 1 {
				t.Errorf("%s is held %d times", uuid, n)
			}
		}
		if n := len(liar.times()); n != records {
			t.Errorf("%d events are held", n)
		}
	})
}
