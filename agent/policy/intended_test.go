package policy_test

import (
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// What the design says of each shipped policy, told by it and not by the code.

type answer struct {
	outcome checkin.Outcome
	reason  checkin.Reason
}

func refused(r checkin.Reason) answer { return answer{checkin.Refused, r} }
func manual(r checkin.Reason) answer  { return answer{checkin.Manual, r} }

var (
	granted  = answer{checkin.Granted, checkin.OK}
	assisted = answer{checkin.Granted, checkin.Assisted}
)

var intended = map[string]func(*situation) answer{
	"public-place":     func(s *situation) answer { return place(s, true, false) },
	"transport":        func(s *situation) answer { return place(s, false, false) },
	"residential":      residential,
	"office":           office,
	"hospital":         hospital,
	"visitor":          visitor,
	"shanghai-2022-05": func(s *situation) answer { return place(s, true, true) },
	"shanghai-2022-08": func(s *situation) answer { return place(s, true, true) },
	"shanghai-2022-12": december,
}

// usable says whether a status may be used for a grant: young enough, or an
// answer to our own nonce.
func (s *situation) usable(limit time.Duration) (checkin.Reason, bool) {
	switch {
	case s.mode == checkin.ModeOnline:
		return "", true
	case !s.clock:
		return checkin.ClockUnknown, false
	case s.age > limit:
		return checkin.StatusStale, false
	}
	return "", true
}

func (s *situation) unknown() bool { return s.mode == checkin.ModeNone }

// bad is what every policy that looks at health refuses.
func (s *situation) bad() (answer, bool) {
	switch {
	case s.unknown():
		return answer{}, false
	case s.list:
		return refused(checkin.DeniedByList), true
	case s.colour == checkin.Red:
		return refused(checkin.CodeRed), true
	case s.colour == checkin.Yellow:
		return refused(checkin.CodeYellow), true
	case s.nat == checkin.Positive:
		return refused(checkin.NATPositive), true
	case s.antigen == checkin.Positive:
		return refused(checkin.AntigenPositive), true
	}
	return answer{}, false
}

// first is what has to be put right first. A guard who has looked at a document
// does not need the phone's code.
func (s *situation) first() (answer, bool) {
	switch {
	case s.unknown():
		return answer{}, false
	case s.expired && !s.guard:
		return manual(checkin.CodeExpired), true
	case s.register:
		return manual(checkin.NotRegistered), true
	}
	return answer{}, false
}

// unproven is the answer where there is no colour to go by.
func (s *situation) unproven() answer {
	switch {
	case s.guard:
		return assisted
	case s.unknown():
		return manual(checkin.PlatformUnreachable)
	}
	return manual(checkin.NotCovered)
}

// place wants a green code and a test within 48 hours, and, if measured, a
// forehead; housing a green code only. A dated policy says nothing at all while
// nobody knows what time it is.
func place(s *situation, measured, dated bool) answer {
	if a, ok := s.bad(); ok {
		return a
	}
	if s.band == checkin.Fever {
		return refused(checkin.HasFever)
	}
	if a, ok := s.first(); ok {
		return a
	}
	if s.unknown() || s.colour == checkin.NoColour {
		return s.unproven()
	}
	if _, usable := s.usable(24 * time.Hour); usable && s.class == "housing" && s.clock {
		return granted
	}
	return s.tested(measured, dated)
}

// tested is place's answer for somebody green.
func (s *situation) tested(measured, dated bool) answer {
	why, usable := s.usable(4 * time.Hour)
	online := s.mode == checkin.ModeOnline
	missing, old := s.nat != checkin.Negative, s.natAge > 48*time.Hour
	switch {
	case missing && online && (s.clock || !dated):
		return refused(checkin.NATMissing)
	case !s.clock && online: // the test may be too old, and nobody knows
		return manual(checkin.ClockUnknown)
	case !missing && old && online:
		return refused(checkin.NATExpired)
	case s.guard:
		return assisted
	case !s.clock:
		return manual(checkin.ClockUnknown)
	case !usable:
		return manual(why)
	case missing:
		return manual(checkin.NATMissing)
	case old:
		return manual(checkin.NATExpired)
	case measured && s.band == checkin.Unmeasured:
		return manual(checkin.TemperatureUnmeasured)
	}
	return granted
}

func residential(s *situation) answer {
	if a, ok := s.bad(); ok {
		return a
	}
	if a, ok := s.first(); ok {
		return a
	}
	if s.unknown() || s.colour == checkin.NoColour {
		return s.unproven()
	}
	why, usable := s.usable(24 * time.Hour)
	switch {
	case usable:
		return granted
	case s.guard:
		return assisted
	}
	return manual(why)
}

func office(s *situation) answer {
	if a, ok := s.bad(); ok {
		return a
	}
	if s.band == checkin.Fever {
		return refused(checkin.HasFever)
	}
	if a, ok := s.first(); ok {
		return a
	}
	why, usable := s.usable(8 * time.Hour)
	switch colourless := s.colour == checkin.NoColour; {
	case s.unknown():
		return s.unproven()
	case colourless && s.host == checkin.HostNo:
		return refused(checkin.HostRefused)
	case colourless && s.host != checkin.HostYes:
		return manual(checkin.NeedsHost)
	case s.guard:
		return assisted
	case !usable:
		return manual(why)
	case s.band == checkin.Unmeasured:
		return manual(checkin.TemperatureUnmeasured)
	}
	return granted
}

func hospital(s *situation) answer {
	if a, ok := s.bad(); ok {
		return a
	}
	if s.band == checkin.Fever {
		return refused(checkin.HasFever)
	}
	if a, ok := s.first(); ok {
		return a
	}
	why, usable := s.usable(4 * time.Hour)
	switch green := !s.unknown() && s.colour == checkin.Green; {
	case green && usable && s.band == checkin.Normal:
		return granted
	case s.guard && s.answers == checkin.Passed:
		return assisted
	case s.unknown():
		return manual(checkin.PlatformUnreachable)
	case !green:
		return manual(checkin.NotCovered)
	case !usable:
		return manual(why)
	}
	return manual(checkin.TemperatureUnmeasured)
}

func visitor(s *situation) answer {
	why, usable := s.usable(24 * time.Hour)
	switch {
	case s.unknown():
		return s.unproven()
	case s.list:
		return refused(checkin.DeniedByList)
	case s.host == checkin.HostNo:
		return refused(checkin.HostRefused)
	case s.expired && !s.guard:
		return manual(checkin.CodeExpired)
	case s.host != checkin.HostYes:
		return manual(checkin.NeedsHost)
	case s.guard && !usable && s.colour != checkin.Red:
		return assisted
	case !usable:
		return manual(why)
	case s.colour == checkin.Red:
		return manual(checkin.NotCovered)
	}
	return granted
}

// december checks codes in hospitals, care homes and schools only.
func december(s *situation) answer {
	if s.class == "medical" {
		return place(s, false, true)
	}
	why, usable := s.usable(24 * time.Hour)
	switch {
	case s.unknown():
		return s.unproven()
	case s.list:
		return refused(checkin.DeniedByList)
	case s.clock && usable && s.colour != checkin.Red:
		return granted
	case s.guard && s.colour != checkin.Red:
		return assisted
	case !s.clock:
		return manual(checkin.ClockUnknown)
	case !usable:
		return manual(why)
	}
	return manual(checkin.NotCovered)
}
