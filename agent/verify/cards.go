package verify

import (
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust"
)

// Viewer is a feed of the signed cache (trust.Feed).
type Viewer interface {
	View(look func(trust.View) error) error
}

// Cards is the rung of those who have an ID card and no telephone: the card table
// of the signed cache, and the list of those who got worse since it was made.
type Cards struct {
	Card, Deny Viewer
	// Key returns the key of an epoch; false: it is not known here.
	Key func(epoch uint64) (statuslist.Key, bool)
	// Use says what the role that vouches for the tables may be used for now.
	Use func() trust.Use
}

// Lookup implements Rung. Who is not in the table is not known; that is the
// answer for a stranger, and never "green".
//
// Where only a known bad status may be believed, everything else is told without
// its time: a policy finds it too old for anything.
func (c *Cards) Lookup(cred checkin.Credential) (checkin.Status, bool) {
	use := c.Use()
	if use == trust.Nothing || !onCard(cred.Kind) {
		return checkin.Status{}, false
	}
	handle := statuslist.NewHandle(string(cred.Kind), cred.Value, cred.Name)
	status, listed := c.look(c.Card, handle, use)
	worse, denied := c.look(c.Deny, handle, use)
	switch {
	case denied && (!listed || worse.Colour == checkin.Red || status.Colour != checkin.Red):
		return worse, true
	case listed:
		return status, true
	}
	return checkin.Status{}, false
}

//

// look asks one list about a person.
func (c *Cards) look(list Viewer, handle statuslist.Handle, use trust.Use) (s checkin.Status, listed bool) {
	_ = list.View(func(v trust.View) error { // an error is a list that is not there
		key, ok := c.Key(v.Header.Epoch)
		if !ok {
			return nil
		}
		fingerprint := key.Fingerprint(handle)
		var value statuslist.Value
		if v.Table != nil {
			value, listed = v.Table.Lookup(fingerprint)
		} else {
			value, listed = v.Deny.Lookup(fingerprint)
		}
		s = statusOf(value, time.Unix(v.Header.AsOf, 0).UTC())
		if use != trust.Full || v.Behind {
			s.AsOf = time.Time{}
		}
		return nil
	})
	return s, listed
}

// statusOf says what a value means. The buckets of tests count from the signed
// time of the list, and so does the age of the news.
func statusOf(v statuslist.Value, asOf time.Time) checkin.Status {
	s := checkin.Status{
		Known: true, Mode: checkin.ModeCached, AsOf: asOf,
		Colour: colourOf(v.Colour()), NAT: checkin.NoTest, Antigen: checkin.NoTest, Host: checkin.HostNone,
	}
	if sampled, ok := v.Sampled(asOf); ok {
		s.NAT, s.Sampled, s.Reported = checkin.Negative, sampled, sampled
	}
	return s
}

func colourOf(c statuslist.Colour) checkin.Colour {
	switch c {
	case statuslist.Green:
		return checkin.Green
	case statuslist.Yellow:
		return checkin.Yellow
	case statuslist.Red:
		return checkin.Red
	}
	return checkin.NoColour
}

// onCard reports whether the table can know about k: it is made from numbers and
// names, and a code is neither.
func onCard(k checkin.Kind) bool {
	return k == checkin.ResidentID || k == checkin.HKMOTWPermit || k == checkin.ForeignerCard
}

var (
	_ Rung   = (*Cards)(nil)
	_ Viewer = (*trust.Feed)(nil)
)
