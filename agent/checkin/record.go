package checkin

import (
	"encoding/json"
	"fmt"
	"time"
)

// EventVersion is the version of Event's format. Version 2 brought what a guard
// and other checks say, and the events of the assisted lane; DecodeRecord reads
// both.
const EventVersion = 2

// EventKind says what an Event tells of.
type EventKind string

// The event kinds.
const (
	KindVisit    EventKind = "visit"    // a verdict was made for a visitor
	KindPassage  EventKind = "passage"  // what became of a release
	KindWrong    EventKind = "wrong"    // something that is no credential was presented
	KindRefusal  EventKind = "refusal"  // an incident report
	KindAssisted EventKind = "assisted" // a verdict was made with a guard's word
	KindOverride EventKind = "override" // a guard opened, whatever was known
	KindCall     EventKind = "call"     // a guard was called
	KindVehicle  EventKind = "vehicle"  // a car came; its people follow
	KindGap      EventKind = "gap"      // a time that cannot be accounted for
)

// Passage says what the gate saw after a release.
type Passage string

// The passages.
const (
	Taken    Passage = "taken"
	NotTaken Passage = "not-taken"
	Unseen   Passage = "unseen" // no sensor, or the agent was gone
)

// ID is what makes delivery idempotent. There is no clock in it.
type ID struct {
	Device string `json:"device"`
	Epoch  string `json:"epoch"` // random, one per queue store
	Seq    uint64 `json:"seq"`
}

// String gives device/epoch/seq.
func (id ID) String() string { return fmt.Sprintf("%s/%s/%d", id.Device, id.Epoch, id.Seq) }

// Stamp is the time of an event as the kiosk's clocks had it.
type Stamp struct {
	Wall    time.Time     `json:"wall"`
	Boot    time.Duration `json:"boot_ns"` // since boot, through suspend
	BootID  string        `json:"boot_id"`
	Trusted bool          `json:"trusted"`
}

// Event is what is kept of a happening, without identity.
type Event struct {
	Version   int       `json:"v"`
	ID        ID        `json:"id"`   // set by the queue
	UUID      string    `json:"uuid"` // v7, for people
	Kind      EventKind `json:"kind"`
	At        Stamp     `json:"at"`
	Venue     string    `json:"venue"`
	Lane      string    `json:"lane"`
	Direction string    `json:"direction"`
	Group     string    `json:"group,omitempty"` // a car
	Visit     string    `json:"visit,omitempty"` // UUID of the visit this belongs to
	Passage   Passage   `json:"passage,omitempty"`
	Verdict   *Decision `json:"verdict,omitempty"`
	Operator  string    `json:"operator,omitempty"` // id of the guard, not his name
	Override  string    `json:"override,omitempty"` // why he opened: one of Policy.Overrides
	Answered  bool      `json:"answered,omitempty"` // of a call
	Waited    int64     `json:"waited_ms,omitempty"`
}

// Decision is a Verdict with the inputs it was made from, enough to make it
// again. Nothing in it names the person.
type Decision struct {
	Outcome       Outcome   `json:"outcome"`
	Reason        Reason    `json:"reason"`
	Rule          string    `json:"rule,omitempty"`
	Policy        string    `json:"policy"`
	PolicyVersion int       `json:"policy_version"`
	Mode          Mode      `json:"mode"`
	StatusMode    Mode      `json:"status_mode,omitempty"` // of the status, where a guard's word made Mode assisted
	Class         string    `json:"venue_class"`
	Credential    Kind      `json:"credential"`
	Fault         Reason    `json:"fault,omitempty"`
	Known         bool      `json:"known"`
	Why           Reason    `json:"why,omitempty"`
	Colour        Colour    `json:"colour,omitempty"`
	NAT           Result    `json:"nat,omitempty"`
	Sampled       time.Time `json:"nat_sampled,omitzero"`
	Reported      time.Time `json:"nat_reported,omitzero"`
	Antigen       Result    `json:"antigen,omitempty"`
	Host          Consent   `json:"host,omitempty"`
	RegisterFirst bool      `json:"register_first,omitempty"`
	ControlList   bool      `json:"control_list,omitempty"`
	CodeExpired   bool      `json:"code_expired,omitempty"`
	AsOf          time.Time `json:"as_of,omitzero"`
	AgeSeconds    int64     `json:"age_s,omitempty"` // of the status when it was used
	Issuer        string    `json:"issuer,omitempty"`
	Age           AgeGroup  `json:"age_group,omitempty"`
	Mask          Check     `json:"mask,omitempty"`
	Face          Check     `json:"face,omitempty"`
	Answers       Check     `json:"answers,omitempty"`
	Staff         Staff     `json:"staff,omitempty"`
	Temperature   Band      `json:"temperature"`
	ObjectMilliK  int64     `json:"object_mk,omitempty"`  // raw, milli-kelvin
	AmbientMilliK int64     `json:"ambient_mk,omitempty"` // raw, milli-kelvin
	Now           time.Time `json:"now"`
	Earliest      time.Time `json:"earliest,omitzero"`
	ClockOK       bool      `json:"clock_ok"`
}

// NewDecision writes down v and the evidence it was made from.
func NewDecision(v Verdict, class VenueClass, e *Evidence) *Decision {
	s := &e.Status
	d := &Decision{
		Outcome: v.Outcome, Reason: v.Reason, Rule: v.Rule, Policy: v.Policy,
		PolicyVersion: v.Version, Mode: v.Mode, Class: string(class),
		Credential: e.Credential.Kind, Fault: e.Credential.Fault,
		Known: s.Known, Why: e.Why, Colour: s.Colour,
		NAT: s.NAT, Sampled: s.Sampled, Reported: s.Reported, Antigen: s.Antigen,
		Host: s.Host, RegisterFirst: s.RegisterFirst, ControlList: s.ControlList,
		CodeExpired: s.CodeExpired, AsOf: s.AsOf,
		Issuer: e.Credential.Issuer, Age: e.Credential.Age, Mask: e.Mask, Face: e.Face,
		Answers: e.Answers, Staff: e.Staff,
		Temperature: e.Temperature, Now: e.Now, Earliest: e.Earliest, ClockOK: e.ClockOK,
	}
	if mode := or(s.Mode, ModeNone); mode != v.Mode {
		d.StatusMode = mode
	}
	if age, ok := s.Age(e.Now); ok {
		d.AgeSeconds = int64(age.Seconds())
	}
	return d
}

// Evidence gives back the evidence d was made from, without the person.
func (d *Decision) Evidence() Evidence {
	return Evidence{
		Credential: Credential{Kind: d.Credential, Fault: d.Fault, Issuer: d.Issuer, Age: d.Age},
		Status: Status{
			Known: d.Known, Colour: d.Colour, NAT: d.NAT, Sampled: d.Sampled,
			Reported: d.Reported, Antigen: d.Antigen, Host: d.Host,
			RegisterFirst: d.RegisterFirst, ControlList: d.ControlList,
			CodeExpired: d.CodeExpired, Mode: or(d.StatusMode, d.Mode), AsOf: d.AsOf,
		},
		Why: d.Why, Temperature: d.Temperature, Mask: d.Mask, Face: d.Face,
		Answers: d.Answers, Staff: d.Staff, Now: d.Now, Earliest: d.Earliest, ClockOK: d.ClockOK,
	}
}

// Identity is who presented the credential. It leaves the agent's memory only
// encrypted to the authority.
type Identity struct {
	UUID  string `json:"uuid"` // of the event, so that a swap is noticed
	Kind  Kind   `json:"kind"`
	Value string `json:"value"`
	Name  string `json:"name,omitempty"`
}

// String hides everything.
func (i Identity) String() string { return "identity(" + string(i.Kind) + ")" }

// GoString hides everything.
func (i Identity) GoString() string { return i.String() }

// Record is one event on its way to the platform, its identity sealed.
type Record struct {
	Event    Event  `json:"event"`
	Identity []byte `json:"identity,omitempty"` // age ciphertext of Identity
	KeyID    string `json:"key_id,omitempty"`   // age recipient it is sealed to
	// IdentityExpired says that there was an identity, which the kiosk has removed
	// because nobody took it in time.
	IdentityExpired bool `json:"identity_expired,omitempty"`
}

// Ack is the platform's answer for one record.
type Ack struct {
	ID     ID        `json:"id"`
	Status AckStatus `json:"status"`
	Reason string    `json:"reason,omitempty"` // of a rejection
}

// AckStatus says what the platform did with a record.
type AckStatus string

// The answers. Stored and Duplicate both mean that the platform holds it. Conflict
// means that it holds another event under this identity: the kiosk's state was
// restored from a backup, or copied, and gives its identities a second time.
const (
	Stored    AckStatus = "stored"
	Duplicate AckStatus = "duplicate"
	Conflict  AckStatus = "conflict"
	Rejected  AckStatus = "rejected"
)

// Traffic tells a record that was made just now from one that has waited. A
// platform that is busy lets live records pass before a backlog.
type Traffic string

// The traffic.
const (
	Live    Traffic = "live"    // made just now: somebody stands at the gate
	Backlog Traffic = "backlog" // waited on the kiosk, and can wait again
)

// EncodeRecord writes r as one JSON object.
func EncodeRecord(r *Record) ([]byte, error) { return json.Marshal(r) }

// DecodeRecord reads what EncodeRecord of this version or an older one wrote. A
// version it does not know is an error that names it. Version 1 lacks what came
// with version 2; nothing in it has another meaning, so that it reads as it
// stands, and is written on as version 1.
func DecodeRecord(b []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("record is damaged: %v", err)
	}
	if r.Event.Version < 1 || r.Event.Version > EventVersion {
		return nil, fmt.Errorf("record has version %d, this program reads 1 to %d", r.Event.Version, EventVersion)
	}
	return &r, nil
}
