package policy_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/policy"
)

// grant, refuse and help are rules with the conditions put in.
func grant(id, when string) string {
	return fmt.Sprintf("- {id: %s, when: {%s}, max-age: 4h, outcome: granted, reason: ok}\n", id, when)
}

func refuse(id, when string) string {
	return fmt.Sprintf("- {id: %s, when: {%s}, outcome: refused, reason: not-covered}\n", id, when)
}

func help(id, rest string) string {
	return fmt.Sprintf("- {id: %s, outcome: manual, reason: not-covered, %s}\n", id, rest)
}

// Each row is a table of rules, and what the last one is refused for; nothing
// where it can decide. The first rule stands in line 7.
func TestShadows(t *testing.T) {
	const takes = " (line 7) before it takes all its cases"
	for _, tt := range []struct {
		name  string
		rules []string
		want  string
	}{
		{"the same twice", []string{refuse("a", "colours: [red]"), refuse("b", "colours: [red]")}, "rule b can never decide: rule a" + takes},
		{"a narrower one after", []string{refuse("a", "colours: [red]"), refuse("b", "colours: [red], temperature: [fever]")}, "rule b can never decide: rule a" + takes},
		{"a narrower one before", []string{refuse("a", "colours: [red], temperature: [fever]"), refuse("b", "colours: [red]")}, ""},
		{"opposite things", []string{refuse("a", "colours: [yellow]"), help("b", "when: {colours: [yellow]}")},
			"rules a (line 7) and b say opposite things of the very same cases, refused and manual"},
		{"something else of fewer cases", []string{refuse("a", "colours: [yellow, red]"), help("b", "when: {colours: [yellow]}")},
			"rule b can never decide: rule a" + takes + ", and says refused where this says manual"},
		{"everything before", []string{help("a", "when: {}"), grant("b", "colours: [green]")}, "rule a" + takes},
		{"a list within a list", []string{refuse("a", "modes: [online, cached], nat: [none, pending]"), refuse("b", "modes: [cached], nat: [pending]")}, "rule a" + takes},
		{"a list beyond a list", []string{refuse("a", "modes: [online, cached]"), refuse("b", "modes: [cached, signed]")}, ""},
		{"all words of a list are no condition", []string{refuse("a", "temperature: [normal, fever, unmeasured]"), refuse("b", "colours: [red]")}, "rule a" + takes},
		{"all colours still want a status", []string{refuse("a", "colours: [green, yellow, red, none]"), refuse("b", "temperature: [fever]")}, ""},
		{"another venue", []string{help("a", "venues: [housing]"), help("b", "venues: [care]")}, ""},
		{"fewer venues", []string{help("a", "venues: [housing, care]"), help("b", "venues: [care]")}, "rule a" + takes},
		{"flags before", []string{refuse("a", "control-list: yes"), refuse("b", "control-list: yes, code-expired: yes")}, "rule a" + takes},
		{"flags after", []string{refuse("a", "control-list: yes, code-expired: yes"), refuse("b", "control-list: yes")}, ""},
		{"a shorter window after", []string{refuse("a", "nat-within: 72h"), refuse("b", "nat-within: 48h")}, "rule a" + takes},
		{"a longer window after", []string{refuse("a", "nat-within: 48h"), refuse("b", "nat-within: 72h")}, ""},
		{"a window by another clock", []string{refuse("a", "nat-within: 72h"), refuse("b", "nat-within: 48h, nat-clock: reported")}, ""},
		{"older still", []string{refuse("a", "nat-older: 48h"), refuse("b", "nat-older: 72h")}, "rule a" + takes},
		{"a span within", []string{refuse("a", "nat-older: 24h, nat-within: 72h"), refuse("b", "nat-older: 24h, nat-within: 48h")}, "rule a" + takes},
		{"within and older leave what has no time", []string{refuse("a", "nat-within: 48h"), refuse("b", "nat-older: 48h"), refuse("c", "nat: [none]")}, ""},
		{"within and older leave it at any time", []string{refuse("a", "nat-within: 48h"), refuse("x", "nat-older: 48h"), help("c", "from: 2026-01-01, when: {nat: [none]}")}, ""},
		{"within and older take what lies across", []string{refuse("a", "nat-within: 48h"), refuse("x", "nat-older: 48h"), refuse("c", "nat-older: 47h, nat-within: 72h")},
			"rules a, x before it"},
		{"48:00 is not older than 48 h", []string{refuse("a", "nat-older: 48h"), refuse("x", "nat-within: 47h59m"), refuse("c", "nat-within: 48h")}, ""},
		{"48:01 is not within 48 h", []string{refuse("a", "nat-within: 48h"), refuse("b", "nat-older: 48h, nat-within: 48h1m")}, ""},
		{"a younger status after", []string{grant("a", "colours: [green]"), "- {id: b, when: {colours: [green]}, max-age: 3h, outcome: granted, reason: exempt}\n"}, "rule a" + takes},
		{"an older status after", []string{grant("a", "colours: [green]"), "- {id: b, when: {colours: [green]}, max-age: 5h, outcome: granted, reason: exempt}\n"}, ""},
		{"any status after a young one", []string{help("a", "when: {colours: [green]}, max-age: 1h"), refuse("b", "colours: [green]")}, ""},
		{"a grant does not take red", []string{grant("a", "hosts: [yes]"), help("b", "when: {colours: [red], hosts: [yes]}, max-age: 4h")}, ""},
		{"dates within dates", []string{help("a", "from: 2026-01-01, until: 2026-03-01"), help("b", "from: 2026-02-01, until: 2026-03-01")}, "rule a" + takes},
		{"dates that only touch", []string{help("a", "from: 2026-01-01, until: 2026-02-01"), help("b", "from: 2026-02-01, until: 2026-03-01")}, ""},
		{"dates for ever", []string{help("a", "from: 2026-01-01, until: 2026-02-01"), help("b", "from: 2026-01-01")}, ""},
		{"no date before a date", []string{help("a", "when: {}"), help("b", "from: 2026-01-01")}, "rule a" + takes},
		{"the same moment by two offsets", []string{
			help("a", "from: 2026-03-29T01:00:00Z, until: 2026-10-25T01:00:00Z"),
			help("b", "from: 2026-03-29T03:00:00+02:00, until: 2026-10-25T02:00:00+01:00"),
		}, "rule a" + takes},
		{"an hour of summer time more", []string{
			help("a", "from: 2026-03-29T01:00:00Z, until: 2026-10-25T00:00:00Z"),
			help("b", "from: 2026-03-29T03:00:00+02:00, until: 2026-10-25T02:00:00+01:00"),
		}, ""},
		{"ages and answers", []string{refuse("a", "ages: [minor, adult, elder]"), refuse("b", "ages: [elder], mask: [failed]")}, "rule a" + takes},
		{"all ages leave the unknown one", []string{refuse("a", "ages: [minor, adult, elder]"), refuse("b", "mask: [failed]")}, ""},
		{"masks and faces", []string{refuse("a", "mask: [failed, unchecked], face: [failed]"), refuse("b", "mask: [failed], face: [failed]")}, "rule a" + takes},
		{"a passport comes with a guard only", []string{refuse("a", "staff: [identity]"), refuse("b", "credentials: [passport]")}, "rule a" + takes},
		{"a card comes without one too", []string{refuse("a", "staff: [identity]"), refuse("b", "credentials: [passport, resident-id]")}, ""},
		{"a guard's grant", []string{"- {id: a, when: {staff: [identity]}, outcome: granted, reason: assisted}\n", help("b", "when: {staff: [identity], colours: [green]}")},
			"rule a" + takes + ", and says granted where this says manual"},
		{"two together", []string{refuse("a", "temperature: [fever]"), refuse("x", "temperature: [normal, unmeasured]"), grant("c", "colours: [green]")},
			"rule c can never decide: rules a, x before it take all its cases together"},
		{"two that meet leave the moment nobody can tell", []string{help("a", "until: 2026-02-01"), help("x", "from: 2026-02-01"), help("c", "from: 2025-01-01, until: 2027-01-01")},
			""},
		{"two that leave a case", []string{refuse("a", "temperature: [fever]"), refuse("x", "temperature: [unmeasured]"), grant("c", "colours: [green]")}, ""},
		{"a ban of some days lets the last one decide", []string{
			help("x", "from: 2026-01-01, until: 2026-02-01, when: {modes: [signed]}"), grant("a", "hosts: [yes]"),
			help("b", "when: {hosts: [yes], colours: [green]}, max-age: 4h"),
		}, ""},
		{"without a clock a dated ban lets the last one decide", []string{
			help("x", "from: 2026-01-01, when: {modes: [signed]}"), grant("a", "hosts: [yes]"), help("b", "when: {hosts: [yes], colours: [green]}, max-age: 4h"),
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Parse([]byte(head+strings.Join(tt.rules, "")), "test.yaml")
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused:\n%v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got error\n%v\nwant %q", err, tt.want)
			case tt.want != "" && !strings.HasPrefix(err.Error(), fmt.Sprintf("test.yaml:%d: ", 6+len(tt.rules))):
				t.Errorf("got error\n%v\nwant it in the last line", err)
			}
		})
	}
}

// few draws a small set, so that rules often meet.
func few[T comparable](t *rapid.T, name string, of ...T) []T {
	if rapid.IntRange(0, 5).Draw(t, name+" left out") > 0 {
		return nil
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 1, len(of), func(v T) T { return v }).Draw(t, name)
}

func drawRule(t *rapid.T, i int) checkin.Rule {
	days := func(name string) time.Time {
		n := rapid.IntRange(-2, 2).Draw(t, name)
		if n < 0 {
			return time.Time{}
		}
		return now.AddDate(0, 0, n-1)
	}
	hours := func(name string, most int) time.Duration {
		return max(0, time.Duration(rapid.IntRange(-2, most).Draw(t, name))*time.Hour)
	}
	rule := checkin.Rule{
		ID: fmt.Sprint("r", i), Venues: few[checkin.VenueClass](t, "venues", "office", "care"), MaxAge: hours("max-age", 2),
		When: checkin.Condition{
			Credentials: few(t, "kinds", checkin.PersonalCode, checkin.Passport),
			Modes:       few(t, "modes", checkin.ModeOnline, checkin.ModeCached),
			Colours:     few(t, "colours", checkin.Green, checkin.Red),
			NATWithin:   hours("within", 2), NATOlder: hours("older", 1),
			RegisterFirst: rapid.IntRange(0, 3).Draw(t, "register") == 0, Ages: few(t, "ages", checkin.Minor, checkin.Elder),
			Staff: few(t, "staff", checkin.StaffNone, checkin.StaffIdentity),
		},
		Outcome: rapid.SampledFrom([]checkin.Outcome{checkin.Granted, checkin.Refused, checkin.Manual}).Draw(t, "outcome"),
	}
	if rapid.Bool().Draw(t, "dated") {
		rule.From, rule.Until = days("from"), days("until")
	}
	return rule
}

func drawCase(t *rapid.T) (checkin.VenueClass, *checkin.Evidence) {
	return drawCaseFor(t, &checkin.Rule{})
}

// drawCaseFor draws a case that meets a rule's lists, so that it is not by luck
// alone that the rule could decide.
func drawCaseFor(t *rapid.T, r *checkin.Rule) (checkin.VenueClass, *checkin.Evidence) {
	minutes := func(name string) time.Time {
		n := rapid.SampledFrom([]int{-10, -1, 0, 59, 60, 61, 119, 120, 121, 180}).Draw(t, name)
		if n < -1 {
			return time.Time{}
		}
		return now.Add(-time.Duration(n) * time.Minute)
	}
	c := &r.When
	e := &checkin.Evidence{
		Credential: checkin.Credential{
			Kind: one(t, "kind", c.Credentials, checkin.PersonalCode, checkin.Passport, checkin.ResidentID),
			Age:  one(t, "age group", c.Ages, "", checkin.Minor, checkin.Elder),
		},
		Status: checkin.Status{
			Known: rapid.IntRange(0, 3).Draw(t, "known") > 0, RegisterFirst: c.RegisterFirst || rapid.Bool().Draw(t, "register first"),
			Colour:  one(t, "colour", c.Colours, checkin.Green, checkin.Yellow, checkin.Red, ""),
			Mode:    one(t, "mode", c.Modes, checkin.ModeOnline, checkin.ModeCached, ""),
			Sampled: minutes("sampled"), AsOf: minutes("as of"),
		},
		Staff: one(t, "vouched", c.Staff, "", checkin.StaffIdentity),
		Now:   now, ClockOK: rapid.Bool().Draw(t, "clock"),
		Earliest: rapid.SampledFrom([]time.Time{{}, {}, now.Add(-1), now.AddDate(0, 0, -2)}).Draw(t, "earliest"),
	}
	return one(t, "class", r.Venues, "office", "care", "other"), e
}

// one draws one of list, or of all if it is empty.
func one[T any](t *rapid.T, name string, list []T, all ...T) T {
	if len(list) == 0 {
		list = all
	}
	return rapid.SampledFrom(list).Draw(t, name)
}

// A rule that is called shadowed never decides, of whatever case.
func TestShadowedNeverDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &checkin.Policy{}
		for i := range rapid.IntRange(2, 6).Draw(t, "rules") {
			p.Rules = append(p.Rules, drawRule(t, i))
		}
		for i, by := range policy.Shadowed(p) {
			if len(by) == 0 {
				continue
			}
			for range 40 {
				class, e := drawCaseFor(t, &p.Rules[i])
				if v := checkin.Decide(p, class, e); v.Rule == p.Rules[i].ID {
					t.Fatalf("rule %d decides %+v, and is said to be shadowed by %v of\n%+v", i, e, by, p.Rules)
				}
			}
		}
	})
}

// A huge file is refused before it costs anything, and the largest that may be
// is read in a moment, however its rules lie across each other.
func TestLargeFiles(t *testing.T) {
	many := func(n int, rule func(i int) string) string {
		b := strings.Builder{}
		b.WriteString(head)
		for i := range n {
			b.WriteString(rule(i))
		}
		return b.String()
	}
	short := func(i int) string { return fmt.Sprintf("- {id: r%d}\n", i) }
	tangled := func(i int) string {
		pick := func(n int, of ...string) string { // two of them, or three
			at := i / n % len(of)
			return strings.Join(append(slices.Clone(of[:at]), of[at+1:]...), ", ")
		}
		return fmt.Sprintf("- {id: r%d, when: {colours: [%s], nat: [%s], hosts: [%s], ages: [%s], temperature: [%s], nat-older: %dm}, outcome: manual, reason: not-covered}\n",
			i, pick(1, "green", "yellow", "none"), pick(3, "negative", "pending", "positive"), pick(9, "yes", "silent", "none"),
			pick(27, "minor", "adult", "elder"), pick(81, "normal", "fever", "unmeasured"), 600-2*i)
	}
	for _, tt := range []struct{ name, file, want string }{
		{"a hundred thousand rules", many(100_000, func(i int) string { return refuse(fmt.Sprint("r", i), "colours: [red]") }), "at most 65536 bytes"},
		{"8 MiB of comments", strings.Repeat("#", 8<<20), "at most 65536 bytes"},
		{"257 rules", many(257, short), "at most 256 rules"},
		{"as many rules as fit", many(4000, short), "at most 256 rules"},
		{"a deep list", "id: " + strings.Repeat("[", 60_000), "depth"},
		{"aliases of aliases", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d]\nrules: [*e,*e,*e,*e,*e,*e,*e,*e]\n", ""},
		{"256 rules across each other", many(256, tangled), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begin := time.Now()
			_, err := policy.Parse([]byte(tt.file), "large.yaml")
			took := time.Since(begin)
			runtime.ReadMemStats(&after)
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got error %.200v, want one with %q", err, tt.want)
			}
			// The file itself is copied once to bytes.
			if used := after.TotalAlloc - before.TotalAlloc - uint64(len(tt.file)); used > 64<<20 {
				t.Errorf("it took %d MiB", used>>20)
			}
			if took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			t.Logf("%v: %.120v", took, err)
		})
	}
}
