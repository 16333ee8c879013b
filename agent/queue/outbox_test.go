package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// openFor opens a queue that reports to recipients.
func openFor(t testing.TB, dir string, to *age.X25519Identity, recipients ...string) *queue.Queue {
	t.Helper()
	q, err := queue.Open(queue.Opts{Dir: dir, Device: "kiosk-1", Recipient: to.Recipient().String(), Recipients: recipients})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func refuseOne(t testing.TB, q *queue.Queue, uuid string) checkin.ID {
	t.Helper()
	id, err := q.Put(t.Context(), checkin.Event{
		Version: checkin.EventVersion, UUID: uuid, Kind: checkin.KindRefusal, Visit: "v-" + uuid,
		Verdict: &checkin.Decision{Outcome: checkin.Refused, Reason: checkin.CodeRed},
	}, &checkin.Identity{UUID: uuid, Kind: checkin.ResidentID, Value: "11010519491231002X"})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// inbox is a recipient, or the platform: what it holds, in the order in which
// it came.
type inbox struct {
	mu    sync.Mutex
	held  []string
	fails error // what every attempt ends with
	tries int
}

func (i *inbox) take(ctx context.Context, _ checkin.Traffic, batch []checkin.Record) ([]checkin.Ack, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tries++
	if i.fails != nil {
		return nil, i.fails
	}
	for _, r := range batch {
		i.held = append(i.held, r.Event.UUID)
	}
	return storeAll(ctx, checkin.Live, batch)
}

// draining runs every drain of q, one per inbox, for d of virtual time.
func draining(t *testing.T, q *queue.Queue, d time.Duration, to map[string]queue.Sender) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	ended := make(chan error)
	for name, send := range to {
		go func() {
			if name == "" {
				ended <- q.Drain(ctx, send)
				return
			}
			ended <- q.DrainReports(ctx, name, send)
		}()
	}
	for range to {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// reports is the part of Stats that these tests look at.
func reports(q *queue.Queue) map[string]queue.Outbox {
	list := map[string]queue.Outbox{}
	for name, o := range q.Stats().Reports {
		o.LastError, o.NextTry = "", time.Time{}
		list[name] = o
	}
	return list
}

// TestARefusalReachesEveryRecipient, oldest first, and the platform; what is no
// refusal reaches the platform alone.
func TestARefusalReachesEveryRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openFor(t, t.TempDir(), authority(t), "cdc", "trade")
		defer q.Close()
		put(t, q, "a")
		for _, u := range []string{"b", "c", "d"} {
			refuseOne(t, q, u)
		}
		var platform, cdc, trade inbox
		draining(t, q, time.Minute, map[string]queue.Sender{"": platform.take, "cdc": cdc.take, "trade": trade.take})
		want := []string{"b", "c", "d"}
		if !slices.Equal(cdc.held, want) || !slices.Equal(trade.held, want) {
			t.Errorf("cdc holds %v, trade %v, want %v in both", cdc.held, trade.held, want)
		}
		if !slices.Equal(platform.held, []string{"a", "b", "c", "d"}) {
			t.Errorf("the platform holds %v, want all four in order", platform.held)
		}
		if diff := cmp.Diff(map[string]queue.Outbox{"cdc": {Delivered: 3}, "trade": {Delivered: 3}}, reports(q)); diff != "" {
			t.Errorf("outboxes (-want +got):\n%s", diff)
		}
	})
}

// TestOneRecipientsTroubleIsHisOwn: down, slow or refusing for hours, he holds
// up nobody else, and gets everything in order when he is back.
func TestOneRecipientsTroubleIsHisOwn(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trouble func(ctx context.Context) error
	}{
		{"down", func(context.Context) error { return io.ErrUnexpectedEOF }},
		{"hanging", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		{"refusing for now", func(context.Context) error { return refusal{after: time.Minute} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := openFor(t, t.TempDir(), authority(t), "cdc", "trade")
				defer q.Close()
				var platform, cdc, trade inbox
				sick := func(ctx context.Context, _ checkin.Traffic, _ []checkin.Record) ([]checkin.Ack, error) {
					return nil, tt.trouble(ctx)
				}
				for _, u := range []string{"a", "b"} {
					refuseOne(t, q, u)
					draining(t, q, 3*time.Hour, map[string]queue.Sender{"": platform.take, "cdc": sick, "trade": trade.take})
				}
				want := []string{"a", "b"}
				if !slices.Equal(trade.held, want) || !slices.Equal(platform.held, want) {
					t.Errorf("beside a sick recipient trade holds %v, the platform %v, want %v", trade.held, platform.held, want)
				}
				if trade.tries != 2 {
					t.Errorf("trade was asked %d times, want once for each report", trade.tries)
				}
				if o := q.Stats().Reports["cdc"]; o.Waiting != 2 || o.Dead != 0 {
					t.Errorf("cdc's outbox is %+v, want two that wait", o)
				}
				draining(t, q, time.Hour, map[string]queue.Sender{"cdc": cdc.take})
				if o := q.Stats().Reports["cdc"]; !slices.Equal(cdc.held, want) || o != (queue.Outbox{Delivered: 2}) {
					t.Errorf("when he is back cdc holds %v, and his outbox is %+v, want %v and two delivered", cdc.held, o, want)
				}
			})
		})
	}
}

// TestARecipientsTroubleIsShown, and only in his own outbox.
func TestARecipientsTroubleIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openFor(t, t.TempDir(), authority(t), "cdc", "trade")
		defer q.Close()
		refuseOne(t, q, "a")
		var well inbox
		sick := inbox{fails: errors.New("no route")}
		draining(t, q, time.Second, map[string]queue.Sender{"": well.take, "cdc": sick.take, "trade": well.take})
		s := q.Stats()
		if o := s.Reports["cdc"]; o.LastError != "no route" || o.NextTry.IsZero() {
			t.Errorf("cdc's outbox is %+v, want the error and the next attempt", o)
		}
		if o := s.Reports["trade"]; o.LastError != "" || s.LastError != "" {
			t.Errorf("cdc's trouble stands with trade (%q) or the check-ins (%q)", o.LastError, s.LastError)
		}
	})
}

// TestReportsOutliveTheProcess: killed between Put and delivery, after a lost
// reply, or after an answer, each recipient gets each report once by identity.
func TestReportsOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, dir := authority(t), t.TempDir()
		q := openFor(t, dir, key, "cdc", "trade")
		want := refuseOne(t, q, "a")
		dir = crash(t, dir) // before anything was sent
		_ = q.Close()

		q = openFor(t, dir, key, "cdc", "trade")
		var trade inbox
		got := map[checkin.ID]int{}
		lost := func(_ context.Context, _ checkin.Traffic, batch []checkin.Record) ([]checkin.Ack, error) {
			got[batch[0].Event.ID]++
			return nil, io.ErrUnexpectedEOF // stored there, and the reply is lost
		}
		draining(t, q, 100*time.Millisecond, map[string]queue.Sender{"cdc": lost, "trade": trade.take})
		dir = crash(t, dir)
		_ = q.Close()

		q = openFor(t, dir, key, "cdc", "trade")
		defer q.Close()
		again := func(_ context.Context, _ checkin.Traffic, batch []checkin.Record) ([]checkin.Ack, error) {
			got[batch[0].Event.ID]++
			return []checkin.Ack{{ID: batch[0].Event.ID, Status: checkin.Duplicate}}, nil
		}
		draining(t, q, time.Minute, map[string]queue.Sender{"cdc": again, "trade": trade.take})
		if len(got) != 1 || got[want] < 2 {
			t.Errorf("cdc got %v, want %v again under the same identity and nothing else", got, want)
		}
		if !slices.Equal(trade.held, []string{"a"}) {
			t.Errorf("trade holds %v, want a once: he had answered before the crash", trade.held)
		}
		if diff := cmp.Diff(map[string]queue.Outbox{"cdc": {Delivered: 1}, "trade": {Delivered: 1}}, reports(q)); diff != "" {
			t.Errorf("outboxes (-want +got):\n%s", diff)
		}
	})
}

// crash is the state folder as a killed process leaves it at this moment: what
// its commits have written, and nothing of what Close would do.
func crash(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "q-*.db"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	after := t.TempDir()
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(after, filepath.Base(file)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return after
}

// TestAReportThatIsRefusedForGood goes to that recipient's dead, and the next
// one follows.
func TestAReportThatIsRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openFor(t, t.TempDir(), authority(t), "cdc", "trade")
		defer q.Close()
		for _, u := range []string{"a", "poison", "b"} {
			refuseOne(t, q, u)
		}
		var cdc, trade inbox
		picky := func(ctx context.Context, _ checkin.Traffic, batch []checkin.Record) ([]checkin.Ack, error) {
			for _, r := range batch {
				if r.Event.UUID == "poison" {
					return nil, refusal{permanent: true}
				}
			}
			return cdc.take(ctx, checkin.Live, batch)
		}
		rejects := func(ctx context.Context, _ checkin.Traffic, batch []checkin.Record) ([]checkin.Ack, error) {
			acks, err := trade.take(ctx, checkin.Live, batch)
			acks[0].Status, acks[0].Reason = checkin.Rejected, "not ours"
			return acks, err
		}
		draining(t, q, time.Minute, map[string]queue.Sender{"cdc": picky, "trade": rejects})
		if !slices.Equal(cdc.held, []string{"a", "b"}) {
			t.Errorf("cdc holds %v, want all but the poison, in order", cdc.held)
		}
		want := map[string]queue.Outbox{"cdc": {Delivered: 2, Dead: 1}, "trade": {Delivered: 2, Dead: 1}}
		if diff := cmp.Diff(want, reports(q)); diff != "" {
			t.Errorf("outboxes (-want +got):\n%s", diff)
		}
		if s := q.Stats(); s.Dead != 0 || s.Depth != 3 {
			t.Errorf("%d check-ins are dead and %d wait, want none and three", s.Dead, s.Depth)
		}
	})
}

// TestRecipientsComeAndGo: a new one starts empty, also in a file of a program
// that knew none; a former one keeps his outbox, and goes on when he is back.
func TestRecipientsComeAndGo(t *testing.T) {
	dir, key := t.TempDir(), authority(t)
	steps := []struct {
		recipients []string
		want       map[string]queue.Outbox
	}{
		{nil, map[string]queue.Outbox{}},
		{[]string{"cdc"}, map[string]queue.Outbox{"cdc": {Waiting: 1}}},
		{[]string{"trade"}, map[string]queue.Outbox{"cdc": {Waiting: 1, Former: true}, "trade": {Waiting: 1}}},
		{[]string{"cdc", "trade"}, map[string]queue.Outbox{"cdc": {Waiting: 2}, "trade": {Waiting: 2}}},
		{nil, map[string]queue.Outbox{"cdc": {Waiting: 2, Former: true}, "trade": {Waiting: 2, Former: true}}},
	}
	for i, step := range steps {
		q := openFor(t, dir, key, step.recipients...)
		refuseOne(t, q, fmt.Sprint(i))
		if diff := cmp.Diff(step.want, reports(q)); diff != "" {
			t.Errorf("step %d: outboxes (-want +got):\n%s", i, diff)
		}
		if err := q.DrainReports(t.Context(), "nobody", storeAll); err == nil {
			t.Errorf("step %d: reports to nobody are delivered", i)
		}
		if err := q.DrainReports(t.Context(), "", storeAll); err == nil {
			t.Errorf("step %d: the check-ins are drained as reports", i)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := queue.Read(dir)
	s.MarkFormer([]string{"trade"})
	want := map[string]queue.Outbox{"cdc": {Waiting: 2, Former: true}, "trade": {Waiting: 2}}
	if diff := cmp.Diff(want, s.Reports); err != nil || diff != "" {
		t.Errorf("Read() = %v, outboxes (-want +got):\n%s", err, diff)
	}
}

// TestAFullOutboxHoldsUpNothing: the newest is missed there, which is counted
// for ever, and every other way stays open.
func TestAFullOutboxHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, key := t.TempDir(), authority(t)
		o := queue.Opts{Dir: dir, Device: "k", Recipient: key.Recipient().String(), Max: 16, Recipients: []string{"cdc", "trade"}}
		q, err := queue.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		var platform, cdc, trade inbox
		for _, u := range []string{"a", "b", "c"} { // an outbox holds an eighth of 16
			refuseOne(t, q, u)
			draining(t, q, time.Second, map[string]queue.Sender{"": platform.take, "trade": trade.take})
		}
		if !slices.Equal(trade.held, []string{"a", "b", "c"}) || !slices.Equal(platform.held, trade.held) {
			t.Errorf("beside a full outbox trade holds %v, the platform %v, want all", trade.held, platform.held)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if q, err = queue.Open(o); err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		draining(t, q, time.Second, map[string]queue.Sender{"cdc": cdc.take})
		want := queue.Outbox{Delivered: 2, Missed: 1}
		if got := reports(q)["cdc"]; got != want || !slices.Equal(cdc.held, []string{"a", "b"}) {
			t.Errorf("cdc's outbox is %+v and he holds %v, want %+v and the two oldest", got, cdc.held, want)
		}
	})
}

// TestAFailedCommitFilesNothing: neither check-in nor report, in no count; and
// what is delivered meanwhile is settled once the disk is back.
func TestAFailedCommitFilesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disk queue.Disk
		q, err := queue.Open(disk.On(queue.Opts{
			Dir: t.TempDir(), Device: "k", Recipient: authority(t).Recipient().String(), Recipients: []string{"cdc"},
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		refuseOne(t, q, "a")
		disk.Break()
		if _, err := q.Put(t.Context(), checkin.Event{Version: 2, UUID: "b", Kind: checkin.KindRefusal}, nil); !errors.Is(err, queue.ErrStopped) {
			t.Fatalf("Put on a broken disk = %v, want ErrStopped", err)
		}
		if s := q.Stats(); s.Depth != 1 || s.Reports["cdc"].Waiting != 1 {
			t.Errorf("stats = %+v, want the one that was acknowledged in each", s)
		}
		var cdc inbox
		draining(t, q, 10*time.Second, map[string]queue.Sender{"cdc": cdc.take})
		if s := q.Stats(); s.Reports["cdc"].Waiting != 1 || s.Reports["cdc"].LastError == "" {
			t.Errorf("stats = %+v, want the report still there, and why", s)
		}
		disk.Mend()
		draining(t, q, time.Minute, map[string]queue.Sender{"cdc": cdc.take})
		if s := q.Stats(); s.Reports["cdc"].Waiting != 0 || s.Reports["cdc"].Delivered != 1 || q.Err() != nil {
			t.Errorf("stats = %+v, %v, want it delivered", s, q.Err())
		}
	})
}

func TestRecipientsThatAreRefused(t *testing.T) {
	many := strings.Split("a b c d e f g h i", " ")
	for _, tt := range []struct {
		name string
		list []string
		want string
	}{
		{"nine of them", many, "at most 8"},
		{"one without a name", []string{"cdc", ""}, "name of its own"},
		{"one twice", []string{"cdc", "trade", "cdc"}, `"cdc"`},
		{"a name without end", []string{strings.Repeat("x", 65)}, "64 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := queue.Open(queue.Opts{Dir: dir, Device: "k", Recipient: authority(t).Recipient().String(), Recipients: tt.list})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open() = %v, want an error with %q", err, tt.want)
			}
		})
	}
	q := openFor(t, t.TempDir(), authority(t), many[:8]...)
	defer q.Close()
	refuseOne(t, q, "a")
	if n := len(q.Stats().Reports); n != 8 {
		t.Errorf("%d outboxes, want 8", n)
	}
}
