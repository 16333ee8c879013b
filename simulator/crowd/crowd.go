// Package crowd drives hundreds of kiosks in one process against the reference
// platform on this machine: after an outage all of them come back at once. Of
// each kiosk it has the part between a verdict and the platform's store, and
// that part is the real one: agent/queue on a disk, agent/backend over mutual
// TLS, one connection each.
//
//	fill ─► platform up ─► drain, live records meanwhile ─► check at the store
//
// # What it does not show
//
// Kiosks, platform, TLS and JSON at both ends share one machine's processors:
// the figures compare two versions on one machine. The network is loopback and
// loses nothing; what is lost is the answer to a call, on order (Opts.Twice).
// A kiosk's event log is not there, nor its reserve of disk space.
package crowd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"filippo.io/age"
)

// Opts is the crowd. A zero field means none of it.
type Opts struct {
	Kiosks  int
	Records int           // that wait on each kiosk when the platform comes up
	Batch   int           // records a call of Upload; a queue makes its own batches
	Live    time.Duration // each kiosk makes a live record so often
	Twice   float64       // share of the calls whose first answer is lost, 0 to 1
	// Store is where the platform keeps records: memory, bolt (a file in the
	// run's own folder) or bolt:PATH (a new file, which stays).
	Store       string
	NoAdmission bool          // the platform takes whatever comes
	Spread      time.Duration // a kiosk waits a random part of it before its first call
	For         time.Duration // at most so long from the platform's start
	// Told hears about once a second how far the run is; nil hears nothing.
	Told func(Progress)
}

// ErrTime is the cause that ends a run whose time (Opts.For) is up.
var ErrTime = errors.New("the time is up")

// Run is one crowd, from empty queues to the check at the store. If ctx ends it,
// or its time, the report holds what was done until then, and the error is the
// cause. Its folder is removed in every case.
func Run(ctx context.Context, o Opts) (*Report, error) {
	c, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	r, err := c.run(ctx)
	return r, errors.Join(err, c.close())
}

//

// crowd is one run.
type crowd struct {
	o         Opts
	dir       string
	authority *age.X25519Identity
	far       *far
	kiosks    []*kiosk
	tally     tally
	report    Report
	phase     phase
}

func open(ctx context.Context, o Opts) (*crowd, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := enoughFiles(o.Kiosks); err != nil {
		return nil, err
	}
	authority, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sentinel-crowd-")
	if err != nil {
		return nil, fmt.Errorf("making the crowd's folder: %w", err)
	}
	c := &crowd{o: o, dir: dir, authority: authority, kiosks: make([]*kiosk, o.Kiosks)}
	if c.far, err = newFar(ctx, o, dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return c, nil
}

func (o *Opts) check() error {
	switch {
	case o.Kiosks < 1 || o.Kiosks > 100_000:
		return errors.New("a crowd has 1 to 100000 kiosks")
	case o.Records < 1 || o.Records > 1_000_000:
		return errors.New("1 to 1000000 records wait on each kiosk")
	case !(o.Twice >= 0 && o.Twice <= 1):
		return errors.New("the share of the calls that are made twice is 0 to 1")
	case o.Batch < 0 || o.Live < 0 || o.Spread < 0 || o.For < 0:
		return errors.New("a batch or a time is negative")
	}
	return nil
}

func (c *crowd) run(ctx context.Context) (*Report, error) {
	c.phase.begin("fill", c.o.Kiosks*c.o.Records, &c.tally.filled)
	defer c.tell()()
	if err := c.fill(ctx); err != nil {
		return &c.report, err
	}
	err := c.drain(ctx)
	c.sum()
	if ctx.Err() != nil {
		return &c.report, err // told to end: nobody waits for the check
	}
	return &c.report, errors.Join(err, c.check(ctx))
}

// close gives everything back. Queues are closed together: each waits for its
// disk.
func (c *crowd) close() error {
	errs := make([]error, len(c.kiosks))
	var closing sync.WaitGroup
	for i, k := range c.kiosks {
		if k != nil {
			closing.Go(func() { errs[i] = k.close() })
		}
	}
	closing.Wait()
	return errors.Join(errors.Join(errs...), c.far.close(), os.RemoveAll(c.dir))
}

// fill makes the kiosks and what waits on them: several at a time, for each
// waits for its disk.
func (c *crowd) fill(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var fillers sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		fillers.Go(func() {
			for i := range next {
				if err := c.fill1(ctx, i); err != nil {
					cancel(fmt.Errorf("filling kiosk %d: %w", i+1, err))
				}
			}
		})
	}
	for i := range c.kiosks {
		if ctx.Err() == nil {
			next <- i
		}
	}
	close(next)
	fillers.Wait()
	c.report.Filled = c.phase.took()
	return context.Cause(ctx)
}

func (c *crowd) fill1(ctx context.Context, i int) error {
	if ctx.Err() != nil {
		return nil
	}
	k, err := c.newKiosk(i)
	if err != nil {
		return err
	}
	c.kiosks[i] = k
	return k.fill(ctx)
}

// drain brings the platform up for all kiosks at once, and returns when nothing
// waits on any of them.
func (c *crowd) drain(ctx context.Context) error {
	if c.o.For > 0 {
		short, cancel := context.WithTimeoutCause(ctx, c.o.For, ErrTime)
		defer cancel()
		ctx = short
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if err := c.far.server.Up(); err != nil {
		return fmt.Errorf("starting the platform: %w", err)
	}
	c.phase.begin("drain", c.o.Kiosks*c.o.Records, &c.tally.drained)
	c.tally.begin()
	live, endLive := context.WithCancel(ctx)
	defer endLive()
	var drains, lives sync.WaitGroup
	for _, k := range c.kiosks {
		drains.Go(func() { ended(end, k.drain(ctx)) })
		lives.Go(func() { ended(end, k.trickle(live)) })
	}
	until(ctx, 20*time.Millisecond, func() bool { return c.tally.drained.Load() >= int64(c.o.Kiosks*c.o.Records) })
	c.tally.end()
	endLive()
	lives.Wait()
	until(ctx, 200*time.Millisecond, func() bool { return c.left() == 0 })
	err := context.Cause(ctx)
	end(nil)
	drains.Wait()
	return err
}

// ended ends the run with the first error that a kiosk has.
func ended(end context.CancelCauseFunc, err error) {
	if err != nil {
		end(err)
	}
}

// until waits for something that nobody tells.
func until(ctx context.Context, every time.Duration, is func() bool) {
	t := time.NewTicker(every)
	defer t.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// left counts what waits on the kiosks.
func (c *crowd) left() int {
	n := 0
	for _, k := range c.kiosks {
		n += k.left()
	}
	return n
}
