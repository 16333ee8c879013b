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
	"github.com/digital-sentinel/sentinel/agent/scrub"
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
	in chan func(context.Context) // one at a time: who has taken the lane sends it

	mu      sync.Mutex
	busy    bool          // a visitor is examined, or his release waits for the gate
	freed   chan struct{} // closed and replaced when busy ends
	pending func()        // ends the wait for a host's answer; nil: nobody waits
	car     car
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
	word   *word              // a guard's, if he speaks for the visitor
	after  string             // UUID of the visit that this one goes on with
	code   *credential.Result // of a signed code; nil: it is none
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
	return &lane{a: a, in: make(chan func(context.Context), 1), freed: make(chan struct{}), resting: true}
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
	cred := credential.FromCard(credential.Card{
		Type: byte(card.Type), Number: card.Number, Name: card.Name,
		ValidTo: card.ValidTo, Birth: card.Birth, Sex: card.Sex,
	}, l.a.o.Clock.Interval().Hi)
	l.present(presented{cred: cred, key: sha256.Sum256(card.Raw[:]), device: device, at: time.Now()})
}

// present lets p in, or says why not. Nothing that was presented is dropped
// without a word, but for the same thing seen again within the repeat window.
func (l *lane) present(p presented) {
	l.a.scrubs.Touched()
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
		l.take1()
	}
	taken := !again && l.last == seen{p.key, p.at}
	l.mu.Unlock()
	switch {
	case again:
	case taken:
		l.in <- func(ctx context.Context) { l.visit(ctx, p) }
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

// take waits until nobody is examined and takes the lane. Who has taken it
// sends one function to l.in.
func (l *lane) take(ctx context.Context) error {
	for {
		l.mu.Lock()
		if !l.busy {
			l.take1()
			l.mu.Unlock()
			return nil
		}
		freed := l.freed
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-freed:
		}
	}
}

// take1 takes the lane; whoever waited for his host is passed over then. The
// caller holds l.mu.
func (l *lane) take1() {
	l.busy = true
	if l.pending != nil {
		l.pending()
		l.pending = nil
	}
}

// run serves one visitor after the other until ctx ends.
func (l *lane) run(ctx context.Context) {
	scrub.Stack()
	for {
		select {
		case <-ctx.Done():
			return
		case serve := <-l.in:
			serve(ctx)
			scrub.Stack()
			l.a.scrubs.Touched()
			l.mu.Lock()
			l.busy = false
			close(l.freed)
			l.freed = make(chan struct{})
			l.mu.Unlock()
		}
	}
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
