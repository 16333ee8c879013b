package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/policy"
)

// Conditions that contradict each other: nothing can ever meet such a rule.
func TestContradictions(t *testing.T) {
	refuse := func(when string) string {
		return head + good + "- {id: b, when: {" + when + "}, outcome: refused, reason: not-covered}\n"
	}
	for _, tt := range []struct{ name, file, want string }{
		{"the age of no test", refuse("nat: [none], nat-within: 48h"), "a test that is not there"},
		{"the age of no test, older", refuse("nat: [none], nat-older: 48h"), "a test that is not there"},
		{"the report of a pending test", refuse("nat: [pending, none], nat-within: 48h, nat-clock: reported"), "a test that is not there"},
		{"the sample of a pending test", refuse("nat: [pending, none], nat-within: 48h, nat-clock: sampled"), ""},
		{"a colour of what is not known", refuse("modes: [none], colours: [none]"), "nothing is known"},
		{"a host of whom is not known", refuse("modes: [none], hosts: [none]"), "nothing is known"},
		{"a list nobody has seen", refuse("modes: [none], control-list: yes"), "nothing is known"},
		{"the age of no status", head + good + "- {id: b, when: {modes: [none]}, max-age: 4h, outcome: refused, reason: not-covered}\n", "nothing is known"},
		{"nothing known or something", refuse("modes: [none, cached], colours: [none]"), ""},
		{"a fever of what is not known", refuse("modes: [none], temperature: [fever]"), ""},
		{"a passport that nobody has looked at", refuse("credentials: [passport, other-paper], staff: [none]"), "with staff: [identity] only"},
		{"a passport or a card that nobody has looked at", refuse("credentials: [passport, resident-id], staff: [none]"), ""},
		{"a passport", refuse("credentials: [passport]"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Parse([]byte(tt.file), "test.yaml")
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused:\n%v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), "test.yaml:8: rule b: ") || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got error\n%v\nwant %q", err, tt.want)
			}
		})
	}
}

func TestDates(t *testing.T) {
	for _, tt := range []struct {
		text, want string // an error, or the moment in UTC
	}{
		{"2024-02-29", "2024-02-28T16:00:00Z"},
		{"2000-02-29", "2000-02-28T16:00:00Z"},
		{"2023-02-29", "that February has 28 days"},
		{"1900-02-29", "that February has 28 days"},
		{"2100-02-29T00:00:00+08:00", "that February has 28 days"},
		{"2026-02-30", "is not a date"},
		{"1900-01-01", "1899-12-31T16:00:00Z"},
		{"1899-12-31", "not in the years 1900 to 2199"},
		{"2199-12-31T23:59:59+08:00", "2199-12-31T15:59:59Z"},
		{"2200-01-01", "not in the years 1900 to 2199"},
		{"99999-01-01", "is not a date"},
		{"长期", "is not a date"},
		{"2026-03-29T02:30:00+02:00", "2026-03-29T00:30:00Z"}, // an hour that no clock in Berlin shows
		{"2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00Z"}, // the one it shows twice
		{"2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"},
		{"1988-07-01", "1988-06-30T16:00:00Z"}, // China had summer time then; a day begins at +08:00
		{"2026-12-31T23:59:60Z", "is not a date"},
		{"2026-06-01 08:00", "is not a date"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			p, err := policy.Parse([]byte(head+"- {id: a, from: "+tt.text+", outcome: manual, reason: not-covered}\n"), "test.yaml")
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = p.Rules[0].From.UTC().Format(time.RFC3339)
			}
			if !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
