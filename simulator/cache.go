package simulator

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/digital-sentinel/sentinel/agent/policy"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// The signed cache on the bench: the platform's publisher, and the verbs about
// it.

// benchVenue is the venue of every bench, and the shard of its people.
const benchVenue = "bench-venue"

// rootFile is what the kiosk is given at installation.
const rootFile = "root.json"

// publishing makes the publisher, with the policy that the kiosk has.
func (b *Bench) publishing() error {
	path, err := b.policyFile()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	p, err := policy.Parse(data, path)
	if err != nil {
		return err
	}
	b.publisher, err = backend.NewPublisher(b.platform, backend.PublisherOpts{
		Shards:   []string{benchVenue},
		Policies: map[string][]byte{fmt.Sprintf("%s.%d.yaml", p.ID, p.Version): data},
	})
	if err != nil {
		return fmt.Errorf("making the publisher: %w", err)
	}
	return os.WriteFile(filepath.Join(b.dir, rootFile), b.publisher.RootJSON(), 0o600)
}

// publish publishes the signed cache, and lets the kiosk fetch it.
func (b *Bench) publish(ctx context.Context) error {
	if _, err := b.publisher.Publish(b.platformNow()); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	return b.fetchCache(ctx)
}

// fetchCache lets the kiosk fetch the signed cache now.
func (b *Bench) fetchCache(ctx context.Context) error {
	_, err := b.seen.ask(ctx, http.MethodPost, "/v1/cache/refresh", nil)
	return err
}

// doCache publishes, or fetches what was published. With a fault the kiosk is
// expected to complain; what it says is told.
func doCache(ctx context.Context, p *player, s *Step) error {
	b := p.bench
	switch s.Words[0] {
	case "fetch":
	case "rotate":
		if _, err := b.publisher.Rotate(b.platformNow(), 0); err != nil {
			return err
		}
	case "publish":
		if err := b.publisher.Order(backend.PublisherFault(s.Named["fault"])); err != nil {
			return err
		}
		if s.Named["shard"] == "no" {
			for _, person := range b.platform.People() {
				person.NoShard = true
				b.platform.SetPerson(person)
			}
		}
		if _, err := b.publisher.Publish(b.platformNow()); err != nil {
			return err
		}
	default:
		return fmt.Errorf("a cache is published, rotated, or fetched, not %q", s.Words[0])
	}
	if err := b.fetchCache(ctx); err != nil {
		p.say("    the kiosk: " + err.Error())
		if s.Named["fault"] == "" && s.Words[0] != "fetch" {
			return err
		}
	}
	return nil
}

// signedCode is a signed code of a person, as his phone or his paper shows it.
func (p *player) signedCode(s *Step) (string, error) {
	b, ref := p.bench, s.word(1)
	if _, ok := b.platform.Person(ref); !ok {
		return "", fmt.Errorf("there is no person %q", ref)
	}
	age, err := s.duration("age", 0)
	if err != nil {
		return "", err
	}
	switch s.Words[0] {
	case "paper":
		return b.publisher.IssuePaper(ref)
	case "bearer":
		return b.publisher.IssueStatus(ref)
	case "pass":
		return p.pass(ref)
	}
	// A picture that was taken so long ago is the code that the phone showed then.
	return b.publisher.IssuePhone(ref, b.platformNow().Add(-age))
}

// pass is a person's pass for this venue, always the same one.
func (p *player) pass(ref string) (string, error) {
	if code := p.passes[ref]; code != "" {
		return code, nil
	}
	now := p.bench.platformNow()
	code, err := p.bench.publisher.IssuePass(ref, backend.Invitation{
		Venue: benchVenue, Host: "bench-host", From: now.Add(-time.Hour), Until: now.Add(8 * time.Hour),
	})
	if err == nil {
		p.passes[ref] = code
	}
	return code, err
}
