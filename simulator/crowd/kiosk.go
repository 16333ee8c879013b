package crowd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	uplink "github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// kiosk is one kiosk of the crowd: its queue and its uplink.
type kiosk struct {
	c      *crowd
	number int
	name   string
	queue  *queue.Queue // nil: a sender has none
	client *uplink.Client
	first  time.Duration // waited before the first call

	mu      sync.Mutex
	settled []bool            // by number: what the platform has answered for
	made    int               // records so far; the live ones come after the backlog
	live    map[int]time.Time // live records without an answer, and when they were made
}

// newSender makes a kiosk without a queue.
func (c *crowd) newSender(i int) (*kiosk, error) {
	k := &kiosk{c: c, number: i, name: fmt.Sprintf("crowd-%05d", i), live: map[int]time.Time{}}
	tls, err := c.far.pki.Enrol(k.name)
	if err != nil {
		return nil, err
	}
	k.client, err = uplink.New(uplink.Opts{URL: c.far.url, TLS: tls, Venue: venue, Kiosk: k.name, Lane: lane, Version: "crowd"})
	return k, err
}

func (c *crowd) newKiosk(i int) (*kiosk, error) {
	k, err := c.newSender(i)
	if err != nil {
		return nil, err
	}
	k.settled = make([]bool, c.o.Records)
	if c.o.Spread > 0 {
		k.first = rand.N(c.o.Spread)
	}
	return k, k.open()
}

// open opens the queue; what is in it then has waited.
func (k *kiosk) open() (err error) {
	k.queue, err = queue.Open(queue.Opts{
		Dir: filepath.Join(k.c.dir, k.name), Device: k.name, Recipient: k.c.authority.Recipient().String(),
		Max: k.c.o.Records + 200_000, Reserve: -1, // hundreds of reserves would fill this disk
	})
	return err
}

func (k *kiosk) close() error {
	k.client.Close()
	if k.queue == nil {
		return nil
	}
	return k.queue.Close()
}

// left counts what waits.
func (k *kiosk) left() int {
	if k.queue == nil {
		return 0
	}
	return k.queue.Stats().Depth
}

// fill puts what waits into the queue, and starts the kiosk anew: power and
// platform come back at the same time.
func (k *kiosk) fill(ctx context.Context) error {
	began := time.Now().Add(-time.Duration(k.c.o.Records) * apart)
	for n := 0; n < k.c.o.Records && ctx.Err() == nil; {
		var entries []queue.Entry
		for ; len(entries) < atOnce && n < k.c.o.Records; n++ {
			entries = append(entries, entry(k.number, n, began.Add(time.Duration(n)*apart)))
		}
		if _, err := k.queue.PutAll(ctx, entries...); err != nil {
			return err
		}
		k.made = n
		k.c.tally.filled.Add(int64(len(entries)))
	}
	err := k.queue.Close()
	k.queue = nil
	if err != nil || ctx.Err() != nil {
		return err
	}
	return k.open()
}

const (
	atOnce = 200              // by one commit, to fill within a coffee
	apart  = 15 * time.Second // visitors of the outage
)

// drain delivers until ctx ends.
func (k *kiosk) drain(ctx context.Context) error {
	if pause(ctx, k.first) != nil {
		return nil
	}
	return k.queue.Drain(ctx, k.send)
}

// trickle makes live records until ctx ends. Kiosks are not in step.
func (k *kiosk) trickle(ctx context.Context) error {
	if k.c.o.Live == 0 {
		return nil
	}
	for wait := rand.N(k.c.o.Live); pause(ctx, wait) == nil; wait = k.c.o.Live {
		k.mu.Lock()
		n := k.made
		k.made++
		k.live[n] = time.Now()
		k.mu.Unlock()
		e := visit(k.number, n, time.Now())
		if _, err := k.queue.Put(context.WithoutCancel(ctx), e.Event, e.Who); err != nil {
			return fmt.Errorf("kiosk %d: a live record: %w", k.number+1, err)
		}
	}
	return nil
}

// send brings one batch, and now and then loses the answer and brings it again.
func (k *kiosk) send(ctx context.Context, t checkin.Traffic, records []checkin.Record) ([]checkin.Ack, error) {
	if rand.Float64() < k.c.o.Twice {
		if _, err := k.send1(ctx, t, records); err != nil {
			return nil, err
		}
		k.c.tally.repeated.Add(int64(len(records)))
	}
	acks, err := k.send1(ctx, t, records)
	if err == nil {
		k.note(t, records, acks)
	}
	return acks, err
}

// send1 is one call, counted.
func (k *kiosk) send1(ctx context.Context, t checkin.Traffic, records []checkin.Record) ([]checkin.Ack, error) {
	n := int64(len(records))
	acks, err := k.client.Deliver(ctx, t, records)
	var refusal *uplink.Refusal
	switch {
	case errors.As(err, &refusal):
		k.c.tally.refusals.Add(1)
		k.c.tally.refused.Add(n)
		if t == checkin.Live {
			k.c.tally.liveCalls.Add(1)
		}
	case err != nil && ctx.Err() == nil:
		k.c.tally.unanswered.Add(1)
		k.c.tally.wasted.Add(n)
		if errors.Is(err, context.DeadlineExceeded) {
			k.c.tally.timedOut.Add(1)
		}
	}
	return acks, err
}

// note takes the platform's answers into account.
func (k *kiosk) note(t checkin.Traffic, records []checkin.Record, acks []checkin.Ack) {
	now := time.Now()
	numbers := make(map[checkin.ID]int, len(records))
	for i := range records {
		if _, n, err := parseUUID(records[i].Event.UUID); err == nil {
			numbers[records[i].Event.ID] = n
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range acks {
		n, ok := numbers[a.ID]
		switch {
		case !ok:
		case a.Status == checkin.Rejected:
			k.c.tally.rejected.Add(1)
		default:
			k.settle(n, t, now)
		}
	}
}

// settle notes an answer for record n. The caller holds k.mu.
func (k *kiosk) settle(n int, t checkin.Traffic, now time.Time) {
	if n < len(k.settled) {
		if !k.settled[n] {
			k.settled[n] = true
			k.c.tally.drained.Add(1)
		}
		return
	}
	if made, ok := k.live[n]; ok {
		delete(k.live, n)
		if t == checkin.Backlog {
			k.c.tally.fallen.Add(1)
		}
		k.c.tally.waited(now.Sub(made))
	}
}

// isSettled reports whether the platform has said that it holds record n.
func (k *kiosk) isSettled(n int) bool {
	if n < len(k.settled) {
		return k.settled[n]
	}
	_, waits := k.live[n]
	return !waits
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// uuid names record n of a kiosk so that the store can be asked for it.
func uuid(kiosk, n int) string { return fmt.Sprintf("%08x-0000-7000-8000-%012x", kiosk, n) }

// parseUUID is the other way round.
func parseUUID(s string) (kiosk, n int, err error) {
	if len(s) != 36 {
		return 0, 0, errors.New("this is no record of the crowd's")
	}
	k, err := strconv.ParseUint(s[:8], 16, 31)
	if err != nil {
		return 0, 0, err
	}
	m, err := strconv.ParseUint(s[24:], 16, 31)
	return int(k), int(m), err
}
