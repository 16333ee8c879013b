package simulator

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/policy"
	"github.com/digital-sentinel/sentinel/configs/policies"
)

// ReplayOpts says which crowd comes, where, and when.
type ReplayOpts struct {
	People int
	Seed   uint64
	Class  checkin.VenueClass
	// At is when they come; zero is a day after the first date that the policy
	// names, and Now if it names none.
	At, Now time.Time
}

// ReplayReport is what each policy made of the one crowd.
type ReplayReport struct {
	People      int                `json:"people"`
	Seed        uint64             `json:"seed"`
	Class       checkin.VenueClass `json:"venue_class"`
	Assumptions []Assumption       `json:"assumptions"`
	Policies    []ReplayPolicy     `json:"policies"`
	Changes     []ReplayChange     `json:"changes"`
	PerSecond   int                `json:"people_per_second"` // deciding only
}

// ReplayPolicy is the crowd under one policy.
type ReplayPolicy struct {
	ID       string                  `json:"policy"`
	Version  int                     `json:"version"`
	At       time.Time               `json:"at"`
	Outcomes map[checkin.Outcome]int `json:"outcomes"`
	Reasons  []ReplayReason          `json:"reasons"`
}

// ReplayReason counts the people of one outcome and reason.
type ReplayReason struct {
	Outcome checkin.Outcome `json:"outcome"`
	Reason  checkin.Reason  `json:"reason"`
	People  int             `json:"people"`
}

// ReplayChange counts whose outcome another policy turned.
type ReplayChange struct {
	From  string       `json:"from"`
	To    string       `json:"to"`
	Turns []ReplayTurn `json:"turns"`
}

// ReplayTurn is one way in which an outcome turned.
type ReplayTurn struct {
	From   checkin.Outcome `json:"from"`
	To     checkin.Outcome `json:"to"`
	People int             `json:"people"`
}

// People is how many outcomes turned.
func (c ReplayChange) People() int {
	n := 0
	for _, t := range c.Turns {
		n += t.People
	}
	return n
}

var outcomes = []checkin.Outcome{checkin.Granted, checkin.Refused, checkin.Manual}

// Replay decides one crowd under each policy, each at its own date. The people
// bring their ages with them: who was tested 30 hours before he comes was so
// under every policy. What is counted is the machine's own verdict; what a
// guard then does is not in it.
func Replay(list []*checkin.Policy, o ReplayOpts) *ReplayReport {
	all := make([]tally, len(list))
	for i, p := range list {
		all[i] = tally{policy: p, at: o.day(p), by: map[verdict]int{}, turns: map[turn]int{}}
	}
	var took time.Duration
	for from := 0; from < o.People; from += party {
		crowd := drawCrowd(o.Seed, from, min(from+party, o.People))
		began := time.Now()
		var before []checkin.Outcome
		for i := range all {
			before = all[i].decide(o.Class, crowd, before)
		}
		took += time.Since(began)
	}
	r := &ReplayReport{People: o.People, Seed: o.Seed, Class: o.Class, Assumptions: ReplayAssumptions()}
	r.PerSecond = int(float64(o.People*len(list)) / max(took.Seconds(), 1e-9))
	for i := range all {
		r.Policies = append(r.Policies, all[i].counted())
		if i > 0 {
			r.Changes = append(r.Changes, ReplayChange{list[i-1].ID, list[i].ID, all[i].turned()})
		}
	}
	return r
}

// party is how many people are in memory at a time.
const party = 10_000

// tally counts what becomes of the crowd under one policy.
type tally struct {
	policy *checkin.Policy
	at     time.Time
	by     map[verdict]int
	turns  map[turn]int // of the policy before to this one
}

type verdict struct {
	checkin.Outcome
	checkin.Reason
}

type turn struct{ from, to checkin.Outcome }

// decide decides the crowd; before are their outcomes under the policy before,
// if there is one.
func (t *tally) decide(class checkin.VenueClass, crowd []visitor, before []checkin.Outcome) []checkin.Outcome {
	now := make([]checkin.Outcome, len(crowd))
	for i := range crowd {
		v := decideVisitor(t.policy, class, &crowd[i], t.at)
		t.by[verdict{v.Outcome, v.Reason}]++
		now[i] = v.Outcome
		if before != nil && before[i] != now[i] {
			t.turns[turn{before[i], now[i]}]++
		}
	}
	return now
}

func (t *tally) counted() ReplayPolicy {
	p := ReplayPolicy{ID: t.policy.ID, Version: t.policy.Version, At: t.at, Outcomes: map[checkin.Outcome]int{}}
	for _, o := range outcomes {
		for _, reason := range checkin.Reasons() {
			if n := t.by[verdict{o, reason}]; n > 0 {
				p.Reasons = append(p.Reasons, ReplayReason{o, reason, n})
			}
		}
	}
	for v, n := range t.by {
		p.Outcomes[v.Outcome] += n
	}
	return p
}

func (t *tally) turned() []ReplayTurn {
	var all []ReplayTurn
	for _, from := range outcomes {
		for _, to := range outcomes {
			if n := t.turns[turn{from, to}]; n > 0 {
				all = append(all, ReplayTurn{from, to, n})
			}
		}
	}
	return all
}

// day is when the crowd comes under p.
func (o ReplayOpts) day(p *checkin.Policy) time.Time {
	if !o.At.IsZero() {
		return o.At
	}
	var first time.Time
	for _, rule := range p.Rules {
		if !rule.From.IsZero() && (first.IsZero() || rule.From.Before(first)) {
			first = rule.From
		}
	}
	if first.IsZero() {
		return o.Now
	}
	return first.AddDate(0, 0, 1)
}

// decideVisitor decides as the lane does (agent/examine.go): who would not be
// let in at a normal temperature is not measured, and where the policy has no
// use for a temperature, nobody is.
func decideVisitor(p *checkin.Policy, class checkin.VenueClass, v *visitor, at time.Time) checkin.Verdict {
	e := v.evidence(at)
	if e.Status.Known && p.Temperature != checkin.TemperatureOff {
		e.Temperature = checkin.Normal
		if checkin.Decide(p, class, &e).Outcome == checkin.Granted {
			e.Temperature = v.band
		} else {
			e.Temperature = checkin.Unmeasured
		}
	}
	return checkin.Decide(p, class, &e)
}

// LoadPolicy reads a policy: a shipped one by its name, or a file.
func LoadPolicy(name string) (*checkin.Policy, error) {
	if !strings.ContainsRune(name, filepath.Separator) && filepath.Ext(name) == "" {
		data, err := policies.Files.ReadFile(name + ".yaml")
		if err != nil {
			return nil, fmt.Errorf("no policy %q is shipped; there are %s, and files", name, strings.Join(policies.Names(), ", "))
		}
		return policy.Parse(data, name+".yaml")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return policy.Parse(data, name)
}
