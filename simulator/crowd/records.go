package crowd

import (
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
)

const (
	venue = "crowd-venue"
	lane  = "lane-1"
)

// entry is record n of a kiosk: a visit and its passage, in turn, as a gate
// with a sensor makes them.
func entry(kiosk, n int, at time.Time) queue.Entry {
	if n%2 == 0 {
		return visit(kiosk, n, at)
	}
	e := event(kiosk, n, at)
	e.Kind, e.Visit, e.Passage = checkin.KindPassage, uuid(kiosk, n-1), checkin.Taken
	return queue.Entry{Event: e}
}

// visit is one of somebody synthetic who was let in.
func visit(kiosk, n int, at time.Time) queue.Entry {
	e := event(kiosk, n, at)
	e.Kind = checkin.KindVisit
	e.Verdict = &checkin.Decision{
		Outcome: checkin.Granted, Reason: checkin.OK, Rule: "granted", Policy: "public-place", PolicyVersion: 1,
		Mode: checkin.ModeOnline, Class: "office", Credential: checkin.PersonalCode, Known: true,
		Colour: checkin.Green, NAT: checkin.Negative, Sampled: at.Add(-20 * time.Hour), Reported: at.Add(-12 * time.Hour),
		AsOf: at, Temperature: checkin.Normal, ObjectMilliK: 307_650, AmbientMilliK: 295_150, Now: at, ClockOK: true,
	}
	return queue.Entry{Event: e, Who: &checkin.Identity{
		UUID: e.UUID, Kind: checkin.PersonalCode, Value: "https://code.sentinel.example/p/" + e.UUID,
	}}
}

func event(kiosk, n int, at time.Time) checkin.Event {
	return checkin.Event{
		Version: checkin.EventVersion, UUID: uuid(kiosk, n),
		At:    checkin.Stamp{Wall: at.UTC(), Boot: time.Hour + time.Duration(n)*apart, BootID: "crowd-boot", Trusted: true},
		Venue: venue, Lane: lane, Direction: "in",
	}
}
