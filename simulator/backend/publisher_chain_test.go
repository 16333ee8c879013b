package backend_test

import (
	"encoding/binary"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// TestALongChain has a new snapshot every 64 steps, and leaves nobody behind:
// neither who has missed a few steps nor who has missed more than are kept.
func TestALongChain(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	const steps = 140
	readers, behind := map[int]*reader{}, []int{steps, 65, 64, 1}
	snapshots := 0
	for step := 1; step <= steps; step++ {
		for _, b := range behind {
			if step == steps-b+1 {
				readers[b] = p.reader()
				readers[b].current()
			}
		}
		p.set("wang", number, []checkin.Colour{checkin.Green, checkin.Yellow, checkin.Red}[step%3])
		if p.publish(5 * time.Minute)[0].Snapshot > 0 {
			snapshots++
		}
	}
	if snapshots != 2 {
		t.Errorf("%d new snapshots in %d steps, want 2", snapshots, steps)
	}
	if n := len(p.Files()); n > 300 { // 131 steps of two files, and the repository
		t.Errorf("%d files are kept", n)
	}
	for b, r := range readers {
		r.current()
		if got := r.colours(r.card)["wang"]; got != "red" {
			t.Errorf("%d steps behind: wang is %s, want red", b, got)
		}
	}
}

// TestTheRepositoryIsRenewed before anything of it runs out, the root among it.
func TestTheRepositoryIsRenewed(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	r := p.reader()
	for range 5 { // nearly three years
		r.current()
		state := r.store.State(p.now, p.now)
		for role, s := range state.Roles {
			if s.Expired || !s.Valid {
				t.Fatalf("%v: %s is over since %v", p.now, role, s.Expires)
			}
		}
		p.publish(200 * day)
	}
	if v := r.store.Versions(); v["root"] != 5 || v["timestamp"] != 5 {
		t.Errorf("versions %v, want five roots and five timestamps", v)
	}
}

// TestWhatATableSays of people for whom it has no word.
func TestWhatATableSays(t *testing.T) {
	for _, tt := range []struct {
		name   string
		person backend.Person
		colour string
	}{
		{"green", backend.Person{Colour: checkin.Green}, "green"},
		{"no colour", backend.Person{}, "none"},
		{"on the control list", backend.Person{Colour: checkin.Green, ControlList: true}, "red"},
		{"a positive test", backend.Person{Colour: checkin.Green, NAT: checkin.Positive}, "red"},
		{"a positive antigen test", backend.Person{Colour: checkin.Green, Antigen: checkin.Positive}, "red"},
		{"to register first", backend.Person{Colour: checkin.Green, RegisterFirst: true}, "none"},
		{"to register first, and yellow", backend.Person{Colour: checkin.Yellow, RegisterFirst: true}, "yellow"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPress(t, backend.PublisherOpts{})
			tt.person.Ref, tt.person.Name, tt.person.Number = "wang", "王小明", number
			p.platform.SetPerson(tt.person)
			p.publish(0)
			key := statuslist.Key(p.epochKey())
			v, ok := p.table().Lookup(key.Fingerprint(statuslist.NewHandle("resident-id", number, "王小明")))
			if !ok || v.Colour().String() != tt.colour {
				t.Errorf("%s, %v, want %s", v.Colour(), ok, tt.colour)
			}
		})
	}
}

// table is the one that the published snapshot holds.
func (p *press) table() *statuslist.Table {
	p.t.Helper()
	for name, packed := range p.Files() {
		if !strings.HasSuffix(name, ".snap") {
			continue
		}
		data, err := statuslist.Expand(packed, 1000)
		if err != nil {
			p.t.Fatal(err)
		}
		t, err := statuslist.Open(data)
		if err != nil {
			p.t.Fatal(err)
		}
		return t
	}
	p.t.Fatal("there is no snapshot")
	return nil
}

func (p *press) epochKey() [32]byte {
	key, _ := p.EpochKey("v-1", 1)
	return key
}

// crowd yields n people without keeping any; each has another test every time.
func crowd(n int) backend.Source {
	round := 0
	return func(string) iter.Seq2[statuslist.Handle, backend.Standing] {
		round++
		return func(yield func(statuslist.Handle, backend.Standing) bool) {
			var h statuslist.Handle
			noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
			for i := range n {
				binary.BigEndian.PutUint64(h[1:], uint64(i))
				sampled := noon.Add(-time.Duration(i*(round+7)%18) * 4 * hour)
				if !yield(h, backend.Standing{Colour: statuslist.Green, Sampled: sampled}) {
					return
				}
			}
		}
	}
}

// TestPeopleFromElsewhere than the platform, as many as a district. Their deltas
// are long: there is a new snapshot when they come to half of one.
func TestPeopleFromElsewhere(t *testing.T) {
	const people = 30_000
	p := newPress(t, backend.PublisherOpts{People: crowd(people)})
	since, snapshot, snapshots := 0, 0, 0
	for range 8 {
		r := p.publish(time.Minute)[0]
		if r.People+r.Pairs != people || r.Table < 4*people || r.Table > 8*people || r.Worse != 0 {
			t.Errorf("%+v, want %d people in 4 to 8 bytes each", r, people)
		}
		since += r.Step
		if due := snapshot == 0 || since > max(64<<10, snapshot/2); due != (r.Snapshot > 0) {
			t.Errorf("%d bytes since a snapshot of %d, the next has %d", since, snapshot, r.Snapshot)
		}
		if r.Snapshot > 0 {
			since, snapshot = 0, r.Snapshot
			snapshots++
		}
	}
	if snapshots < 2 || snapshots > 6 {
		t.Errorf("%d snapshots in 8 publications: nothing was tried", snapshots)
	}
}

// BenchmarkPublish is one publication of a venue of 20,000 who are all the
// platform's own: table, delta, deny list and repository. Every tenth was tested
// since the last.
func BenchmarkPublish(b *testing.B) {
	p := newPress(b, backend.PublisherOpts{})
	const people = 20_000
	tested := func(i int) {
		p.platform.SetPerson(backend.Person{
			Ref: fmt.Sprint(i), Name: "王小明", Number: fmt.Sprintf("%06d19000101000X", i),
			Colour: checkin.Green, NAT: checkin.Negative, Sampled: p.now,
		})
	}
	for i := range people {
		tested(i)
	}
	p.publish(0)
	round, sizes := 0, backend.ShardReport{}
	for b.Loop() {
		b.StopTimer()
		p.now = p.now.Add(4 * hour)
		for i := round % 10; i < people; i += 10 {
			tested(i)
		}
		round++
		b.StartTimer()
		sizes = p.publish(0)[0]
	}
	b.ReportMetric(float64(sizes.People), "people")
	b.ReportMetric(float64(sizes.Table), "table-B")
	b.ReportMetric(float64(sizes.Step), "delta-B")
}
