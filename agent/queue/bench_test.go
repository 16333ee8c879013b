package queue_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// BenchmarkPut measures the durable enqueue beside the physical limit, in the
// same run and alternating: one fdatasync a batch on a file that has its room
// already, the batch being whatever the same number of producers has ready.
// Figures: records/s, ratio to the limit, p50 and p99 of one Put.
func BenchmarkPut(b *testing.B) {
	for _, producers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			dir := b.TempDir()
			q, err := queue.Open(queue.Opts{Dir: dir, Device: "k", Recipient: authority(b).Recipient().String(), Max: 5_000_000, MaxBytes: 8 << 30})
			if err != nil {
				b.Fatal(err)
			}
			defer q.Close()
			limit := newJournal(b, filepath.Join(dir, "limit"))
			defer limit.close()
			event := visit("00000000-0000-7000-8000-000000000000")
			// Rounds alternate: the machine is not the same from one second to the next.
			var ours, theirs measured
			for b.Loop() {
				ours.add(crowd(producers, func() { must(b, second(q.Put(context.Background(), event, nil))) }))
				theirs.add(crowd(producers, func() { must(b, limit.append(256)) }))
			}
			b.ReportMetric(ours.rate(), "records/s")
			b.ReportMetric(theirs.rate(), "limit/s")
			b.ReportMetric(ours.rate()/theirs.rate(), "of-limit")
			b.ReportMetric(ours.quantile(0.5), "p50-ms")
			b.ReportMetric(ours.quantile(0.99), "p99-ms")
		})
	}
}

// roundOf is how long one side is measured before the other has its turn.
const roundOf = 300 * time.Millisecond

// measured is what one side has done.
type measured struct {
	took  []time.Duration
	spent time.Duration
}

func (m *measured) add(took []time.Duration, spent time.Duration) {
	m.took = append(m.took, took...)
	m.spent += spent
}

func (m *measured) rate() float64 { return float64(len(m.took)) / m.spent.Seconds() }

func (m *measured) quantile(q float64) float64 {
	slices.Sort(m.took)
	return float64(m.took[int(q*float64(len(m.took)-1))].Microseconds()) / 1000
}

// crowd lets n producers do the same for one round.
func crowd(n int, do func()) ([]time.Duration, time.Duration) {
	var all sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	start := time.Now()
	for range n {
		all.Go(func() {
			var own []time.Duration
			for time.Since(start) < roundOf {
				begin := time.Now()
				do()
				own = append(own, time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	all.Wait()
	return took, time.Since(start)
}

// journal is the limit: a file with its room allocated, appended in groups, one
// fdatasync a group.
type journal struct {
	f       *os.File
	at      int64
	waiting chan chan error
}

const journalRoom = 64 << 20

func newJournal(b *testing.B, path string) *journal {
	f, err := os.Create(path)
	must(b, err)
	zero := make([]byte, 1<<20)
	for range journalRoom >> 20 {
		must(b, second(f.Write(zero)))
	}
	must(b, f.Sync())
	j := &journal{f: f, waiting: make(chan chan error, 256)}
	go j.run()
	return j
}

func (j *journal) append(int) error {
	done := make(chan error, 1)
	j.waiting <- done
	return <-done
}

func (j *journal) run() {
	record := make([]byte, 256)
	_, _ = rand.Read(record)
	for first := range j.waiting {
		group := []chan error{first}
		for more := true; more; {
			select {
			case next, ok := <-j.waiting:
				if more = ok; ok {
					group = append(group, next)
				}
			default:
				more = false
			}
		}
		var err error
		for range group {
			if _, err = j.f.WriteAt(record, j.at); err != nil {
				break
			}
			j.at = (j.at + 256) % (journalRoom - 256)
		}
		if err == nil {
			err = syscall.Fdatasync(int(j.f.Fd()))
		}
		for _, done := range group {
			done <- err
		}
	}
}

func (j *journal) close() {
	close(j.waiting)
	_ = j.f.Close()
}

func must(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }

// BenchmarkBacklog fills a queue with b.N records and lets it run empty, with
// one fresh record every 5 ms beside the drain. Run it with -benchtime
// 1000000x. Figures: enqueue p50 and p99 meanwhile, drained records/s, the
// size of the files full and empty, the time to open them.
func BenchmarkBacklog(b *testing.B) {
	dir, to := b.TempDir(), authority(b)
	o := queue.Opts{Dir: dir, Device: "k", Recipient: to.Recipient().String(), Max: 5_000_000, MaxBytes: 8 << 30}
	q, err := queue.Open(o)
	must(b, err)
	entries := make([]queue.Entry, 500)
	for i := range entries {
		entries[i].Event = visit("00000000-0000-7000-8000-000000000000")
	}
	for n := 0; n < b.N; n += len(entries) {
		_, err := q.PutAll(context.Background(), entries[:min(len(entries), b.N-n)]...)
		must(b, err)
	}
	full := q.Stats().Bytes
	b.ReportMetric(float64(q.Stats().Files), "files")
	must(b, q.Close())
	q, opened := reopen(b, o)
	b.ReportMetric(float64(full)/(1<<20), "full-MB")
	b.ReportMetric(opened, "open-full-ms")
	ctx, cancel := context.WithCancel(context.Background())
	var sent atomic.Int64
	start := time.Now()
	go func() {
		_ = q.Drain(ctx, func(_ context.Context, _ checkin.Traffic, r []checkin.Record) ([]checkin.Ack, error) {
			sent.Add(int64(len(r)))
			return storeAll(ctx, checkin.Backlog, r)
		})
	}()
	var fresh measured
	for q.Stats().Depth > 0 {
		begin := time.Now()
		must(b, second(q.Put(ctx, visit("x"), nil)))
		fresh.add([]time.Duration{time.Since(begin)}, 0)
		time.Sleep(5 * time.Millisecond)
	}
	b.ReportMetric(float64(sent.Load())/time.Since(start).Seconds(), "drained/s")
	b.ReportMetric(fresh.quantile(0.5), "put-p50-ms")
	b.ReportMetric(fresh.quantile(0.99), "put-p99-ms")
	b.ReportMetric(private(b), "private-MB")
	cancel()
	for q.Stats().Files > 1 {
		time.Sleep(10 * time.Millisecond)
	}
	b.ReportMetric(float64(q.Stats().Bytes)/(1<<20), "empty-MB")
	must(b, q.Close())
	q, opened = reopen(b, o)
	b.ReportMetric(opened, "open-empty-ms")
	must(b, q.Close())
}

func reopen(b *testing.B, o queue.Opts) (*queue.Queue, float64) {
	start := time.Now()
	q, err := queue.Open(o)
	must(b, err)
	return q, float64(time.Since(start).Microseconds()) / 1000
}

// private is how much memory of this process is its own, and not the page
// cache's, in MB (Linux, /proc/self/smaps_rollup).
func private(b *testing.B) float64 {
	data, err := os.ReadFile("/proc/self/smaps_rollup")
	must(b, err)
	sum := 0.0
	for _, line := range strings.Split(string(data), "\n") {
		var kb float64
		if n, _ := fmt.Sscanf(line, "Private_Dirty: %f kB", &kb); n == 1 {
			sum += kb
		}
	}
	return sum / 1024
}
