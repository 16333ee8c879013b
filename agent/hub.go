package agent

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
)

// Happening is one line of the event stream on the control socket. Nothing in
// it names a person.
type Happening struct {
	Seq  uint64    `json:"seq"` // from 1, per run of the agent
	At   time.Time `json:"at"`
	Type string    `json:"type"` // screen, said, verdict, release, passage, device, alarm, mode, call, vehicle

	State   string          `json:"state,omitempty"`  // of the screen, a device, an alarm (up, down)
	Reason  checkin.Reason  `json:"reason,omitempty"` // of a screen or verdict
	Outcome checkin.Outcome `json:"outcome,omitempty"`
	Mode    checkin.Mode    `json:"mode,omitempty"`
	Rule    string          `json:"rule,omitempty"`
	Visit   string          `json:"visit,omitempty"` // UUID
	Device  string          `json:"device,omitempty"`
	Name    string          `json:"name,omitempty"` // of an alarm or prompt
	// TookMicros is, for a verdict, the time from the credential to the
	// verdict on the disk.
	TookMicros int64 `json:"took_us,omitempty"`
}

// keep is how many happenings a late listener can still see.
const keep = 4096

// hub numbers happenings, keeps the last of them, and wakes listeners.
type hub struct {
	clock *clock.Clock

	mu     sync.Mutex
	seq    uint64
	ring   []Happening
	woken  chan struct{} // closed and replaced at each emit
	alarms map[string]time.Time
}

func newHub(c *clock.Clock) *hub {
	return &hub{clock: c, woken: make(chan struct{}), alarms: map[string]time.Time{}}
}

func (h *hub) emit(e Happening) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.emitLocked(e)
}

func (h *hub) emitLocked(e Happening) {
	h.seq++
	e.Seq, e.At = h.seq, h.clock.Now()
	h.ring = append(h.ring, e)
	if len(h.ring) > keep {
		h.ring = slices.Delete(h.ring, 0, len(h.ring)-keep/2)
	}
	close(h.woken)
	h.woken = make(chan struct{})
}

// since returns the happenings after seq and a channel that is closed when
// there are more.
func (h *hub) since(seq uint64) ([]Happening, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, _ := slices.BinarySearchFunc(h.ring, seq+1, func(e Happening, s uint64) int {
		switch {
		case e.Seq < s:
			return -1
		case e.Seq > s:
			return 1
		}
		return 0
	})
	return slices.Clone(h.ring[i:]), h.woken
}

// raise puts up an alarm; one that is up stays up and is not said again.
func (h *hub) raise(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, up := h.alarms[name]; up {
		return
	}
	h.alarms[name] = h.clock.Now()
	h.emitLocked(Happening{Type: "alarm", Name: name, State: "up"})
}

// clear takes an alarm down.
func (h *hub) clear(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, up := h.alarms[name]; !up {
		return
	}
	delete(h.alarms, name)
	h.emitLocked(Happening{Type: "alarm", Name: name, State: "down"})
}

// up lists the alarms that are up.
func (h *hub) up() map[string]time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.alarms)
}
