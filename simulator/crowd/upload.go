package crowd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"filippo.io/age"

	uplink "github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Upload measures the platform and the uplink without the kiosks' disks:
// o.Kiosks senders bring batches of o.Batch new records (0: 100) as fast as they
// are taken, for o.For (0: ten seconds). They are counted as live records, and
// a record waits as long as its call takes.
func Upload(ctx context.Context, o Opts) (*Report, error) {
	o.Records = 1 // nothing waits
	if o.Batch == 0 {
		o.Batch = 100
	}
	if o.For == 0 {
		o.For = 10 * time.Second
	}
	c, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	r, err := c.upload(ctx)
	return r, errors.Join(err, c.close())
}

//

func (c *crowd) upload(ctx context.Context) (*Report, error) {
	sealed, err := c.seal()
	if err != nil {
		return nil, err
	}
	for i := range c.kiosks {
		if c.kiosks[i], err = c.newSender(i); err != nil {
			return nil, err
		}
	}
	if err := c.far.server.Up(); err != nil {
		return nil, fmt.Errorf("starting the platform: %w", err)
	}
	c.phase.begin("upload", 0, &c.tally.live)
	defer c.tell()()
	c.tally.begin()
	short, cancel := context.WithTimeout(ctx, c.o.For)
	defer cancel()
	var senders sync.WaitGroup
	for _, k := range c.kiosks {
		senders.Go(func() { k.upload(short, sealed) })
	}
	senders.Wait()
	c.tally.end()
	c.sum()
	c.report.Records, c.report.Drained, c.report.Fallen = c.report.Live, c.report.Live, 0
	c.report.Rate = float64(c.report.Live) / c.tally.took.Seconds()
	if ctx.Err() != nil {
		return &c.report, context.Cause(ctx)
	}
	return &c.report, c.check(ctx)
}

// upload brings one batch after the other until ctx ends. One that is put off
// is brought again after as long as the platform asks for.
func (k *kiosk) upload(ctx context.Context, sealed []byte) {
	for ctx.Err() == nil {
		batch := k.batch(sealed)
		for ctx.Err() == nil {
			// What is on its way is waited for, so that every record is accounted for.
			_, err := k.send(context.WithoutCancel(ctx), checkin.Backlog, batch)
			if err == nil {
				break
			}
			wait := 50 * time.Millisecond
			var refusal *uplink.Refusal
			if errors.As(err, &refusal) {
				wait = max(wait, refusal.After)
			}
			_ = pause(ctx, wait)
		}
	}
}

// batch makes new records as a queue would have kept them.
func (k *kiosk) batch(sealed []byte) []checkin.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	records := make([]checkin.Record, k.c.o.Batch)
	for i := range records {
		e := entry(k.number, k.made, now)
		records[i].Event = e.Event
		records[i].Event.ID = checkin.ID{Device: k.name, Epoch: "upload", Seq: uint64(k.made) + 1}
		if e.Who != nil {
			records[i].Identity, records[i].KeyID = sealed, "upload"
		}
		k.live[k.made] = now
		k.made++
	}
	return records
}

// seal makes one sealed identity for all: the platform cannot tell.
func (c *crowd) seal() ([]byte, error) {
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, c.authority.Recipient())
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(w, `{"uuid":%q,"kind":%q,"value":"https://code.sentinel.example/p/%s"}`, uuid(0, 0), checkin.PersonalCode, uuid(0, 0)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return sealed.Bytes(), nil
}
