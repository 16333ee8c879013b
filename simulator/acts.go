package simulator

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
	"github.com/digital-sentinel/sentinel/simulator/fault"
	"github.com/digital-sentinel/sentinel/simulator/sdt"
)

// setups are the verbs that may stand before the kiosk runs.
var setups = map[string]func(*player, *Step) error{
	"venue":   setVenue,
	"profile": setProfile,
	"person":  setPerson,
}

// acts are the verbs that need a running bench. A verb of the language that is
// in neither table is one of a later part.
var acts = map[string]func(context.Context, *player, *Step) error{
	"backend":  doBackend,
	"clock":    doClock,
	"forehead": doForehead,
	"scan":     doScan,
	"card":     doCard,
	"pass":     doPass,
	"no-pass":  func(_ context.Context, p *player, _ *Step) error { p.bench.far.walk(0); return nil },
	"fire":     doFire,
	"reset":    doReset,
	"cache":    doCache,
	"guard":    doGuard,
	"host":     doHost,
	"car":      doCar,
	"unplug":   doUnplug,
	"plug":     doPlug,
	"corrupt":  doCorrupt,
	"kill":     agentOnly(func(_ context.Context, b *Bench) error { return b.KillAgent() }),
	"stop":     agentOnly(func(_ context.Context, b *Bench) error { return b.StopAgent() }),
	"start":    agentOnly(func(ctx context.Context, b *Bench) error { return b.StartAgent(ctx) }),
	"cut":      doCut,
	"restore":  doRestore,
	"fill":     doFill,
	"free":     doFree,
	"wait":     doWait,
	"expect":   expect,
}

func setVenue(p *player, s *Step) error {
	if p.bench != nil {
		return fmt.Errorf("the venue stands at the beginning, before anything happens")
	}
	p.o.Class, p.o.Policy, p.o.Guard = or(s.Named["class"], p.o.Class), or(s.Named["policy"], p.o.Policy), s.Named["guard"]
	return nil
}

func setProfile(p *player, s *Step) error {
	if p.bench != nil {
		return fmt.Errorf("the profile stands at the beginning, before anything happens")
	}
	p.o.Profile = s.Words[0]
	return nil
}

// setPerson makes a person. The age of a test is fixed to an instant here.
func setPerson(p *player, s *Step) error {
	now := time.Now()
	if p.bench != nil {
		now = p.bench.platformNow()
	}
	person, err := personOf(s, now)
	if err != nil {
		return err
	}
	if p.bench == nil {
		p.people = append(p.people, person)
		return nil
	}
	p.bench.platform.SetPerson(person)
	return nil
}

func personOf(s *Step, now time.Time) (backend.Person, error) {
	person := backend.Person{
		Ref: s.Words[0], Name: or(s.Named["name"], "测试"), Number: s.Named["id"], Passport: s.Named["passport"],
		Colour: checkin.Colour(or(s.Named["colour"], "none")), NAT: checkin.NoTest,
		Antigen:       checkin.Result(or(s.Named["antigen"], "none")),
		Host:          checkin.Consent(or(s.Named["host"], "none")),
		RegisterFirst: s.Named["register-first"] == "yes", ControlList: s.Named["control-list"] == "yes",
		NoShard: s.Named["shard"] == "no",
	}
	if !slices.Contains([]checkin.Colour{checkin.Green, checkin.Yellow, checkin.Red, checkin.NoColour}, person.Colour) {
		return person, fmt.Errorf("%q is no colour", person.Colour)
	}
	nat, err := s.duration("nat", 0)
	if err != nil {
		return person, err
	}
	reported, err := s.duration("reported", nat)
	if err != nil {
		return person, err
	}
	if nat > 0 {
		person.NAT, person.Sampled, person.Reported = checkin.Negative, now.Add(-nat), now.Add(-reported)
	}
	if r := s.Named["nat-result"]; r != "" {
		person.NAT = checkin.Result(r)
	}
	return person, nil
}

func doBackend(_ context.Context, p *player, s *Step) error {
	f := backend.Fault{Kind: s.Words[0], Call: s.Named["call"]}
	var err error
	switch f.Kind {
	case "slow":
		f.Delay, err = time.ParseDuration(s.word(1))
	case "refuse":
		f.Status, err = strconv.Atoi(s.word(1))
		if err == nil {
			f.Retry, err = s.duration("retry", 0)
		}
	case "lie":
		f.Lie = s.word(1)
	}
	if err != nil {
		return fmt.Errorf("%s: write: %s", s.Text, verbs["backend"].usage)
	}
	return p.bench.setPlatform(f)
}

func doClock(_ context.Context, p *player, s *Step) error {
	move, both := s.Words[0], true
	switch {
	case move == "reboot-unset":
		p.bench.unset.Store(true)
		return nil
	case move == "kiosk":
		move, both = s.word(1), false
	}
	d, err := time.ParseDuration(strings.TrimPrefix(move, "+"))
	if err != nil {
		return fmt.Errorf("a clock is moved by a duration, like +49h")
	}
	p.bench.moveClock(d, both)
	return nil
}

func doScan(ctx context.Context, p *player, s *Step) error {
	if err := p.bench.has("scanner"); err != nil {
		return err
	}
	times, err := s.number("times", 1)
	if err != nil {
		return err
	}
	every, err := s.duration("every", time.Second)
	if err != nil {
		return err
	}
	for i := range times {
		if i > 0 {
			if err := sleep(ctx, every); err != nil {
				return err
			}
		}
		code, err := p.code(s)
		if err != nil {
			return err
		}
		if err := p.bench.far.show([]byte(code)); err != nil {
			p.say("    nobody reads the code: " + err.Error())
		}
	}
	return nil
}

func doCard(_ context.Context, p *player, s *Step) error {
	if err := p.bench.has("idreader"); err != nil {
		return err
	}
	person, ok := p.bench.platform.Person(s.Words[0])
	if !ok {
		return fmt.Errorf("there is no person %q", s.Words[0])
	}
	card := cardOf(person)
	switch s.word(1) {
	case "":
		return p.bench.far.lay(card, sdt.Whole, false)
	case "stuck":
		return p.bench.far.lay(card, sdt.Whole, true)
	case "pulled-early":
		return p.bench.far.lay(card, sdt.AfterSelect, false)
	}
	return fmt.Errorf("a card is laid down, stuck, or pulled-early, not %q", s.word(1))
}

func doPass(_ context.Context, p *player, s *Step) error {
	n := 1
	if w := s.word(0); w != "" {
		var err error
		if n, err = strconv.Atoi(w); err != nil || n < 1 || n > 16 {
			return fmt.Errorf("1 to 16 bodies pass, not %q", w)
		}
	}
	if err := p.bench.has("gate"); err != nil {
		return err
	}
	p.bench.far.walk(n)
	return nil
}

func doFire(_ context.Context, p *player, s *Step) error {
	if p.bench.far.gate == nil {
		return &errNotAvailable{"the gate of this profile has no fire loop"}
	}
	switch s.Words[0] {
	case "on", "off":
		p.bench.far.gate.SetFire(s.Words[0] == "on")
		return nil
	}
	return fmt.Errorf("a fire is on or off")
}

func doReset(ctx context.Context, p *player, s *Step) error {
	if s.Words[0] != "fire" {
		return fmt.Errorf("what is reset is the fire")
	}
	_, err := p.bench.seen.ask(ctx, http.MethodPost, "/v1/fire/reset", nil)
	return err
}

func doUnplug(_ context.Context, p *player, s *Step) error {
	d, err := p.bench.device(s.Words[0])
	if err != nil {
		return err
	}
	d.plugged.Store(false)
	d.unplug()
	return nil
}

func doPlug(_ context.Context, p *player, s *Step) error {
	d, err := p.bench.device(s.Words[0])
	if err != nil {
		return err
	}
	d.power() // a plug is a power supply too
	d.plugged.Store(true)
	return d.plug()
}

func doCorrupt(_ context.Context, p *player, s *Step) error {
	d, err := p.bench.device(s.Words[0])
	if err != nil {
		return err
	}
	n, err := s.number("next", 1)
	if err != nil {
		return err
	}
	kind, err := fault.Parse(or(s.Named["kind"], string(fault.Checksum)))
	if err != nil {
		return err
	}
	d.faults.Order(kind, n)
	return nil
}

// agentOnly is a verb whose only word is "agent".
func agentOnly(do func(context.Context, *Bench) error) func(context.Context, *player, *Step) error {
	return func(ctx context.Context, p *player, s *Step) error {
		if s.Words[0] != "agent" {
			return fmt.Errorf("it is the agent that can be killed, stopped and started")
		}
		return do(ctx, p.bench)
	}
}

func doWait(ctx context.Context, _ *player, s *Step) error {
	d, err := time.ParseDuration(s.Words[0])
	if err != nil || d < 0 || d > time.Hour {
		return fmt.Errorf("a wait is a duration of at most an hour")
	}
	return sleep(ctx, d)
}

// or returns v, or def if v is empty.
func or(v, def string) string {
	if v == "" {
		return def
	}
	return v
}
