package simulator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
	"github.com/digital-sentinel/sentinel/simulator/sdt"
)

// VisitOpts is what Visits measures.
type VisitOpts struct {
	N    int    // visitors, one after the other
	By   string // code or card
	Real bool   // devices, platform and people take real times
	// Shard publishes the signed cache with so many people, at least the visitors;
	// 0 publishes none. Offline takes the platform down before the first visitor.
	Shard   int
	Offline bool
	// Told hears of progress; nil hears nothing.
	Told func(done int)
}

// Times of real people at a gate, and of a healthy platform: estimates, for
// the lane rate only. The next visitor steps up when the last one is released;
// he is through the sensor a moment later.
const (
	stepUp      = 800 * time.Millisecond
	walkThrough = 1200 * time.Millisecond
	platformLag = 50 * time.Millisecond
)

// VisitReport is what was measured.
type VisitReport struct {
	Visits, Granted int
	Verdict         []time.Duration // credential to verdict on the disk, inside the agent, sorted
	Gate            []time.Duration // code shown or card laid, to the gate unlocking, outside, sorted
	Took            time.Duration   // all of them
	Ready           time.Duration   // start of the process to ready for the first
	RSS             int64           // of the agent afterwards, bytes; 0: not known here
	Shard           backend.ShardReport
	Fetched         time.Duration // how long the kiosk took to fetch the cache
	Records         counts
}

// Visits lets people through one after the other and measures.
func Visits(ctx context.Context, o Opts, v VisitOpts) (*VisitReport, error) {
	o.Real = v.Real
	if !v.Real {
		o.Settle = 50 * time.Millisecond
	}
	b, err := New(o)
	if err != nil {
		return nil, err
	}
	report, err := b.visits(ctx, v)
	if cerr := b.Close(); err == nil {
		err = cerr
	}
	return report, err
}

// PerMinute is the lane's rate.
func (r *VisitReport) PerMinute() float64 {
	return float64(r.Granted) / r.Took.Minutes()
}

// Percentile returns the p-th of a sorted list.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))/100))]
}

//

func (b *Bench) visits(ctx context.Context, v VisitOpts) (*VisitReport, error) {
	now := b.platformNow()
	for i := range max(v.N, v.Shard) {
		b.platform.SetPerson(backend.Person{
			Ref: strconv.Itoa(i), Name: "测试", Number: syntheticNumber(i), Colour: checkin.Green,
			NAT: checkin.Negative, Sampled: now.Add(-time.Hour), Reported: now.Add(-time.Hour),
		})
	}
	started := time.Now()
	if err := b.Start(ctx); err != nil {
		return nil, err
	}
	r := &VisitReport{Visits: v.N, Ready: time.Since(started)}
	if err := b.cacheFor(ctx, v, r); err != nil {
		return r, err
	}
	if v.Real {
		if err := b.setPlatform(backend.Fault{Kind: "slow", Delay: platformLag}); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	for i := range v.N {
		if err := b.visit1(ctx, v, i, r); err != nil {
			return r, fmt.Errorf("visitor %d: %w", i+1, err)
		}
		if v.Told != nil {
			v.Told(i + 1)
		}
	}
	r.Took = time.Since(began)
	slices.Sort(r.Verdict)
	slices.Sort(r.Gate)
	r.RSS = b.rss()
	if v.Offline {
		if err := b.setPlatform(backend.Fault{Kind: "up"}); err != nil {
			return r, err
		}
	}
	return r, b.settled(ctx, r)
}

// cacheFor publishes the signed cache, and takes the platform away.
func (b *Bench) cacheFor(ctx context.Context, v VisitOpts, r *VisitReport) error {
	if v.Shard == 0 {
		return nil
	}
	reports, err := b.publisher.Publish(b.platformNow())
	if err != nil {
		return err
	}
	r.Shard = reports[0]
	began := time.Now()
	if err := b.fetchCache(ctx); err != nil {
		return err
	}
	r.Fetched = time.Since(began)
	if v.Offline {
		return b.setPlatform(backend.Fault{Kind: "down"})
	}
	return nil
}

// visit1 is one visitor, from stepping up to being released.
func (b *Bench) visit1(ctx context.Context, v VisitOpts, i int, r *VisitReport) error {
	if v.Real {
		if err := sleep(ctx, stepUp); err != nil {
			return err
		}
	}
	mark, shown := b.facts.mark(), time.Now()
	limit := shown.Add(20 * time.Second)
	if err := b.present(v.By, i); err != nil {
		return err
	}
	verdict, err := b.facts.wait(ctx, mark, limit, func(f Fact) bool { return f.Kind == "verdict" })
	if err != nil {
		return unless(err, "there was no verdict: "+b.kiosk.words())
	}
	if verdict.Outcome != string(checkin.Granted) {
		return fmt.Errorf("the verdict was %s %s", verdict.Outcome, verdict.Reason)
	}
	open, err := b.facts.wait(ctx, mark, limit, func(f Fact) bool { return f.Kind == "gate" && f.State == "unlocked" })
	if err != nil {
		return unless(err, "the gate did not open")
	}
	r.Granted++
	r.Verdict = append(r.Verdict, time.Duration(verdict.Took)*time.Microsecond)
	r.Gate = append(r.Gate, open.At.Sub(shown))
	return b.goThrough(ctx, v.Real, mark, limit)
}

// goThrough sends the visitor through the sensor. Real people do so while the
// next one steps up; without delays the lane is empty before the next.
func (b *Bench) goThrough(ctx context.Context, real bool, mark int, limit time.Time) error {
	if real {
		b.runs.Go(func() {
			if sleep(b.ctx, walkThrough) == nil {
				b.far.walk(1)
			}
		})
		return nil
	}
	b.far.walk(1)
	if _, err := b.facts.wait(ctx, mark, limit, func(f Fact) bool { return f.Kind == "passage" }); err != nil {
		return unless(err, "the passage was not seen: "+b.kiosk.words())
	}
	return nil
}

// unless says what was not seen; a run that was told to end says that instead.
func unless(err error, unseen string) error {
	if err == errUnseen {
		return errors.New(unseen)
	}
	return err
}

func (b *Bench) present(by string, i int) error {
	person, _ := b.platform.Person(strconv.Itoa(i))
	if by == "card" {
		return b.far.lay(sdt.Resident(person.Name, person.Number), sdt.Whole, false)
	}
	return b.far.show([]byte(b.platform.Code(person.Ref)))
}

// A kiosk comes back to a platform that was away in its own time: with full
// jitter up to five minutes later, and all kiosks not at once. It is given until
// the attempt that it announces and settleAfter more, but not longer than
// settleMost in all.
const (
	settleAfter = 10 * time.Second
	settleMost  = 6 * time.Minute
)

// settled waits until everything is delivered.
func (b *Bench) settled(ctx context.Context, r *VisitReport) error {
	began := time.Now()
	for limit := began.Add(settleAfter); ; {
		var err error
		if r.Records, err = b.records(ctx); err != nil {
			return err
		}
		if r.Records.delivered >= r.Records.stored {
			return nil
		}
		s, err := b.seen.status(ctx)
		if err != nil {
			return err
		}
		if next := s.Queue.NextTry.Add(settleAfter); next.After(limit) && next.Before(began.Add(settleMost)) {
			limit = next
		}
		if !time.Now().Before(limit) {
			return fmt.Errorf("%d of %d visit records were delivered; the kiosk's last word: %q, next try %s",
				r.Records.delivered, r.Records.stored, s.Queue.LastError, s.Queue.NextTry.Format(time.TimeOnly))
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// rss is the agent's resident memory in bytes.
func (b *Bench) rss() int64 {
	k, ok := b.kiosk.(*childKiosk)
	if !ok {
		return 0
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", k.pid()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// syntheticNumber makes a citizen number with a right check digit (GB 11643)
// in the area 710000, in which nobody was ever registered under GB 11643.
func syntheticNumber(i int) string {
	body := fmt.Sprintf("71%04d19900101%03d", i/1000, i%1000)
	weights := [17]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	sum := 0
	for j, w := range weights {
		sum += w * int(body[j]-'0')
	}
	return body + string("10X98765432"[sum%11])
}
