package backend

import (
	"iter"
	"strings"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

// standings is the platform's own Source: all who have a card. Handles were made
// when people were set; only the cheap fingerprint is made anew for each epoch.
func (p *Platform) standings(string) iter.Seq2[statuslist.Handle, Standing] {
	type entry struct {
		handle statuslist.Handle
		is     Standing
	}
	p.mu.Lock()
	list := make([]entry, 0, len(p.handles))
	for ref, handle := range p.handles {
		if person := p.people[ref]; !person.NoShard {
			list = append(list, entry{handle, standing(&person)})
		}
	}
	p.mu.Unlock()
	return func(yield func(statuslist.Handle, Standing) bool) {
		for _, e := range list {
			if !yield(e.handle, e.is) {
				return
			}
		}
	}
}

// hold makes the person's handle. The caller holds p.mu.
func (p *Platform) hold(person *Person) {
	delete(p.handles, person.Ref)
	if person.Number != "" {
		p.handles[person.Ref] = statuslist.NewHandle(string(paper(person.Number)), person.Number, person.Name)
	}
}

// standing says in a colour what the table has no other word for: who must not
// pass is red, and who has to register first is not known.
func standing(p *Person) Standing {
	s := Standing{Colour: colours[p.Colour]}
	if p.NAT == checkin.Negative {
		s.Sampled = p.Sampled
	}
	switch {
	case p.ControlList, p.NAT == checkin.Positive, p.Antigen == checkin.Positive:
		s.Colour = statuslist.Red
	case p.RegisterFirst && s.Colour == statuslist.Green:
		s.Colour = statuslist.None
	}
	return s
}

var colours = map[checkin.Colour]statuslist.Colour{
	checkin.Green: statuslist.Green, checkin.Yellow: statuslist.Yellow, checkin.Red: statuslist.Red,
}

// paper is the kind of card that a number stands on: what the kiosk will read.
func paper(number string) checkin.Kind {
	switch {
	case strings.HasPrefix(number, "81"), strings.HasPrefix(number, "82"), strings.HasPrefix(number, "83"):
		return checkin.HKMOTWPermit
	case strings.HasPrefix(number, "9"), len(number) == 15 && number[0] >= 'A':
		return checkin.ForeignerCard
	}
	return checkin.ResidentID
}
