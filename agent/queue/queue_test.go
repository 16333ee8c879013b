package queue_test

import (
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// authority makes a key pair like the authority's.
func authority(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func open(t testing.TB, dir string, to *age.X25519Identity) *queue.Queue {
	t.Helper()
	q, err := queue.Open(queue.Opts{Dir: dir, Device: "kiosk-1", Recipient: to.Recipient().String()})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func visit(uuid string) checkin.Event {
	return checkin.Event{
		Version: checkin.EventVersion, UUID: uuid, Kind: checkin.KindVisit,
		Verdict: &checkin.Decision{Outcome: checkin.Granted, Reason: checkin.OK},
	}
}

func put(t testing.TB, q *queue.Queue, uuid string) checkin.ID {
	t.Helper()
	id, err := q.Put(context.Background(), visit(uuid), nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// deliver drains into the answers of take until the queue is empty or rounds
// are over, and returns what was sent.
func deliver(t *testing.T, q *queue.Queue, rounds int, take queue.Sender) [][]checkin.Record {
	t.Helper()
	var mu sync.Mutex // two lanes
	var sent [][]checkin.Record
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := q.Drain(ctx, func(ctx context.Context, _ checkin.Traffic, batch []checkin.Record) ([]checkin.Ack, error) {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, batch)
		acks, err := take(ctx, checkin.Live, batch)
		if len(sent) >= rounds {
			time.AfterFunc(time.Millisecond, cancel)
		}
		return acks, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

func storeAll(_ context.Context, _ checkin.Traffic, batch []checkin.Record) ([]checkin.Ack, error) {
	var acks []checkin.Ack
	for _, r := range batch {
		acks = append(acks, checkin.Ack{ID: r.Event.ID, Status: checkin.Stored})
	}
	return acks, nil
}

func TestRecordsLeaveInOrderAfterARestart(t *testing.T) {
	dir, key := t.TempDir(), authority(t)
	q := open(t, dir, key)
	for _, u := range []string{"a", "b", "c"} {
		put(t, q, u)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, dir, key)
	defer q.Close()
	sent := deliver(t, q, 1, storeAll)
	var got []string
	for _, r := range sent[0] {
		got = append(got, r.Event.UUID)
	}
	if !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("delivered %v, want a b c", got)
	}
	s := q.Stats()
	if s.Depth != 0 || s.Delivered != 3 || s.Stored["visit"] != 3 || s.Stored["visit/granted"] != 3 {
		t.Errorf("stats = %+v, want an empty queue that has delivered 3 visits", s)
	}
}

func TestIdentitiesAreNeverGivenTwice(t *testing.T) {
	dir, key := t.TempDir(), authority(t)
	seen := map[checkin.ID]bool{}
	for range 5 {
		q := open(t, dir, key)
		for range 3 {
			id := put(t, q, "x")
			if seen[id] {
				t.Errorf("identity %v was given twice", id)
			}
			seen[id] = true
		}
		deliver(t, q, 1, storeAll)
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhoCameIsReadableByTheAuthorityOnly(t *testing.T) {
	dir, key := t.TempDir(), authority(t)
	q := open(t, dir, key)
	who := checkin.Identity{UUID: "u", Kind: checkin.ResidentID, Value: "11010519491231002X", Name: "王小明"}
	if _, err := q.Put(context.Background(), visit("u"), &who); err != nil {
		t.Fatal(err)
	}
	sent := deliver(t, q, 1, storeAll)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "q-000001.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{who.Value, who.Name} {
		if bytes.Contains(file, []byte(secret)) {
			t.Errorf("the file holds %q in clear", secret)
		}
	}
	r, err := age.Decrypt(bytes.NewReader(sent[0][0].Identity), key)
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := io.ReadAll(r)
	var got checkin.Identity
	if err := json.Unmarshal(plain, &got); err != nil || got != who {
		t.Errorf("the authority reads %#v, %v, want the identity", got, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	key := authority(t)
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		want    string
	}{
		{"a second sentinel", func(t *testing.T, dir string) {
			q := open(t, dir, key)
			t.Cleanup(func() { _ = q.Close() })
		}, "another sentinel runs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.prepare(t, dir)
			_, err := queue.Open(queue.Opts{Dir: dir, Device: "k", Recipient: key.Recipient().String()})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open() = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// TestWhatCannotBeSaved now stays for another time, and keeps nobody from going on.
func TestWhatCannotBeSaved(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "q-000001.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 2; n++ {
		q := open(t, dir, authority(t))
		put(t, q, "a")
		if s := q.Stats(); s.Damaged != n || s.Depth != n || s.LastError == "" {
			t.Errorf("at start %d: stats = %+v, want the damage told and the record taken", n, s)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "q-000001.db")); err != nil {
		t.Errorf("what could not be saved is gone: %v", err)
	}
}

func TestAHalfMadeFileIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "q-000001.db.new"), []byte("cut short"), 0o600); err != nil {
		t.Fatal(err)
	}
	q := open(t, dir, authority(t))
	defer q.Close()
	put(t, q, "a")
	if _, err := os.Stat(filepath.Join(dir, "q-000001.db.new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half-made file is still there: %v", err)
	}
}

func TestAFullQueueRefusesTheNewest(t *testing.T) {
	q, err := queue.Open(queue.Opts{Dir: t.TempDir(), Device: "k", Recipient: authority(t).Recipient().String(), Max: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	put(t, q, "a")
	put(t, q, "b")
	if _, err := q.Put(context.Background(), visit("c"), nil); !errors.Is(err, queue.ErrFull) {
		t.Errorf("third Put = %v, want ErrFull", err)
	}
	deliver(t, q, 1, storeAll)
	put(t, q, "c") // there is room again
}

// TestAFailedCommitSealsTheFile: the next record goes into a new one, at once,
// and nothing is lost of the old.
func TestAFailedCommitSealsTheFile(t *testing.T) {
	var disk queue.Disk
	dir, key := t.TempDir(), authority(t)
	o := disk.On(queue.Opts{Dir: dir, Device: "k", Recipient: key.Recipient().String()})
	q, err := queue.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	put(t, q, "a")
	before := read(t, filepath.Join(dir, "q-000001.db"))
	disk.BreakFiles()
	put(t, q, "b")
	if s := q.Stats(); s.Files != 2 || s.Depth != 2 || q.Err() != nil {
		t.Errorf("stats = %+v, %v, want two records in two files", s, q.Err())
	}
	if !bytes.Equal(before, read(t, filepath.Join(dir, "q-000001.db"))) {
		t.Error("the file was written after its commit had failed")
	}
	_ = q.Close()
	q = open(t, dir, key)
	defer q.Close()
	var platform inbox
	deliver(t, q, 2, platform.take)
	if got := platform.held; !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("delivered %v, want both, oldest first", got)
	}
}

// TestADiskThatComesBack: while nothing can be written Put says so; afterwards
// it goes on without a restart.
func TestADiskThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disk queue.Disk
		q, err := queue.Open(disk.On(queue.Opts{Dir: t.TempDir(), Device: "k", Recipient: authority(t).Recipient().String()}))
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		first := put(t, q, "a")
		disk.Break()
		for range 2 {
			if _, err := q.Put(context.Background(), visit("b"), nil); !errors.Is(err, queue.ErrStopped) || q.Err() == nil {
				t.Fatalf("Put on a broken disk = %v, Err %v, want ErrStopped", err, q.Err())
			}
		}
		if s := q.Stats(); s.Stored["visit"] != 1 || s.Depth != 1 {
			t.Errorf("stats = %+v, want the one record that was acknowledged", s)
		}
		disk.Mend()
		time.Sleep(2 * time.Second)
		id := put(t, q, "c")
		if id.Epoch != first.Epoch || id.Seq < 3 || q.Err() != nil {
			t.Errorf("the next identity is %v, %v; want one that the failed commit has not used", id, q.Err())
		}
	})
}

// TestWithoutAReserve nothing new is taken in; what is delivered leaves, and no
// further files are made meanwhile.
func TestWithoutAReserve(t *testing.T) {
	dir, key := t.TempDir(), authority(t)
	q := open(t, dir, key)
	put(t, q, "a")
	put(t, q, "b")
	must(t, q.Close())
	must(t, os.Remove(filepath.Join(dir, "reserve")))
	must(t, os.MkdirAll(filepath.Join(dir, "reserve", "in the way"), 0o700))
	q = open(t, dir, key)
	defer q.Close()
	if _, err := q.Put(context.Background(), visit("c"), nil); !errors.Is(err, queue.ErrFull) || !errors.Is(q.Err(), queue.ErrFull) {
		t.Errorf("Put = %v, Err %v, want ErrFull", err, q.Err())
	}
	empty(t, q, func(ctx context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
		return storeAll(ctx, checkin.Backlog, b[:1])
	})
	if s := q.Stats(); s.Files != 1 || s.Depth != 0 || s.Delivered != 2 || !s.DiskFull {
		t.Errorf("stats = %+v, want both delivered, out of one file", s)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// refusal is what a sender says of a whole batch.
type refusal struct {
	permanent bool
	after     time.Duration
}

func (r refusal) Error() string             { return "refused" }
func (r refusal) Permanent() bool           { return r.permanent }
func (r refusal) RetryAfter() time.Duration { return r.after }

func TestAPoisonRecordIsFoundAndDoesNotStopTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir(), authority(t))
		defer q.Close()
		for _, u := range []string{"a", "b", "poison", "c", "d"} {
			put(t, q, u)
		}
		var held []string
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		go func() {
			_ = q.Drain(ctx, func(ctx context.Context, _ checkin.Traffic, batch []checkin.Record) ([]checkin.Ack, error) {
				for _, r := range batch {
					if r.Event.UUID == "poison" {
						return nil, refusal{permanent: true}
					}
				}
				for _, r := range batch {
					held = append(held, r.Event.UUID)
				}
				return storeAll(ctx, checkin.Live, batch)
			})
		}()
		time.Sleep(time.Minute)
		cancel()
		synctest.Wait()
		slices.Sort(held)
		if !slices.Equal(held, []string{"a", "b", "c", "d"}) {
			t.Errorf("delivered %v, want all but the poison, once", held)
		}
		if s := q.Stats(); s.Depth != 0 || s.Dead != 1 || s.Delivered != 4 {
			t.Errorf("stats = %+v, want 4 delivered and 1 dead", s)
		}
	})
}

func TestAnswersThatDoNotHold(t *testing.T) {
	for _, tt := range []struct {
		name string
		take queue.Sender
		want queue.Stats
	}{
		{"a rejected record is kept among the dead", func(_ context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
			return []checkin.Ack{{ID: b[0].Event.ID, Status: checkin.Rejected, Reason: "no venue"}}, nil
		}, queue.Stats{Dead: 1}},
		{"a duplicate is held", func(_ context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
			return []checkin.Ack{{ID: b[0].Event.ID, Status: checkin.Duplicate}}, nil
		}, queue.Stats{Delivered: 1}},
		{"an answer for another record holds nothing", func(_ context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
			other := b[0].Event.ID
			other.Epoch = "another"
			return []checkin.Ack{{ID: other, Status: checkin.Stored}}, nil
		}, queue.Stats{Depth: 1}},
		{"an unknown status holds nothing", func(_ context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
			return []checkin.Ack{{ID: b[0].Event.ID, Status: "maybe"}}, nil
		}, queue.Stats{Depth: 1}},
		{"two answers for one record count once", func(_ context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
			a := checkin.Ack{ID: b[0].Event.ID, Status: checkin.Stored}
			return []checkin.Ack{a, a}, nil
		}, queue.Stats{Delivered: 1}},
		{"silence holds nothing", func(context.Context, checkin.Traffic, []checkin.Record) ([]checkin.Ack, error) { return nil, nil }, queue.Stats{Depth: 1}},
		{"an error holds nothing", func(context.Context, checkin.Traffic, []checkin.Record) ([]checkin.Ack, error) { return nil, io.EOF }, queue.Stats{Depth: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := open(t, t.TempDir(), authority(t))
				defer q.Close()
				put(t, q, "a")
				deliver(t, q, 1, tt.take)
				if s := q.Stats(); s.Depth != tt.want.Depth || s.Dead != tt.want.Dead || s.Delivered != tt.want.Delivered {
					t.Errorf("depth %d dead %d delivered %d, want %d %d %d", s.Depth, s.Dead, s.Delivered, tt.want.Depth, tt.want.Dead, tt.want.Delivered)
				}
			})
		})
	}
}

func TestALostReplyIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir(), authority(t))
		defer q.Close()
		put(t, q, "a")
		tries := 0
		sent := deliver(t, q, 3, func(ctx context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
			if tries++; tries < 3 {
				return nil, io.ErrUnexpectedEOF // stored there, and the reply is lost
			}
			return []checkin.Ack{{ID: b[0].Event.ID, Status: checkin.Duplicate}}, nil
		})
		if sent[0][0].Event.ID != sent[2][0].Event.ID {
			t.Error("the record was sent again under another identity")
		}
		if s := q.Stats(); s.Depth != 0 || s.LastError != "" {
			t.Errorf("stats = %+v, want it delivered and no error left", s)
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir(), authority(t))
		defer q.Close()
		put(t, q, "a")
		var at []time.Time
		deliver(t, q, 2, func(ctx context.Context, _ checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
			at = append(at, time.Now())
			return nil, refusal{after: 30 * time.Second}
		})
		if gap := at[1].Sub(at[0]); gap < 15*time.Second || gap > 45*time.Second {
			t.Errorf("tried again after %v, want 30s ± 50 %%", gap)
		}
	})
}

func TestTheStatsCanBeReadWithoutAnAgent(t *testing.T) {
	dir, key := t.TempDir(), authority(t)
	q := open(t, dir, key)
	put(t, q, "a")
	if _, err := queue.Read(dir); !errors.Is(err, queue.ErrLocked) {
		t.Errorf("Read beside an agent = %v, want ErrLocked", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := queue.Read(dir)
	if err != nil || s.Depth != 1 || s.Stored["visit"] != 1 {
		t.Errorf("Read() = %+v, %v, want one visit", s, err)
	}
}

// TestASlowLine brings no more than a few records before a call is given up. The
// backlog gets through all the same, in smaller batches, and in larger ones again
// when the line is better.
func TestASlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, authority(t))
		q := k.open(t)
		defer q.Close()
		for i := range 450 {
			k.visit(t, q, fmt.Sprint(i))
		}
		line, largest := 20, 0
		empty(t, q, func(ctx context.Context, lane checkin.Traffic, b []checkin.Record) ([]checkin.Ack, error) {
			if len(b) > line {
				time.Sleep(30 * time.Second)
				return nil, context.DeadlineExceeded
			}
			if largest = max(largest, len(b)); q.Stats().Delivered > 200 {
				line = 200
			}
			return storeAll(ctx, lane, b)
		})
		if s := q.Stats(); s.Depth != 0 || largest < 100 {
			t.Errorf("%d wait after half an hour, and the largest batch had %d records", s.Depth, largest)
		}
	})
}
