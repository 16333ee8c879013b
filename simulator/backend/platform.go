// Package backend is the reference platform: what stands on the other side of
// the kiosk's API. It keeps people and records, signs what it says, and takes
// every record once, for ever, into a Store. Its faults are a wrapper of their own (Faults)
// that is absent unless asked for.
//
// The real platform's interface is not public; this one holds to the contract
// in agent/backend/api and is the documented stand-in.
package backend

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

// Opts is what a Platform is made of.
type Opts struct {
	Issuer string
	Key    crypto.Signer // signs statements
	KeyID  string
	Now    func() time.Time
	// OnRecord hears of every record that arrives; again: it was held already.
	OnRecord func(r checkin.Record, again bool)
	// Store keeps what is brought; nil keeps it in memory.
	Store Store
	// Recipients are whom this platform receives reports for; none means anybody.
	Recipients []string
	// OnReport hears of every report that arrives, likewise.
	OnReport func(recipient string, r checkin.Record, again bool)
	// OnVerify hears of every question that was answered.
	OnVerify func()
}

// Person is what the authority knows of somebody. All people are synthetic.
type Person struct {
	Ref           string
	Name          string
	Number        string // of the identity card
	Passport      string // what a guard is shown instead; the platform does not know it
	Colour        checkin.Colour
	NAT           checkin.Result
	Sampled       time.Time
	Reported      time.Time
	Antigen       checkin.Result
	Host          checkin.Consent
	RegisterFirst bool
	ControlList   bool
	NoShard       bool // he is left out of every published table
}

// Platform holds people and records. It is safe for concurrent use.
type Platform struct {
	o      Opts
	secret []byte // of the online codes

	mu      sync.Mutex
	people  map[string]Person
	handles map[string]statuslist.Handle // of those with a card, for the table
	tokens  map[string]holder            // of the codes that are current or lately were
	minute  int64                        // that tokens was made for
	signed  map[string]*code             // codes that a Publisher has issued, by ISSUER/ID

	publisher atomic.Pointer[Publisher] // nil: nothing is published
}

// holder is whose code it is, and whether it is an old one.
type holder struct {
	ref string
	old bool
}

// A statement is good for ten minutes: long enough for a slow lane, short
// enough that nobody keeps one.
const validFor = 10 * time.Minute

// New makes a platform without people.
func New(o Opts) *Platform {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	if o.Issuer == "" {
		o.Issuer = "reference platform"
	}
	if o.Store == nil {
		o.Store = NewMemory()
	}
	return &Platform{o: o, secret: secret, people: map[string]Person{}, handles: map[string]statuslist.Handle{}, signed: map[string]*code{}}
}

// SetPerson adds or replaces a person.
func (p *Platform) SetPerson(person Person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people[person.Ref] = person
	p.hold(&person)
	p.tokens = nil
}

// Person returns the person of that reference.
func (p *Platform) Person(ref string) (Person, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	person, ok := p.people[ref]
	return person, ok
}

// People lists everybody by reference.
func (p *Platform) People() []Person {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Person
	for _, ref := range slices.Sorted(maps.Keys(p.people)) {
		list = append(list, p.people[ref])
	}
	return list
}

// Beginnings of the codes that this platform hands out.
const (
	personalCode = "https://code.sentinel.example/p/"
	relativeCode = "https://code.sentinel.example/r/"
	venueCode    = "https://code.sentinel.example/v/"
	paperCode    = "https://code.sentinel.example/o/"
)

// codeLife is how often an online code changes; the last two are accepted too.
const codeLife = time.Minute

// Code is what the person's phone shows now.
func (p *Platform) Code(ref string) string {
	return personalCode + p.token(ref, p.o.Now().Unix()/int64(codeLife/time.Second))
}

// RelativeCode is the person's code on a relative's phone.
func (p *Platform) RelativeCode(ref string) string {
	return relativeCode + p.token(ref, p.o.Now().Unix()/int64(codeLife/time.Second))
}

// PaperCode is the person's printed code: a handle, without any status.
func (p *Platform) PaperCode(ref string) string { return paperCode + p.token(ref, 0) }

// VenueCode is the code on the wall of a venue.
func (p *Platform) VenueCode(venue string) string { return venueCode + venue }

// Counts is what a box of the store holds.
type Counts struct {
	Records   int // distinct
	Visits    int // distinct visit records
	Duplicate int // held of a visit that another one in the box tells of already: always 0
	Again     int // records that came again and were recognised
	Conflicts int // that came with another content, or of another event: the first one stays
}

// Store is what the platform holds: check-ins, and a box for each recipient of
// reports.
func (p *Platform) Store() Store { return p.o.Store }

//

// token is a person's code in one minute: 22 characters that tell nobody
// anything but this platform.
func (p *Platform) token(ref string, minute int64) string {
	mac := hmac.New(sha256.New, p.secret)
	mac.Write([]byte(ref))
	mac.Write(binary.BigEndian.AppendUint64([]byte{0}, uint64(minute)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// Codes are accepted for two minutes after their own, and recognised as
// expired for seven more.
const (
	goodMinutes  = 2
	knownMinutes = 9
)

// find returns who holds a credential, and whether the code was an old one.
func (p *Platform) find(c checkin.Credential, q *api.VerifyRequest) (_ Person, old, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch c.Kind {
	case checkin.PersonalCode, checkin.RelativeCode:
		h, ok := p.codes()[c.Value[strings.LastIndex(c.Value, "/")+1:]]
		return p.people[h.ref], h.old, ok
	case checkin.SignedCode, checkin.VisitorPass:
		return p.findSigned(c, q)
	}
	for _, person := range p.people {
		if person.Number == c.Value {
			return person, false, true
		}
	}
	return Person{}, false, false
}

// codes indexes everybody's codes of the last minutes. The caller holds p.mu.
func (p *Platform) codes() map[string]holder {
	minute := p.o.Now().Unix() / int64(codeLife/time.Second)
	if p.tokens != nil && p.minute == minute {
		return p.tokens
	}
	p.tokens, p.minute = map[string]holder{}, minute
	for ref := range p.people {
		for back := range int64(knownMinutes) {
			p.tokens[p.token(ref, minute-back)] = holder{ref, back > goodMinutes}
		}
	}
	return p.tokens
}

// statement says what is known of person, in answer to one question.
func (p *Platform) statement(person Person, codeExpired bool, q question) *signed.Statement {
	now := p.o.Now()
	return &signed.Statement{
		Version: signed.Version, Issuer: p.o.Issuer, Nonce: q.nonce, Credential: q.hash[:],
		Venue: q.venue, Kiosk: q.kiosk,
		Colour: string(person.Colour), NAT: string(person.NAT), Antigen: string(person.Antigen),
		Sampled: unix(person.Sampled), Reported: unix(person.Reported), Host: string(person.Host),
		RegisterFirst: person.RegisterFirst, ControlList: person.ControlList, CodeExpired: codeExpired,
		MaskedName: checkin.MaskName(person.Name),
		AsOf:       now.Unix(), ValidUntil: now.Add(validFor).Unix(), Time: now.Unix(),
	}
}

// question is what a statement is bound to.
type question struct {
	nonce        []byte
	hash         [sha256.Size]byte
	venue, kiosk string
}

// wrong says why a record cannot be taken; empty: it can.
func wrong(r *checkin.Record, kiosk string) string {
	if why := badName(r); why != "" {
		return why
	}
	e := &r.Event
	switch {
	case e.ID.Device != kiosk && kiosk != "":
		return "the record is another kiosk's"
	case e.ID.Epoch == "" || e.ID.Seq == 0 || e.UUID == "":
		return "the record has no identity"
	case e.Kind == checkin.KindVisit && (e.Verdict == nil || !sealed(r)):
		return "a visit needs a verdict and a sealed identity"
	case e.Kind == checkin.KindPassage && (e.Visit == "" || e.Passage == ""):
		return "a passage needs its visit and what was seen"
	case e.Kind == checkin.KindRefusal && (e.Visit == "" || e.Verdict == nil || !sealed(r)):
		return "a refusal needs its visit, a verdict and a sealed identity"
	case len(r.Identity) > 0 && !strings.HasPrefix(string(r.Identity), "age-encryption.org/v1\n"):
		return "the identity is not sealed with age"
	}
	return ""
}

// sealed reports whether r holds who it was, or says that the kiosk had to remove
// it.
func sealed(r *checkin.Record) bool { return len(r.Identity) > 0 || r.IdentityExpired }

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// String tells the counts, for logs.
func (c Counts) String() string {
	return fmt.Sprintf("%d records, %d visits, %d twice, %d came again", c.Records, c.Visits, c.Duplicate, c.Again)
}
