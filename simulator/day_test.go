package simulator_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/eventlog"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// dayVisits is how many people come on the day of TestOneDay.
var dayVisits = flag.Int("day", 250, "visits of the day that TestOneDay plays; 5000 for its figures")

// rush is how the day's visitors spread over its 24 hours, in parts.
var rush = [24]int{1, 0, 0, 0, 0, 2, 8, 40, 90, 60, 30, 30, 50, 45, 30, 28, 30, 50, 85, 50, 25, 15, 8, 3}

// The platform is away from ten in the morning to six: the quiet hours, noon and
// the beginning of the evening rush.
const (
	outageFrom = 10 * time.Hour
	outageTo   = 18 * time.Hour
)

// day is a kiosk's queue and event log, as agent/cmd/kiosk wires them, and what
// the far ends have taken.
type day struct {
	t      *testing.T
	dir    string
	boot   time.Time
	start  time.Time // of the day
	queue  *queue.Queue
	events *eventlog.Log

	mu    sync.Mutex
	taken map[string]map[checkin.ID]int // by recipient; the platform is ""
	peak  int64
}

func newDay(t *testing.T, start time.Time) *day {
	authority, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	d := &day{t: t, dir: t.TempDir(), boot: time.Now(), start: start, taken: map[string]map[checkin.ID]int{}}
	d.queue, err = queue.Open(queue.Opts{
		Dir: d.dir, Device: "kiosk-1", Recipient: authority.Recipient().String(), Recipients: []string{"cdc", "venue-trade"},
		Now: d.stamp, Log: func(events ...checkin.Event) error { return d.events.Append(events...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	d.events, err = eventlog.Open(eventlog.Opts{Dir: filepath.Join(d.dir, eventlog.Folder), Now: d.stamp})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *day) stamp() checkin.Stamp {
	return checkin.Stamp{Wall: time.Now().UTC(), Boot: time.Since(d.boot), BootID: "0b6f2f3e-bench-boot", Trusted: true}
}

// away reports whether the network is down.
func (d *day) away() bool {
	since := time.Since(d.start)
	return since >= outageFrom && since < outageTo
}

// send is a far end, 50 ms away.
func (d *day) send(recipient string) queue.Sender {
	return func(_ context.Context, _ checkin.Traffic, records []checkin.Record) ([]checkin.Ack, error) {
		time.Sleep(50 * time.Millisecond)
		if d.away() {
			return nil, errors.New("the network is down")
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.taken[recipient] == nil {
			d.taken[recipient] = map[checkin.ID]int{}
		}
		acks := make([]checkin.Ack, len(records))
		for i, r := range records {
			d.taken[recipient][r.Event.ID]++
			acks[i] = checkin.Ack{ID: r.Event.ID, Status: checkin.Stored}
		}
		return acks, nil
	}
}

// put writes events by one commit.
func (d *day) put(entries ...queue.Entry) {
	if _, err := d.queue.PutAll(context.Background(), entries...); err != nil {
		d.t.Error(err)
	}
}

func (d *day) event(kind checkin.EventKind, visit string) checkin.Event {
	id, _ := uuid.NewV7()
	return checkin.Event{
		Version: checkin.EventVersion, UUID: id.String(), Kind: kind, At: d.stamp(),
		Venue: "venue-0001", Lane: "1", Direction: "in", Visit: visit,
	}
}

// visitor comes, is let in or is not, and walks through.
func (d *day) visitor(i int, refused bool) {
	now := time.Now().UTC()
	decision := &checkin.Decision{
		Outcome: checkin.Granted, Reason: checkin.OK, Rule: "green-and-tested", Policy: "public-place", PolicyVersion: 2,
		Mode: checkin.ModeOnline, Class: "office", Credential: checkin.ResidentID, Known: true, Colour: checkin.Green,
		NAT: checkin.Negative, Sampled: now.Add(-20 * time.Hour), Reported: now.Add(-14 * time.Hour), Antigen: checkin.NoTest,
		Host: checkin.HostNone, AsOf: now, Age: checkin.Adult, Temperature: checkin.Normal,
		ObjectMilliK: 307_650, AmbientMilliK: 295_150, Now: now, Earliest: now, ClockOK: true,
	}
	if refused {
		decision.Outcome, decision.Reason, decision.Colour, decision.Rule = checkin.Refused, checkin.CodeRed, checkin.Red, "red"
	}
	who := func(e checkin.Event) *checkin.Identity {
		return &checkin.Identity{UUID: e.UUID, Kind: checkin.ResidentID, Value: resident(fmt.Sprintf("310101%d%03d", 19500101+i%300, i%1000)[:17]), Name: "测试人员"}
	}
	visit := d.event(checkin.KindVisit, "")
	visit.Verdict = decision
	entries := []queue.Entry{{Event: visit, Who: who(visit)}}
	if refused {
		incident := d.event(checkin.KindRefusal, visit.UUID)
		incident.Verdict = decision
		entries = append(entries, queue.Entry{Event: incident, Who: who(incident)})
	}
	d.put(entries...)
	time.Sleep(2 * time.Second)
	passage := d.event(checkin.KindPassage, visit.UUID)
	passage.Passage = checkin.Taken
	if refused {
		passage.Passage = checkin.NotTaken
	}
	d.put(queue.Entry{Event: passage})
}

// come lets n people come as the day has them, three in a hundred refused.
func (d *day) come(n int) (refused int) {
	var sum int
	for _, part := range rush {
		sum += part
	}
	at := make([]time.Duration, 0, n)
	for hour, part := range rush {
		for range (n*part + sum - 1) / sum {
			at = append(at, time.Duration(hour)*time.Hour+time.Duration(rand.Int64N(int64(time.Hour))))
		}
	}
	rand.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	at = at[:min(n, len(at))]
	slices.Sort(at)
	var people sync.WaitGroup
	for i, when := range at {
		time.Sleep(time.Until(d.start.Add(when)))
		no := i%33 == 32
		if no {
			refused++
		}
		people.Go(func() { d.visitor(i, no) })
	}
	people.Wait()
	return refused
}

// left is what is in the state folder.
type left struct {
	files      []string
	bytes      int64
	identities int // beginnings of sealed identities, in any byte of any file
}

// sealed are the first bytes of an age file, as they are and as JSON has them.
var sealed = [][]byte{[]byte("age-encryption.org/v1"), []byte("YWdlLWVuY3J5cHRpb24ub3JnL3Yx")}

func (d *day) look() (l left) {
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		l.bytes += int64(len(data))
		l.files = append(l.files, fmt.Sprintf("%s %d kB", strings.TrimPrefix(path, d.dir+"/"), len(data)>>10))
		for _, head := range sealed {
			l.identities += bytes.Count(data, head)
		}
		return err
	})
	if err != nil {
		d.t.Error(err)
	}
	return l
}

// written is what this process has given to files, and what of it went to a
// disk (the kernel's count of dirtied pages; 0 on a file system in memory).
type written struct{ given, disk int64 }

func writtenSoFar(t *testing.T) (w written) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Log("NOT AVAILABLE: /proc/self/io cannot be read here, nothing is counted")
		return w
	}
	for line := range strings.Lines(string(data)) {
		_, _ = fmt.Sscanf(line, "wchar: %d", &w.given)
		_, _ = fmt.Sscanf(line, "write_bytes: %d", &w.disk)
	}
	return w
}

// TestOneDay plays a day of a kiosk's records in virtual time on a real disk,
// with an outage of eight hours in it, and the quiet day after it: everything is
// delivered once, the event log has it all, and no sealed identity is left in any
// byte of the state folder an hour and a half after the day.
//
//	go test ./simulator -run TestOneDay -day 5000 -v
func TestOneDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The kiosk was started at noon before, and has written something: a file of
		// the queue that were kept for 24 hours would be of this day and the next.
		time.Sleep(time.Until(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)))
		d := newDay(t, time.Now().Add(12*time.Hour))
		d.put(queue.Entry{Event: d.event(checkin.KindGap, "")})
		before := writtenSoFar(t)
		ctx, cancel := context.WithCancel(t.Context())
		var loops sync.WaitGroup
		loops.Go(func() { _ = d.queue.Drain(ctx, d.send("")) })
		for _, r := range []string{"cdc", "venue-trade"} {
			loops.Go(func() { _ = d.queue.DrainReports(ctx, r, d.send(r)) })
		}
		loops.Go(func() { d.watch(ctx) })
		time.Sleep(time.Until(d.start))
		refused := d.come(*dayVisits)
		time.Sleep(time.Until(d.start.Add(24*time.Hour - 10*time.Minute)))
		d.tell("ten minutes before midnight")
		after := writtenSoFar(t)
		gone := d.untilGone()
		time.Sleep(time.Until(d.start.Add(48 * time.Hour)))
		d.tell("a day later")
		cancel()
		loops.Wait()
		d.check(refused, before, after, gone)
	})
}

// watch looks every quarter of an hour how large the folder is.
func (d *day) watch(ctx context.Context) {
	tick := time.NewTicker(15 * time.Minute)
	defer tick.Stop()
	for ctx.Err() == nil {
		if l := d.look(); l.bytes > d.peak {
			d.peak = l.bytes
		}
		switch time.Since(d.start) {
		case outageTo:
			d.tell("at the end of the outage")
		case outageTo + 15*time.Minute:
			d.tell("a quarter of an hour later")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (d *day) tell(when string) {
	l, s := d.look(), d.queue.Stats()
	d.t.Logf("%s: %d kB in %d files (%s), %d records wait, %d sealed identities in any byte",
		when, l.bytes>>10, len(l.files), strings.Join(l.files, ", "), s.Depth, l.identities)
}

// untilGone waits until no sealed identity is on the disk, and says how long
// after the beginning of the day that was.
func (d *day) untilGone() time.Duration {
	for range 24 * 6 {
		if d.look().identities == 0 {
			break
		}
		time.Sleep(10 * time.Minute)
	}
	return time.Since(d.start)
}

// check holds the day against what was promised, and tells its figures.
func (d *day) check(refused int, before, after written, gone time.Duration) {
	t, n := d.t, *dayVisits
	records := 2*n + refused + 1
	for recipient, want := range map[string]int{"": records, "cdc": refused, "venue-trade": refused} {
		twice := 0
		for _, times := range d.taken[recipient] {
			twice += times - 1
		}
		if got := len(d.taken[recipient]); got != want || twice != 0 {
			t.Errorf("recipient %q holds %d records, %d sent twice, want %d and 0", recipient, got, twice, want)
		}
	}
	if gone > 25*time.Hour+30*time.Minute {
		t.Errorf("the last sealed identity was on the disk until %v after the day", gone-24*time.Hour)
	}
	if err := errors.Join(d.queue.Close(), d.events.Close()); err != nil {
		t.Error(err)
	}
	logged, size := 0, int64(0)
	for _, err := range eventlog.Read(filepath.Join(d.dir, eventlog.Folder), time.Time{}, time.Time{}) {
		if err != nil {
			t.Error(err)
		}
		logged++
	}
	if logged != records {
		t.Errorf("the event log has %d events, want %d", logged, records)
	}
	_ = filepath.WalkDir(filepath.Join(d.dir, eventlog.Folder), func(_ string, e fs.DirEntry, _ error) error {
		if fi, err := e.Info(); err == nil && !e.IsDir() {
			size += fi.Size()
		}
		return nil
	})
	given, disk := after.given-before.given, after.disk-before.disk
	t.Logf("%d visits, %d refused, %d records: %.1f MB given to files, %.1f MB of pages dirtied, %.1f kB a visit, %.1f times the event log's %.1f MB; peak of the folder %.1f MB; the last sealed identity gone after %v",
		n, refused, records, mb(given), mb(disk), float64(max(given, disk))/1e3/float64(n), float64(max(given, disk))/float64(size), mb(size), mb(d.peak), gone)
}

func mb(n int64) float64 { return float64(n) / 1e6 }
