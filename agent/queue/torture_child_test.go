//go:build linux

package queue_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// The child is this test binary, started again with these in its environment.
// What it has promised, and what it was told, it says on its standard output:
//
//	opened | unopened WHY      the queue
//	took BOX UUID ID           handed to whom BOX is for, before any answer
//	empty                      what was there at the start is delivered
//	put KIND UUID ID           acknowledged: from here on it may not be lost
//	refused WHY                not acknowledged
//	again                      the queue was opened once more
//	broken WHY                 delivering has ended
//	unreadable WHY | lost WHY | duplicated WHY
//	                           it has seen that itself
//	case                       it looks at an image
const (
	envChild = "SENTINEL_TORTURE_CHILD" // what it does
	envDir   = "SENTINEL_TORTURE_DIR"   // where
	envLast  = "SENTINEL_TORTURE_LAST"  // where the one before did it, if elsewhere
	envRun   = "SENTINEL_TORTURE_RUN"   // its number: it makes UUIDs unique
	envLuck  = "SENTINEL_TORTURE_LUCK"  // its seed
	envKey   = "SENTINEL_TORTURE_KEY"   // the authority's
)

// authorityBox is where reports of refusals go.
const authorityBox = "cdc"

// taker is a sender that the queue's own type is made of.
type taker func([]checkin.Record) ([]checkin.Ack, error)

// deliverTo drains q's box into take. This and openQueue are all that knows the
// queue's interface.
func deliverTo(ctx context.Context, q *queue.Queue, box string, take taker) error {
	send := func(_ context.Context, _ checkin.Traffic, r []checkin.Record) ([]checkin.Ack, error) { return take(r) }
	if box == authorityBox {
		return q.DrainReports(ctx, box, send)
	}
	return q.Drain(ctx, send)
}

func openQueue(dir, key string) (*queue.Queue, error) {
	return queue.Open(queue.Opts{
		Dir: dir, Device: "kiosk-1", Recipient: key, Recipients: []string{authorityBox},
		Reserve: 64 << 10, // the default takes most of the time
		Check:   queue.CheckFile,
	})
}

// waiting is what q still has to deliver.
func waiting(q *queue.Queue) int {
	s := q.Stats()
	return s.Depth + s.Reports[authorityBox].Waiting
}

var boxes = []string{"platform", authorityBox}

// worker is the child.
type worker struct {
	dir, last, key string
	run            string
	luck           *rand.Rand // of the one goroutine that starts the others

	mu  sync.Mutex
	out io.Writer
}

// childMain does what the environment says, and returns the exit code.
func childMain(what string) int {
	seed, _ := strconv.ParseUint(os.Getenv(envLuck), 10, 64)
	w := &worker{
		dir: os.Getenv(envDir), last: os.Getenv(envLast), key: os.Getenv(envKey), run: os.Getenv(envRun),
		luck: rand.New(rand.NewPCG(seed, 1)), out: os.Stdout,
	}
	if control, ok := controls[what]; ok {
		return control.child(w)
	}
	switch what {
	case "verify":
		return w.verify(w.dir)
	case "fresh":
		return w.fresh()
	case "full":
		return w.full()
	case "mix":
		return w.mix()
	}
	return w.work()
}

func (w *worker) say(parts ...string) {
	line := strings.ReplaceAll(strings.Join(parts, " "), "\n", " ") + "\n"
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = io.WriteString(w.out, line)
}

// open opens the queue in dir and delivers all that is there.
func (w *worker) open(dir string) (*queue.Queue, bool) {
	q, err := openQueue(dir, w.key)
	if err != nil {
		w.say("unopened", err.Error())
		return nil, false
	}
	w.say("opened")
	if n := q.Stats().Damaged; n > 0 { // no harm that is done here may damage a file
		w.say("unreadable", fmt.Sprint(n), "files were damaged, and salvaged")
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := w.drain(ctx, q, func(box string, batch []checkin.Record) ([]checkin.Ack, error) {
		return w.take(box, batch), nil
	})
	for waiting(q) > 0 && len(ended) == 0 {
		time.Sleep(200 * time.Microsecond)
	}
	cancel()
	if !<-ended {
		return q, false
	}
	w.say("empty")
	return q, true
}

// take tells what was taken, and answers that it is held.
func (w *worker) take(box string, batch []checkin.Record) []checkin.Ack {
	var lines strings.Builder
	acks := make([]checkin.Ack, len(batch))
	for i := range batch {
		e := &batch[i].Event
		fmt.Fprintf(&lines, "took %s %s %v\n", box, e.UUID, e.ID)
		acks[i] = checkin.Ack{ID: e.ID, Status: checkin.Stored}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = io.WriteString(w.out, lines.String())
	return acks
}

// drain delivers both boxes until ctx ends, or one of them cannot go on. What it
// returns then holds whether all went well.
func (w *worker) drain(ctx context.Context, q *queue.Queue, take func(string, []checkin.Record) ([]checkin.Ack, error)) <-chan bool {
	ended := make(chan bool, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	var all sync.WaitGroup
	for _, box := range boxes {
		all.Go(func() {
			if err := deliverTo(ctx, q, box, func(batch []checkin.Record) ([]checkin.Ack, error) { return take(box, batch) }); err != nil {
				w.say("broken", err.Error())
				cancel(err)
			}
		})
	}
	go func() {
		all.Wait()
		cancel(nil)
		ended <- errors.Is(context.Cause(ctx), context.Canceled)
	}()
	return ended
}

// unreliable is a platform that takes everything and does not always say so:
// replies are lost whole or in part, and a few records are refused for good.
func (w *worker) unreliable(seed uint64) func(string, []checkin.Record) ([]checkin.Ack, error) {
	var mu sync.Mutex
	luck := rand.New(rand.NewPCG(seed, 2))
	return func(box string, batch []checkin.Record) ([]checkin.Ack, error) {
		acks := w.take(box, batch)
		mu.Lock()
		defer mu.Unlock()
		switch n := luck.IntN(20); {
		case n == 0:
			return nil, errors.New("the reply was lost")
		case n < 6:
			return acks[:(len(acks)+1)/2], nil
		case n == 6:
			acks[0].Status, acks[0].Reason = checkin.Rejected, "unreadable"
		}
		return acks, nil
	}
}

// work opens the queue, and has several producers put while it is drained,
// until somebody ends it.
func (w *worker) work() int {
	q, ok := w.open(w.dir)
	if !ok {
		return 3
	}
	if w.luck.IntN(4) > 0 { // else everything piles up
		w.drain(context.Background(), q, w.unreliable(w.luck.Uint64()))
	}
	var all sync.WaitGroup
	for p := range 1 + w.luck.IntN(3) {
		luck := rand.New(rand.NewPCG(w.luck.Uint64(), uint64(p)))
		all.Go(func() {
			for n := 0; ; n++ {
				if !w.put(q, fmt.Sprintf("%s-%d-%d", w.run, p, n), luck) {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	all.Wait()
	return 0
}

// put puts one record, or two together.
func (w *worker) put(q *queue.Queue, uuid string, luck *rand.Rand) bool {
	entries := []queue.Entry{{Event: visit(uuid)}}
	if luck.IntN(5) == 0 {
		second := visit(uuid + "r")
		second.Kind = checkin.KindRefusal
		entries = append(entries, queue.Entry{Event: second})
	}
	if luck.IntN(20) == 0 {
		entries[0].Who = &checkin.Identity{UUID: uuid, Kind: checkin.ResidentID, Value: "11010519491231002X"}
	}
	ids, err := q.PutAll(context.Background(), entries...)
	if err != nil {
		w.say("refused", err.Error())
		return false
	}
	for i, id := range ids {
		w.say("put", string(entries[i].Event.Kind), entries[i].Event.UUID, id.String())
	}
	return true
}

// verify opens the queue in dir, delivers everything and ends.
func (w *worker) verify(dir string) int {
	q, ok := w.open(dir)
	if !ok {
		return 3
	}
	if err := q.Close(); err != nil {
		w.say("broken", err.Error())
		return 3
	}
	return 0
}

// fresh verifies the queue that the one before it has made, removes it, and
// makes another, of which at most a few records are put.
func (w *worker) fresh() int {
	if _, err := os.Stat(w.last); err == nil {
		if code := w.verify(w.last); code != 0 {
			return code
		}
		_ = os.RemoveAll(w.last)
	} else {
		w.say("opened") // its folder was never synced: nothing was promised in it
		w.say("empty")
	}
	w.say("begin")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	if err := errors.Join(os.Mkdir(w.dir, 0o700), syncFolder(filepath.Dir(w.dir))); err != nil {
		return 0
	}
	q, err := openQueue(w.dir, w.key)
	if err != nil {
		return 0 // the cut came first
	}
	for n := 0; ; n++ {
		if !w.put(q, fmt.Sprintf("%s-%d", w.run, n), w.luck) {
			time.Sleep(time.Millisecond)
		}
	}
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// full puts large records, whatever becomes of them. A queue that has stopped
// is opened again, as the supervisor does with the agent.
func (w *worker) full() int {
	q, ok := w.open(w.dir)
	if !ok {
		return 3
	}
	drains := w.luck.IntN(2) == 0
	start := func() (stop func()) {
		if !drains {
			return func() {}
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := w.drain(ctx, q, w.unreliable(w.luck.Uint64()))
		return func() { cancel(); <-ended }
	}
	stop := start()
	for n := 0; ; n++ {
		large := visit(fmt.Sprintf("%s-%d", w.run, n))
		large.Operator = strings.Repeat("x", 16<<10)
		id, err := q.Put(context.Background(), large, nil)
		if err == nil {
			w.say("put", string(large.Kind), large.UUID, id.String())
			continue
		}
		w.say("refused", err.Error())
		time.Sleep(500 * time.Microsecond)
		if !errors.Is(err, queue.ErrStopped) {
			continue
		}
		stop()
		_ = q.Close()
		again, err := openQueue(w.dir, w.key)
		for err != nil {
			w.say("refused", err.Error())
			time.Sleep(500 * time.Microsecond)
			again, err = openQueue(w.dir, w.key)
		}
		q = again
		w.say("again")
		stop = start()
	}
}
