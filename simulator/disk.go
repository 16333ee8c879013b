package simulator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/simulator/flash"
)

// needsCard reports whether a scenario does something to the kiosk's disk, so
// that its state folder is to lie on a card that can be harmed. The others do
// without, and are as fast as they were.
func (s *Scenario) needsCard() bool {
	return slices.ContainsFunc(s.Steps, func(s Step) bool {
		return s.Verb == "cut" || s.Verb == "fill"
	})
}

// insertCard mounts a card as the state folder. Where none can be had the
// folder is an ordinary one, and noCard says why.
func (b *Bench) insertCard() error {
	if !b.o.Card || b.o.Front != PTY {
		return nil
	}
	if err := os.MkdirAll(b.state(), 0o700); err != nil {
		return err
	}
	card, err := flash.Mount(b.state(), flash.Opts{})
	if errors.Is(err, flash.ErrUnavailable) {
		b.noCard = err
		return nil
	}
	b.card = card
	return err
}

// ejectCard takes the card out, at the end.
func (b *Bench) ejectCard() error {
	if b.card == nil {
		return nil
	}
	return b.card.Unmount()
}

// readState reads a file of the state folder; never through the mount of a
// card, which this process serves.
func (b *Bench) readState(name string) ([]byte, error) {
	if b.card != nil {
		return b.card.Read(name)
	}
	return os.ReadFile(filepath.Join(b.state(), name))
}

// readQueue looks into the queue while no agent runs. bbolt maps its file,
// which the process that serves a card must not do: it looks at a copy.
func (b *Bench) readQueue() (queue.Stats, error) {
	if b.card == nil {
		return queue.Read(b.state())
	}
	to, err := os.MkdirTemp(b.dir, "copy-")
	if err != nil {
		return queue.Stats{}, err
	}
	defer os.RemoveAll(to)
	if err := b.card.Copy(to); err != nil {
		return queue.Stats{}, err
	}
	return queue.Read(to)
}

// doCut takes the power: the agent is killed, every device forgets, and the
// card keeps what was synced.
func doCut(_ context.Context, p *player, s *Step) error {
	if s.Words[0] != "power" {
		return fmt.Errorf("it is the power that is cut")
	}
	seed, err := s.number("seed", 1)
	if err != nil {
		return err
	}
	if err := p.bench.KillAgent(); err != nil {
		return err
	}
	p.say("    " + p.bench.cutCard(uint64(seed)))
	for _, d := range p.bench.devices {
		d.power()
	}
	p.bench.reboot()
	return nil
}

// cutCard tells what becomes of what was not synced.
func (b *Bench) cutCard(seed uint64) string {
	switch {
	case b.noCard != nil:
		return fmt.Sprintf("(what was written and not synced is kept: %v)", b.noCard)
	case b.card == nil:
		return "(what was written and not synced is kept on this front)"
	}
	before := b.card.Stats().Lost
	b.card.Cut(seed)
	return fmt.Sprintf("(the card forgets %d sectors and names that were not synced; seed=%d)", b.card.Stats().Lost-before, seed)
}

func doRestore(ctx context.Context, p *player, s *Step) error {
	if s.Words[0] != "power" {
		return fmt.Errorf("it is the power that is restored")
	}
	if p.bench.card != nil {
		p.bench.card.Restore()
	}
	return p.bench.StartAgent(ctx)
}

// doFill leaves no block free on the card; doFree gives it room again.
func doFill(_ context.Context, p *player, s *Step) error {
	return p.onCard(s, func(card *flash.FS) { card.Limit(max(1, card.Stats().Used)) })
}

func doFree(_ context.Context, p *player, s *Step) error {
	return p.onCard(s, func(card *flash.FS) { card.Limit(0) })
}

func (p *player) onCard(s *Step, do func(*flash.FS)) error {
	switch b := p.bench; {
	case s.Words[0] != "disk":
		return fmt.Errorf("it is the disk that is filled and freed")
	case b.noCard != nil:
		return &errNotAvailable{b.noCard.Error()}
	case b.card == nil:
		return &errNotAvailable{"only the pty front has a disk that can be filled, for a scenario that fills it"}
	default:
		do(b.card)
	}
	return nil
}
