//go:build linux

package queue_test

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// The controls are bbolt used wrongly, on the same rigs. Each of them must
// fail: a rig that finds nothing wrong with them would find nothing at all.
var controls = map[string]control{
	"nosync":   {func(w *worker) int { return w.careless(bbolt.Options{NoSync: true}) }, cycleNoSync},
	"carry-on": {func(w *worker) int { return w.careless(bbolt.Options{}) }, cycleCarryOn},
	"plain":    {func(w *worker) int { return w.careless(bbolt.Options{}) }, cyclePlain},
}

type control struct {
	child func(*worker) int
	cycle func(*rig)
}

var controlBucket = []byte("records")

// careless opens a file of bbolt where it is to be, tells what is in it, and
// puts records whatever becomes of them. It stands for all three: what is wrong
// is its options, that it goes on after an error, and how it makes its file.
func (w *worker) careless(o bbolt.Options) int {
	debug.SetMaxStack(16 << 20) // a damaged tree with a loop in it is walked for ever
	o.FreelistType, o.NoGrowSync = bbolt.FreelistArrayType, false
	db, err := bbolt.Open(filepath.Join(w.dir, "control.db"), 0o600, &o)
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucketIfNotExists(controlBucket); return err })
	}
	if err == nil {
		err = db.View(w.tellAll)
	}
	if err != nil {
		w.say("unopened", err.Error())
		return 3
	}
	w.say("opened")
	w.say("empty")
	for n := uint64(0); ; n++ {
		uuid := fmt.Sprintf("%s-%d", w.run, n)
		err := db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(controlBucket)
			seq, err := b.NextSequence()
			if err != nil {
				return err
			}
			return b.Put(binary.BigEndian.AppendUint64(nil, seq), []byte(uuid))
		})
		if err != nil {
			w.say("refused", err.Error())
			continue
		}
		w.say("put", "visit", uuid, uuid)
	}
}

// tellAll tells every record, and what is wrong with the file.
func (w *worker) tellAll(tx *bbolt.Tx) error {
	for err := range tx.Check() {
		return err
	}
	return tx.Bucket(controlBucket).ForEach(func(_, uuid []byte) error {
		w.say("took platform", string(uuid), string(uuid))
		return nil
	})
}

// cycleNoSync cuts the power at any change.
func cycleNoSync(r *rig) {
	r.controlled("nosync", func() { r.card.CutAfter(1+r.luck.IntN(100), r.luck.Uint64()) })
}

// cycleCarryOn fails the sync of a meta page, every second one, and cuts the
// power within the next few changes.
func cycleCarryOn(r *rig) {
	r.controlled("carry-on", func() {
		n := 2 * (1 + r.luck.IntN(10))
		r.card.FailSync(n)
		r.card.CutAfter(2*n+r.luck.IntN(12), r.luck.Uint64())
	})
}

// cyclePlain cuts the power while the file is made, each time anew.
func cyclePlain(r *rig) {
	r.renew()
	r.controlled("plain", func() { r.card.CutAfter(1+r.luck.IntN(8), r.luck.Uint64()) })
}

// controlled lets a control run into the harm that arm orders, and has another
// look at what is left.
func (r *rig) controlled(name string, arm func()) {
	arm()
	p := r.start(name, r.dir, "")
	r.follow(p, func() bool { return r.book.refused > 100 }) // one that is refused for ever changes nothing
	r.card.Cut(r.luck.Uint64())
	r.kill(p)
	r.restore()
	p = r.start(name, r.dir, "")
	r.follow(p, func() bool { return r.book.empty || r.book.unwell != "" })
	r.kill(p)
	r.mustBeWell()
}

// mostCycles is far beyond what a control takes to fail: about 3, 50 and 50.
const mostCycles = 2000

// TestControlsFail runs each control until it goes wrong, and then for as long
// as the torture is to last, so that the rates can be compared.
func TestControlsFail(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: torture takes its time")
	}
	var each time.Duration
	if torturing() {
		each = tortureTime(t)
	}
	from := seed()
	var scores []*score
	for _, name := range []string{"nosync", "carry-on", "plain"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, name, from, true)
			cycle := controls[name].cycle
			r.run(func(ran time.Duration) bool {
				return ran < each || r.score.wrong() == 0 && r.score.cycles < mostCycles
			}, cycle)
			scores = append(scores, r.score)
			if r.score.wrong() == 0 {
				t.Errorf("nothing went wrong in %d cycles (-torture.seed %d): the rigs would find nothing", r.score.cycles, from)
			}
		})
	}
	t.Logf("seed %d; these must go wrong, and did\n%s", from, table(scores))
}
