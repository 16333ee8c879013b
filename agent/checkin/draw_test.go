package checkin_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	. "github.com/digital-sentinel/sentinel/agent/checkin"
)

func drawTime(t *rapid.T, name string) time.Time {
	if rapid.IntRange(0, 4).Draw(t, name+" unset") == 0 {
		return time.Time{}
	}
	return noon.Add(time.Duration(rapid.IntRange(-6000, 600).Draw(t, name)) * time.Minute)
}

func drawEvidence(t *rapid.T) *Evidence {
	return &Evidence{
		Credential: Credential{
			Kind: rapid.SampledFrom([]Kind{PersonalCode, RelativeCode, ResidentID, HKMOTWPermit, ForeignerCard,
				SignedCode, VisitorPass, PaperCode, Passport, OtherPaper, VenueCode, UnknownText, "", "else"}).Draw(t, "kind"),
			Issuer: rapid.SampledFrom([]string{"", "", "", "jiangsu", "elsewhere"}).Draw(t, "issuer"),
			Age:    rapid.SampledFrom([]AgeGroup{"", Minor, Adult, Elder}).Draw(t, "age"),
			Fault:  rapid.SampledFrom([]Reason{"", "", "", CredentialInvalid, CredentialExpired}).Draw(t, "fault"),
		},
		Status: Status{
			Known:   rapid.IntRange(0, 4).Draw(t, "known") > 0,
			Colour:  rapid.SampledFrom([]Colour{Green, Green, Yellow, Red, NoColour, ""}).Draw(t, "colour"),
			NAT:     rapid.SampledFrom([]Result{Negative, Negative, Positive, Pending, NoTest, ""}).Draw(t, "nat"),
			Sampled: drawTime(t, "sampled"), Reported: drawTime(t, "reported"),
			Antigen:       rapid.SampledFrom([]Result{Negative, Positive, Pending, NoTest, ""}).Draw(t, "antigen"),
			Host:          rapid.SampledFrom([]Consent{HostYes, HostNo, HostSilent, HostNone, ""}).Draw(t, "host"),
			RegisterFirst: rapid.Bool().Draw(t, "register"), ControlList: rapid.Bool().Draw(t, "list"),
			CodeExpired: rapid.Bool().Draw(t, "expired"),
			Mode:        rapid.SampledFrom([]Mode{ModeOnline, ModeOnline, ModeCached, ModeSigned, ModeAssisted, ModeNone, ""}).Draw(t, "mode"),
			AsOf:        drawTime(t, "as-of"),
		},
		Why:         rapid.SampledFrom([]Reason{"", PlatformUnreachable}).Draw(t, "why"),
		Temperature: rapid.SampledFrom([]Band{Normal, Normal, Fever, Unmeasured, ""}).Draw(t, "temperature"),
		Mask:        drawCheck(t, "mask"), Face: drawCheck(t, "face"), Answers: drawCheck(t, "answers"),
		Staff:   rapid.SampledFrom([]Staff{"", "", StaffNone, StaffIdentity, StaffIdentity, StaffRefuses}).Draw(t, "staff"),
		Now:     noon,
		ClockOK: rapid.IntRange(0, 3).Draw(t, "clock") > 0,
	}
}

func drawCheck(t *rapid.T, name string) Check {
	return rapid.SampledFrom([]Check{"", Passed, Failed, Unchecked}).Draw(t, name)
}

// drawPolicy draws any table at all, also ones no policy file could hold.
func drawPolicy(t *rapid.T) *Policy {
	p := &Policy{ID: "drawn", Version: 1, Issuers: subset(t, "issuers", []string{"jiangsu", "zhejiang"})}
	for i := range rapid.IntRange(0, 5).Draw(t, "rules") {
		p.Rules = append(p.Rules, Rule{
			ID: fmt.Sprint("r", i), From: drawTime(t, "from"), Until: drawTime(t, "until"),
			When: Condition{
				Credentials: subset(t, "kinds", []Kind{PersonalCode, ResidentID, VisitorPass, VenueCode, ""}),
				Modes:       subset(t, "modes", []Mode{ModeOnline, ModeCached, ModeNone}),
				Colours:     subset(t, "colours", []Colour{Green, Yellow, Red, NoColour}),
				NAT:         subset(t, "nats", []Result{Negative, Positive, NoTest}),
				NATWithin:   time.Duration(rapid.IntRange(0, 2).Draw(t, "within")) * 24 * time.Hour,
				NATOlder:    time.Duration(rapid.IntRange(0, 2).Draw(t, "older")) * 24 * time.Hour,
				Host:        subset(t, "hosts", []Consent{HostYes, HostNone}),
				Temperature: subset(t, "bands", []Band{Normal, Unmeasured, Fever}),
				NATClock:    rapid.SampledFrom([]NATClock{"", BySample, ByReport}).Draw(t, "nat clock"),
				Ages:        subset(t, "ages", []AgeGroup{Minor, Elder}),
				Mask:        subset(t, "masks", []Check{Passed, Unchecked}),
				Answers:     subset(t, "answered", []Check{Passed, Unchecked}),
				Staff:       subset(t, "staffs", []Staff{StaffNone, StaffIdentity}),
				ControlList: rapid.IntRange(0, 3).Draw(t, "listed") == 0,
			},
			MaxAge:  time.Duration(rapid.IntRange(0, 100).Draw(t, "max-age")) * time.Hour,
			Report:  rapid.Bool().Draw(t, "report"),
			Outcome: rapid.SampledFrom([]Outcome{Granted, Granted, Refused, Manual}).Draw(t, "outcome"),
			Reason:  rapid.SampledFrom(Reasons()).Draw(t, "reason"),
		})
	}
	return p
}

func subset[T comparable](t *rapid.T, name string, of []T) []T {
	return rapid.SliceOfN(rapid.SampledFrom(of), 0, 2).Draw(t, name)
}
