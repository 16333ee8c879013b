package backend

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
)

// shard is what is published of one venue.
type shard struct {
	name  string
	epoch uint64
	table *statuslist.Table // of the newest step; nil before the first
	steps []step            // of this epoch, the last ones

	base     *statuslist.Table // the one that the snapshot holds
	baseSeq  uint64
	snapshot blob
	since    int // bytes of the steps after it

	seq  uint64 // of the newest step, through all epochs
	deny step

	late, lateDeny *step // of a time ahead, if a fault wants them
}

// step is a header with its body.
type step struct {
	header    feed.Header
	raw, body blob
	people    int
}

// Limits of a chain of steps. A kiosk that is more than 64 steps behind takes
// the snapshot; for all others the steps must be there.
const (
	stepsPerSnapshot = 64
	keepSteps        = 2 * stepsPerSnapshot
	leastSince       = 64 << 10 // a small shard is not worth counting bytes
)

// step makes the next step of a shard, and its deny list.
func (u *Publisher) step(s *shard, now time.Time) (ShardReport, error) {
	if s.epoch != u.epoch {
		s.epoch, s.table, s.steps = u.epoch, nil, nil
	}
	t, pairs, err := u.table(s, now)
	if err != nil {
		return ShardReport{}, err
	}
	next, err := u.follow(s, t)
	if err != nil {
		return ShardReport{}, err
	}
	if err := u.lateStep(s, now); err != nil {
		return ShardReport{}, err
	}
	s.steps = append(s.steps, next)
	if len(s.steps) > keepSteps {
		s.steps = slices.Delete(s.steps, 0, 1)
	}
	first := s.table == nil
	s.table, s.seq, s.since = t, next.header.Seq, s.since+len(next.body.data)
	if first || next.header.Seq-s.baseSeq >= stepsPerSnapshot || s.since > max(leastSince, len(s.snapshot.data)/2) {
		err = s.rebase()
	}
	if err == nil {
		err = u.denyStep(s, t)
	}
	if errors.Is(err, statuslist.ErrPeople) { // it has grown too long: a new snapshot makes it short
		err = errors.Join(s.rebase(), u.denyStep(s, t))
	}
	if err != nil {
		return ShardReport{}, err
	}
	r := ShardReport{
		Shard: s.name, Epoch: s.epoch, Seq: next.header.Seq, People: t.Len(), Pairs: pairs, Table: len(t.Bytes()),
		Step: len(next.body.data), Deny: len(s.deny.body.data), Worse: s.deny.people,
	}
	if s.baseSeq == r.Seq {
		r.Snapshot = len(s.snapshot.data)
	}
	return r, nil
}

// put puts the files of a shard into files.
func (s *shard) put(files map[string]blob) {
	for _, st := range s.steps {
		st.put(files, s.name)
	}
	s.head().putHead(files, s.name)
	s.deny.putDeny(files, s.name)
}

func (s *shard) head() step { return s.steps[len(s.steps)-1] }

func (st step) put(files map[string]blob, shard string) {
	at := fmt.Sprintf("feed/%s/%d", shard, st.header.Seq)
	files[at+".cose"], files[at+".body"] = st.raw, st.body
}

func (st step) putHead(files map[string]blob, shard string) {
	files["feed/"+shard+"/head.cose"] = st.raw
}

func (st step) putDeny(files map[string]blob, shard string) {
	files["feed/"+shard+"/deny.cose"], files["feed/"+shard+"/deny.body"] = st.raw, st.body
}

//

// table builds the table of a shard as of now. People are not collected: what
// the source yields goes into the builder, one by one.
func (u *Publisher) table(s *shard, now time.Time) (*statuslist.Table, int, error) {
	key := statuslist.Key(u.ring.epoch(s.name, s.epoch))
	data, pairs, err := statuslist.Build(statuslist.Head{Epoch: s.epoch, AsOf: now}, func(yield func(uint64, statuslist.Value) bool) {
		for handle, is := range u.o.People(s.name) {
			if !yield(key.Fingerprint(handle), statuslist.NewValue(is.Colour, is.Sampled, now)) {
				return
			}
		}
	})
	if err != nil {
		return nil, 0, err
	}
	t, err := statuslist.Open(data)
	return t, pairs, err
}

// follow makes the step from the newest table of a shard to t.
func (u *Publisher) follow(s *shard, t *statuslist.Table) (step, error) {
	prev := make([]byte, 32)
	var body []byte
	var err error
	if s.table == nil {
		body, err = statuslist.Snapshot(t)
	} else {
		prev = s.head().header.Next
		body, err = statuslist.Diff(s.table, t)
	}
	if err != nil {
		return step{}, err
	}
	next := statuslist.Root(t.Bytes())
	return u.sign(feedKey, t.Len(), newBlob(body), feed.Header{
		Shard: s.name, Product: feed.Card, Epoch: s.epoch, Seq: s.seq + 1, Prev: prev, Next: next[:],
		AsOf: t.Head().AsOf.Unix(),
	})
}

// sign fills in what every header has, and signs it.
func (u *Publisher) sign(kid string, people int, body blob, h feed.Header) (step, error) {
	h.Version, h.Count, h.Body = feed.HeaderVersion, uint64(people), body.sum[:]
	h.ValidUntil = h.AsOf + int64(u.o.Life.Feed/time.Second)
	raw, err := u.signHeader(kid, kid, h)
	return step{h, raw, body, people}, err
}

// signHeader signs with the key of one name in the name of another; a right
// header has one for both.
func (u *Publisher) signHeader(key, kid string, h feed.Header) (blob, error) {
	raw, err := feed.Sign(u.ring.key(key), kid, &h)
	return newBlob(raw), err
}

// rebase makes a new snapshot, of the newest step.
func (s *shard) rebase() error {
	head := s.head()
	body := head.body
	if len(s.steps) > 1 {
		data, err := statuslist.Snapshot(s.table)
		if err != nil {
			return err
		}
		body = newBlob(data)
	}
	s.base, s.baseSeq, s.snapshot, s.since = s.table, head.header.Seq, body, 0
	return nil
}

// lateStep makes what a fault shows instead of the next step: a right one in
// all but its time.
func (u *Publisher) lateStep(s *shard, now time.Time) error {
	s.late, s.lateDeny = nil, nil
	ahead := u.fault.ahead()
	if ahead == 0 {
		return nil
	}
	t, _, err := u.table(s, now.Add(ahead))
	if err != nil {
		return err
	}
	late, err := u.follow(s, t)
	if err != nil {
		return err
	}
	base := s.base
	if s.table == nil {
		base = t
	}
	deny, err := u.worse(s, base, t)
	s.late, s.lateDeny = &late, &deny
	return err
}

// denyStep makes the next deny list: who is worse in t than in the snapshot,
// which is the oldest that a kiosk may go by.
func (u *Publisher) denyStep(s *shard, t *statuslist.Table) error {
	next, err := u.worse(s, s.base, t)
	if err == nil {
		s.deny = next
	}
	return err
}

// worse makes a deny list. Its root is that of the list's own bytes.
func (u *Publisher) worse(s *shard, base, t *statuslist.Table) (step, error) {
	people := 0
	list, err := statuslist.EncodeDeny(t.Head(), func(yield func(uint64, statuslist.Value) bool) {
		for who, v := range worse(base, t) {
			people++
			if !yield(who, v) {
				return
			}
		}
	})
	if err != nil {
		return step{}, err
	}
	prev := make([]byte, 32)
	if s.deny.header.Epoch == s.epoch {
		prev = s.deny.header.Next
	}
	root := statuslist.Root(list)
	return u.sign(denyKey, people, newBlob(list), feed.Header{
		Shard: s.name, Product: feed.Deny, Epoch: s.epoch, Seq: s.deny.header.Seq + 1, Prev: prev, Next: root[:],
		AsOf: t.Head().AsOf.Unix(),
	})
}

// worse yields whose colour is worse in t than in base. Of those who are new
// only the bad ones count: nobody takes a stranger for green.
func worse(base, t *statuslist.Table) iter.Seq2[uint64, statuslist.Value] {
	badness := [...]int{statuslist.None: 1, statuslist.Green: 0, statuslist.Yellow: 2, statuslist.Red: 3}
	return func(yield func(uint64, statuslist.Value) bool) {
		for who, v := range t.All() {
			if v.Colour() == statuslist.Green {
				continue
			}
			was, known := base.Lookup(who)
			if !known {
				was = statuslist.NewValue(statuslist.None, time.Time{}, t.Head().AsOf)
			}
			if badness[v.Colour()] > badness[was.Colour()] && !yield(who, v) {
				return
			}
		}
	}
}
