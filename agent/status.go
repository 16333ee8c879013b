package agent

import (
	"runtime"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/agent/screen"
)

// Status is how the kiosk is. An operator's question is a field here, not a
// new endpoint. Nothing in it names a person.
type Status struct {
	Version   string               `json:"version"`
	Device    string               `json:"device"`
	Lane      string               `json:"lane"`
	Direction string               `json:"direction"`
	Venue     string               `json:"venue"`
	Class     checkin.VenueClass   `json:"venue_class"`
	Started   time.Time            `json:"started"`
	Now       time.Time            `json:"now"`
	ClockOK   bool                 `json:"clock_believable"`
	Screen    screen.State         `json:"screen"`
	Busy      bool                 `json:"busy"`
	Online    bool                 `json:"online"`
	Halted    bool                 `json:"halted"`
	Fire      bool                 `json:"fire"`
	Policy    string               `json:"policy"`
	PolicyVer int                  `json:"policy_version"`
	Devices   []DeviceStatus       `json:"devices"`
	Alarms    map[string]time.Time `json:"alarms"`
	Queue     queue.Stats          `json:"queue"`
	QueueErr  string               `json:"queue_error,omitempty"`
	// Unreleased counts bodies that went through without a release.
	Unreleased int    `json:"unreleased_passages"`
	HeapBytes  uint64 `json:"heap_bytes"`
	LastSeq    uint64 `json:"last_happening"`
	// Cases are the visitors who may turn to a guard, oldest first.
	Cases []CaseStatus `json:"cases"`
	// Group is the id of the car that is there; empty: none.
	Group string `json:"group,omitempty"`
	// Cache is how the signed cache is; nil: there is none.
	Cache *CacheStatus `json:"cache,omitempty"`
}

// CacheStatus is how the signed cache is.
type CacheStatus struct {
	Whole  bool      `json:"whole"`  // something is stored that can be used
	Stale  bool      `json:"stale"`  // timestamp or snapshot have expired
	Use    string    `json:"use"`    // of statuses: full, bad-only or nothing
	Codes  bool      `json:"codes"`  // signed codes can be judged
	Key    bool      `json:"key"`    // people can be looked up by card
	AsOf   time.Time `json:"as_of"`  // of the card table
	People int       `json:"people"` // in it
}

// CaseStatus is a visitor who was not let in. It does not say who he is: the
// number and the name are masked.
type CaseStatus struct {
	Visit      string         `json:"visit"`
	Credential string         `json:"credential"`
	Name       string         `json:"name,omitempty"`
	Reason     checkin.Reason `json:"reason"`
	Seconds    int            `json:"waiting_s"`
}

// DeviceStatus is how one device is.
type DeviceStatus struct {
	Name   string      `json:"name"`
	Role   Role        `json:"role"`
	State  DeviceState `json:"state"`
	Is     string      `json:"is,omitempty"`
	Err    string      `json:"error,omitempty"`
	Opened int         `json:"opened"` // how often since the start
}

// Status tells how the kiosk is now.
func (a *Agent) Status() Status {
	s := Status{
		Version: a.o.Version, Device: a.o.Device, Lane: a.o.Lane, Direction: a.o.Direction,
		Venue: a.o.Venue, Class: a.o.Class, Started: a.started, Now: a.o.Clock.Now(),
		ClockOK: a.o.Clock.Believable(), Halted: a.halted.Load(), Fire: a.gate.burning(),
		Policy: a.policy().ID, PolicyVer: a.policy().Version,
		Alarms: a.hub.up(), Queue: a.o.Queue.Stats(), Cases: a.desk.cases(), Group: a.lane.group(),
	}
	if err := a.o.Queue.Err(); err != nil {
		s.QueueErr = err.Error()
	}
	a.lane.mu.Lock()
	s.Screen, s.Busy, s.Online = a.lane.view.State, a.lane.busy, !a.lane.offline
	a.lane.mu.Unlock()
	a.gate.mu.Lock()
	s.Unreleased = a.gate.extra
	s.Busy = s.Busy || a.gate.running != nil
	a.gate.mu.Unlock()
	a.hub.mu.Lock()
	s.LastSeq = a.hub.seq
	a.hub.mu.Unlock()
	for _, p := range a.parts {
		p.mu.Lock()
		s.Devices = append(s.Devices, DeviceStatus{p.Name, p.Role, p.state, p.name, p.err, p.opened})
		p.mu.Unlock()
	}
	if a.o.Cache != nil {
		c := a.o.Cache()
		s.Cache = &c
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.HeapBytes = m.HeapAlloc
	return s
}
