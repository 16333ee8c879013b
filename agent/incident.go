package agent

import (
	"context"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// incident writes the report of a refusal, if the rule that refused asks for
// one: an event of its own beside the visit's, linked to it, with an identity
// sealed for itself. It is on the disk, in every recipient's outbox, before the
// visitor is shown anything. If it cannot be written nothing else changes: he is
// refused all the same, and the visit's own record stands.
func (l *lane) incident(ctx context.Context, visit string, p presented, v checkin.Verdict, d *checkin.Decision) {
	if !v.Report {
		return
	}
	event := l.event(checkin.KindRefusal)
	event.Visit, event.Verdict = visit, d
	if err := l.put(ctx, event, identity(event.UUID, p.cred)); err != nil {
		l.a.o.Log.Error("recording an incident: it is not reported", "visit", visit, "rule", v.Rule, "err", err)
	}
}
