package backend

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// IssuePaper issues a paper code: a handle, without any state of health.
func (u *Publisher) IssuePaper(ref string) (string, error) {
	return u.issue(ref, func(c *signed.Claims, index uint32, _ *Person) {
		c.Kind, c.Index = signed.Paper, &index
		c.Expires = c.Issued + int64(u.o.Life.PaperCode/time.Second)
	})
}

// IssueStatus issues a bearer code: a state that whoever has the picture can
// show.
func (u *Publisher) IssueStatus(ref string) (string, error) {
	return u.issue(ref, func(c *signed.Claims, _ uint32, person *Person) {
		c.Kind = signed.Bearer
		u.health(c, person)
	})
}

// IssuePhone issues a phone code and shows it: each person has one phone, whose
// clock is at shown; zero is the platform's own time.
func (u *Publisher) IssuePhone(ref string, shown time.Time) (string, error) {
	phone := u.ring.key("phone\x00" + ref)
	code, err := u.issue(ref, func(c *signed.Claims, _ uint32, person *Person) {
		c.Kind, c.Device = signed.Phone, phone.Public()
		u.health(c, person)
	})
	if err != nil {
		return "", err
	}
	if shown.IsZero() {
		shown = u.platform.o.Now()
	}
	return signed.Show(phone, code, shown.Unix())
}

// Invitation is what a host says of a visitor: where, who expects him, and when.
type Invitation struct {
	Venue, Host string
	From, Until time.Time
}

// IssuePass issues a visitor pass. Online it is good at the first kiosk that
// asks for it and at no other: the platform learns of its use by being asked.
func (u *Publisher) IssuePass(ref string, i Invitation) (string, error) {
	return u.issue(ref, func(c *signed.Claims, _ uint32, _ *Person) {
		c.Kind, c.Venue, c.Host = signed.Pass, i.Venue, i.Host
		c.NotBefore, c.Expires = i.From.Unix(), i.Until.Unix()
		c.Person, c.Tail = nil, "" // the host knows no numbers
	})
}

// Revoke withdraws one code, here at once and offline with the next Publish.
func (u *Publisher) Revoke(code string) error {
	c, err := signed.ParseCode(code)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.revoked.code(c.Claims.Issuer, c.Claims.ID)
	return u.platform.withdraw(codeValue(&c.Claims))
}

// RevokeBefore withdraws all codes of a person that were issued before at,
// likewise.
func (u *Publisher) RevokeBefore(ref string, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.revoked.floor(u.o.CodeIssuer, u.ring.person(ref), at.UTC().Truncate(time.Second))
	u.platform.withdrawBefore(ref, at)
}

//

// issue makes a code of what all kinds have in common and what fill adds, and
// lets the platform remember whose it is.
func (u *Publisher) issue(ref string, fill func(*signed.Claims, uint32, *Person)) (string, error) {
	person, ok := u.platform.Person(ref)
	if !ok {
		return "", fmt.Errorf("there is no person %q", ref)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.issued++
	id, index := u.ring.code(u.issued)
	c := &signed.Claims{
		Issuer: u.o.CodeIssuer, Issued: u.platform.o.Now().Unix(), ID: id, Person: u.ring.person(ref),
		Name: checkin.MaskName(person.Name), Tail: tail(person.Number),
	}
	fill(c, index, &person)
	kid := codeKey
	if u.fault == RevokedKey {
		kid = oldCodeKey
	}
	text, err := signed.SignCode(u.ring.key(kid), kid, c)
	if err == nil {
		u.platform.remember(ref, c)
	}
	return text, err
}

// health puts what the platform knows of a person into a code.
func (u *Publisher) health(c *signed.Claims, person *Person) {
	is := standing(person)
	c.Status = signed.StatusByte(uint8(is.Colour))
	if !is.Sampled.IsZero() && is.Sampled.Unix() <= c.Issued {
		c.Sampled = is.Sampled.Unix()
	}
	c.Expires = c.Issued + int64(u.o.Life.Phone/time.Second)
}

func tail(number string) string { return number[max(0, len(number)-4):] }

// codeValue is how a kiosk asks for a code: ISSUER/ID.
func codeValue(c *signed.Claims) string { return c.Issuer + "/" + hex.EncodeToString(c.ID) }

// code is what the platform remembers of one that it has issued.
type code struct {
	ref         string
	kind        signed.Kind
	issued      time.Time
	from, until time.Time
	venue       string
	withdrawn   bool
	usedBy      string // the kiosk that asked first, of a pass
}

func (p *Platform) remember(ref string, c *signed.Claims) {
	p.mu.Lock()
	defer p.mu.Unlock()
	issued, from := time.Unix(c.Issued, 0), time.Unix(max(c.Issued, c.NotBefore), 0)
	p.signed[codeValue(c)] = &code{ref: ref, kind: c.Kind, issued: issued, from: from, until: time.Unix(c.Expires, 0), venue: c.Venue}
}

func (p *Platform) withdraw(value string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.signed[value]
	if !ok {
		return errors.New("this code is none of ours")
	}
	c.withdrawn = true
	return nil
}

func (p *Platform) withdrawBefore(ref string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.signed {
		c.withdrawn = c.withdrawn || c.ref == ref && c.issued.Before(at)
	}
}

// findSigned returns who holds a signed code, and whether it is no longer good:
// out of date, withdrawn, or a pass that another kiosk has asked for before. A
// pass for another venue, or before its time, is nobody's here. The caller holds
// p.mu.
func (p *Platform) findSigned(cred checkin.Credential, q *api.VerifyRequest) (_ Person, old, ok bool) {
	c, ok := p.signed[cred.Value]
	if !ok || (c.kind == signed.Pass) != (cred.Kind == checkin.VisitorPass) {
		return Person{}, false, false
	}
	person, ok := p.people[c.ref]
	now := p.o.Now()
	old = c.withdrawn || !now.Before(c.until)
	if c.kind != signed.Pass {
		return person, old, ok
	}
	if c.venue != q.Venue || now.Before(c.from) {
		return Person{}, false, false
	}
	if c.usedBy == "" && !old {
		c.usedBy = q.Kiosk
	}
	if person.Host == "" || person.Host == checkin.HostNone {
		person.Host = checkin.HostYes // the pass itself is his word
	}
	return person, old || c.usedBy != q.Kiosk, ok
}
