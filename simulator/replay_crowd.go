package simulator

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// part is one part of a mixture, in thousandths of it.
type part[T comparable] struct {
	what  T
	share int
}

// mixture is what a crowd is made of. Its shares make a thousand.
type mixture[T comparable] []part[T]

func (m mixture[T]) draw(dice *rand.Rand) T {
	n := dice.IntN(1000)
	for _, p := range m {
		if n -= p.share; n < 0 {
			return p.what
		}
	}
	return m[len(m)-1].what
}

// String lists the parts, with their shares in per cent.
func (m mixture[T]) String() string {
	var words []string
	for _, p := range m {
		words = append(words, fmt.Sprintf("%v %g %%", p.what, float64(p.share)/10))
	}
	return strings.Join(words, ", ")
}

// hours is a range of time, drawn evenly, in whole minutes.
type hours struct{ lo, hi int }

func (h hours) draw(dice *rand.Rand) time.Duration {
	return time.Duration(h.lo)*time.Hour + time.Duration(dice.IntN((h.hi-h.lo)*60))*time.Minute
}

func (h hours) String() string { return fmt.Sprintf("%d to %d h", h.lo, h.hi) }

// Words of mixtures that are no values of checkin.
const (
	own   = "own city" // the issuer of our own city's codes
	daily = "daily"    // is tested every day

	onControlList = "control list"
	codeExpired   = "code expired"
	registerFirst = "register first"
)

// What the crowd is made of. All of it is ours: no figure of a real city is
// known that could stand here (domain, item 85: do not size anything from it).
var (
	mixKind = mixture[checkin.Kind]{
		{checkin.PersonalCode, 690}, {checkin.RelativeCode, 50}, {checkin.ResidentID, 180}, {checkin.HKMOTWPermit, 5},
		{checkin.ForeignerCard, 3}, {checkin.PaperCode, 20}, {checkin.Passport, 7}, {checkin.OtherPaper, 5},
		{checkin.VisitorPass, 5}, {checkin.VenueCode, 20}, {checkin.UnknownText, 15},
	}
	mixIssuer  = mixture[string]{{own, 930}, {"jiangsu", 30}, {"zhejiang", 20}, {"anhui", 10}, {"beijing", 10}}
	mixAge     = mixture[checkin.AgeGroup]{{checkin.Minor, 50}, {checkin.Adult, 750}, {checkin.Elder, 200}}
	mixFault   = mixture[checkin.Reason]{{checkin.OK, 992}, {checkin.CredentialInvalid, 3}, {checkin.CredentialExpired, 5}}
	mixMode    = mixture[checkin.Mode]{{checkin.ModeOnline, 950}, {checkin.ModeCached, 40}, {checkin.ModeNone, 10}}
	mixColour  = mixture[checkin.Colour]{{checkin.Green, 975}, {checkin.Yellow, 12}, {checkin.Red, 6}, {checkin.NoColour, 7}}
	mixNAT     = mixture[checkin.Result]{{checkin.Negative, 928}, {checkin.Positive, 2}, {checkin.NoTest, 70}}
	mixNATAge  = mixture[hours]{{hours{0, 24}, 450}, {hours{24, 48}, 270}, {hours{48, 72}, 120}, {hours{72, 336}, 160}}
	mixGap     = mixture[hours]{{hours{3, 8}, 400}, {hours{8, 16}, 500}, {hours{16, 36}, 100}}
	mixDaily   = mixture[string]{{daily, 700}, {"else", 300}}
	mixAntigen = mixture[checkin.Result]{{checkin.NoTest, 800}, {checkin.Negative, 197}, {checkin.Positive, 3}}
	mixHost    = mixture[checkin.Consent]{{checkin.HostNone, 800}, {checkin.HostYes, 150}, {checkin.HostSilent, 30}, {checkin.HostNo, 20}}
	mixMarks   = mixture[string]{{"none", 984}, {onControlList, 1}, {codeExpired, 10}, {registerFirst, 5}}
	mixBand    = mixture[checkin.Band]{{checkin.Normal, 965}, {checkin.Fever, 5}, {checkin.Unmeasured, 30}}
	cacheAge   = hours{0, 30}
)

// ReplayAssumptions lists what the crowd is made of.
func ReplayAssumptions() []Assumption {
	return []Assumption{
		{"presented", mixKind.String(), ours},
		{"issuer of a code", mixIssuer.String(), ours},
		{"age by a card", mixAge.String(), ours},
		{"fault of a card", mixFault.String(), ours},
		{"status from", mixMode.String(), ours},
		{"age of a cached status", cacheAge.String() + ", even", ours},
		{"colour", mixColour.String(), ours},
		{"NAT", mixNAT.String(), ours},
		{"NAT sampled ago", mixNATAge.String(), ours},
		{"NAT reported after", mixGap.String(), ours},
		{"NAT not reported yet", mixDaily.String() + ": who is tested daily has yesterday's result, else it is pending", ours},
		{"antigen", mixAntigen.String(), ours},
		{"host", mixHost.String(), ours},
		{"marked by the platform", mixMarks.String(), ours},
		{"forehead", mixBand.String(), ours},
		{"not asked about", "paper, passport, other papers, passes: no status without a guard", "what the kiosk does today"},
	}
}

// visitor is one of the crowd. Times are ages: they hold at any date.
type visitor struct {
	cred    checkin.Credential
	status  checkin.Status
	why     checkin.Reason
	age     time.Duration // of the status
	sampled time.Duration // ago; with a NAT only
	gap     time.Duration // from the sample to the report
	band    checkin.Band
}

// drawCrowd draws the people of a crowd from one number to before another.
func drawCrowd(seed uint64, from, to int) []visitor {
	crowd := make([]visitor, to-from)
	for i := range crowd {
		// Each person has dice of his own, so that a longer crowd begins alike.
		crowd[i] = drawVisitor(rand.New(rand.NewPCG(seed, uint64(from+i))))
	}
	return crowd
}

func drawVisitor(dice *rand.Rand) visitor {
	v := visitor{cred: checkin.Credential{Kind: mixKind.draw(dice)}, band: mixBand.draw(dice)}
	switch v.cred.Kind {
	case checkin.PersonalCode, checkin.RelativeCode:
		if issuer := mixIssuer.draw(dice); issuer != own {
			v.cred.Issuer = issuer
		}
	case checkin.ResidentID, checkin.HKMOTWPermit, checkin.ForeignerCard:
		v.cred.Age = mixAge.draw(dice)
		if fault := mixFault.draw(dice); fault != checkin.OK {
			v.cred.Fault = fault
		}
	}
	mode := mixMode.draw(dice)
	switch {
	case !v.cred.Kind.Online() || v.cred.Fault != "":
		v.why = checkin.NoStatus
	case mode == checkin.ModeNone:
		v.why = checkin.PlatformUnreachable
	default:
		v.drawStatus(dice, mode)
	}
	return v
}

func (v *visitor) drawStatus(dice *rand.Rand, mode checkin.Mode) {
	s := &v.status
	*s = checkin.Status{
		Known: true, Mode: mode, Colour: mixColour.draw(dice), NAT: mixNAT.draw(dice),
		Antigen: mixAntigen.draw(dice), Host: mixHost.draw(dice),
	}
	if mode == checkin.ModeCached {
		v.age = cacheAge.draw(dice)
	}
	if s.NAT != checkin.NoTest {
		v.drawNAT(dice)
	}
	switch mixMarks.draw(dice) {
	case onControlList:
		s.ControlList = true
	case codeExpired:
		s.CodeExpired = true
	case registerFirst:
		s.RegisterFirst = true
	}
}

// drawNAT dates the test. A cache knows what was known when it was made, and
// that test has grown older since.
func (v *visitor) drawNAT(dice *rand.Rand) {
	v.sampled, v.gap = mixNATAge.draw(dice).draw(dice), mixGap.draw(dice).draw(dice)
	tested := mixDaily.draw(dice)
	switch {
	case v.sampled >= v.gap:
	case tested == daily:
		for v.sampled < v.gap {
			v.sampled += 24 * time.Hour
		}
		v.status.NAT = checkin.Negative // who was positive yesterday does not come
	default:
		v.status.NAT = checkin.Pending
	}
	v.sampled += v.age
}

// evidence is what the kiosk knows of the visitor at that time, unmeasured.
func (v *visitor) evidence(at time.Time) checkin.Evidence {
	e := checkin.Evidence{
		Credential: v.cred, Status: v.status, Why: v.why, Temperature: checkin.Unmeasured, Now: at, ClockOK: true,
	}
	s := &e.Status
	if !s.Known {
		return e
	}
	s.AsOf = at.Add(-v.age)
	if s.NAT == checkin.NoTest {
		return e
	}
	s.Sampled = at.Add(-v.sampled)
	if s.NAT != checkin.Pending {
		s.Reported = s.Sampled.Add(v.gap)
	}
	return e
}
