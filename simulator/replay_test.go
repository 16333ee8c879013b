package simulator

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/configs/policies"
)

var replayed = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

func load(t *testing.T, names ...string) []*checkin.Policy {
	t.Helper()
	var list []*checkin.Policy
	for _, name := range names {
		p, err := LoadPolicy(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// Nobody is let in by the machine whom the platform does not know or shows as
// red, under any shipped policy, on any day.
func TestReplayGrantsNobodyUnknownOrRed(t *testing.T) {
	list := load(t, policies.Names()...)
	granted := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		o := ReplayOpts{People: 50, Seed: rapid.Uint64().Draw(t, "seed"), Now: replayed}
		class := rapid.SampledFrom(checkin.VenueClasses()).Draw(t, "class")
		for _, v := range drawCrowd(o.Seed, 0, o.People) {
			for _, p := range list {
				if decideVisitor(p, class, &v, o.day(p)).Outcome != checkin.Granted {
					continue
				}
				granted[p.ID]++
				if !v.status.Known || v.status.Colour == checkin.Red || v.cred.Fault != "" || !v.cred.Kind.Online() {
					t.Fatalf("%s lets in %v of colour %q", p.ID, v.cred, v.status.Colour)
				}
			}
		}
	})
	for _, p := range list {
		if granted[p.ID] == 0 {
			t.Errorf("%s lets nobody in at all", p.ID)
		}
	}
}

func TestReplaySums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.SampledFrom(policies.Names()), 1, 4).Draw(t, "policies")
		var list []*checkin.Policy
		for _, name := range names {
			p, err := LoadPolicy(name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, p)
		}
		o := ReplayOpts{People: rapid.IntRange(1, 300).Draw(t, "people"), Seed: rapid.Uint64().Draw(t, "seed"), Class: "office", Now: replayed}
		r := Replay(list, o)
		if len(r.Policies) != len(list) || len(r.Changes) != len(list)-1 {
			t.Fatalf("%d policies, %d changes of %d", len(r.Policies), len(r.Changes), len(list))
		}
		for i, p := range r.Policies {
			by, sum := map[checkin.Outcome]int{}, 0
			for _, reason := range p.Reasons {
				by[reason.Outcome] += reason.People
				sum += reason.People
			}
			if diff := cmp.Diff(p.Outcomes, by); diff != "" || sum != o.People {
				t.Fatalf("%s: %d people (-outcomes +reasons):\n%s", p.ID, sum, diff)
			}
			if i > 0 {
				follows(t, r.Policies[i-1], r.Changes[i-1], p)
			}
		}
	})
}

// A crowd of several parties is counted whole.
func TestReplayOfSeveralParties(t *testing.T) {
	o := ReplayOpts{People: 2*party + 1, Seed: 3, Class: "office", Now: replayed}
	p := Replay(load(t, "residential"), o).Policies[0]
	sum := 0
	for _, n := range p.Outcomes {
		sum += n
	}
	alone := 0
	for _, v := range drawCrowd(o.Seed, 0, o.People) {
		if v.cred.Kind == checkin.VenueCode {
			alone++
		}
	}
	for _, reason := range p.Reasons {
		if reason.Reason == checkin.IsVenueCode && reason.People != alone {
			t.Errorf("%d venue codes, the crowd holds up %d", reason.People, alone)
		}
	}
	if sum != o.People {
		t.Errorf("%d people of %d are counted", sum, o.People)
	}
}

// follows holds the turns between two policies to what each counted.
func follows(t *rapid.T, before ReplayPolicy, c ReplayChange, after ReplayPolicy) {
	want := map[checkin.Outcome]int{}
	for _, o := range outcomes {
		want[o] = before.Outcomes[o]
	}
	for _, turn := range c.Turns {
		if turn.From == turn.To || turn.People < 1 {
			t.Fatalf("%+v is no turn", turn)
		}
		want[turn.From] -= turn.People
		want[turn.To] += turn.People
	}
	for _, o := range outcomes {
		if want[o] != after.Outcomes[o] {
			t.Fatalf("%s to %s: %d are %s, by the turns %d", c.From, c.To, after.Outcomes[o], o, want[o])
		}
	}
	if before.ID == after.ID && c.People() != 0 {
		t.Fatalf("one policy turns %d people", c.People())
	}
}

func TestReplayRepeats(t *testing.T) {
	list := load(t, "public-place", "residential", "visitor")
	o := ReplayOpts{People: 2000, Seed: 5, Class: "office", Now: replayed}
	first := Replay(list, o)
	untimed := cmpopts.IgnoreFields(ReplayReport{}, "PerSecond")
	if diff := cmp.Diff(first, Replay(list, o), untimed); diff != "" {
		t.Errorf("the same seed counts otherwise (-first +second):\n%s", diff)
	}
	later := o
	later.Now = replayed.AddDate(0, 1, 0)
	if diff := cmp.Diff(first, Replay(list, later), untimed, cmpopts.IgnoreFields(ReplayPolicy{}, "At")); diff != "" {
		t.Errorf("a month later the crowd is another (-first +second):\n%s", diff)
	}
	o.Seed++
	if cmp.Equal(first.Policies, Replay(list, o).Policies) {
		t.Error("two seeds give one crowd")
	}
	if first.PerSecond < 1 {
		t.Errorf("%d people a second", first.PerSecond)
	}
}

func TestCrowdBeginsAlike(t *testing.T) {
	people := cmp.AllowUnexported(visitor{})
	long := drawCrowd(2, 0, 150)
	if diff := cmp.Diff(drawCrowd(2, 0, 100), long[:100], people); diff != "" {
		t.Errorf("a longer crowd begins otherwise:\n%s", diff)
	}
	if diff := cmp.Diff(drawCrowd(2, 100, 150), long[100:], people); diff != "" {
		t.Errorf("a part of a crowd is not in it:\n%s", diff)
	}
}

func TestReplayDay(t *testing.T) {
	first, second := time.Date(2022, 8, 5, 0, 0, 0, 0, time.UTC), time.Date(2022, 9, 1, 0, 0, 0, 0, time.UTC)
	dated := &checkin.Policy{Rules: []checkin.Rule{{ID: "always"}, {ID: "later", From: second}, {ID: "first", From: first}}}
	for _, tt := range []struct {
		name string
		p    *checkin.Policy
		at   time.Time
		want time.Time
	}{
		{"a day after the first date", dated, time.Time{}, first.AddDate(0, 0, 1)},
		{"no date is now", &checkin.Policy{Rules: []checkin.Rule{{ID: "always"}}}, time.Time{}, replayed},
		{"what was asked for wins", dated, second, second},
	} {
		if got := (ReplayOpts{At: tt.at, Now: replayed}).day(tt.p); !got.Equal(tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The replay decides as the lane does: it measures only whom a reading can
// keep out.
func TestReplayMeasuresAsTheLane(t *testing.T) {
	list := load(t, "public-place", "residential", "visitor")
	green := visitor{
		cred: checkin.Credential{Kind: checkin.PersonalCode}, band: checkin.Fever, sampled: 12 * time.Hour, gap: 6 * time.Hour,
		status: checkin.Status{Known: true, Colour: checkin.Green, NAT: checkin.Negative, Host: checkin.HostYes, Mode: checkin.ModeOnline},
	}
	untested := green
	untested.status.NAT = checkin.NoTest
	unseen := green
	unseen.band = checkin.Unmeasured
	for _, tt := range []struct {
		name   string
		policy int
		who    visitor
		reason checkin.Reason
	}{
		{"a fever is refused", 0, green, checkin.HasFever},
		{"who is not tested is not measured", 0, untested, checkin.NATMissing},
		{"nobody in view", 0, unseen, checkin.TemperatureUnmeasured},
		{"advice decides nothing", 1, green, checkin.OK},
		{"nobody is measured", 2, green, checkin.OK},
	} {
		if got := decideVisitor(list[tt.policy], "office", &tt.who, replayed).Reason; got != tt.reason {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.reason)
		}
	}
}

// What a person brings with him: every time is believable, and a report is
// never older than its sample or newer than the status that tells of it.
func TestCrowdTimes(t *testing.T) {
	for i, v := range drawCrowd(9, 0, 5000) {
		e := v.evidence(replayed)
		s := e.Status
		switch {
		case s.Known != (e.Why == ""):
			t.Fatalf("person %d: known %v, why %q", i, s.Known, e.Why)
		case !s.Known:
		case s.AsOf.After(e.Now) || s.Sampled.After(s.AsOf):
			t.Fatalf("person %d: sampled %v, status of %v, now %v", i, s.Sampled, s.AsOf, e.Now)
		case (s.NAT == checkin.NoTest) != s.Sampled.IsZero():
			t.Fatalf("person %d: NAT %s sampled %v", i, s.NAT, s.Sampled)
		case (s.NAT == checkin.Negative || s.NAT == checkin.Positive) && (s.Reported.Before(s.Sampled) || s.Reported.After(s.AsOf)):
			t.Fatalf("person %d: sampled %v, reported %v, status of %v", i, s.Sampled, s.Reported, s.AsOf)
		case s.NAT == checkin.Pending && !s.Reported.IsZero():
			t.Fatalf("person %d: pending and reported", i)
		}
	}
}

func TestMixtures(t *testing.T) {
	whole(t, "kind", mixKind)
	whole(t, "issuer", mixIssuer)
	whole(t, "age", mixAge)
	whole(t, "fault", mixFault)
	whole(t, "mode", mixMode)
	whole(t, "colour", mixColour)
	whole(t, "nat", mixNAT)
	whole(t, "nat age", mixNATAge)
	whole(t, "gap", mixGap)
	whole(t, "daily", mixDaily)
	whole(t, "antigen", mixAntigen)
	whole(t, "host", mixHost)
	whole(t, "marks", mixMarks)
	whole(t, "band", mixBand)

	const n = 20_000
	red := 0
	kinds := map[checkin.Kind]int{}
	for _, v := range drawCrowd(4, 0, n) {
		kinds[v.cred.Kind]++
		if v.status.Colour == checkin.Red {
			red++
		}
	}
	for _, p := range mixKind {
		want := float64(p.share) / 1000 * n
		if got := float64(kinds[p.what]); math.Abs(got-want) > 5*math.Sqrt(want) {
			t.Errorf("%v of %d present %s, want about %v", got, n, p.what, want)
		}
	}
	if red == 0 {
		t.Error("nobody is red")
	}
}

// whole checks that the shares of a mixture make a thousand.
func whole[T comparable](t *testing.T, name string, m mixture[T]) {
	t.Helper()
	sum := 0
	for _, p := range m {
		sum += p.share
	}
	if sum != 1000 {
		t.Errorf("%s: the shares make %d", name, sum)
	}
}

func TestLoadPolicy(t *testing.T) {
	data, err := policies.Files.ReadFile("residential.yaml")
	if err != nil {
		t.Fatal(err)
	}
	good, bad := filepath.Join(t.TempDir(), "mine.yaml"), filepath.Join(t.TempDir(), "bad.yaml")
	for name, text := range map[string]string{good: strings.Replace(string(data), "id: residential", "id: mine", 1), bad: "id: bad\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, arg, id, err string }{
		{"a shipped one", "residential", "residential", ""},
		{"a file", good, "mine", ""},
		{"a file that is no policy", bad, "", "bad.yaml:1: there are no rules"},
		{"a name that is not shipped", "hotel", "", "public-place"},
		{"a file that is not there", "nowhere.yaml", "", "nowhere.yaml"},
	} {
		p, err := LoadPolicy(tt.arg)
		switch {
		case tt.err == "" && (err != nil || p.ID != tt.id):
			t.Errorf("%s: got %v, error %v", tt.name, p, err)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.err)
		}
	}
}
