package policy_test

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/policy"
)

func TestWhen(t *testing.T) {
	c := func(c checkin.Condition) checkin.Rule { return checkin.Rule{When: c} }
	day := time.Date(2022, 8, 4, 16, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		rule   checkin.Rule
		zh, en string
	}{
		{"nothing", checkin.Rule{}, "其余所有情况", "everything else"},
		{"colours", c(checkin.Condition{Colours: []checkin.Colour{checkin.Yellow, checkin.Red}}), "黄码或红码", "yellow code or red code"},
		{"a window", c(checkin.Condition{NAT: []checkin.Result{checkin.Negative}, NATWithin: 48 * time.Hour}),
			"核酸阴性；采样不超过48小时", "test negative; at most 48 h since the sample"},
		{"a window by the report", c(checkin.Condition{NATOlder: 90 * time.Minute, NATWithin: 72 * time.Hour, NATClock: checkin.ByReport}),
			"报告超过1小时30分钟且不超过72小时", "more than 1 h 30 min and at most 72 h since the report"},
		{"dates and venues", checkin.Rule{From: day, Until: day.AddDate(0, 0, 1).Add(time.Minute), Venues: []checkin.VenueClass{"medical"}},
			"自2022-08-05起至2022-08-05T16:01:00Z前；医疗机构", "from 2022-08-05 until 2022-08-05T16:01:00Z; medical"},
		{"a guard", c(checkin.Condition{Staff: []checkin.Staff{checkin.StaffIdentity}, Answers: []checkin.Check{checkin.Passed}}),
			"问询均合格；工作人员已核对身份", "questions answered well; a guard has checked who it is"},
		{"flags", c(checkin.Condition{ControlList: true, CodeExpired: true, RegisterFirst: true}),
			"在管控名单上；须先登记；码已过期", "on the control list; must register first; code out of date"},
		{"unchecked", checkin.Rule{Unchecked: true}, "不查验健康信息", "no health check"},
	} {
		if got := policy.Zh.When(&tt.rule); got != tt.zh {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.zh)
		}
		if got := policy.En.When(&tt.rule); got != tt.en {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.en)
		}
	}
}

func TestAgeAndOutcome(t *testing.T) {
	for _, tt := range []struct {
		rule                 checkin.Rule
		zh, en, zhOut, enOut string
	}{
		{checkin.Rule{MaxAge: 4 * time.Hour, Outcome: checkin.Granted}, "4小时", "4 h", "放行", "granted"},
		{checkin.Rule{Outcome: checkin.Refused, Report: true}, "不限", "any", "不放行并上报", "refused, reported"},
		{checkin.Rule{When: checkin.Condition{Staff: []checkin.Staff{checkin.StaffIdentity}}, Outcome: checkin.Manual}, "无须状态", "none needed", "人工", "manual"},
	} {
		got := []string{policy.Zh.Age(&tt.rule), policy.En.Age(&tt.rule), policy.Zh.Outcome(&tt.rule), policy.En.Outcome(&tt.rule)}
		if want := []string{tt.zh, tt.en, tt.zhOut, tt.enOut}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Every word that may stand in a file has its words in both languages, and no
// two words of a key are told alike.
func TestVocabulary(t *testing.T) {
	for key, words := range policy.AllWords() {
		seen := map[string]string{}
		for _, word := range words {
			zh, en := policy.Zh.Say(key, word), policy.En.Say(key, word)
			if zh == word || !strings.ContainsFunc(zh, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
				t.Errorf("%s %s has no Chinese words: %q", key, word, zh)
			}
			if en == "" || strings.ContainsFunc(en, func(r rune) bool { return r > unicode.MaxASCII }) {
				t.Errorf("%s %s has no English words: %q", key, word, en)
			}
			if other, ok := seen[en]; ok {
				t.Errorf("%s: %s and %s are told alike", key, word, other)
			}
			seen[en] = word
		}
	}
	if got := policy.En.Say("colours", "blue"); got != "blue" {
		t.Errorf("a word from nowhere is told as %q", got)
	}
}

// Whatever is decided is told in words, without a word of the file left over.
func TestStepsAreTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &checkin.Policy{}
		for i := range rapid.IntRange(1, 5).Draw(t, "rules") {
			p.Rules = append(p.Rules, drawRule(t, i))
		}
		class, e := drawCase(t)
		for i, s := range checkin.Explain(p, class, e) {
			if s.Rule == "" {
				continue
			}
			zh, en := policy.Zh.Step(&p.Rules[i], s), policy.En.Step(&p.Rules[i], s)
			if en == "" || strings.HasSuffix(en, "wants ") || strings.HasSuffix(zh, "：") || en == "not so: "+s.Key {
				t.Fatalf("%+v is told as %q and %q", s, zh, en)
			}
		}
		if policy.Zh.Known(e) == "" || policy.En.Known(e) == "" {
			t.Fatal("nothing is told of what is known")
		}
	})
}

func TestKnown(t *testing.T) {
	s := situation{
		colour: checkin.Green, nat: checkin.Negative, natAge: 12 * time.Hour, antigen: checkin.NoTest, host: checkin.HostYes,
		list: true, expired: true, clock: true, mode: checkin.ModeCached, age: 90 * time.Minute, band: checkin.Normal, guard: true, answers: checkin.Passed,
	}
	e := s.evidence()
	e.Credential.Kind, e.Credential.Age = checkin.ResidentID, checkin.Elder
	want := "ID card; 60 and over; cached status; status 1 h 30 min old; green code; test negative, sampled 12 h ago, reported 12 h ago; " +
		"host says yes; on the control list; code out of date; temperature normal; questions answered well; a guard has checked who it is"
	if got := policy.En.Known(e); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	unknown := checkin.Evidence{Credential: checkin.Credential{Kind: checkin.PersonalCode, Issuer: "jiangsu"}}
	if got, want := policy.Zh.Known(&unknown), "随申码；江苏码；状态未知；未测得体温；时间不可信"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
