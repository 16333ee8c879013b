//go:build linux

package simulator_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/eventlog"
	"github.com/digital-sentinel/sentinel/agent/queue"
	platform "github.com/digital-sentinel/sentinel/simulator/backend"
	"github.com/digital-sentinel/sentinel/simulator/netfault"
)

// step lets some time pass with one thing wrong, while records are put. The
// fault comes and goes, so that it also meets what is on its way just then; and
// the platform, or the kiosk, may be started again in the middle.
func (s *netStory) step() error {
	fault, luck := s.fault(), s.r.luck
	good := netfault.Fault{Latency: fault.Latency, Rate: fault.Rate}
	lose := luck.IntN(4) == 0 // the platform itself loses replies, beside the network
	var producers sync.WaitGroup
	for range 1 + s.r.few(4) {
		mine, n := rand.New(rand.NewPCG(luck.Uint64(), 1)), 1+luck.IntN(s.most())
		s.producer++
		name := fmt.Sprintf("%d", s.producer)
		producers.Go(func() { s.produce(name, n, mine) })
	}
	var errs []error
	for range 1 + luck.IntN(6) {
		if lose {
			errs = append(errs, s.faults.Set(platform.Fault{Kind: "lose-reply"}))
		}
		errs = append(errs, s.proxy.Set(good))
		s.rest(3 * time.Second)
		errs = append(errs, s.faults.Set(platform.Fault{Kind: "up"}), s.proxy.Set(fault))
		s.rest(time.Minute)
	}
	switch luck.IntN(4) {
	case 0:
		errs = append(errs, s.restartPlatform())
	case 1:
		errs = append(errs, s.restartKiosk())
	}
	producers.Wait()
	return errors.Join(errs...)
}

// most is how many records one producer brings in a step.
func (s *netStory) most() int {
	if s.r.luck.IntN(8) == 0 && !s.r.brief {
		return 400 // more than one batch
	}
	return 30
}

// fault draws what is wrong with the network.
func (s *netStory) fault() netfault.Fault {
	luck := s.r.luck
	kinds := []netfault.Kind{netfault.Up, netfault.Down, netfault.Reset, netfault.Blackhole, netfault.HalfOpen, netfault.LostReply}
	f := netfault.Fault{Kind: kinds[luck.IntN(len(kinds))]}
	if luck.IntN(2) == 0 {
		f.Latency = time.Duration(luck.Int64N(int64(time.Second)))
	}
	if luck.IntN(4) == 0 {
		f.Rate = 1 << (11 + luck.IntN(7)) // 2 to 128 kB/s
	}
	return f
}

// rest lets up to d pass.
func (s *netStory) rest(d time.Duration) {
	time.Sleep(time.Duration(s.r.luck.Int64N(int64(d))))
}

// produce puts n records, every third one a visit that was refused and its report
// beside it.
func (s *netStory) produce(name string, n int, luck *rand.Rand) {
	for i := range n {
		time.Sleep(time.Duration(luck.Int64N(int64(2 * time.Second))))
		visit := fmt.Sprintf("visit-%s-%d", name, i)
		entries := []queue.Entry{entry(visit, checkin.KindVisit)}
		if i%3 == 0 {
			report := entry("report-"+visit, checkin.KindRefusal)
			report.Event.Visit = visit
			entries = append(entries, report)
		}
		s.put(entries)
	}
}

func entry(uuid string, kind checkin.EventKind) queue.Entry {
	return queue.Entry{
		Event: checkin.Event{
			Version: checkin.EventVersion, UUID: uuid, Kind: kind, Venue: "venue-1", Lane: "lane-1", Direction: "in",
			At:      checkin.Stamp{Wall: time.Now().UTC(), Boot: time.Hour, BootID: "torture", Trusted: true},
			Verdict: &checkin.Decision{Outcome: checkin.Refused, Reason: checkin.CodeRed},
		},
		Who: &checkin.Identity{UUID: uuid, Kind: checkin.ResidentID, Value: "11010519491231002X", Name: "测试"},
	}
}

// put puts entries, and remembers what was promised. While the kiosk is started
// again nobody comes.
func (s *netStory) put(entries []queue.Entry) {
	s.kioskMu.RLock()
	defer s.kioskMu.RUnlock()
	if s.kiosk == nil {
		return
	}
	ids, err := s.kiosk.queue.PutAll(context.Background(), entries...)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, id := range ids {
		e := &entries[i].Event
		s.promised[e.UUID] = id
		if e.Kind == checkin.KindRefusal {
			s.reports[e.UUID] = id
		}
		s.r.score.cases++
	}
}

// judge compares what was promised with what the platform holds, and what it
// holds with the event log.
func (s *netStory) judge(end queue.Stats) error {
	score := s.r.score
	for box, promised := range map[string]map[string]checkin.ID{platform.Checkins: s.promised, reportsBox: s.reports} {
		held := map[string][]checkin.ID{}
		err := s.store.Records(context.Background(), box, func(r checkin.Record) error {
			held[r.Event.UUID] = append(held[r.Event.UUID], r.Event.ID)
			return nil
		})
		if err != nil {
			return err
		}
		counts, err := s.store.Count(context.Background(), box)
		if err != nil {
			return err
		}
		score.again += counts.Again
		if counts.Conflicts > 0 {
			score.bad(&score.duplicated, "%d identities came with another content", counts.Conflicts)
		}
		s.compare(box, promised, held)
	}
	if end.Dead > 0 || end.Reports[reportsBox].Dead > 0 || end.Reports[reportsBox].Missed > 0 || end.Expired > 0 {
		score.bad(&score.lost, "%d records dead, %d identities expired, reports %+v", end.Dead, end.Expired, end.Reports[reportsBox])
	}
	if end.Damaged > 0 {
		score.bad(&score.unreadable, "%d files of the queue were damaged", end.Damaged)
	}
	return s.logged()
}

func (s *netStory) compare(box string, promised map[string]checkin.ID, held map[string][]checkin.ID) {
	score := s.r.score
	for uuid, id := range promised {
		if len(held[uuid]) == 0 {
			score.bad(&score.lost, "%s was acknowledged as %v and never reached box %q", uuid, id, box)
		} else if !slices.Contains(held[uuid], id) {
			score.bad(&score.duplicated, "%s was acknowledged as %v and is held as %v", uuid, id, held[uuid])
		}
	}
	owner := map[checkin.ID]string{}
	for uuid, ids := range held {
		if len(ids) > 1 {
			score.bad(&score.duplicated, "%s is held %d times: %v", uuid, len(ids), ids)
		}
		for _, id := range ids {
			if was, ok := owner[id]; ok && was != uuid {
				score.bad(&score.duplicated, "%v is held for %s and for %s", id, was, uuid)
			}
			owner[id] = uuid
		}
	}
}

// logged looks whether the event of everything that was promised, and delivered
// by now, is in the event log.
func (s *netStory) logged() error {
	there := map[string]bool{}
	for e, err := range eventlog.Read(s.eventDir(), time.Time{}, time.Time{}) {
		var damage *eventlog.Damage
		switch {
		case errors.As(err, &damage):
			s.r.score.bad(&s.r.score.unreadable, "%v", damage)
		case err != nil:
			return err
		default:
			there[e.UUID] = true
		}
	}
	for uuid := range s.promised {
		if !there[uuid] {
			s.r.score.bad(&s.r.score.lost, "%s has no event in the log", uuid)
		}
	}
	return nil
}

// keyless is a store without a unique key.
type keyless struct {
	platform.Store
	mu    sync.Mutex
	twice map[string][]checkin.Record
}

func (k *keyless) Keep(ctx context.Context, b platform.Batch) ([]platform.Outcome, error) {
	outcomes, err := k.Store.Keep(ctx, b)
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, o := range outcomes {
		if o != platform.Repeated {
			continue
		}
		if k.twice == nil {
			k.twice = map[string][]checkin.Record{}
		}
		k.twice[b.Box], outcomes[i] = append(k.twice[b.Box], b.Records[i]), platform.Kept
	}
	return outcomes, err
}

func (k *keyless) Records(ctx context.Context, box string, yield func(checkin.Record) error) error {
	err := k.Store.Records(ctx, box, yield)
	for i := range k.twice[box] {
		if err == nil {
			err = yield(k.twice[box][i])
		}
	}
	return err
}
