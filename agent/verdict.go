package agent

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/agent/screen"
	"github.com/digital-sentinel/sentinel/agent/scrub"
	"github.com/digital-sentinel/sentinel/hal"
)

// Why nothing was concluded.
var (
	errStopping   = errors.New("the agent is stopping")
	errClosed     = errors.New("the lane is closed")
	errUnrecorded = errors.New("the verdict could not be recorded")
)

// visit is one visitor's way from credential to verdict. The record is on the
// disk before anything happens.
func (l *lane) visit(ctx context.Context, p presented) {
	l.a.codes.open(&p)
	e, reading := l.examine(ctx, p)
	verdict := checkin.Decide(l.a.policy(), l.a.o.Class, &e)
	if !l.a.codes.use(&p, verdict) {
		e.Credential, e.Status, e.Why = p.cred, checkin.Status{}, p.code.Why
		verdict = checkin.Decide(l.a.policy(), l.a.o.Class, &e)
	}
	_, _ = l.conclude(ctx, p, verdict, &e, reading) // it has told the visitor
}

// conclude records a verdict and carries it out. It returns the UUID of the
// record. An error means that nothing was opened, and has been shown.
func (l *lane) conclude(ctx context.Context, p presented, v checkin.Verdict, e *checkin.Evidence, r *hal.Reading) (string, error) {
	gated := v.Outcome == checkin.Granted && l.a.configured(Gate)
	if gated && l.a.gate.free(ctx) != nil {
		return "", errStopping // nobody was let in
	}
	if reason, closed := l.closed(); gated && closed {
		l.a.o.Log.Warn("the lane closed before the release", "reason", reason)
		l.refuseAll()
		return "", errClosed
	}
	decision := l.decision(v, e, r)
	visit, err := l.record(ctx, p, v, decision)
	if err != nil {
		l.unrecorded(err)
		return "", errUnrecorded
	}
	l.a.hub.emit(Happening{
		Type: "verdict", Visit: visit, Outcome: v.Outcome, Reason: v.Reason,
		Mode: v.Mode, Rule: v.Rule, Device: p.device,
		TookMicros: time.Since(p.at).Microseconds(),
	})
	return visit, l.act(ctx, visit, p, v)
}

// act carries a recorded verdict out.
func (l *lane) act(ctx context.Context, visit string, p presented, v checkin.Verdict) error {
	if v.Outcome == checkin.Granted && l.a.configured(Gate) {
		if err := l.a.gate.release(ctx, visit); err != nil {
			l.a.o.Log.Error("releasing the gate", "err", err)
			l.refuseAll()
			return err
		}
	}
	view := screen.View{State: screen.State(v.Outcome), Reason: string(v.Reason), Phone: l.a.policy().GuardPhone}
	switch {
	case !p.cred.Kind.Visit():
		view.State = screen.WrongCode
	case v.Outcome == checkin.Granted && v.Mode == checkin.ModeAssisted:
		view.State = screen.Assisted
	case v.Outcome != checkin.Granted:
		view.Reference = reference(visit)
		if p.word == nil {
			l.a.desk.add(visit, p, v)
			view = l.helped(ctx, view, visit, p, v)
		}
	}
	l.show(view)
	l.say(string(v.Reason))
	return nil
}

// reference is what a visitor can name when he asks about his visit: the random
// end of its UUID, which tells nobody anything and finds the record.
func reference(visit string) string {
	end := strings.ToUpper(visit[max(0, len(visit)-8):])
	return end[:len(end)/2] + "-" + end[len(end)/2:]
}

// helped begins what helps a visitor whom the kiosk cannot let in: his host is
// waited for, or a guard is called. It returns the view that says so.
func (l *lane) helped(ctx context.Context, view screen.View, visit string, p presented, v checkin.Verdict) screen.View {
	switch {
	case v.Outcome != checkin.Manual:
	case v.Reason == checkin.NeedsHost:
		l.awaitHost(ctx, visit, p)
		view.State, view.Reason, view.For = screen.WaitHost, "", l.a.o.Timing.HostWait
	case l.a.policy().Guard == checkin.GuardRemote, l.a.policy().Guard == checkin.GuardNone:
		l.a.desk.ring(ctx, visit)
		view.For = l.a.o.Timing.Call
	}
	return view
}

// decision is what is written down of a verdict: its inputs, and the raw
// reading whatever it was worth.
func (l *lane) decision(v checkin.Verdict, e *checkin.Evidence, r *hal.Reading) *checkin.Decision {
	d := checkin.NewDecision(v, l.a.o.Class, e)
	if r != nil {
		d.ObjectMilliK, d.AmbientMilliK = milliKelvin(r.Object), milliKelvin(r.Ambient)
	}
	return d
}

// record writes the visit, with the incident that v asks for, and returns its
// UUID once both are on the disk.
func (l *lane) record(ctx context.Context, p presented, v checkin.Verdict, d *checkin.Decision) (string, error) {
	event := l.event(checkin.KindVisit)
	event.Verdict, event.Visit = d, p.after
	switch {
	case !p.cred.Kind.Visit():
		event.Kind = checkin.KindWrong
		return event.UUID, l.put(ctx, event, nil)
	case p.word != nil:
		event.Kind, event.Operator = checkin.KindAssisted, p.word.Operator
	}
	return event.UUID, l.put(ctx, event, identity(event.UUID, p.cred), l.incident(event.UUID, p, v, d)...)
}

// identity is who presented cred, for the authority.
func identity(event string, cred checkin.Credential) *checkin.Identity {
	return &checkin.Identity{UUID: event, Kind: cred.Kind, Value: cred.Value, Name: cred.Name}
}

// recordPassage writes what became of a release.
func (l *lane) recordPassage(visit string, seen checkin.Passage) {
	event := l.event(checkin.KindPassage)
	event.Visit, event.Passage = visit, seen
	if err := l.put(context.Background(), event, nil); err != nil {
		l.a.desk.owe(queue.Entry{Event: event}, err)
	}
	l.a.hub.emit(Happening{Type: "passage", Visit: visit, State: string(seen)})
}

// event begins an event of the present moment.
func (l *lane) event(kind checkin.EventKind) checkin.Event {
	o := &l.a.o
	return checkin.Event{
		Version: checkin.EventVersion, UUID: newUUID(), Kind: kind, At: o.Clock.Stamp(),
		Venue: o.Venue, Lane: o.Lane, Direction: o.Direction, Group: l.group(),
	}
}

// putLimit bounds a write to a disk that hangs. The record may still be
// written later; nothing was opened on it.
const putLimit = 5 * time.Second

// put writes one event, and what belongs to it by the same commit. What a guard
// did while nothing could be written comes first.
func (l *lane) put(ctx context.Context, e checkin.Event, who *checkin.Identity, with ...queue.Entry) error {
	if err := l.a.desk.settle(ctx); err != nil {
		return err
	}
	return l.put1(ctx, append([]queue.Entry{{Event: e, Who: who}}, with...)...)
}

func (l *lane) put1(ctx context.Context, entries ...queue.Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putLimit)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		scrub.Stack()
		_, err := l.a.o.Queue.PutAll(ctx, entries...)
		scrub.Stack()
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
	l.show(screen.View{State: screen.Manual, Reason: string(checkin.QueueFull), Phone: l.a.policy().GuardPhone})
	l.say(string(checkin.QueueFull))
}
