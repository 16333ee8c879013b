package checkin_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/digital-sentinel/sentinel/agent/checkin"
)

const number = "11010519491231002X" // synthetic

func TestMask(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{MaskName("张三"), "张*"},
		{MaskName("王小明"), "王*"},
		{MaskName(""), ""},
		{MaskNumber(number), "110***********002X"},
		{MaskNumber("CAN110081080310"), "CAN********0310"},
		{MaskNumber("12345678901234"), "**************"},
		{MaskNumber(""), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

// However a value that names a person is printed, the person is not in it.
func TestPrintedMasked(t *testing.T) {
	card := Credential{Kind: ResidentID, Value: number, Name: "张三"}
	code := Credential{Kind: PersonalCode, Value: "https://code.sentinel.example/p/secret"}
	who := Identity{UUID: "u", Kind: ResidentID, Value: number, Name: "张三"}
	evidence := Evidence{Credential: card}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, got := range []string{
			fmt.Sprintf(verb, card), fmt.Sprintf(verb, code), fmt.Sprintf(verb, who),
			fmt.Sprintf(verb, &who), fmt.Sprintf(verb, evidence),
		} {
			for _, secret := range []string{number, number[6:14], "张三", "secret"} {
				if strings.Contains(got, secret) || strings.Contains(got, fmt.Sprintf("%x", secret)) {
					t.Errorf("%s prints %q of %q", verb, secret, got)
				}
			}
		}
	}
}

func TestKey(t *testing.T) {
	a := Credential{Kind: ResidentID, Value: number, Name: "张三"}
	same := Credential{Kind: ResidentID, Value: number, Fault: CredentialExpired}
	if a.Key() != same.Key() {
		t.Error("the same number has two keys")
	}
	for _, other := range []Credential{
		{Kind: PersonalCode, Value: number},
		{Kind: ResidentID, Value: number + "\x00"},
		{},
	} {
		if a.Key() == other.Key() {
			t.Errorf("%v has the same key as %v", other, a)
		}
	}
}

func TestKinds(t *testing.T) {
	all := []Kind{
		PersonalCode, RelativeCode, ResidentID, HKMOTWPermit, ForeignerCard,
		SignedCode, VisitorPass, PaperCode, VenueCode, UnknownText,
	}
	online := []Kind{PersonalCode, RelativeCode, ResidentID, HKMOTWPermit, ForeignerCard, SignedCode, VisitorPass}
	for _, k := range all {
		if got, want := k.Online(), slices.Contains(online, k); got != want {
			t.Errorf("%s.Online() = %v", k, got)
		}
		if got, want := k.Visit(), k != VenueCode && k != UnknownText; got != want {
			t.Errorf("%s.Visit() = %v", k, got)
		}
	}
}

func TestRecordCoding(t *testing.T) {
	e := healthy()
	want := &Record{
		Event: Event{
			Version: EventVersion, ID: ID{"kiosk", "epoch", 1 << 60}, UUID: "u", Kind: KindVisit,
			At:    Stamp{Wall: noon, Boot: time.Hour, BootID: "b", Trusted: true},
			Venue: "v", Lane: "1", Direction: "in",
			Verdict: NewDecision(Decide(strict(), "other", e), "other", e),
		},
		Identity: []byte{1, 2, 3}, KeyID: "age1",
	}
	text, err := EncodeRecord(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeRecord(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if strings.Contains(string(text), e.Credential.Value) {
		t.Errorf("the event holds the credential: %s", text)
	}
}

// A record that version 1 of the format wrote, kept from then, reads and can be
// decided again.
func TestRecordOfVersion1(t *testing.T) {
	text, err := os.ReadFile("testdata/record-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	r, err := DecodeRecord(text)
	if err != nil {
		t.Fatal(err)
	}
	d := r.Event.Verdict
	if r.Event.Version != 1 || d == nil || d.Rule != "granted" || d.Staff != "" {
		t.Fatalf("got %+v", r.Event)
	}
	e := d.Evidence()
	p := strict()
	p.Rules = []Rule{{ID: "granted", When: Condition{Colours: []Colour{Green}, Staff: []Staff{StaffNone}},
		MaxAge: time.Hour, Outcome: Granted, Reason: OK}}
	if v := Decide(p, VenueClass(d.Class), &e); v.Outcome != d.Outcome || v.Rule != d.Rule {
		t.Errorf("decided again: %+v, was %s by %s", v, d.Outcome, d.Rule)
	}
}

func TestRecordRefused(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"half of one", `{"event":{"v":1`, "damaged"},
		{"of a later version", `{"event":{"v":3}}`, "version 3"},
		{"without a version", `{}`, "version 0"},
	} {
		if _, err := DecodeRecord([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestReasonsOnce(t *testing.T) {
	all := Reasons()
	if len(all) != 31 {
		t.Errorf("%d reasons, the design has 30 and staff-refused", len(all))
	}
	slices.Sort(all)
	if got := slices.Compact(slices.Clone(all)); len(got) != len(all) {
		t.Errorf("a reason stands twice in %v", all)
	}
}

func TestVenueClasses(t *testing.T) {
	all := VenueClasses()
	slices.Sort(all)
	if got := len(slices.Compact(all)); got != 17 {
		t.Errorf("%d venue classes, the notice has 17", got)
	}
}

// A guard's word makes the verdict's mode; the status keeps the mode it came
// by, for rules look at that.
func TestStatusModeBesideAGuard(t *testing.T) {
	p := &Policy{Rules: []Rule{
		{ID: "online", When: Condition{Modes: []Mode{ModeOnline}, Colours: []Colour{Green}}, Outcome: Refused, Reason: NATMissing},
		{ID: "unsaid", When: Condition{Modes: []Mode{ModeNone}}, Outcome: Manual, Reason: NoStatus},
		{ID: "guard", When: Condition{Staff: []Staff{StaffIdentity}}, Outcome: Granted, Reason: Assisted},
	}}
	for mode, rule := range map[Mode]string{ModeOnline: "online", ModeCached: "guard", "": "unsaid", ModeNone: "unsaid"} {
		e := healthy()
		e.Staff, e.Status.Mode = StaffIdentity, mode
		want := Decide(p, "office", e)
		if want.Rule != rule || want.Mode != ModeAssisted {
			t.Fatalf("mode %q: got rule %s and mode %s, want %s and assisted", mode, want.Rule, want.Mode, rule)
		}
		kept := NewDecision(want, "office", e)
		again := kept.Evidence()
		if got := Decide(p, "office", &again); got != want {
			t.Errorf("mode %q: decided again as %+v, was %+v", mode, got, want)
		}
	}
}

// FuzzDecodeRecord: whatever lies in a file, it is a record or an error; and a
// record with a verdict can be decided again, in the same words every time.
func FuzzDecodeRecord(f *testing.F) {
	v1, err := os.ReadFile("testdata/record-v1.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v1)
	f.Add([]byte(`{"event":{"v":2,"kind":"assisted","verdict":{"mode":"assisted","status_mode":"cached","staff":"identity","credential":"passport","known":true,"as_of":"0001-01-01T00:00:01Z","now":"9999-12-31T23:59:59Z","clock_ok":true}}}`))
	f.Add([]byte(`{"event":{"v":3}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRecord(data)
		if (r == nil) == (err == nil) {
			t.Fatalf("record %v and error %v", r, err)
		}
		if err != nil || r.Event.Verdict == nil {
			return
		}
		d := r.Event.Verdict
		e := d.Evidence()
		steps := Explain(strict(), VenueClass(d.Class), &e)
		v := Decide(strict(), VenueClass(d.Class), &e)
		if got := steps[len(steps)-1].Verdict; got != v {
			t.Fatalf("explained as %+v, decided as %+v", got, v)
		}
		kept := NewDecision(v, VenueClass(d.Class), &e).Evidence()
		if again := Decide(strict(), VenueClass(d.Class), &kept); again != v {
			t.Fatalf("decided again as %+v, was %+v", again, v)
		}
	})
}
