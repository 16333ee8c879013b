package queue_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// pair is a visit that was refused and the incident that it asks for.
func pair(uuid string) []queue.Entry {
	return []queue.Entry{
		{Event: visit(uuid), Who: &checkin.Identity{UUID: uuid}},
		{
			Event: checkin.Event{Version: checkin.EventVersion, UUID: "i-" + uuid, Kind: checkin.KindRefusal, Visit: uuid},
			Who:   &checkin.Identity{UUID: "i-" + uuid},
		},
	}
}

// TestWhatIsPutTogether has consecutive identities, and only the refusal is in
// the outbox.
func TestWhatIsPutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openFor(t, t.TempDir(), authority(t), "cdc")
		defer q.Close()
		first, err := q.PutAll(t.Context(), pair("a")...)
		if err != nil {
			t.Fatal(err)
		}
		second, err := q.PutAll(t.Context(), pair("b")...)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range append(first, second...) {
			if id.Seq != uint64(i+1) || id.Device != "kiosk-1" || id.Epoch == "" {
				t.Errorf("identity %d is %v", i, id)
			}
		}
		var platform, cdc inbox
		draining(t, q, time.Minute, map[string]queue.Sender{"": platform.take, "cdc": cdc.take})
		if want := []string{"a", "i-a", "b", "i-b"}; !slices.Equal(platform.held, want) {
			t.Errorf("the platform holds %v, want %v", platform.held, want)
		}
		if want := []string{"i-a", "i-b"}; !slices.Equal(cdc.held, want) {
			t.Errorf("cdc holds %v, want %v", cdc.held, want)
		}
		if s := q.Stats(); s.Stored["visit"] != 2 || s.Stored["refusal"] != 2 || s.Delivered != 4 {
			t.Errorf("stats = %+v, want two of each kind", s)
		}
	})
}

// TestAllOrNothing: whatever keeps one of them out keeps out the other, in the
// file and in every count, and no identity is given twice.
func TestAllOrNothing(t *testing.T) {
	large := pair("large")
	large[1].Event.Venue = strings.Repeat("x", 65<<10)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name    string
		ctx     context.Context
		entries []queue.Entry
		max     int
		want    string
	}{
		{"the second is too large", t.Context(), large, 100, "larger than"},
		{"there is room for one", t.Context(), pair("b"), 2, "queue is full"},
		{"nobody waits any more", ended, pair("b"), 100, "context canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, key := t.TempDir(), authority(t)
			o := queue.Opts{Dir: dir, Device: "k", Recipient: key.Recipient().String(), Recipients: []string{"cdc"}, Max: tt.max}
			q, err := queue.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			put(t, q, "a")
			before := q.Stats()
			if ids, err := q.PutAll(tt.ctx, tt.entries...); err == nil || ids != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("PutAll() = %v, %v, want an error with %q", ids, err, tt.want)
			}
			if diff := cmp.Diff(before, q.Stats()); diff != "" {
				t.Errorf("stats changed (-before +after):\n%s", diff)
			}
			o.Dir = crash(t, dir)
			_ = q.Close()
			if q, err = queue.Open(o); err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			if s := q.Stats(); s.Depth != 1 || s.Reports["cdc"].Waiting != 0 {
				t.Errorf("the file holds %d records and %d reports, want the one from before", s.Depth, s.Reports["cdc"].Waiting)
			}
			if id := put(t, q, "next"); id.Seq != 1001 {
				t.Errorf("the next identity is %d, want the first of the next block", id.Seq)
			}
		})
	}
}

// TestABrokenDiskKeepsBothOut, and stops the queue as rule 3 says.
func TestABrokenDiskKeepsBothOut(t *testing.T) {
	var disk queue.Disk
	q, err := queue.Open(disk.On(queue.Opts{Dir: t.TempDir(), Device: "k", Recipient: authority(t).Recipient().String(), Recipients: []string{"cdc"}}))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	disk.Break()
	if _, err := q.PutAll(t.Context(), pair("a")...); !errors.Is(err, queue.ErrStopped) {
		t.Errorf("PutAll on a broken disk = %v, want ErrStopped", err)
	}
	if s := q.Stats(); s.Depth != 0 || s.Reports["cdc"].Waiting != 0 || len(s.Stored) != 0 {
		t.Errorf("stats = %+v, want nothing", s)
	}
}
