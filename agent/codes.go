package agent

import (
	"fmt"
	"os"
	"sync"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/durable"
)

// codes reads signed codes for the lane, and remembers those that count once.
type codes struct {
	a *Agent

	mu     sync.Mutex
	memory credential.Memory
}

// usedFile keeps which passes were used: they count once across a restart too.
const usedFile = "codes-used"

func newCodes(a *Agent) *codes {
	c := &codes{a: a}
	path := a.statePath(usedFile)
	if !exists(path) {
		return c
	}
	data, err := os.ReadFile(path)
	if err == nil {
		err = c.memory.UnmarshalBinary(data)
	}
	if err != nil {
		// Only passes of before this start can be shown twice then; nobody is shut
		// out for a spoilt file.
		a.o.Log.Error("reading which passes were used: begun anew", "err", fmt.Errorf("%s: %w", path, err))
		a.hub.raise("cache-tampered")
	}
	return c
}

// open judges a signed code and puts what it says in the place of the text. It
// leaves every other credential alone.
func (c *codes) open(p *presented) {
	if p.cred.Kind != checkin.SignedCode || p.code != nil || c.a.o.Codes == nil {
		return
	}
	trusted := c.a.o.Codes()
	if trusted == nil {
		return // nobody vouches for the issuers now: it is for a person
	}
	at := c.a.o.Clock.Interval()
	r := trusted.Open(p.cred.Value, credential.Interval{Lo: at.Lo, Hi: at.Hi})
	if !r.Heard.IsZero() {
		if err := c.a.o.Clock.Heard(r.Heard); err != nil {
			c.a.o.Log.Warn("the issuer of a code has signed a time that is not taken", "err", err)
		}
	}
	c.mu.Lock()
	c.memory.Seen(&r)
	c.mu.Unlock()
	p.code, p.cred = &r, r.Credential
}

// use remembers a code by which a verdict was made: a phone code whatever the
// verdict is, a pass if it lets somebody in. It returns false if it turns out
// that nobody may pass on it; p then says why.
func (c *codes) use(p *presented, v checkin.Verdict) bool {
	if p.code == nil || p.cred.Kind == checkin.VisitorPass && v.Outcome != checkin.Granted {
		return true
	}
	if !p.code.Valid {
		return true // it was decided as what it is
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.memory.Use(p.code, c.a.o.Clock.Interval().Lo) {
		p.cred = p.code.Credential
		return false
	}
	if p.cred.Kind == checkin.VisitorPass {
		c.keep()
	}
	return true
}

// keep writes down what was used. The lock is held.
func (c *codes) keep() {
	path := c.a.statePath(usedFile)
	if path == "" {
		return
	}
	data, err := c.memory.MarshalBinary()
	if err == nil {
		err = durable.WriteFile(path, data, 0o600)
	}
	if err != nil {
		c.a.o.Log.Error("keeping which passes were used", "err", err)
	}
}

// fallback is what the code itself says, where the platform does not answer; a
// pass counts also if the platform does not know of it, for a venue may hand out
// its own.
func (p *presented) fallback(e *checkin.Evidence) {
	if p.code == nil || e.Status.Known {
		return
	}
	own := p.cred.Kind == checkin.VisitorPass && e.Why == checkin.NoStatus
	if e.Why == checkin.PlatformUnreachable || own {
		if p.code.Status.Known || p.code.Why != "" {
			e.Status, e.Why = p.code.Status, p.code.Why
		}
	}
}
