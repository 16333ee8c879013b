package agent

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/screen"
	"github.com/digital-sentinel/sentinel/hal"
)

// lane takes visitors in their order.
//
//	idle ─► reading ─► asking ─► verdict ─► passage ─► idle
//	          ▲                                │
//	          └──── the next visitor ──────────┘
//
// One visitor is examined at a time. The last one may still be walking
// through meanwhile: then the next release waits for that passage. Whoever
// presents something while another is examined is told to wait.
type lane struct {
	a  *Agent
	in chan presented

	mu      sync.Mutex
	busy    bool // a visitor is examined, or his release waits for the gate
	last    seen // what was taken last
	waiting seen // who was told to wait last
	view    screen.View
	shown   uint64 // counts views, so that a late timer knows its own
	resting bool   // the view is one of those nobody looks at for his verdict
	misses  int    // attempts in a row that the platform did not answer
	offline bool
}

// presented is a credential on its way into the lane.
type presented struct {
	cred   checkin.Credential
	key    [sha256.Size]byte // of what was read, to tell repeats
	device string
	at     time.Time
}

// seen is a key and when it was seen last.
type seen struct {
	key [sha256.Size]byte
	at  time.Time
}

func (s *seen) within(key [sha256.Size]byte, now time.Time, d time.Duration) bool {
	return !s.at.IsZero() && s.key == key && now.Sub(s.at) < d
}

func newLane(a *Agent) *lane {
	return &lane{a: a, in: make(chan presented, 1), resting: true}
}

// presentCode takes a code from a scanner.
func (l *lane) presentCode(device string, code hal.Code) {
	cred := checkin.Credential{Kind: checkin.UnknownText}
	if !code.Truncated {
		cred = credential.Classify(code.Data, l.a.o.Patterns)
	}
	l.present(presented{cred: cred, key: sha256.Sum256(code.Data), device: device, at: time.Now()})
}

// presentCard takes a card from a reader.
func (l *lane) presentCard(device string, card hal.Card) {
	var today time.Time
	if l.a.o.Clock.Believable() {
		today = l.a.o.Clock.Now()
	}
	cred := credential.FromCard(credential.Card{
		Type: byte(card.Type), Number: card.Number, Name: card.Name,
		ValidTo: card.ValidTo, Birth: card.Birth, Sex: card.Sex,
	}, today)
	l.present(presented{cred: cred, key: sha256.Sum256(card.Raw[:]), device: device, at: time.Now()})
}

// present lets p in, or says why not. Nothing that was presented is dropped
// without a word, but for the same thing seen again within the repeat window.
func (l *lane) present(p presented) {
	repeat := l.a.o.Timing.Repeat
	_, closed := l.closed()
	l.mu.Lock()
	again := l.last.within(p.key, p.at, repeat) || (l.busy && l.last.key == p.key)
	told := l.waiting.within(p.key, p.at, repeat)
	switch {
	case again:
		l.last.at = p.at
	case l.busy, closed:
		l.waiting = seen{p.key, p.at} // it may come again as soon as it can be served
	default:
		l.last = seen{p.key, p.at}
		l.busy = true
	}
	taken := !again && l.last == seen{p.key, p.at}
	l.mu.Unlock()
	switch {
	case again:
	case taken:
		l.in <- p
	case told:
	case closed:
		l.refuseAll()
	default:
		l.note("wait")
	}
}

// cardUnread answers a card that could not be read whole.
func (l *lane) cardUnread() {
	l.mu.Lock()
	busy := l.busy
	l.mu.Unlock()
	if !busy {
		l.note("read-again")
	}
}

// run examines one visitor after the other until ctx ends.
func (l *lane) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-l.in:
			l.visit(ctx, p)
			l.mu.Lock()
			l.busy = false
			l.mu.Unlock()
		}
	}
}

// visit is one visitor's way from credential to verdict. The record is on the
// disk before anything happens.
func (l *lane) visit(ctx context.Context, p presented) {
	e, reading := l.examine(ctx, p)
	verdict := checkin.Decide(l.a.o.Policy, l.a.o.Class, &e)
	gated := verdict.Outcome == checkin.Granted && l.a.configured(Gate)
	if gated && l.a.gate.free(ctx) != nil {
		return // the agent is stopping; nobody was let in
	}
	if reason, closed := l.closed(); gated && closed {
		l.a.o.Log.Warn("the lane closed before the release", "reason", reason)
		l.refuseAll()
		return
	}
	visit, err := l.record(ctx, p, verdict, &e, reading)
	if err != nil {
		l.unrecorded(err)
		return
	}
	l.a.hub.emit(Happening{
		Type: "verdict", Visit: visit, Outcome: verdict.Outcome, Reason: verdict.Reason,
		Mode: verdict.Mode, Rule: verdict.Rule, Device: p.device,
		TookMicros: time.Since(p.at).Microseconds(),
	})
	l.act(ctx, visit, p.cred.Kind, verdict)
}

// act carries a recorded verdict out.
func (l *lane) act(ctx context.Context, visit string, kind checkin.Kind, v checkin.Verdict) {
	if v.Outcome == checkin.Granted && l.a.configured(Gate) {
		if err := l.a.gate.release(ctx, visit); err != nil {
			l.a.o.Log.Error("releasing the gate", "err", err)
			l.refuseAll()
			return
		}
	}
	state := screen.State(v.Outcome)
	if !kind.Visit() {
		state = screen.WrongCode
	}
	l.show(screen.View{State: state, Reason: string(v.Reason), Phone: l.a.o.Policy.GuardPhone})
	l.say(string(v.Reason))
}

// record writes the visit, and returns its UUID once it is on the disk.
func (l *lane) record(ctx context.Context, p presented, v checkin.Verdict, e *checkin.Evidence, r *hal.Reading) (string, error) {
	decision := checkin.NewDecision(v, l.a.o.Class, e)
	if r != nil {
		decision.ObjectMilliK = milliKelvin(r.Object)
		decision.AmbientMilliK = milliKelvin(r.Ambient)
	}
	event := l.event(checkin.KindVisit)
	event.Verdict = decision
	if !p.cred.Kind.Visit() {
		event.Kind = checkin.KindWrong
		return event.UUID, l.put(ctx, event, nil)
	}
	return event.UUID, l.put(ctx, event, &checkin.Identity{
		UUID: event.UUID, Kind: p.cred.Kind, Value: p.cred.Value, Name: p.cred.Name,
	})
}

// recordPassage writes what became of a release.
func (l *lane) recordPassage(visit string, seen checkin.Passage) {
	event := l.event(checkin.KindPassage)
	event.Visit, event.Passage = visit, seen
	if err := l.put(context.Background(), event, nil); err != nil {
		l.a.o.Log.Error("recording a passage", "err", err)
	}
	l.a.hub.emit(Happening{Type: "passage", Visit: visit, State: string(seen)})
}

// event begins an event of the present moment.
func (l *lane) event(kind checkin.EventKind) checkin.Event {
	o := &l.a.o
	return checkin.Event{
		Version: checkin.EventVersion, UUID: newUUID(), Kind: kind, At: o.Clock.Stamp(),
		Venue: o.Venue, Lane: o.Lane, Direction: o.Direction,
	}
}

// putLimit bounds a write to a disk that hangs. The record may still be
// written later; nothing was opened on it.
const putLimit = 5 * time.Second

func (l *lane) put(ctx context.Context, e checkin.Event, who *checkin.Identity) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putLimit)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := l.a.o.Queue.Put(ctx, e, who)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unrecorded answers a visitor whose verdict could not be written: nothing
// opens, a person must look.
func (l *lane) unrecorded(err error) {
	l.a.o.Log.Error("recording a visit: nobody is let in", "err", err)
	l.a.hub.emit(Happening{Type: "verdict", Outcome: checkin.Manual, Reason: checkin.QueueFull, Mode: checkin.ModeNone})
	l.show(screen.View{State: screen.Manual, Reason: string(checkin.QueueFull), Phone: l.a.o.Policy.GuardPhone})
	l.say(string(checkin.QueueFull))
}

// say speaks a prompt of the catalogue; a newer one cuts it off.
func (l *lane) say(id string) {
	entry, ok := catalogue.Get(id)
	p, dev := l.a.find(Speaker)
	speaker, isSpeaker := dev.(hal.Speaker)
	if !ok || !isSpeaker || entry.Spoken == "" {
		return
	}
	l.a.hub.emit(Happening{Type: "said", Name: id})
	l.a.voice.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), sayLimit)
		defer cancel()
		p.report(dev, speaker.Play(ctx, hal.Prompt{ID: id, Text: entry.Spoken}))
	})
}

// sayLimit is longer than any prompt takes at a slow voice.
const sayLimit = 20 * time.Second

// newUUID returns a version 7 UUID: readable order for people. The record's
// identity for the platform is not this but device, epoch and sequence.
func newUUID() string {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New()
	}
	return id.String()
}
