package queue_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

const day = 24 * time.Hour

// kiosk is a queue with clocks of its own.
type kiosk struct {
	queue.Opts
	boot    string
	trusted bool
}

func newKiosk(t *testing.T, to *age.X25519Identity) *kiosk {
	k := &kiosk{boot: "boot-1", trusted: true}
	k.Opts = queue.Opts{Dir: t.TempDir(), Device: "k", Recipient: to.Recipient().String(), Now: k.now}
	return k
}

func (k *kiosk) now() checkin.Stamp {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of the bubble
	return checkin.Stamp{Wall: time.Now(), Boot: time.Since(start), BootID: k.boot, Trusted: k.trusted}
}

func (k *kiosk) open(t *testing.T) *queue.Queue {
	t.Helper()
	q, err := queue.Open(k.Opts)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// visit puts a visit with an identity.
func (k *kiosk) visit(t *testing.T, q *queue.Queue, uuid string) {
	t.Helper()
	e := visit(uuid)
	e.At = k.now()
	if _, err := q.Put(context.Background(), e, &checkin.Identity{UUID: uuid, Kind: checkin.ResidentID, Value: "11010519491231002X"}); err != nil {
		t.Fatal(err)
	}
}

// ageHeader begins every sealed identity; in JSON it is base64.
const ageHeader = "YWdlLWVuY3J5cHRpb24ub3Jn"

// sealed lists the files of the folder that hold an identity, delivered or not.
func (k *kiosk) sealed(t *testing.T) (list []string) {
	t.Helper()
	files, err := os.ReadDir(k.Dir)
	must(t, err)
	for _, f := range files {
		if bytes.Contains(read(t, filepath.Join(k.Dir, f.Name())), []byte(ageHeader)) {
			list = append(list, f.Name())
		}
	}
	return list
}

// empty drains q until nothing waits, for half an hour at most.
func empty(t *testing.T, q *queue.Queue, take queue.Sender) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	go func() {
		for ctx.Err() == nil && q.Stats().Depth > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	var mu sync.Mutex // two lanes
	must(t, q.Drain(ctx, func(ctx context.Context, lane checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
		mu.Lock()
		defer mu.Unlock()
		return take(ctx, lane, b)
	}))
}

// once answers for the first record that is brought, and then hangs.
func once(status checkin.AckStatus, why string) queue.Sender {
	var asked atomic.Bool
	return func(ctx context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
		if asked.Swap(true) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return []checkin.Ack{{ID: b[0].Event.ID, Status: status, Reason: why}}, nil
	}
}

// TestAnIdentityThatNobodyTakes is removed from the disk after its time, also
// from pages that are free; its event stays, says so, and is delivered.
func TestAnIdentityThatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		q := k.open(t)
		k.visit(t, q, "old")
		time.Sleep(10 * day)
		k.visit(t, q, "young")
		time.Sleep(4*day - time.Hour)
		if s := q.Stats(); s.Expired != 0 || s.Level < 95 {
			t.Errorf("an hour before its time: %+v, want it there, and nearly too old", s)
		}
		time.Sleep(2 * time.Hour)
		if s := q.Stats(); s.Expired != 1 || s.Depth != 2 {
			t.Errorf("after its time: %+v, want one expired identity and both events", s)
		}
		must(t, q.Close())
		q = k.open(t) // the count survives
		defer q.Close()
		if s := q.Stats(); s.Expired != 1 || s.Depth != 2 {
			t.Errorf("after a restart: %+v", s)
		}
		got := map[string]checkin.Record{}
		empty(t, q, func(ctx context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
			for _, r := range b {
				got[r.Event.UUID] = r
			}
			return storeAll(ctx, checkin.Backlog, b)
		})
		if r := got["old"]; len(r.Identity) != 0 || !r.IdentityExpired || r.KeyID != "" {
			t.Errorf("the old one was delivered as %+v", r)
		}
		if r := got["young"]; len(r.Identity) == 0 || r.IdentityExpired {
			t.Errorf("the young one was delivered as %+v", r)
		}
		time.Sleep(2 * day) // the last generation ends, and is removed
		if list := k.sealed(t); len(list) != 0 {
			t.Errorf("identities are left in %v", list)
		}
	})
}

// TestAgeWithoutAClock: neither a jump of the wall clock nor a new boot takes an
// identity away too early; how long the queue has run ends it.
func TestAgeWithoutAClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		k.trusted = false
		q := k.open(t)
		k.visit(t, q, "a")
		must(t, q.Close())
		time.Sleep(400 * day) // switched off, and no clock that knows
		k.boot = "boot-2"
		q = k.open(t)
		time.Sleep(13 * day)
		if s := q.Stats(); s.Expired != 0 {
			t.Errorf("after 13 days of running: %+v", s)
		}
		time.Sleep(3 * day)
		if s := q.Stats(); s.Expired != 1 || s.Depth != 1 {
			t.Errorf("after 16 days of running: %+v, want it expired", s)
		}
		must(t, q.Close())
	})
}

// TestADrainedGenerationIsRemoved, and what it held is not delivered again.
func TestADrainedGenerationIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		q := k.open(t)
		for i := range 3 {
			k.visit(t, q, fmt.Sprint("day-", i))
			time.Sleep(25 * time.Hour)
		}
		if s := q.Stats(); s.Files < 3 || s.Depth != 3 {
			t.Fatalf("stats = %+v, want a generation a day", s)
		}
		// The newest is taken, and then nothing is answered any more.
		deliver(t, q, 1, once(checkin.Stored, ""))
		must(t, q.Close())
		q = k.open(t)
		defer q.Close()
		var platform inbox
		empty(t, q, platform.take)
		if got := platform.held; !slices.Equal(got, []string{"day-0", "day-1"}) {
			t.Errorf("after a restart %v were delivered, want the two that were not taken", got)
		}
		time.Sleep(2 * day)
		if s := q.Stats(); s.Files != 1 || s.Depth != 0 || s.Delivered != 3 {
			t.Errorf("stats = %+v, want one file left", s)
		}
	})
}

// TestTheLiveLane passes the backlog: what is made now is delivered while
// yesterday's records hang.
func TestTheLiveLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		q := k.open(t)
		k.visit(t, q, "yesterday")
		must(t, q.Close())
		q = k.open(t)
		defer q.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		live := make(chan string, 10)
		ended := make(chan error)
		go func() {
			ended <- q.Drain(ctx, func(ctx context.Context, lane checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
				if lane == checkin.Backlog {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				for _, r := range b {
					live <- r.Event.UUID
				}
				return storeAll(ctx, lane, b)
			})
		}()
		k.visit(t, q, "now")
		if got := <-live; got != "now" {
			t.Errorf("the live lane delivered %q", got)
		}
		cancel()
		must(t, <-ended)
		if s := q.Stats(); s.Depth != 1 || s.Delivered != 1 {
			t.Errorf("stats = %+v, want yesterday's left", s)
		}
	})
}

// TestWhatTheLiveLaneCannotDeliver is the backlog's, and after an outage of
// hours everything arrives once.
func TestWhatTheLiveLaneCannotDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		q := k.open(t)
		defer q.Close()
		down := true
		held := map[string]int{}
		var lanes []checkin.Traffic
		var platform inbox
		go func() {
			_ = q.Drain(t.Context(), func(ctx context.Context, lane checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
				platform.mu.Lock()
				defer platform.mu.Unlock()
				if down {
					return nil, io.ErrUnexpectedEOF
				}
				for _, r := range b {
					held[r.Event.UUID]++
					lanes = append(lanes, lane)
				}
				return storeAll(ctx, lane, b)
			})
		}()
		for i := range 50 {
			k.visit(t, q, fmt.Sprint(i))
			time.Sleep(5 * time.Minute)
		}
		platform.mu.Lock()
		down = false
		platform.mu.Unlock()
		k.visit(t, q, "back")
		time.Sleep(11 * time.Minute)
		platform.mu.Lock()
		defer platform.mu.Unlock()
		for u, n := range held {
			if n != 1 {
				t.Errorf("%s was delivered %d times", u, n)
			}
		}
		if len(held) != 51 || !slices.Contains(lanes, checkin.Live) || !slices.Contains(lanes, checkin.Backlog) {
			t.Errorf("%d records were delivered by %v, want 51 by both lanes", len(held), lanes)
		}
	})
}

// TestTheDeadWaitAgain when somebody says so, in whichever file they lie.
func TestTheDeadWaitAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		q := k.open(t)
		defer q.Close()
		reject := func(_ context.Context, _ checkin.Traffic, b []checkin.Record) (acks []checkin.Ack, _ error) {
			for _, r := range b {
				acks = append(acks, checkin.Ack{ID: r.Event.ID, Status: checkin.Rejected, Reason: "no venue"})
			}
			return acks, nil
		}
		for i := range 2 {
			k.visit(t, q, fmt.Sprint(i))
			deliver(t, q, 1, reject)
			time.Sleep(25 * time.Hour)
		}
		if s := q.Stats(); s.Dead != 2 || s.Depth != 0 || s.Files != 1 {
			t.Fatalf("stats = %+v, want two dead, carried over to the newest file", s)
		}
		n, err := q.Requeue(t.Context())
		if s := q.Stats(); n != 2 || err != nil || s.Dead != 0 || s.Depth != 2 {
			t.Errorf("Requeue() = %d, %v; stats %+v", n, err, s)
		}
		empty(t, q, storeAll)
		if s := q.Stats(); s.Delivered != 2 || s.Depth != 0 {
			t.Errorf("stats = %+v, want both delivered", s)
		}
	})
}

// TestItems gives what waits and what is dead, with the reason, from a stopped
// kiosk only.
func TestItems(t *testing.T) {
	dir, key := t.TempDir(), authority(t)
	q := open(t, dir, key)
	put(t, q, "a")
	put(t, q, "b")
	deliver(t, q, 1, once(checkin.Rejected, "no venue"))
	for _, err := range queue.Items(dir) {
		if err == nil || !strings.Contains(err.Error(), "another sentinel") {
			t.Errorf("beside an agent: %v", err)
		}
	}
	must(t, q.Close())
	var got []string
	for item, err := range queue.Items(dir) {
		must(t, err)
		got = append(got, fmt.Sprintf("%s dead=%v %s", item.Record.Event.UUID, item.Dead, item.Why))
	}
	slices.Sort(got)
	if want := []string{"a dead=true no venue", "b dead=false "}; !slices.Equal(got, want) {
		t.Errorf("items %q, want %q", got, want)
	}
}

// TestEventsAreKeptBeforeTheirRecordsLeave: a log that fails keeps the record.
func TestEventsAreKeptBeforeTheirRecordsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		var kept []string
		fails := true
		k.Log = func(events ...checkin.Event) error {
			if fails {
				return io.ErrShortWrite
			}
			for _, e := range events {
				kept = append(kept, e.UUID)
			}
			return nil
		}
		q := k.open(t)
		defer q.Close()
		k.visit(t, q, "a")
		var platform inbox
		draining(t, q, time.Minute, map[string]queue.Sender{"": platform.take})
		if s := q.Stats(); s.Depth != 1 || !strings.Contains(s.LastError, "keeping the events") {
			t.Errorf("stats = %+v, want the record kept", s)
		}
		fails = false
		draining(t, q, 10*time.Minute, map[string]queue.Sender{"": platform.take})
		if s := q.Stats(); s.Depth != 0 || s.Delivered != 1 || !slices.Equal(kept, []string{"a"}) {
			t.Errorf("stats = %+v, kept %v", s, kept)
		}
	})
}
