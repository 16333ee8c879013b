package crowd

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Report is what came of a run.
type Report struct {
	Kiosks  int `json:"kiosks"`
	Records int `json:"records"` // that waited, on all kiosks
	Drained int `json:"drained"` // of these, acknowledged
	Left    int `json:"left"`    // wait on the kiosks still

	Filled time.Duration `json:"filled_ns"` // to make what waits
	Took   time.Duration `json:"took_ns"`   // from the platform's start to the last acknowledgement of what waited
	Rate   float64       `json:"records_per_second"`

	Refusals   int           `json:"refusals"`        // calls that the platform put off
	Refused    int           `json:"refused_records"` // the records in them
	LiveCalls  int           `json:"live_refusals"`   // of these calls, in the live lane
	Unanswered int           `json:"unanswered"`      // calls that failed otherwise
	TimedOut   int           `json:"timed_out"`       // of these, for want of time; the rest had a broken connection
	Wasted     int           `json:"wasted_records"`  // the records in them: brought, and not acknowledged
	Gone       int           `json:"gone"`            // calls that the platform worked on after the kiosk had hung up
	GoneFor    time.Duration `json:"gone_for_ns"`
	Rejected   int           `json:"rejected"` // records that the platform refuses for good

	Repeated int `json:"repeated"`   // records brought twice on order
	Again    int `json:"duplicates"` // records that the platform recognised

	Live    int           `json:"live"`        // made while the backlog drained, and acknowledged
	LiveP50 time.Duration `json:"live_p50_ns"` // from before the queue's commit to the acknowledgement
	LiveP99 time.Duration `json:"live_p99_ns"`
	LiveMax time.Duration `json:"live_max_ns"`
	Fallen  int           `json:"live_fallen"` // of the live records: came with the backlog, after their own call had failed

	Handshakes int           `json:"handshakes"`
	Resumed    int           `json:"resumed"`       // of these
	Bytes      int64         `json:"bytes"`         // of the calls' bodies
	CPU        time.Duration `json:"cpu_ns"`        // of this process while draining: kiosks and platform
	Peak       int64         `json:"peak_bytes"`    // most resident memory, queues' mapped files and all; 0: not known here
	Private    int64         `json:"private_bytes"` // most memory without them, sampled

	Checked bool `json:"checked"` // the store was asked for every record
	Lost    int  `json:"lost"`    // acknowledged, and not in the store
	Doubled int  `json:"doubled"` // in the store more than once
	Strange int  `json:"strange"` // in the store, and nobody's
}

// Once reports whether every acknowledged record is in the store exactly once,
// and nothing else.
func (r *Report) Once() bool { return r.Checked && r.Lost+r.Doubled+r.Strange+r.Rejected == 0 }

//

// tally is what the kiosks count together.
type tally struct {
	filled, drained, rejected atomic.Int64 // records
	refusals, refused         atomic.Int64 // calls, and the records in them
	unanswered, wasted        atomic.Int64 // likewise
	liveCalls, timedOut       atomic.Int64 // of the refusals in the live lane; of the unanswered
	repeated                  atomic.Int64 // records

	up   time.Time
	took time.Duration
	cpu  time.Duration

	live   atomic.Int64 // records
	fallen atomic.Int64 // of these
	mu     sync.Mutex
	waits  []time.Duration // of the live records
}

func (t *tally) begin() { t.up, t.cpu = time.Now(), cpu() }

func (t *tally) end() { t.took, t.cpu = time.Since(t.up), cpu()-t.cpu }

func (t *tally) waited(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = append(t.waits, d)
	t.live.Add(1)
}

// sum writes down what was counted.
func (c *crowd) sum() {
	r, t, f := &c.report, &c.tally, c.far
	r.Kiosks, r.Records = c.o.Kiosks, c.o.Kiosks*c.o.Records
	r.Drained, r.Left, r.Took, r.CPU = int(t.drained.Load()), c.left(), t.took, t.cpu
	if r.Took > 0 {
		r.Rate = float64(r.Drained) / r.Took.Seconds()
	}
	r.Refusals, r.Refused = int(t.refusals.Load()), int(t.refused.Load())
	r.Unanswered, r.Wasted = int(t.unanswered.Load()), int(t.wasted.Load())
	r.LiveCalls, r.TimedOut = int(t.liveCalls.Load()), int(t.timedOut.Load())
	r.Rejected, r.Repeated = int(t.rejected.Load()), int(t.repeated.Load())
	r.Gone, r.GoneFor = int(f.gone.Load()), time.Duration(f.goneFor.Load())
	r.Handshakes, r.Resumed, r.Bytes = int(f.handshakes.Load()), int(f.resumed.Load()), f.bytes.Load()
	slices.Sort(t.waits)
	r.Live, r.LiveP50, r.LiveP99, r.LiveMax = len(t.waits), percentile(t.waits, 50), percentile(t.waits, 99), percentile(t.waits, 100)
	r.Fallen = int(t.fallen.Load())
	r.Peak = resident("VmHWM:")
	r.Private = max(c.phase.private.Load(), resident("RssAnon:"))
}

// percentile returns the p-th of a sorted list; 0 of none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, p*len(sorted)/100)]
}

// check asks the store for every record.
func (c *crowd) check(ctx context.Context) error {
	r := &c.report
	var checked atomic.Int64
	c.phase.begin("check", int(c.tally.drained.Load()+c.tally.live.Load()), &checked)
	seen := make([][]bool, len(c.kiosks))
	for i, k := range c.kiosks {
		seen[i] = make([]bool, k.made)
	}
	err := c.far.records(ctx, func(x checkin.Record) error {
		checked.Add(1)
		i, n, err := parseUUID(x.Event.UUID)
		switch {
		case err != nil || i >= len(seen) || n >= len(seen[i]):
			r.Strange++
		case seen[i][n]:
			r.Doubled++
		default:
			seen[i][n] = true
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("asking the store for its records: %w", err)
	}
	for i, k := range c.kiosks {
		for n, there := range seen[i] {
			if !there && k.isSettled(n) {
				r.Lost++
			}
		}
	}
	r.Again, err = c.far.again(ctx)
	r.Checked = err == nil
	return err
}
