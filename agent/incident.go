package agent

import (
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

// incident is the report of a refusal, if the rule that refused asks for one: an
// event of its own beside the visit's, linked to it, with an identity sealed for
// itself. It is written by the visit's own commit, into every recipient's
// outbox, before the visitor is shown anything: killed at any moment, the kiosk
// leaves both or neither.
func (l *lane) incident(visit string, p presented, v checkin.Verdict, d *checkin.Decision) []queue.Entry {
	if !v.Report {
		return nil
	}
	event := l.event(checkin.KindRefusal)
	event.Visit, event.Verdict = visit, d
	return []queue.Entry{{Event: event, Who: identity(event.UUID, p.cred)}}
}
