package crowd

import (
	"sync"
	"sync/atomic"
	"time"
)

// Progress is how far a run is.
type Progress struct {
	Phase    string // fill, drain, upload or check
	Done, Of int    // records; Of is 0 where there is no end to it
	Refusals int    // calls put off so far
	Live     int    // live records acknowledged so far
	Elapsed  time.Duration
}

// Remaining is how long the phase takes yet at its mean rate; 0: nobody knows.
func (p Progress) Remaining() time.Duration {
	if p.Done == 0 || p.Done > p.Of {
		return 0
	}
	return time.Duration(float64(p.Elapsed) * float64(p.Of-p.Done) / float64(p.Done))
}

// phase is the present phase.
type phase struct {
	private atomic.Int64 // most private memory seen, in bytes

	mu    sync.Mutex
	name  string
	since time.Time
	of    int
	done  *atomic.Int64
}

func (p *phase) begin(name string, of int, done *atomic.Int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.since, p.of, p.done = name, time.Now(), of, done
}

func (p *phase) took() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.since)
}

func (p *phase) progress() Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Progress{Phase: p.name, Done: int(p.done.Load()), Of: p.of, Elapsed: time.Since(p.since)}
}

// tell samples memory and tells how far the run is, once a second, until the
// function that it returns is called.
func (c *crowd) tell() (end func()) {
	over := make(chan struct{})
	var told sync.WaitGroup
	told.Go(func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-over:
				return
			case <-t.C:
			}
			c.phase.private.Store(max(c.phase.private.Load(), resident("RssAnon:")))
			if c.o.Told != nil {
				c.o.Told(c.progress())
			}
		}
	})
	return func() { close(over); told.Wait() }
}

func (c *crowd) progress() Progress {
	p := c.phase.progress()
	p.Refusals = int(c.tally.refusals.Load())
	p.Live = int(c.tally.live.Load())
	return p
}
