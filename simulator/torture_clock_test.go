//go:build linux

package simulator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/eventlog"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// clockWay is a kiosk whose wall clock jumps: the queue and the event log go by
// the agent's own Clock, which hears the time from the platform while that can be
// reached. True time is the bubble's, and by it no identity goes before its life
// is over and no event before half a year; those count as lost. An identity that
// is kept for too long counts as unreadable, for want of a better column.
type clockWay struct {
	gullible bool // control: the wall clock is believed, whatever it shows
}

const (
	tortureDay  = 24 * time.Hour
	tortureLife = 3 * tortureDay   // of an identity
	tortureLate = 2 * tortureDay   // by which it may be removed later
	tortureLag  = 15 * time.Minute // of the janitor, and of clocks that differ
)

// clockStory is one cycle of it: weeks to months of a kiosk.
type clockStory struct {
	clockWay
	r       *tortureRig
	steady  bool // the board's clock is good, and trusted
	clock   *clock.Clock
	offset  atomic.Int64 // of the wall clock from the true time
	boots   int
	down    atomic.Bool
	queue   *queue.Queue
	events  *eventlog.Log
	stop    context.CancelFunc
	loops   sync.WaitGroup
	ranTill time.Duration // before this life
	opened  time.Time

	mu    sync.Mutex // of what follows
	order []*clockVisit
	made  map[string]*clockVisit
}

// clockVisit is what is truly known of a visit.
type clockVisit struct {
	uuid string
	id   checkin.ID
	at   time.Time     // true
	ran  time.Duration // how long the queue had run then
	held int
}

func (w *clockWay) cycle(r *tortureRig) error {
	s := &clockStory{clockWay: *w, r: r, steady: r.luck.IntN(3) == 0 && !w.gullible, made: map[string]*clockVisit{}}
	s.boot()
	if err := s.open(); err != nil {
		return err
	}
	longest := 2 * tortureDay
	if r.luck.IntN(4) == 0 && !r.brief {
		longest = 20 * tortureDay
	}
	for range 6 + r.few(24) {
		if err := s.step(longest); err != nil {
			return errors.Join(err, s.close())
		}
	}
	s.down.Store(false)
	for i := 0; i < 24*60 && s.queue.Stats().Depth > 0; i++ {
		time.Sleep(time.Minute)
	}
	s.judge()
	time.Sleep(tortureLate)
	s.nothingSealed("two days after everything was delivered")
	err := s.close()
	return errors.Join(err, s.logged())
}

// boot is the board's start: it counts from there, and its clock may be lost.
func (s *clockStory) boot() {
	began := time.Now()
	s.boots++
	s.clock = &clock.Clock{
		Wall:   func() time.Time { return time.Now().Add(time.Duration(s.offset.Load())) },
		Boot:   func() time.Duration { return time.Since(began) },
		BootID: fmt.Sprintf("boot-%d", s.boots), Trusted: s.steady,
	}
	_ = s.clock.Keep(filepath.Join(s.r.dir, "clock.json"))
}

func (s *clockStory) now() checkin.Stamp {
	stamp := s.clock.Stamp()
	if s.gullible {
		stamp.Wall, stamp.Trusted = s.clock.Wall().UTC(), true
	}
	return stamp
}

func (s *clockStory) open() error {
	q, err := queue.Open(queue.Opts{
		Dir: s.r.dir, Device: tortureKiosk, Recipient: s.r.kit.recipient, Reserve: -1, IdentityLife: tortureLife, Now: s.now,
		Log: func(events ...checkin.Event) error { return s.events.Append(events...) },
	})
	if err != nil {
		return err
	}
	if s.events, err = eventlog.Open(eventlog.Opts{Dir: filepath.Join(s.r.dir, eventlog.Folder), Now: s.now}); err != nil {
		return errors.Join(err, q.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	s.queue, s.stop, s.opened = q, stop, time.Now()
	s.loops.Go(func() { _ = q.Drain(ctx, s.take) })
	s.loops.Go(func() { s.beat(ctx) })
	return nil
}

// beat asks the platform for the time, as the kiosk's heartbeat does.
func (s *clockStory) beat(ctx context.Context) {
	for tick := time.NewTicker(time.Hour); ; {
		if !s.down.Load() {
			s.clock.Answered(time.Now(), time.Second)
			s.queue.Heard()
		}
		_ = s.clock.Save()
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

func (s *clockStory) close() error {
	s.stop()
	s.loops.Wait()
	s.ranTill += time.Since(s.opened)
	return errors.Join(s.queue.Close(), s.events.Close())
}

func (s *clockStory) ran() time.Duration { return s.ranTill + time.Since(s.opened) }

// take is the platform: away, or there and sometimes not heard.
func (s *clockStory) take(_ context.Context, _ checkin.Traffic, records []checkin.Record) ([]checkin.Ack, error) {
	if s.down.Load() {
		s.mu.Lock()
		s.r.score.retried++
		s.mu.Unlock()
		return nil, errors.New("the platform is away")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var acks []checkin.Ack
	for i := range records {
		s.arrive(&records[i])
		acks = append(acks, checkin.Ack{ID: records[i].Event.ID, Status: checkin.Stored})
	}
	return acks, nil
}

// arrive looks at one record that reaches the platform.
func (s *clockStory) arrive(r *checkin.Record) {
	score, v := s.r.score, s.made[r.Event.UUID]
	if v == nil {
		return // on its way before Put has returned
	}
	if v.held++; v.held > 1 || v.id != r.Event.ID {
		score.bad(&score.duplicated, "%s arrived %d times, acknowledged as %v, now as %v", v.uuid, v.held, v.id, r.Event.ID)
	}
	age, ran := time.Since(v.at), s.ran()-v.ran
	switch sealed := len(r.Identity) > 0; {
	case !sealed && age < tortureLife-tortureLag:
		score.bad(&score.lost, "the identity of %s was removed after %v, and lives for %v", v.uuid, age, tortureLife)
	case sealed && ran > tortureLife+tortureLate:
		score.bad(&score.unreadable, "the identity of %s was kept for %v of running time, and lives for %v", v.uuid, ran, tortureLife)
	case sealed && s.steady && age > tortureLife+tortureLate && time.Since(s.opened) > time.Hour:
		score.bad(&score.unreadable, "the identity of %s was kept for %v by a good clock, and lives for %v", v.uuid, age, tortureLife)
	}
}

// jumps are what becomes of a wall clock.
func (s *clockStory) jump() {
	if s.steady {
		return
	}
	to := func(year int, month time.Month, day int) time.Duration {
		return time.Until(time.Date(year, month, day, 23, 59, 0, 0, time.UTC))
	}
	offsets := []time.Duration{
		0, time.Hour, -time.Hour, 3650 * tortureDay, -3650 * tortureDay, to(1970, 1, 1), to(2040, 1, 1), to(2028, 2, 28), to(2000, 2, 28),
	}
	s.offset.Store(int64(offsets[s.r.luck.IntN(len(offsets))]))
}

// step lets something happen, and some time pass.
func (s *clockStory) step(longest time.Duration) error {
	luck := s.r.luck
	for range luck.IntN(8) {
		if err := s.put(); err != nil {
			return err
		}
		time.Sleep(time.Duration(luck.Int64N(int64(time.Hour))))
	}
	var err error
	switch luck.IntN(6) {
	case 0:
		s.jump()
	case 1:
		s.down.Store(true)
	case 2:
		s.down.Store(false)
	case 3: // the program is started again
		if err = s.close(); err == nil {
			err = s.open()
		}
	case 4: // the board was without power
		if err = s.close(); err == nil {
			time.Sleep(time.Duration(luck.Int64N(int64(3 * tortureDay))))
			s.jump()
			s.boot()
			err = s.open()
		}
	case 5: // nobody comes, and nothing is delivered, for longer than an identity lives
		s.down.Store(true)
		time.Sleep(tortureLife + tortureLate)
		s.nothingSealed("an outage later")
	}
	time.Sleep(time.Duration(luck.Int64N(int64(longest))))
	return err
}

func (s *clockStory) put() error {
	e := entry(fmt.Sprintf("visit-%d", len(s.order)), checkin.KindVisit)
	e.Event.At = s.now()
	s.mu.Lock() // the platform looks at it only when it is in the book
	defer s.mu.Unlock()
	id, err := s.queue.Put(context.Background(), e.Event, e.Who)
	if err != nil {
		return err
	}
	v := &clockVisit{uuid: e.Event.UUID, id: id, at: time.Now(), ran: s.ran()}
	score := s.r.score
	if n := len(s.order); n > 0 && (s.order[n-1].id.Epoch != id.Epoch || s.order[n-1].id.Seq >= id.Seq) {
		score.bad(&score.duplicated, "%v was given after %v", id, s.order[n-1].id)
	}
	s.order, s.made[v.uuid] = append(s.order, v), v
	score.cases++
	return nil
}

// nothingSealed looks for an identity in any file of the queue.
func (s *clockStory) nothingSealed(when string) {
	files, _ := filepath.Glob(filepath.Join(s.r.dir, "q-*"))
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte("YWdlLWVuY3J5cHRpb24ub3Jn")) && strings.HasSuffix(path, ".db") { // age's header, as in JSON
			s.r.score.bad(&s.r.score.unreadable, "%s: there are identities in %s", when, filepath.Base(path))
		}
	}
}

// judge looks whether everything has arrived.
func (s *clockStory) judge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.order {
		if v.held == 0 {
			s.r.score.bad(&s.r.score.lost, "%s was acknowledged as %v and never arrived", v.uuid, v.id)
		}
	}
}

// logged looks whether every event that the law wants is in the log.
func (s *clockStory) logged() error {
	there := map[string]bool{}
	for e, err := range eventlog.Read(filepath.Join(s.r.dir, eventlog.Folder), time.Time{}, time.Time{}) {
		if err != nil {
			return err
		}
		there[e.UUID] = true
	}
	for _, v := range s.order {
		if age := time.Since(v.at); age < eventlog.Keep && v.held > 0 && !there[v.uuid] {
			s.r.score.bad(&s.r.score.lost, "the event of %s left the log after %v", v.uuid, age)
		}
	}
	return nil
}
