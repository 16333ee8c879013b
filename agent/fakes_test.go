package agent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/hal"
)

// story is what happened, in order, as the far ends saw it: what the tests of
// a visit compare.
type story struct {
	mu    sync.Mutex
	start time.Time
	lines []string
}

func (s *story) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, time.Since(s.start).String()+" "+line)
}

// words returns the lines without their times.
func (s *story) words() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, l := range s.lines {
		_, w, _ := strings.Cut(l, " ")
		words = append(words, w)
	}
	return words
}

func (s *story) has(line string) bool { return slices.Contains(s.words(), line) }

// device is the common half of the fakes.
type device struct {
	name string
	mu   sync.Mutex
	err  error         // what every call returns from now on
	gone chan struct{} // closed with err
}

func newDevice(name string) *device { return &device{name: name, gone: make(chan struct{})} }

func (d *device) String() string { return d.name }
func (d *device) Halt() error    { return nil }

func (d *device) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
	close(d.gone)
}

func (d *device) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

type scanner struct {
	*device
	codes chan string
}

func (s *scanner) Scan(ctx context.Context) (hal.Code, error) {
	select {
	case <-ctx.Done():
		return hal.Code{}, ctx.Err()
	case <-s.gone:
		return hal.Code{}, s.failed()
	case c := <-s.codes:
		return hal.Code{Data: []byte(c)}, nil
	}
}

type thermometer struct {
	*device
	mu      sync.Mutex
	reading hal.Reading
	taken   int
}

func (d *thermometer) Measure(ctx context.Context) (hal.Reading, error) {
	if err := pauseFor(ctx, 50*time.Millisecond); err != nil {
		return hal.Reading{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken++
	return d.reading, d.failed()
}

func (d *thermometer) set(object, ambient float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reading = hal.Reading{Object: celsius(object), Ambient: celsius(ambient)}
}

type speaker struct {
	*device
	story *story
}

func (d *speaker) Play(_ context.Context, p hal.Prompt) error {
	d.story.add("said " + p.ID)
	return d.failed()
}

// gate has a passage sensor and a fire loop.
type gate struct {
	*device
	story  *story
	bodies chan struct{}
	fire   chan bool
}

func (d *gate) Release(_ context.Context, hold time.Duration) error {
	if err := d.failed(); err != nil {
		return err
	}
	d.story.add("released for " + hold.String())
	return nil
}

func (d *gate) Lock(context.Context) error {
	d.story.add("locked")
	return nil
}

func (d *gate) HasPassageSensor() bool { return true }

func (d *gate) WaitPassage(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.gone:
		return d.failed()
	case <-d.bodies:
		return nil
	}
}

func (d *gate) HasFireInput() bool { return true }

func (d *gate) WaitFire(ctx context.Context, was bool) (bool, error) {
	for {
		select {
		case <-ctx.Done():
			return was, ctx.Err()
		case <-d.gone:
			return was, d.failed()
		case now := <-d.fire:
			if now != was {
				return now, nil
			}
		}
	}
}

// store is a queue that keeps what it is given.
type store struct {
	story *story
	mu    sync.Mutex
	kept  []checkin.Event
	who   []*checkin.Identity // of each
	err   error
	stop  bool

	commits int
}

func (q *store) PutAll(_ context.Context, entries ...queue.Entry) ([]checkin.ID, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return nil, q.err
	}
	var ids []checkin.ID
	for _, e := range entries {
		q.keep(e.Event, e.Who)
		ids = append(ids, checkin.ID{Seq: uint64(len(q.kept))})
	}
	q.commits++
	return ids, nil
}

func (q *store) keep(e checkin.Event, who *checkin.Identity) {
	q.kept = append(q.kept, e)
	line := "recorded " + string(e.Kind)
	if e.Verdict != nil {
		line += " " + string(e.Verdict.Outcome) + " " + string(e.Verdict.Reason)
	}
	if e.Passage != "" {
		line += " " + string(e.Passage)
	}
	if who != nil {
		line += " with identity"
	}
	q.story.add(line)
	q.who = append(q.who, who)
}

func (q *store) Stats() queue.Stats { return queue.Stats{} }

func (q *store) Requeue(context.Context) (int, error) { return 0, nil }

func (q *store) Err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stop {
		return q.err
	}
	return nil
}

func (q *store) fail(err error, stop bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err, q.stop = err, stop
}

// authority answers by the code.
type authority struct {
	mu      sync.Mutex
	delay   time.Duration
	answers map[string]checkin.Status
	why     checkin.Reason
	asked   int
}

func (v *authority) Verify(ctx context.Context, c checkin.Credential) (checkin.Status, checkin.Reason) {
	v.mu.Lock()
	delay, why := v.delay, v.why
	s, ok := v.answers[c.Value]
	v.asked++
	v.mu.Unlock()
	if pauseFor(ctx, delay) != nil || why != "" {
		return checkin.Status{}, why
	}
	if !ok {
		return checkin.Status{}, checkin.NoStatus
	}
	s.AsOf = time.Now()
	return s, ""
}

func (v *authority) set(delay time.Duration, why checkin.Reason) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.delay, v.why = delay, why
}

// rig is an agent between fakes.
type rig struct {
	t       *testing.T
	story   *story
	scanner *scanner
	thermo  *thermometer
	speaker *speaker
	gate    *gate
	queue   *store
	ask     *authority
	policy  *checkin.Policy
	timing  agent.Timing
	agent   *agent.Agent
	cancel  context.CancelFunc
	ended   chan error
}

const (
	wang = "https://code.sentinel.example/p/wang-wang-wang-wang-wa"
	li   = "https://code.sentinel.example/p/li-li-li-li-li-li-li-l"
	zhao = "https://code.sentinel.example/p/zhao-zhao-zhao-zhao-zh"
)

// policy is public-place in four lines.
func policy() *checkin.Policy {
	return &checkin.Policy{
		ID: "test", Version: 7, Temperature: checkin.TemperatureRequired,
		Rules: []checkin.Rule{
			{ID: "red", When: checkin.Condition{Colours: []checkin.Colour{checkin.Red}}, Outcome: checkin.Refused, Reason: checkin.CodeRed},
			{ID: "fever", When: checkin.Condition{Temperature: []checkin.Band{checkin.Fever}}, Outcome: checkin.Refused, Reason: checkin.HasFever},
			{ID: "in", When: checkin.Condition{Colours: []checkin.Colour{checkin.Green}, Temperature: []checkin.Band{checkin.Normal}}, MaxAge: time.Hour, Outcome: checkin.Granted, Reason: checkin.OK},
			{ID: "cold", When: checkin.Condition{Colours: []checkin.Colour{checkin.Green}, Temperature: []checkin.Band{checkin.Unmeasured}}, Outcome: checkin.Manual, Reason: checkin.TemperatureUnmeasured},
		},
	}
}

// inLane runs f with a started agent in virtual time.
func inLane(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start()
		f(r)
		r.stop()
	})
}

func newRig(t *testing.T) *rig {
	s := &story{start: time.Now()}
	r := &rig{
		t: t, story: s, policy: policy(),
		scanner: &scanner{newDevice("scanner"), make(chan string)},
		thermo:  &thermometer{device: newDevice("thermometer")},
		speaker: &speaker{newDevice("speaker"), s},
		gate:    &gate{newDevice("gate"), s, make(chan struct{}), make(chan bool)},
		queue:   &store{story: s},
		ask: &authority{answers: map[string]checkin.Status{
			wang: {Known: true, Mode: checkin.ModeOnline, Colour: checkin.Green},
			li:   {Known: true, Mode: checkin.ModeOnline, Colour: checkin.Green},
			zhao: {Known: true, Mode: checkin.ModeOnline, Colour: checkin.Red},
		}},
	}
	r.thermo.set(33.5, 22)
	return r
}

func (r *rig) part(name string, role agent.Role, dev func() conn.Resource) agent.Part {
	return agent.Part{Name: name, Role: role, Open: func(context.Context) (conn.Resource, func() error, error) {
		return dev(), func() error { return nil }, nil
	}}
}

func (r *rig) start() { r.startWith(r.opts()) }

func (r *rig) opts() agent.Opts {
	return agent.Opts{
		Device: "kiosk-1", Lane: "1", Direction: "in", Venue: "v1", Class: "office",
		StateDir: r.t.TempDir(), Policy: r.policy, Timing: r.timing, Patterns: credential.DefaultPatterns(),
		Parts: []agent.Part{
			r.part("scanner", agent.Scanner, func() conn.Resource { return r.scanner }),
			r.part("thermometer", agent.Thermometer, func() conn.Resource { return r.thermo }),
			r.part("speaker", agent.Speaker, func() conn.Resource { return r.speaker }),
			r.part("gate", agent.Gate, func() conn.Resource { return r.gate }),
		},
		Verifier: r.ask, Queue: r.queue,
		Clock: &clock.Clock{Wall: time.Now, Boot: func() time.Duration { return time.Since(r.story.start) }, BootID: "boot"},
	}
}

func (r *rig) startWith(o agent.Opts) {
	a, err := agent.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.agent = a
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- a.Run(ctx) }()
	synctest.Wait()
}

func (r *rig) stop() {
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Errorf("Run() = %v, want nil", err)
	}
}

// show holds up a code.
func (r *rig) show(code string) {
	r.scanner.codes <- code
	synctest.Wait()
}

// want compares the story so far with lines, and forgets it.
func (r *rig) want(lines ...string) {
	r.t.Helper()
	synctest.Wait()
	got := r.story.words()
	if !slices.Equal(got, lines) {
		r.t.Errorf("the story is\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
	r.forget()
}

// forget begins the story anew.
func (r *rig) forget() {
	synctest.Wait()
	r.story.mu.Lock()
	defer r.story.mu.Unlock()
	r.story.lines = nil
}

// get asks the control socket.
func (r *rig) get(method, path string) (int, []byte) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.agent.Control().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Body.Bytes()
}

// happenings reads the whole event stream so far.
func (r *rig) happenings() []agent.Happening {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	w := httptest.NewRecorder()
	r.agent.Control().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/events?since=0", nil))
	var all []agent.Happening
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		var h agent.Happening
		if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
			r.t.Fatalf("event stream: %v in %q", err, lines.Text())
		}
		all = append(all, h)
	}
	return all
}

func celsius(c float64) physic.Temperature {
	return physic.Temperature(c*1000)*physic.MilliKelvin + physic.ZeroCelsius
}

func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

var errGone = hal.Gone(errors.New("cable pulled"))
