package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/policy"
	"github.com/digital-sentinel/sentinel/simulator/backend"
	"github.com/digital-sentinel/sentinel/simulator/sdt"
)

// The verbs of the people around the lane: the guard, the host, the car.

// benchGuard is the operator's id that the bench's guard has.
const benchGuard = "bench-guard"

// doGuard says a guard's word on the control socket.
func doGuard(ctx context.Context, p *player, s *Step) error {
	w := agent.Word{Action: s.Words[0], Operator: benchGuard, Reason: s.Named["reason"]}
	if ref := s.word(1); ref != "" {
		person, ok := p.bench.platform.Person(ref)
		if !ok {
			return fmt.Errorf("there is no person %q", ref)
		}
		d := documentOf(person)
		w.Document = &d
	}
	var err error
	if w.Answers, err = p.bench.answers(s.Named["answers"]); err != nil {
		return err
	}
	var answer agent.WordAnswer
	return post(ctx, p.bench.seen, "/v1/guard", w, &answer)
}

// documentOf is what a person hands to a guard: his passport if he has one,
// else the card that his number is of.
func documentOf(person backend.Person) agent.Document {
	d := agent.Document{Kind: checkin.ResidentID, Number: person.Number, Name: person.Name}
	switch {
	case person.Passport != "":
		d.Kind, d.Number = checkin.Passport, person.Passport
	case strings.HasPrefix(person.Number, "81"), strings.HasPrefix(person.Number, "82"), strings.HasPrefix(person.Number, "83"):
		d.Kind = checkin.HKMOTWPermit
	case strings.HasPrefix(person.Number, "9"), len(person.Number) == 15:
		d.Kind = checkin.ForeignerCard
	}
	return d
}

// cardOf is the card that a person's number is of, in its own layout.
func cardOf(person backend.Person) sdt.Card {
	c := sdt.Resident(person.Name, person.Number)
	switch documentOf(backend.Person{Number: person.Number}).Kind {
	case checkin.HKMOTWPermit:
		c.Type, c.PassNumber, c.Count = 'J', "H12345678", "01"
	case checkin.ForeignerCard:
		c.Type, c.EnglishName, c.Nationality, c.To = 'Y', "TEST, PERSON", "124", "20351231"
		if len(person.Number) == 15 {
			c.Type, c.Nationality, c.Birth, c.Version, c.Authority = 'I', person.Number[:3], "19"+person.Number[7:13], "01", "3100"
		}
	}
	return c
}

// answers are a visitor's answers to the policy's questions: all as they
// should be, or the first one not.
func (b *Bench) answers(how string) (map[string]bool, error) {
	if how == "" {
		return nil, nil
	}
	if how != "good" && how != "bad" {
		return nil, fmt.Errorf("answers are good or bad, not %q", how)
	}
	path, err := b.policyFile()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rules, err := policy.Parse(data, path)
	if err != nil {
		return nil, err
	}
	if len(rules.Questions) == 0 {
		return nil, fmt.Errorf("the policy %s asks no questions", rules.ID)
	}
	given := map[string]bool{}
	for i, q := range rules.Questions {
		given[q.ID] = q.Good == (how == "good" || i > 0)
	}
	return given, nil
}

// doHost lets a visitor's host answer the platform.
func doHost(_ context.Context, p *player, s *Step) error {
	consent := checkin.Consent(s.Words[0])
	if !slices.Contains([]checkin.Consent{checkin.HostYes, checkin.HostNo, checkin.HostSilent}, consent) {
		return fmt.Errorf("a host says yes or no, or is silent, not %q", consent)
	}
	person, ok := p.bench.platform.Person(s.word(1))
	if !ok {
		return fmt.Errorf("there is no person %q", s.word(1))
	}
	person.Host = consent
	p.bench.platform.SetPerson(person)
	return nil
}

// doCar lets a car arrive or leave.
func doCar(ctx context.Context, p *player, s *Step) error {
	v := agent.Vehicle{Action: s.Words[0], Plate: s.Named["plate"], Operator: benchGuard}
	var answer struct{ Group string }
	if err := post(ctx, p.bench.seen, "/v1/car", v, &answer); err != nil {
		return err
	}
	if v.Action == "arrives" {
		p.group = answer.Group
	}
	return nil
}

// expectCall looks for what became of a call for a guard.
func (p *player) expectCall(ctx context.Context, s *Step, deadline time.Time) error {
	state := s.word(1)
	if !slices.Contains([]string{"ringing", "answered", "unanswered"}, state) {
		return fmt.Errorf("a call is ringing, answered or unanswered, not %q", state)
	}
	return p.find(ctx, deadline, "call", func(f Fact) bool { return f.State == state })
}

// expectCar counts the visits that the platform holds of the last car.
func (p *player) expectCar(ctx context.Context, s *Step, deadline time.Time) error {
	want, err := s.number("visits", 1)
	if err != nil {
		return err
	}
	for {
		got := 0
		err := p.bench.platform.Store().Records(ctx, backend.Checkins, func(r checkin.Record) error {
			if r.Event.Kind == checkin.KindVisit && p.group != "" && r.Event.Group == p.group {
				got++
			}
			return nil
		})
		if err != nil || got == want {
			return err
		}
		if !time.Now().Before(deadline) {
			return fmt.Errorf("%d visits are of this car, want %d", got, want)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// post says v on the control socket and reads the answer.
func post[T, A any](ctx context.Context, o *observer, path string, v T, into *A) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	answer, err := o.ask(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, into)
}
