package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

// Limits of one refresh of a feed.
const (
	maxSteps = 512     // steps that are followed
	farSteps = 64      // beyond so many a newer snapshot is taken instead
	maxBody  = 4 << 20 // bytes of a delta: a city's burst hour has 0.8 MB
)

// Refresh follows the feed to its newest step, within the time [lo, hi]. The
// files lie below from as feed/SHARD/…. What went well before an error is kept
// and used; nothing that does not verify ever is.
//
// The keys and the epoch come from status/feed.json. They must not be surely
// expired; that they may have expired is for State to say, as with Store.Refresh.
func (f *Feed) Refresh(ctx context.Context, from Fetcher, lo, hi time.Time) (changed bool, err error) {
	f.busy.Lock()
	defer f.busy.Unlock()
	index, err := f.index(lo, hi)
	if err != nil {
		return false, err
	}
	shard, ok := index.Shard(f.shard, f.product)
	if !ok {
		return false, refused("status/feed.json knows no %s of %s", f.product, f.shard)
	}
	r := &follower{f: f, keys: index.Trusted(), shard: shard, from: from}
	r.begin()
	if f.product == feed.Deny {
		return r.whole(ctx, lo, hi)
	}
	return r.chain(ctx, lo, hi)
}

// index reads keys and shards while the status role may be believed.
func (f *Feed) index(lo, hi time.Time) (*feed.Index, error) {
	state := f.s.State(lo, hi)
	switch {
	case !state.Whole:
		return nil, fmt.Errorf("%s: %w", "status/feed.json", ErrNotFound)
	case state.Use(RoleStatus) == Nothing:
		return nil, fmt.Errorf("status: a newer root has left it behind: %v", state.Left)
	}
	for _, role := range []string{"root", "targets", RoleStatus} {
		if state.Roles[role].Expired {
			return nil, fmt.Errorf("%s: %w", role, ErrExpired)
		}
	}
	return f.s.Index()
}

// follower is one refresh.
type follower struct {
	f     *Feed
	keys  signed.Keys
	shard feed.Shard
	from  Fetcher
}

// begin drops what is vouched for by a key that is no longer trusted, and loads
// what could not be verified earlier.
func (r *follower) begin() {
	r.f.mu.RLock()
	g := r.f.now
	r.f.mu.RUnlock()
	if g == nil {
		r.f.load(r.keys)
		return
	}
	if _, err := feed.Open(r.keys, g.raw); err != nil {
		r.f.drop(g, err)
		r.f.load(r.keys)
	}
}

// now returns the step that counts; nil if there is none.
func (r *follower) now() *feed.Header {
	r.f.mu.RLock()
	defer r.f.mu.RUnlock()
	if r.f.now == nil {
		return nil
	}
	return r.f.now.view.Header
}

// header fetches and verifies one header.
func (r *follower) header(ctx context.Context, file string) (*feed.Header, []byte, error) {
	raw, err := get(ctx, r.from, "feed/"+r.shard.Name+"/"+file, signed.MaxSize)
	if err != nil {
		return nil, nil, err
	}
	h, err := feed.Open(r.keys, raw)
	if err == nil {
		err = h.Of(r.shard)
	}
	if err != nil && h != nil && h.Shard == r.shard.Name && h.Product == r.shard.Product && h.Epoch > r.shard.Epoch {
		return nil, nil, fmt.Errorf("%s/%s: %w: a later refresh of the metadata knows it", r.shard.Name, file, err) // no attack
	}
	return h, raw, r.judge(file, err)
}

// judge sorts errors of the feed into the store's two kinds.
func (r *follower) judge(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, feed.ErrOver):
		return fmt.Errorf("%s/%s: %w: %w", r.shard.Name, what, ErrExpired, err)
	}
	return fmt.Errorf("%s/%s: %w: %w", r.shard.Name, what, ErrRefused, err)
}

// timely gets a header that is valid now and not below the floor.
func (r *follower) timely(ctx context.Context, file string, lo, hi time.Time) (*feed.Header, []byte, error) {
	h, raw, err := r.header(ctx, file)
	if err != nil {
		return nil, nil, err
	}
	if err := r.judge(file, errors.Join(h.At(lo, hi), r.floor(h))); err != nil {
		return nil, nil, err
	}
	return h, raw, nil
}

// chain follows the steps of a table.
func (r *follower) chain(ctx context.Context, lo, hi time.Time) (changed bool, err error) {
	head, raw, err := r.timely(ctx, "head.cose", lo, hi)
	if err != nil {
		return false, err
	}
	now := r.now()
	if now != nil && now.Epoch == head.Epoch && head.Seq <= now.Seq {
		if head.Seq < now.Seq || !bytes.Equal(head.Next, now.Next) {
			return false, r.judge("head.cose", fmt.Errorf("%w: %d is here, the head is %d", feed.ErrReplay, now.Seq, head.Seq))
		}
		return false, nil
	}
	var missing error
	if !r.needsSnapshot(now, head) {
		if changed, err = r.steps(ctx, head, raw); err == nil || !r.snapshotHelps() {
			return changed, err
		}
		if errors.Is(err, ErrRefused) {
			missing = err // it is told, though the snapshot mends it
		}
	}
	if changed, err = r.snapshot(ctx, head); err != nil {
		return changed, errors.Join(err, missing)
	}
	_, err = r.steps(ctx, head, raw)
	return changed, errors.Join(err, missing)
}

// snapshotHelps reports whether the snapshot is of a later step than what is
// here: then steps that can no longer be had, or do not lead on, are not needed.
func (r *follower) snapshotHelps() bool {
	now := r.now()
	return now == nil || r.shard.Seq > now.Seq
}

func (r *follower) needsSnapshot(now, head *feed.Header) bool {
	return now == nil || now.Epoch != r.shard.Epoch || head.Seq-now.Seq > farSteps && r.snapshotHelps()
}

// floor refuses what lies before a step that was used already, and another
// version of that step.
func (r *follower) floor(h *feed.Header) error {
	least := r.f.floor
	if pointOf(h).below(least) {
		return fmt.Errorf("%w: epoch %d step %d had been in use", feed.ErrReplay, least.Epoch, least.Seq)
	}
	return r.fork(h)
}

func (r *follower) fork(h *feed.Header) error {
	least := r.f.floor
	if h.Epoch == least.Epoch && h.Seq == least.Seq && !bytes.Equal(h.Next, least.Root) {
		return fmt.Errorf("%w: step %d had another root", feed.ErrFork, h.Seq)
	}
	return nil
}

// snapshot begins anew from the snapshot, which is a TUF target. It may lie
// before the floor, as long as the steps lead on from there to the head.
func (r *follower) snapshot(ctx context.Context, head *feed.Header) (bool, error) {
	packed, err := r.f.s.of(r.shard.Snapshot, RoleStatus)
	if err != nil {
		return false, fmt.Errorf("snapshot of %s: %w", r.shard.Name, err)
	}
	file := fmt.Sprintf("%d.cose", r.shard.Seq)
	h, raw, err := r.header(ctx, file)
	if err != nil {
		return false, err
	}
	if h.Seq != r.shard.Seq || h.Seq > head.Seq {
		return false, r.judge(file, fmt.Errorf("%w: it is step %d", feed.ErrOther, h.Seq))
	}
	if err := r.fork(h); err != nil {
		return false, r.judge(file, err)
	}
	table, err := statuslist.Expand(packed, people(h))
	if err != nil {
		return false, r.judge(r.shard.Snapshot, err)
	}
	return true, r.f.adopt(r.keys, h, raw, table)
}

// steps applies one delta after the other, in memory, and keeps the last table
// that verified.
func (r *follower) steps(ctx context.Context, head *feed.Header, headRaw []byte) (changed bool, err error) {
	last := r.now()
	if last == nil || head.Seq-last.Seq > maxSteps {
		return false, refused("%s: %d steps are missing", r.shard.Name, maxSteps)
	}
	var table, raw []byte
	for h := last; h.Seq < head.Seq && err == nil; {
		var next *feed.Header
		var after, signedAs []byte
		next, signedAs, after, err = r.step(ctx, h, table, head, headRaw)
		if err == nil {
			h, last, raw, table = next, next, signedAs, after
		}
	}
	if table != nil {
		if kept := r.f.adopt(r.keys, last, raw, table); kept != nil {
			return false, errors.Join(kept, err)
		}
		changed = true
	}
	return changed, err
}

// step fetches and applies the delta after h; before is the table of h, or nil
// if it is the mapped one.
func (r *follower) step(ctx context.Context, h *feed.Header, before []byte, head *feed.Header, headRaw []byte) (next *feed.Header, raw, after []byte, err error) {
	name := fmt.Sprint(h.Seq + 1)
	next, raw = head, headRaw
	if head.Seq != h.Seq+1 {
		if next, raw, err = r.header(ctx, name+".cose"); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := r.judge(name+".cose", errors.Join(next.Follows(h), r.fork(next))); err != nil {
		return nil, nil, nil, err
	}
	body, err := get(ctx, r.from, "feed/"+r.shard.Name+"/"+name+".body", maxBody)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := next.Covers(body); err != nil {
		return nil, nil, nil, r.judge(name+".body", err)
	}
	apply := func(t *statuslist.Table) (err error) {
		if after, err = statuslist.Apply(t, body, people(next)); err != nil {
			return err
		}
		if root := statuslist.Root(after); !bytes.Equal(root[:], next.Next) {
			return fmt.Errorf("%w: step %d leads to another root", feed.ErrFork, next.Seq)
		}
		return nil
	}
	if before == nil {
		err = r.f.View(func(v View) error { return apply(v.Table) })
	} else if t, terr := statuslist.Open(before); terr != nil {
		err = terr
	} else {
		err = apply(t)
	}
	return next, raw, after, r.judge(name+".body", err)
}

// whole takes the deny list, which is pushed whole each time.
func (r *follower) whole(ctx context.Context, lo, hi time.Time) (changed bool, err error) {
	h, raw, err := r.timely(ctx, "deny.cose", lo, hi)
	if err != nil {
		return false, err
	}
	now := r.now()
	if now != nil && now.Epoch == h.Epoch {
		if now.Seq == h.Seq && bytes.Equal(now.Next, h.Next) {
			return false, nil
		}
		if err := r.judge("deny.cose", h.After(now)); err != nil {
			return false, err
		}
	}
	body, err := get(ctx, r.from, "feed/"+r.shard.Name+"/deny.body", statuslist.MaxDeny)
	if err != nil {
		return false, err
	}
	if err := r.judge("deny.body", h.Covers(body)); err != nil {
		return false, err
	}
	return true, r.f.adopt(r.keys, h, raw, body)
}

// people is how many a header allows a table to hold.
func people(h *feed.Header) int {
	return int(min(h.Count, statuslist.MaxPeople))
}
