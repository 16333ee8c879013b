package kiosk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/policy"
	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
	"github.com/digital-sentinel/sentinel/agent/verify"
	"github.com/digital-sentinel/sentinel/configs"
)

// cache is the signed cache of one kiosk: the trust store, the venue's shard and
// its deny list, and what follows from them for codes and policies.
type cache struct {
	store      *trust.Store
	card, deny *trust.Feed
	sources    trust.Sources
	feeds      trust.Fetcher
	shard      string
	venue      string
	policyID   string
	every      time.Duration

	client *backend.Client
	clock  *clock.Clock
	log    *slog.Logger
	alarm  func(name string, up bool)
	adopt  func(*checkin.Policy)

	busy  sync.Mutex // one refresh at a time
	codes atomic.Pointer[credential.Codes]
	own   bool // the policy in force came from the store

	damaged int // files whose damage was told

	keysMu sync.Mutex
	keys   map[uint64]statuslist.Key // by epoch; in memory only
}

// targets of the store that a kiosk brings, beside its shard's snapshots.
const (
	trustFolder       = "trust" // in the state folder
	issuersTarget     = "issuers/keys.json"
	revocationsTarget = "issuers/revocations.json"
)

// trustRoles are the delegated roles that a kiosk follows.
var trustRoles = []string{trust.RolePolicy, trust.RoleIssuers, trust.RoleStatus}

// newCache opens the signed cache of c; nil if none is configured.
func newCache(c *configs.Config, env Env, client *backend.Client) (*cache, error) {
	if c.Trust.Root == "" {
		return nil, nil
	}
	root, err := os.ReadFile(c.Trust.Root)
	if err != nil {
		return nil, fmt.Errorf("trust.root: %w", err)
	}
	web, err := webClient(c, env)
	if err != nil {
		return nil, err
	}
	from, err := trust.HTTP(web, c.Trust.URL)
	if err != nil {
		return nil, fmt.Errorf("trust.url: %w", err)
	}
	k := &cache{
		feeds: from, sources: trust.Sources{Metadata: trust.Below(from, "tuf/"), Targets: trust.Below(from, "tuf/targets/")},
		shard: c.Trust.Shard, venue: c.Venue.ID, every: time.Duration(c.Trust.Refresh),
		client: client, clock: env.Clock, log: env.Log, keys: map[uint64]statuslist.Key{},
	}
	k.store, err = trust.Open(filepath.Join(c.State, trustFolder), trust.Options{Root: root, Roles: trustRoles, Want: k.wants})
	if err != nil {
		return nil, fmt.Errorf("trust.root: %s: %w", c.Trust.Root, err)
	}
	if k.card, err = k.store.OpenFeed(k.shard, feed.Card); err != nil {
		return nil, fmt.Errorf("trust.shard: %w", err)
	}
	if k.deny, err = k.store.OpenFeed(k.shard, feed.Deny); err != nil {
		return nil, fmt.Errorf("trust.shard: %w", err)
	}
	return k, nil
}

// wants reports whether a refresh brings a target.
func (k *cache) wants(name string) bool {
	switch name {
	case issuersTarget, revocationsTarget, "issuers/recipients.json", "status/feed.json":
		return true
	}
	dir, file := filepath.Split(name)
	match, _ := filepath.Match(k.shard+".*.snap", file)
	return dir == "policy/" || dir == "status/" && match
}

// begin puts what is stored to use.
func (k *cache) begin(alarm func(string, bool), adopt func(*checkin.Policy)) {
	k.alarm, k.adopt = alarm, adopt
	k.apply()
}

// loop refreshes until ctx ends.
func (k *cache) loop(ctx context.Context) error {
	return trust.Loop(ctx, k.every, k.refresh)
}

// refresh fetches what is new, and puts it to use. What went well before an
// error counts all the same.
func (k *cache) refresh(ctx context.Context) error {
	k.busy.Lock()
	defer k.busy.Unlock()
	if !k.clock.Believable() {
		_ = k.client.Time(ctx) // what is fetched is worth nothing without the time
	}
	_, err := k.store.Refresh(ctx, k.sources, k.clock.Interval().Lo)
	k.heard(k.state().AsOf)
	at := k.clock.Interval()
	_, cerr := k.card.Refresh(ctx, k.feeds, at.Lo, at.Hi)
	_, derr := k.deny.Refresh(ctx, k.feeds, at.Lo, at.Hi)
	if errors.Is(derr, trust.ErrNotFound) && !k.denyDue() {
		derr = nil // this platform has no such list
	}
	kerr := k.fetchKeys(ctx)
	k.apply()
	err = errors.Join(err, cerr, derr, kerr)
	if err != nil && ctx.Err() == nil {
		k.log.Warn("refreshing the signed cache", "err", err)
	}
	if errors.Is(err, trust.ErrRefused) {
		k.alarm("cache-tampered", true)
	}
	return err
}

// state is what the store is worth now.
func (k *cache) state() trust.State {
	at := k.clock.Interval()
	return k.store.State(at.Lo, at.Hi)
}

// heard raises the clock by a signed time.
func (k *cache) heard(t time.Time) {
	if t.IsZero() {
		return
	}
	if err := k.clock.Heard(t); err != nil {
		k.log.Warn("a signed time of the cache is not taken", "err", err)
		k.alarm("clock", true)
	}
}

// apply puts what is held to use: the issuers of codes, policies, alarms.
func (k *cache) apply() {
	for _, f := range []*trust.Feed{k.card, k.deny} {
		_ = f.View(func(v trust.View) error {
			k.heard(time.Unix(v.Header.AsOf, 0))
			return nil
		})
	}
	state := k.state()
	if damage := k.store.Damage(); len(damage) > k.damaged {
		last := damage[len(damage)-1]
		k.log.Error("the signed cache was damaged; what was damaged is set aside", "files", len(damage)-k.damaged, "last", last.File, "why", last.Reason)
		k.damaged = len(damage)
		k.alarm("cache-tampered", true)
	}
	k.alarm("cache-stale", state.Whole && state.Stale)
	k.applyCodes(state)
	k.applyPolicy(state)
}

func (k *cache) applyCodes(state trust.State) {
	if state.Use(trust.RoleIssuers) != trust.Full {
		k.codes.Store(nil)
		return
	}
	codes := &credential.Codes{Venue: k.venue}
	if err := readCodes(k.store, codes); err != nil {
		k.log.Error("the issuers of codes", "err", err)
		codes = nil
	}
	k.codes.Store(codes)
}

func readCodes(store *trust.Store, codes *credential.Codes) error {
	data, err := store.Issuers()
	if err != nil {
		return err
	}
	if codes.Issuers, err = credential.ParseIssuers(data); err != nil {
		return err
	}
	data, err = store.Revocations()
	if errors.Is(err, trust.ErrNotFound) {
		return nil
	}
	if err == nil {
		codes.Revoked, err = credential.ParseRevocations(data)
	}
	return err
}

// applyPolicy takes the newest version of the configured policy. One that had
// come from the store and is no longer vouched for decides nothing any more:
// everything is for a person.
func (k *cache) applyPolicy(state trust.State) {
	if state.Use(trust.RolePolicy) != trust.Full {
		if k.own {
			k.log.Error("the policy is no longer vouched for: everything is for a person")
			k.adopt(&checkin.Policy{ID: k.policyID, Temperature: checkin.TemperatureOff, Guard: checkin.GuardPresent})
		}
		return
	}
	files, err := k.store.Policies()
	if err != nil {
		k.log.Error("policies of the signed cache", "err", err)
		return
	}
	var best *checkin.Policy
	for name, data := range files {
		p, err := policy.Parse(data, name)
		if err != nil {
			k.log.Error("a policy of the signed cache is refused", "err", err)
			k.alarm("policy-refused", true)
			continue
		}
		if p.ID == k.policyID && (best == nil || p.Version > best.Version) {
			best = p
		}
	}
	if best != nil {
		k.own = true
		k.adopt(best)
	}
}

// fetchKeys asks the platform for the keys of the epochs that are held. They are
// kept in memory only: a kiosk that was without power and has no link looks
// nobody up by his card.
func (k *cache) fetchKeys(ctx context.Context) error {
	want := map[uint64]bool{}
	for _, f := range []*trust.Feed{k.card, k.deny} {
		_ = f.View(func(v trust.View) error { want[v.Header.Epoch] = true; return nil })
	}
	for epoch := range want {
		if _, ok := k.key(epoch); ok {
			continue
		}
		key, err := k.client.EpochKey(ctx, k.shard, epoch)
		if err != nil {
			return fmt.Errorf("the key of epoch %d: %w", epoch, err)
		}
		k.keysMu.Lock()
		k.keys[epoch] = key
		k.keysMu.Unlock()
	}
	k.keysMu.Lock()
	defer k.keysMu.Unlock()
	for epoch := range k.keys {
		if !want[epoch] {
			delete(k.keys, epoch)
		}
	}
	return nil
}

func (k *cache) key(epoch uint64) (statuslist.Key, bool) {
	k.keysMu.Lock()
	defer k.keysMu.Unlock()
	key, ok := k.keys[epoch]
	return key, ok
}

// rung is the cache as the ladder asks it.
func (k *cache) rung() verify.Rung {
	return &verify.Cards{
		Card: k.card, Deny: k.deny, Key: k.key,
		Use: k.use,
	}
}

// use says what statuses may be used for. Without the list of those who got
// worse, which is promised, nobody is let in by the table alone: whoever holds
// the list back must gain nothing by it.
func (k *cache) use() trust.Use {
	use := k.state().Use(trust.RoleStatus)
	held := k.deny.View(func(trust.View) error { return nil }) == nil
	if use == trust.Full && !held && k.denyDue() {
		return trust.BadOnly
	}
	return use
}

// denyDue reports whether the signed index promises a deny list.
func (k *cache) denyDue() bool {
	index, err := k.store.Index()
	if err != nil {
		return false
	}
	_, listed := index.Shard(k.shard, feed.Deny)
	return listed
}

// status is what an operator asks about the cache.
func (k *cache) status() agent.CacheStatus {
	state := k.state()
	s := agent.CacheStatus{Whole: state.Whole, Stale: state.Stale, Use: k.use().String(), Codes: k.codes.Load() != nil}
	_ = k.card.View(func(v trust.View) error {
		s.AsOf, s.People = time.Unix(v.Header.AsOf, 0).UTC(), v.Table.Len()
		_, s.Key = k.key(v.Header.Epoch)
		return nil
	})
	return s
}

func (k *cache) close() {
	k.card.Close()
	k.deny.Close()
}

// webClient fetches the files of the cache: from the platform with the kiosk's
// certificate, or from any file server that the platform's authority vouches
// for. What is fetched is believed for its signatures, not for where it is from.
func webClient(c *configs.Config, env Env) (*http.Client, error) {
	config, err := tlsConfig(&c.Platform, env.Clock)
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: true, DialContext: env.Dial,
		Proxy: nil, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
	}}, nil
}
