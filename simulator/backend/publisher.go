package backend

import (
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

// Publisher publishes the signed cache of a platform as static files: a TUF
// repository below tuf/, its targets below tuf/targets/, and the feed below
// feed/. When is the caller's business: every few minutes Publish, every minute
// Deny, every few weeks Rotate. It is safe for concurrent use.
//
//	tuf/timestamp.json, N.ROLE.json      metadata (consistent snapshots)
//	tuf/targets/policy/HASH.ID.VERSION.yaml
//	tuf/targets/issuers/HASH.keys.json   and revocations.json, recipients.json
//	tuf/targets/status/HASH.feed.json    keys and shards of the feed
//	tuf/targets/status/HASH.SHARD.EPOCH.snap
//	feed/SHARD/head.cose                 the newest step
//	feed/SHARD/SEQ.cose, SEQ.body        each of the last steps
//	feed/SHARD/deny.cose, deny.body      who got worse since the snapshot
//
// The first step of an epoch begins at a root of zeros, and its body is the
// snapshot itself; the body of any other is the delta from the step before.
// Sequence numbers go on through all epochs. A new snapshot, which costs every
// kiosk a look at the status role and nobody a download, is made when the steps
// since the last are many or long.
type Publisher struct {
	o        PublisherOpts
	platform *Platform
	ring     ring
	began    time.Time

	mu          sync.Mutex // of all that follows, but files
	repo        *repository
	shards      []*shard
	epoch       uint64
	oldEpoch    uint64
	last        time.Time // of the newest publication
	policies    map[string]blob
	revoked     revocations
	issued      uint64 // codes
	fault       PublisherFault
	generations []map[string]blob // what each publication would serve, the oldest first

	files atomic.Pointer[map[string]blob] // what is served
}

// PublisherOpts is what a Publisher is made of. The zero value of each field
// but Shards is one that works.
type PublisherOpts struct {
	Shards []string // venue ids: lower case, digits and '-'
	// People yields who is in a shard; nil: everybody with a card, but NoShard.
	People Source
	// Policies are files by name: ID.VERSION.yaml.
	Policies   map[string][]byte
	Recipients []feed.Recipient
	CodeIssuer string // as codes name it; "ref"
	Epoch      uint64 // the first one; 1
	Life       Lives
	// Seed makes every key, so that a publisher that starts again is the same one;
	// nil is a new one. Whoever has it is the authority.
	Seed []byte
	// May says whether a kiosk may have the key of a shard; nil: every kiosk.
	May func(kiosk, shard string) bool
}

// Lives say how long what is signed holds; 0 is the default (offline facts 2.2).
type Lives struct {
	Root             time.Duration // a year
	Targets          time.Duration // 30 days
	Policy, Issuers  time.Duration // a week
	Status           time.Duration // 3 days
	Snapshot         time.Duration // an hour
	Timestamp        time.Duration // an hour
	Feed             time.Duration // an hour: of a head; steps behind it hold on
	IssuerKey        time.Duration // two years: of the key that signs codes
	PaperCode, Phone time.Duration // as long as may be
}

// Source yields the people of a shard, in any order, each time anew.
type Source func(shard string) iter.Seq2[statuslist.Handle, Standing]

// Standing is what the table says of one person.
type Standing struct {
	Colour  statuslist.Colour
	Sampled time.Time // of the last negative test; zero: none
}

// ShardReport says what one publication is of a shard, sizes in bytes.
type ShardReport struct {
	Shard    string
	Epoch    uint64
	Seq      uint64
	People   int
	Pairs    int // of people who share a fingerprint, and the worse state
	Table    int // on a kiosk's disk
	Snapshot int // on the wire, if this step brought a new one; else 0
	Step     int // on the wire: the delta, or the snapshot again
	Deny     int // on the wire
	Worse    int // people on the deny list
}

// NewPublisher makes the keys and the root. Nothing is published before the
// first Publish. The platform serves what is published from now on.
func NewPublisher(p *Platform, o PublisherOpts) (*Publisher, error) {
	o = o.withDefaults()
	u := &Publisher{o: o, platform: p, ring: ring{o.Seed}, began: p.o.Now().UTC().Truncate(time.Second), epoch: o.Epoch, revoked: newRevocations()}
	for i, name := range o.Shards {
		if !shardName(name) || slices.Contains(o.Shards[:i], name) {
			return nil, fmt.Errorf("%q cannot be the name of a shard", name)
		}
		u.shards = append(u.shards, &shard{name: name})
	}
	if len(u.shards) == 0 {
		return nil, errors.New("a publisher needs a shard")
	}
	if u.o.People == nil {
		u.o.People = p.standings
	}
	if err := u.SetPolicies(o.Policies); err != nil {
		return nil, err
	}
	var err error
	if u.repo, err = newRepository(u.ring, o.Life, p.o.Now()); err != nil {
		return nil, err
	}
	u.files.Store(&map[string]blob{})
	p.publisher.Store(u)
	return u, nil
}

// RootJSON is what a kiosk is given at installation: the first root. Newer ones
// follow from it.
func (u *Publisher) RootJSON() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.repo.roots[0].data)
}

// SetPolicies replaces the policy files from the next Publish on.
func (u *Publisher) SetPolicies(files map[string][]byte) error {
	policies := map[string]blob{}
	for name, data := range files {
		if !strings.HasSuffix(name, ".yaml") || !fileName(name) {
			return fmt.Errorf("%q cannot be the name of a policy's file", name)
		}
		policies["policy/"+name] = newBlob(slices.Clone(data))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.policies = policies
	return nil
}

// Publish publishes everything as of now: a step of each shard, its deny list,
// and whatever of the repository has changed or will soon expire.
func (u *Publisher) Publish(now time.Time) ([]ShardReport, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.publish(now.UTC().Truncate(time.Second))
}

// Rotate begins a new epoch, with a new key and a full snapshot, and publishes
// it; 0 is the epoch after the present one. It is also how a feed goes on that a poisoned time or a stolen key has
// forked: a new epoch follows from no step.
func (u *Publisher) Rotate(now time.Time, epoch uint64) ([]ShardReport, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if epoch == 0 {
		epoch = u.epoch + 1
	}
	if epoch <= u.epoch {
		return nil, fmt.Errorf("epoch %d does not follow epoch %d", epoch, u.epoch)
	}
	u.oldEpoch, u.epoch = u.epoch, epoch
	return u.publish(now.UTC().Truncate(time.Second))
}

// Deny publishes the deny lists alone: the fast lane between two Publish.
func (u *Publisher) Deny(now time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	now = now.UTC().Truncate(time.Second)
	if len(u.generations) == 0 || now.Before(u.last) {
		return errors.New("a deny list follows a publication, in order of time")
	}
	newest := len(u.generations) - 1
	files := maps.Clone(u.generations[newest])
	for _, s := range u.shards {
		t, _, err := u.table(s, now)
		if err == nil {
			err = u.denyStep(s, t)
		}
		if err != nil {
			return fmt.Errorf("deny list of %s: %w", s.name, err)
		}
		s.deny.putDeny(files, s.name)
	}
	u.last, u.generations[newest] = now, files
	return u.serve(now)
}

// Order orders a fault from the next Publish on, until another Order; NoFault
// ends it. What is right goes on behind it, so that the next publication is one
// that kiosks can follow.
func (u *Publisher) Order(f PublisherFault) error {
	if f != NoFault && !slices.Contains(PublisherFaults, f) {
		return fmt.Errorf("%q is no fault of a publisher; there are %v", f, PublisherFaults)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = f
	return nil
}

// Handler serves the files, below the paths that they have: any file server
// could.
func (u *Publisher) Handler() http.Handler { return http.HandlerFunc(u.serveFile) }

// EpochKey is the key of a shard in an epoch: the present one, and the one
// before, which kiosks need until they have the new snapshot.
func (u *Publisher) EpochKey(name string, epoch uint64) (key [32]byte, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	known := slices.ContainsFunc(u.shards, func(s *shard) bool { return s.name == name })
	if !known || epoch == 0 || epoch != u.epoch && epoch != u.oldEpoch {
		return key, false
	}
	return u.ring.epoch(name, epoch), true
}

//

// keepGenerations is how many publications stay: who has just read the old
// timestamp still finds what it names.
const keepGenerations = 4

func (u *Publisher) publish(now time.Time) ([]ShardReport, error) {
	if now.Before(u.last) {
		return nil, fmt.Errorf("publishing as of %s, which is before the last time", now.Format(time.RFC3339))
	}
	files := map[string]blob{}
	var reports []ShardReport
	for _, s := range u.shards {
		r, err := u.step(s, now)
		if err != nil {
			return nil, fmt.Errorf("shard %s: %w", s.name, err)
		}
		s.put(files)
		reports = append(reports, r)
	}
	targets, err := u.targets()
	if err != nil {
		return nil, err
	}
	if err := u.repo.publish(now, targets, files); err != nil {
		return nil, err
	}
	u.last = now
	u.generations = append(u.generations, files)
	if len(u.generations) > keepGenerations {
		u.generations = slices.Delete(u.generations, 0, 1)
	}
	return reports, u.serve(now)
}

// serve swaps what is served, as the fault would have it.
func (u *Publisher) serve(now time.Time) error {
	files := map[string]blob{}
	for _, g := range u.generations {
		maps.Copy(files, g)
	}
	files, err := u.spoil(files, now)
	if err != nil {
		return err
	}
	u.files.Store(&files)
	return nil
}

func (o PublisherOpts) withDefaults() PublisherOpts {
	if o.Seed == nil {
		o.Seed = make([]byte, 32)
		_, _ = rand.Read(o.Seed) // never fails
	}
	if o.CodeIssuer == "" {
		o.CodeIssuer = "ref"
	}
	o.Epoch = max(o.Epoch, 1)
	o.Life = o.Life.withDefaults()
	return o
}

func (l Lives) withDefaults() Lives {
	const day = 24 * time.Hour
	for _, d := range []struct {
		life *time.Duration
		std  time.Duration
	}{
		{&l.Root, 365 * day}, {&l.Targets, 30 * day}, {&l.Policy, 7 * day}, {&l.Issuers, 7 * day}, {&l.Status, 3 * day},
		{&l.Snapshot, time.Hour}, {&l.Timestamp, time.Hour}, {&l.Feed, time.Hour}, {&l.IssuerKey, 730 * day},
		{&l.PaperCode, 180 * day}, {&l.Phone, day},
	} {
		if *d.life == 0 {
			*d.life = d.std
		}
	}
	return l
}

// shardName reports whether kiosks take s for a shard: it is part of paths.
func shardName(s string) bool {
	return s != "" && len(s) <= 64 && s[0] != '-' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// fileName reports whether s is one plain name.
func fileName(s string) bool {
	return s != "" && len(s) <= 128 && s[0] != '.' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}
