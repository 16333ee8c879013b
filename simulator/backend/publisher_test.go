package backend_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

const (
	hour = time.Hour
	day  = 24 * hour
)

// press is a platform with a publisher, at a time that the test moves.
type press struct {
	*backend.Publisher
	t        testing.TB
	platform *backend.Platform
	now      time.Time
}

var policies = map[string][]byte{"residential.1.yaml": []byte("id: residential\n")}

// newPress has three people in the shard of venue v-1, and one who is left out.
func newPress(t testing.TB, o backend.PublisherOpts) *press {
	t.Helper()
	p := &press{t: t, now: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)}
	p.platform = backend.New(backend.Opts{
		Key: ed25519.NewKeyFromSeed(make([]byte, 32)), KeyID: "statement-1", Now: func() time.Time { return p.now },
	})
	p.set("wang", number, checkin.Green)
	p.set("zhang", "440524188001010014", checkin.Green)
	p.set("li", "810000199408230021", checkin.Red)
	p.platform.SetPerson(backend.Person{Ref: "left out", Name: "赵六", Number: "911124198108030024", Colour: checkin.Green, NoShard: true})
	if o.Shards == nil {
		o.Shards = []string{"v-1"}
	}
	if o.Seed == nil {
		o.Seed = []byte("a seed for tests")
	}
	o.Policies = policies
	var err error
	if p.Publisher, err = backend.NewPublisher(p.platform, o); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *press) set(ref, number string, colour checkin.Colour) {
	p.platform.SetPerson(backend.Person{
		Ref: ref, Name: "王小明", Number: number, Colour: colour, NAT: checkin.Negative, Sampled: p.now.Add(-12 * hour),
	})
}

// publish publishes after some time.
func (p *press) publish(after time.Duration) []backend.ShardReport {
	p.t.Helper()
	p.now = p.now.Add(after)
	reports, err := p.Publish(p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	return reports
}

// Get implements trust.Fetcher over the platform's handler.
func (p *press) Get(_ context.Context, path string, _ int64) ([]byte, error) {
	w := httptest.NewRecorder()
	p.platform.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+path, nil))
	if w.Code == http.StatusNotFound {
		return nil, trust.ErrNotFound
	}
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("status %d", w.Code)
	}
	return w.Body.Bytes(), nil
}

type people = map[string]string

// TestAKioskFollows from the first snapshot through deltas into a new epoch, and
// a kiosk that comes later stands where it does.
func TestAKioskFollows(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	early := p.reader()
	early.current()
	early.check("first", people{"wang": "green", "zhang": "green", "li": "red"}, people{})

	p.set("zhang", "440524188001010014", checkin.Yellow)
	if err := p.Deny(p.now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	p.now = p.now.Add(time.Minute)
	early.current()
	early.check("fast lane", people{"wang": "green", "zhang": "green", "li": "red"}, people{"zhang": "yellow"})

	r := p.publish(5 * time.Minute)[0]
	if r.Snapshot != 0 || r.Seq != 2 || r.Worse != 1 || r.People != 3 {
		t.Errorf("second publication: %+v, want step 2 without a snapshot, one who got worse", r)
	}
	early.current()
	early.check("delta", people{"wang": "green", "zhang": "yellow", "li": "red"}, people{"zhang": "yellow"})
	late := p.reader()
	late.current()
	late.check("a kiosk that comes later", people{"wang": "green", "zhang": "yellow", "li": "red"}, people{"zhang": "yellow"})

	p.set("wang", number, checkin.Red)
	p.now = p.now.Add(hour)
	reports, err := p.Rotate(p.now, 2)
	if err != nil || reports[0].Epoch != 2 || reports[0].Seq != 3 || reports[0].Snapshot == 0 || reports[0].Worse != 0 {
		t.Errorf("Rotate() = %+v, %v, want step 3 with a snapshot of epoch 2", reports, err)
	}
	early.current()
	early.check("new epoch", people{"wang": "red", "zhang": "yellow", "li": "red"}, people{})
	if state := early.store.State(p.now, p.now); !state.AsOf.Equal(p.now) || state.Stale {
		t.Errorf("the timestamp is as of %v and stale %v, want now", state.AsOf, state.Stale)
	}
	files, err := early.store.Policies()
	if diff := cmp.Diff(policies, files); diff != "" || err != nil {
		t.Errorf("Policies() = %v (-want +got):\n%s", err, diff)
	}
}

// TestKeysOfEpochs: the present one and the one before, each shard its own.
func TestKeysOfEpochs(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{Shards: []string{"v-1", "v-2"}})
	p.publish(0)
	one, _ := p.EpochKey("v-1", 1)
	if other, ok := p.EpochKey("v-2", 1); !ok || other == one {
		t.Error("two shards have one key, or one of them none")
	}
	if _, err := p.Rotate(p.now, 1); err == nil {
		t.Error("epoch 1 follows epoch 1")
	}
	for _, epoch := range []uint64{5, 0} {
		if _, err := p.Rotate(p.now, epoch); err != nil {
			t.Fatal(err)
		}
	}
	for epoch, want := range map[uint64]bool{0: false, 1: false, 4: false, 5: true, 6: true, 7: false} {
		if key, ok := p.EpochKey("v-1", epoch); ok != want || ok && key == one {
			t.Errorf("EpochKey(%d) = %v, want %v and a new one", epoch, ok, want)
		}
	}
	if _, ok := p.EpochKey("v-3", 6); ok {
		t.Error("a shard that is not there has a key")
	}
}

// TestTheSameAgain: the same seed, people and times give the same bytes.
func TestTheSameAgain(t *testing.T) {
	var editions [2]map[string][]byte
	for i := range editions {
		p := newPress(t, backend.PublisherOpts{Seed: []byte("one seed")})
		p.publish(0)
		p.set("wang", number, checkin.Yellow)
		p.publish(hour)
		editions[i] = p.Files()
	}
	if len(editions[0]) < 15 {
		t.Errorf("only %d files are published", len(editions[0]))
	}
	if diff := cmp.Diff(editions[0], editions[1]); diff != "" {
		t.Errorf("two publishers of one seed differ:\n%s", diff)
	}
	other := newPress(t, backend.PublisherOpts{Seed: []byte("another seed")})
	if bytes.Equal(other.RootJSON(), editions[0]["tuf/1.root.json"]) {
		t.Error("another seed makes the same root")
	}
}

// TestTheThresholds are those of the offline facts, and no more keys sign than
// must.
func TestTheThresholds(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	root, err := metadata.Root().FromBytes(p.RootJSON())
	if err != nil {
		t.Fatal(err)
	}
	targets, err := metadata.Targets().FromBytes(p.Files()["tuf/1.targets.json"])
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]int{}
	for name, role := range root.Signed.Roles {
		got[name] = [2]int{role.Threshold, len(role.KeyIDs)}
	}
	for _, role := range targets.Signed.Delegations.Roles {
		got[role.Name] = [2]int{role.Threshold, len(role.KeyIDs)}
	}
	want := map[string][2]int{
		"root": {3, 5}, "targets": {2, 3}, "policy": {2, 3}, "issuers": {2, 3}, "status": {1, 1}, "snapshot": {1, 1}, "timestamp": {1, 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("thresholds and keys (-want +got):\n%s", diff)
	}
	if len(root.Signatures) != 3 || len(targets.Signatures) != 2 || !root.Signed.ConsistentSnapshot {
		t.Errorf("%d sign the root and %d the targets, want 3 and 2", len(root.Signatures), len(targets.Signatures))
	}
	ends := map[string]time.Time{"root": root.Signed.Expires, "targets": targets.Signed.Expires}
	if diff := cmp.Diff(map[string]time.Time{"root": p.now.Add(365 * day), "targets": p.now.Add(30 * day)}, ends); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
}

// DownloadFile lets go-tuf's own client read from the press.
func (p *press) DownloadFile(url string, _ int64, _ time.Duration) ([]byte, error) {
	data, err := p.Get(p.t.Context(), url, 0)
	if err != nil {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: url}
	}
	return data, nil
}

// TestAnotherClient: go-tuf's own updater takes everything that is published.
func TestAnotherClient(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	p.publish(200 * day) // two roots
	client, err := updater.New(&config.UpdaterConfig{
		LocalTrustedRoot: p.RootJSON(), RemoteMetadataURL: "tuf", RemoteTargetsURL: "tuf/targets", Fetcher: p,
		MaxRootRotations: 8, MaxDelegations: 8, RootMaxLength: 1 << 20, TimestampMaxLength: 1 << 20,
		SnapshotMaxLength: 1 << 20, TargetsMaxLength: 1 << 20, DisableLocalCache: true, PrefixTargetsWithHash: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	client.UnsafeSetRefTime(p.now)
	if err := client.Refresh(); err != nil {
		t.Fatal(err)
	}
	if version := client.GetTrustedMetadataSet().Root.Signed.Version; version != 2 {
		t.Errorf("root %d, want 2", version)
	}
	for _, name := range []string{
		"policy/residential.1.yaml", "issuers/keys.json", "issuers/revocations.json", "issuers/recipients.json",
		"status/feed.json", "status/v-1.1.snap",
	} {
		info, err := client.GetTargetInfo(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, _, err := client.DownloadTarget(info, "", ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
