package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// desk is the assisted lane: where a guard helps whom the kiosk could not let
// in, and opens with a reason. What he says goes through the same policy, the
// same record and the same gate as a visitor's own credential; only the
// override goes past the policy, and it is recorded all the same.
type desk struct {
	a     *Agent
	calls sync.WaitGroup

	mu     sync.Mutex
	open   []helpCase // oldest first
	ringer chan struct{}
	paying sync.Mutex    // one settles at a time
	owed   []queue.Entry // overrides and passages that could not be written yet
}

// helpCase is a visitor who was not let in and may turn to a guard.
type helpCase struct {
	visit  string
	cred   checkin.Credential
	reason checkin.Reason
	at     time.Time
}

// Word is what a guard says, on the control socket.
type Word struct {
	// Action is confirm (he has compared the person with a document), open (let
	// somebody in whatever is known: needs Reason), or refuse.
	Action string `json:"action"`
	// Visit is the UUID of the visit it is about. Empty: the newest one that
	// waits.
	Visit string `json:"visit,omitempty"`
	// Document is what the guard has looked at, if it is not what the visitor
	// presented himself.
	Document *Document `json:"document,omitempty"`
	// Answers are what the visitor said to the policy's questions, by id.
	Answers map[string]bool `json:"answers,omitempty"`
	// Reason of an open: one of the policy's overrides.
	Reason string `json:"reason,omitempty"`
	// Operator is the guard's id, for the record. Not his name.
	Operator string `json:"operator,omitempty"`
}

// Document is a document that a guard has in his hand.
type Document struct {
	Kind   checkin.Kind `json:"kind"`
	Number string       `json:"number"`
	Name   string       `json:"name,omitempty"`
}

// WordAnswer is what came of a Word.
type WordAnswer struct {
	Visit   string          `json:"visit"` // UUID of the record
	Outcome checkin.Outcome `json:"outcome"`
	Reason  checkin.Reason  `json:"reason"`
}

// word is a guard's word on its way through the lane.
type word struct {
	Word
	answers checkin.Check
}

// staff is the word as the policy reads it.
func (w *word) staff() checkin.Staff {
	if w.Action == "refuse" {
		return checkin.StaffRefuses
	}
	return checkin.StaffIdentity
}

// Limits of the desk: a guard at a busy door has a handful of people before
// him, and who was not helped in some minutes has gone.
const (
	maxCases = 16
	caseLife = 5 * time.Minute
	maxOwed  = 1000
)

func newDesk(a *Agent) *desk { return &desk{a: a} }

// add remembers a visitor who was not let in.
func (d *desk) add(visit string, p presented, v checkin.Verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	if len(d.open) == maxCases {
		d.open = slices.Delete(d.open, 0, 1)
	}
	d.open = append(d.open, helpCase{visit, p.cred, v.Reason, time.Now()})
}

// Guard carries out a guard's word and returns what came of it. It waits for
// whoever is being examined.
func (a *Agent) Guard(ctx context.Context, w Word) (WordAnswer, error) {
	w.Operator = strings.TrimSpace(w.Operator)
	if err := w.check(a.policy()); err != nil {
		return WordAnswer{}, err
	}
	a.desk.answered()
	p, err := a.desk.presented(w)
	if err != nil {
		return WordAnswer{}, err
	}
	if err := a.lane.take(ctx); err != nil {
		return WordAnswer{}, fmt.Errorf("somebody is still being examined; try again: %w", err)
	}
	type result struct {
		answer WordAnswer
		err    error
	}
	done := make(chan result, 1)
	a.lane.in <- func(ctx context.Context) {
		answer, err := a.lane.assisted(ctx, p)
		done <- result{answer, err}
	}
	select {
	case r := <-done:
		if r.err == nil {
			a.desk.close(p.after)
		}
		return r.answer, r.err
	case <-ctx.Done():
		return WordAnswer{}, ctx.Err()
	}
}

// assisted carries out what a guard said of p. The lane is taken.
func (l *lane) assisted(ctx context.Context, p presented) (WordAnswer, error) {
	if p.word.Action == "open" {
		return l.override(ctx, p)
	}
	e, reading := l.examine(ctx, p)
	v := checkin.Decide(l.a.policy(), l.a.o.Class, &e)
	visit, err := l.conclude(ctx, p, v, &e, reading)
	return WordAnswer{visit, v.Outcome, v.Reason}, err
}

// override opens on a guard's word alone. It is written down first; if that
// cannot be done it is kept in memory with an alarm, and written before
// anything else: a person who opens is not stopped by a full disk.
func (l *lane) override(ctx context.Context, p presented) (WordAnswer, error) {
	event := l.event(checkin.KindOverride)
	event.Visit, event.Operator, event.Override = p.after, p.word.Operator, p.word.Reason
	answer := WordAnswer{event.UUID, checkin.Granted, checkin.Exempt}
	if l.a.configured(Gate) {
		if err := l.a.gate.free(ctx); err != nil {
			return answer, errStopping
		}
		if _, gate := l.a.find(Gate); gate == nil || l.a.gate.burning() || l.a.halted.Load() {
			return answer, errors.New("the gate cannot be commanded now (gone, halted, or open for a fire): open it by hand")
		}
	}
	entry := queue.Entry{Event: event}
	if p.cred.Value != "" { // who is let in is registered, if it is known who he is
		entry.Who = identity(event.UUID, p.cred)
	}
	if err := l.put(ctx, entry.Event, entry.Who); err != nil {
		l.a.desk.owe(entry, err)
	}
	l.a.hub.emit(Happening{
		Type: "verdict", Visit: event.UUID, Outcome: answer.Outcome, Reason: answer.Reason,
		Mode: checkin.ModeAssisted, Name: event.Override, TookMicros: time.Since(p.at).Microseconds(),
	})
	return answer, l.act(ctx, event.UUID, p, checkin.Verdict{
		Outcome: answer.Outcome, Reason: answer.Reason, Mode: checkin.ModeAssisted,
	})
}

//

// check refuses a word that says nothing, or too much.
func (w *Word) check(p *checkin.Policy) error {
	if len(w.Operator) > 64 || strings.ContainsFunc(w.Operator, func(r rune) bool { return r < ' ' || r == 0x7F }) {
		return errors.New("operator is an id of at most 64 characters")
	}
	switch w.Action {
	case "confirm", "refuse":
	case "open":
		if !slices.Contains(p.Overrides, w.Reason) {
			return fmt.Errorf("%q is no reason to open; this policy has %s", w.Reason, strings.Join(p.Overrides, ", "))
		}
	default:
		return fmt.Errorf("%q is nothing a guard does: confirm, open or refuse", w.Action)
	}
	for id := range w.Answers {
		if !slices.ContainsFunc(p.Questions, func(q checkin.Question) bool { return q.ID == id }) {
			return fmt.Errorf("%q is no question of this policy", id)
		}
	}
	return nil
}

// judge says what answers amount to: passed if every question was answered as
// it should be, failed if one was not; else the questions were not asked.
func judge(questions []checkin.Question, answers map[string]bool) checkin.Check {
	given := 0
	for _, q := range questions {
		answer, ok := answers[q.ID]
		switch {
		case ok && answer != q.Good:
			return checkin.Failed
		case ok:
			given++
		}
	}
	if given == 0 || given < len(questions) {
		return checkin.Unchecked
	}
	return checkin.Passed
}

// presented is whom a word is about: who waits, or who holds the document.
func (d *desk) presented(w Word) (presented, error) {
	p := presented{device: "guard", at: time.Now(), word: &word{w, judge(d.a.policy().Questions, w.Answers)}}
	c, waits := d.find(w.Visit)
	if waits {
		p.after, p.cred = c.visit, c.cred
	}
	switch {
	case w.Document != nil:
		p.cred = credential.FromDocument(w.Document.Kind, w.Document.Number, w.Document.Name, d.a.o.Clock.Interval().Hi)
		if p.cred.Fault == checkin.CredentialInvalid {
			return p, errors.New("the document's number does not check out: type it again")
		}
	case w.Visit != "" && !waits:
		return p, errors.New("that visitor does not wait any more; lay down the document or let him present again")
	case !waits && w.Action != "open":
		return p, errors.New("nobody waits for a guard: say which document you have looked at")
	}
	return p, nil
}

// find returns the case of a visit, or the newest if visit is empty.
func (d *desk) find(visit string) (helpCase, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	for i := len(d.open) - 1; i >= 0; i-- {
		if visit == "" || d.open[i].visit == visit {
			return d.open[i], true
		}
	}
	return helpCase{}, false
}

// expire forgets who has waited too long. The caller holds d.mu.
func (d *desk) expire() {
	d.drop(func(c helpCase) bool { return time.Since(c.at) > caseLife })
}

func (d *desk) close(visit string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(func(c helpCase) bool { return c.visit == visit })
}

// drop forgets those who are over. The caller holds d.mu.
func (d *desk) drop(over func(helpCase) bool) {
	before := len(d.open)
	d.open = slices.DeleteFunc(d.open, over)
	if len(d.open) < before {
		d.a.scrubs.Touched()
	}
}

// cases lists who waits, without saying who they are.
func (d *desk) cases() []CaseStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	list := []CaseStatus{}
	for _, c := range d.open {
		list = append(list, CaseStatus{c.visit, c.cred.String(), checkin.MaskName(c.cred.Name), c.reason, int(time.Since(c.at).Seconds())})
	}
	return list
}

// owe keeps an override, or a passage, that could not be written.
func (d *desk) owe(e queue.Entry, err error) {
	d.a.o.Log.Error("recording what happened at the gate: kept in memory", "err", err)
	d.a.hub.raise("unrecorded")
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.owed) < maxOwed {
		d.owed = append(d.owed, e)
	}
}

// settle writes what is owed, oldest first.
func (d *desk) settle(ctx context.Context) error {
	d.paying.Lock()
	defer d.paying.Unlock()
	for {
		d.mu.Lock()
		if len(d.owed) == 0 {
			d.mu.Unlock()
			return nil
		}
		e := d.owed[0]
		d.mu.Unlock()
		if err := d.a.lane.put1(ctx, e); err != nil {
			return err
		}
		d.mu.Lock()
		d.owed = d.owed[1:]
		left := len(d.owed)
		d.mu.Unlock()
		if left == 0 {
			d.a.hub.clear("unrecorded")
		}
	}
}
