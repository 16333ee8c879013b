package backend_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

var morning = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// stores runs f with each kind of store. again closes a store and opens it
// anew, where it outlives its program.
func stores(t *testing.T, f func(t *testing.T, s backend.Store, again func() backend.Store)) {
	t.Run("memory", func(t *testing.T) {
		m := backend.NewMemory()
		f(t, m, func() backend.Store { return m })
	})
	t.Run("bolt", func(t *testing.T) {
		spec := "bolt:" + filepath.Join(t.TempDir(), "platform.db")
		s := open(t, spec)
		defer func() { _ = s.Close() }()
		f(t, s, func() backend.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, spec)
			return s
		})
	})
}

func open(t testing.TB, spec string) backend.Store {
	t.Helper()
	s, err := backend.OpenStore(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keep brings records, and gives what became of them.
func keep(t testing.TB, s backend.Keeper, box string, records ...checkin.Record) []backend.Outcome {
	t.Helper()
	got, err := s.Keep(t.Context(), backend.Batch{Box: box, Received: morning, Records: records})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func count(t testing.TB, s backend.Keeper, box string) backend.Counts {
	t.Helper()
	c, err := s.Count(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// list gives what a box holds, in the order in which it came.
func list(t testing.TB, s backend.Keeper, box string) (records []checkin.Record) {
	t.Helper()
	err := s.Records(t.Context(), box, func(r checkin.Record) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// at is a visit with a trusted time.
func at(seq uint64, when time.Time) checkin.Record {
	r := visit(seq)
	r.Event.At = checkin.Stamp{Wall: when, Trusted: true}
	return r
}

// TestAStoreTakesEachIdentityOnce, in every box by itself, and answers the same
// after a restart.
func TestAStoreTakesEachIdentityOnce(t *testing.T) {
	stores(t, func(t *testing.T, s backend.Store, again func() backend.Store) {
		other := visit(1)
		other.Event.Lane = "2"
		another, report := visit(1), refusal(1)
		another.Event.UUID, report.Event.Visit = "another event", "another visit"
		epoch, device := visit(1), visit(1)
		epoch.Event.ID.Epoch, epoch.Event.UUID = "f", "another epoch"
		device.Event.ID.Device, device.Event.UUID = "k-", "another device"
		device.Event.ID.Epoch = "1e" // k-1 e, run together
		steps := []struct {
			box     string
			records []checkin.Record
			want    []backend.Outcome
		}{
			{"", []checkin.Record{visit(1), visit(2), visit(1)}, []backend.Outcome{backend.Kept, backend.Kept, backend.Repeated}},
			{"", []checkin.Record{visit(2), visit(3)}, []backend.Outcome{backend.Repeated, backend.Kept}},
			{"", []checkin.Record{epoch, device}, []backend.Outcome{backend.Kept, backend.Kept}},
			{"cdc", []checkin.Record{refusal(1)}, []backend.Outcome{backend.Kept}},
			{"trade", []checkin.Record{refusal(1)}, []backend.Outcome{backend.Kept}},
			{"", []checkin.Record{other}, []backend.Outcome{backend.Altered}},
			{"", []checkin.Record{another}, []backend.Outcome{backend.Conflict}},
			{"cdc", []checkin.Record{report}, []backend.Outcome{backend.Conflict}},
		}
		want := func(i int, o backend.Outcome) bool {
			if last := steps[i].want[0]; last == backend.Altered || last == backend.Conflict {
				return o == last
			}
			return o == backend.Repeated
		}
		for i, step := range steps {
			if diff := cmp.Diff(step.want, keep(t, s, step.box, step.records...)); diff != "" {
				t.Errorf("step %d (-want +got):\n%s", i, diff)
			}
		}
		s = again()
		for i, step := range steps {
			for j, o := range keep(t, s, step.box, step.records...) {
				if !want(i, o) {
					t.Errorf("step %d, record %d, after a restart: %v", i, j, o)
				}
			}
		}
		for box, want := range map[string]backend.Counts{
			backend.Checkins: {Records: 5, Visits: 5, Again: 2 + 8 + 1, Conflicts: 4},
			"cdc":            {Records: 1, Visits: 1, Again: 1, Conflicts: 2}, "trade": {Records: 1, Visits: 1, Again: 1},
		} {
			if got := count(t, s, box); got != want {
				t.Errorf("%q counts %+v, want %+v", box, got, want)
			}
		}
		var lanes []string
		err := s.Records(t.Context(), "", func(r checkin.Record) error {
			lanes = append(lanes, r.Event.Lane)
			return nil
		})
		if diff := cmp.Diff([]string{"1", "1", "1", "1", "1"}, lanes); diff != "" || err != nil {
			t.Errorf("the first record does not stay: %v (-want +got):\n%s", err, diff)
		}
	})
}

func trailOf(t testing.TB, s backend.Auditor) []backend.Entry {
	t.Helper()
	var list []backend.Entry
	_, err := backend.VerifyTrail(t.Context(), s, func(e backend.Entry) error {
		list = append(list, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestManySendersAtTheSameTime, a fifth of the batches twice: each record once.
func TestManySendersAtTheSameTime(t *testing.T) {
	stores(t, func(t *testing.T, s backend.Store, again func() backend.Store) {
		const senders, batches, size = 16, 10, 20
		var all sync.WaitGroup
		var kept atomic.Int64
		for sender := range senders {
			all.Go(func() {
				for n := range batches {
					batch := made(fmt.Sprintf("k-%d", sender), n*size, size)
					for range 1 + min(1, rand.IntN(5)/4) {
						for _, o := range keep(t, s, "", batch...) {
							if o == backend.Kept {
								kept.Add(1)
							}
						}
					}
				}
			})
		}
		all.Wait()
		const want = senders * batches * size
		if c := count(t, again(), ""); c.Records != want || c.Visits != want || c.Duplicate != 0 || kept.Load() != want {
			t.Errorf("%v, %d were answered as new, want %d", c, kept.Load(), want)
		}
	})
}

// made makes visits of a kiosk.
func made(device string, from, n int) []checkin.Record {
	records := make([]checkin.Record, n)
	for i := range records {
		r := at(uint64(from+i+1), morning.Add(time.Duration(i)*time.Second))
		r.Event.ID.Device = device
		r.Event.UUID = r.Event.ID.String()
		records[i] = r
	}
	return records
}

// TestWhoWasThere: by venue and time, the sealed identity only, and the
// question stands in the trail.
func TestWhoWasThere(t *testing.T) {
	stores(t, func(t *testing.T, s backend.Store, again func() backend.Store) {
		elsewhere := at(4, morning.Add(time.Minute))
		elsewhere.Event.Venue = "v-2"
		unsure := at(5, time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC))
		unsure.Event.At.Trusted = false // received at 8
		before := at(6, morning.Add(-time.Millisecond))
		passage := at(7, morning.Add(time.Minute))
		passage.Event.Kind, passage.Identity, passage.Event.Verdict = checkin.KindPassage, nil, nil
		report := refusal(8)
		report.Event.At = checkin.Stamp{Wall: morning, Trusted: true}
		keep(t, s, "", at(3, morning.Add(59*time.Minute)), at(1, morning), at(2, morning.Add(time.Hour)), elsewhere, unsure, before, passage, report)
		keep(t, s, "", at(1, morning))
		s = again()
		q := backend.Question{Window: backend.Window{Venue: "v-1", From: morning, To: morning.Add(time.Hour)}, By: "tester", Why: "case 7"}
		var seqs []uint64
		rows, err := backend.Who(t.Context(), s, q, func(r checkin.Record) error {
			seqs = append(seqs, r.Event.ID.Seq)
			if !strings.HasPrefix(string(r.Identity), "age-encryption.org/v1\n") || r.KeyID != "k" {
				t.Errorf("record %v has no sealed identity", r.Event.ID)
			}
			return nil
		})
		if diff := cmp.Diff([]uint64{1, 5, 3}, seqs); diff != "" || err != nil || rows != 3 {
			t.Errorf("Who() = %d, %v (-want +got):\n%s", rows, err, diff)
		}
		trail := trailOf(t, s)
		if len(trail) != 1 || trail[0].By != "tester" || trail[0].Why != "case 7" || trail[0].Rows != 3 || !strings.Contains(trail[0].What, `who at "v-1"`) {
			t.Errorf("the trail is %+v", trail)
		}
		q.Venue = "nowhere"
		if rows, err := backend.Who(t.Context(), s, q, nil); rows != 0 || err != nil || len(trailOf(t, s)) != 2 {
			t.Errorf("nobody gives %d, %v", rows, err)
		}
	})
}

// TestQuestionsThatAreNone are neither answered nor written down.
func TestQuestionsThatAreNone(t *testing.T) {
	good := backend.Question{Window: backend.Window{Venue: "v-1", From: morning, To: morning.Add(time.Hour)}, By: "tester", Why: "case 7"}
	s := backend.NewMemory()
	for name, spoil := range map[string]func(*backend.Question){
		"nobody asks":      func(q *backend.Question) { q.By = " " },
		"no reason":        func(q *backend.Question) { q.Why = "" },
		"a long reason":    func(q *backend.Question) { q.Why = strings.Repeat("x", 201) },
		"a second line":    func(q *backend.Question) { q.By = "a\nb" },
		"no venue":         func(q *backend.Question) { q.Venue = "" },
		"no begin":         func(q *backend.Question) { q.From = time.Time{} },
		"ends as it began": func(q *backend.Question) { q.To = q.From },
	} {
		q := good
		spoil(&q)
		_, who := backend.Who(t.Context(), s, q, nil)
		_, counts := backend.Tallies(t.Context(), s, q)
		if who == nil || counts == nil {
			t.Errorf("%s: %v, %v, want errors", name, who, counts)
		}
	}
	if n := len(trailOf(t, s)); n != 0 {
		t.Errorf("%d questions are written down", n)
	}
}

// TestCountsHideTheFew, and have nobody's identity.
func TestCountsHideTheFew(t *testing.T) {
	stores(t, func(t *testing.T, s backend.Store, again func() backend.Store) {
		var all []checkin.Record
		for seq := range uint64(17) {
			r := at(seq+1, morning.Add(time.Duration(seq)*time.Minute))
			if seq >= 7 {
				r.Event.At.Wall = r.Event.At.Wall.Add(time.Hour)
			}
			if seq >= 12 {
				r.Event.Verdict = &checkin.Decision{Outcome: checkin.Refused}
			}
			if seq == 16 {
				r.Event.Kind, r.Event.Lane = checkin.KindAssisted, "2"
			}
			all = append(all, r)
		}
		keep(t, s, "", all[:10]...)
		keep(t, s, "", all...)
		got, err := backend.Tallies(t.Context(), again(), backend.Question{
			Window: backend.Window{Venue: "v-1", From: morning.Add(30 * time.Minute), To: morning.Add(61 * time.Minute)}, By: "manager", Why: "staffing",
		})
		later := morning.Add(time.Hour)
		want := []backend.Shown{
			{Hour: morning, Lane: "1", Verdict: "granted", Visits: "7"},
			{Hour: later, Lane: "1", Verdict: "granted", Visits: "5"},
			{Hour: later, Lane: "1", Verdict: "refused", Visits: "<5"},
			{Hour: later, Lane: "2", Verdict: "assisted/refused", Visits: "<5"},
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Tallies() = %v (-want +got):\n%s", err, diff)
		}
	})
}

// TestAFailedCommitStopsTheStore: nothing is written behind it, whoever asks,
// and the kiosk is told to come again.
func TestAFailedCommitStopsTheStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "platform.db")
	var disk *os.File
	s, err := backend.OpenBoltWith(path, func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		disk = f
		return f, err
	})
	if err != nil {
		t.Fatal(err)
	}
	keep(t, s, "", visit(1))
	// From now on every write fails, as a broken card's does.
	readonly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer readonly.Close()
	working, err := syscall.Dup(int(disk.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Dup3(int(readonly.Fd()), int(disk.Fd()), syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	_, err = s.Keep(t.Context(), backend.Batch{Received: morning, Records: []checkin.Record{visit(2)}})
	if !errors.Is(err, backend.ErrStopped) || !errors.Is(s.Err(), backend.ErrStopped) {
		t.Fatalf("a failed commit gives %v", err)
	}
	select {
	case <-s.Failed():
	default:
		t.Error("Failed() is not closed")
	}
	// The disk is well again, and the store stays stopped.
	if err := syscall.Dup3(working, int(disk.Fd()), syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Close(working)
	if _, err := s.Keep(t.Context(), backend.Batch{Received: morning, Records: []checkin.Record{visit(3)}}); !errors.Is(err, backend.ErrStopped) {
		t.Errorf("after a failed commit: %v", err)
	}
	if _, err := s.Note(t.Context(), backend.Entry{}); !errors.Is(err, backend.ErrStopped) {
		t.Errorf("a note after a failed commit: %v", err)
	}
	p := backend.New(backend.Opts{Now: time.Now, Store: s})
	w := post(p.Handler(), "/v1/checkins", visit(4))
	if w.Code != 503 || w.Header().Get("Retry-After") != "30" {
		t.Errorf("the platform answers %d %v, want 503", w.Code, w.Header())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, "bolt:"+path)
	defer again.Close()
	if c := count(t, again, ""); c.Records != 1 {
		t.Errorf("%v behind a failed commit, want the first record", c)
	}
	keep(t, again, "", visit(2))
}

// TestStoresThatCannotBeOpened say why, and what to do.
func TestStoresThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	held := open(t, "bolt:"+filepath.Join(dir, "held.db"))
	defer held.Close()
	if _, err := backend.OpenStore("bolt:" + filepath.Join(dir, "held.db")); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("a held store gives %v, want ErrLocked", err)
	}
	foreign := filepath.Join(dir, "foreign.db")
	db, err := bbolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	for _, spec := range []string{"bolt:" + foreign, "bolt:", "postgres:x", "", "bolt:" + filepath.Join(dir, "no", "folder.db")} {
		if s, err := backend.OpenStore(spec); err == nil {
			_ = s.Close()
			t.Errorf("%q is opened", spec)
		}
	}
	// What a cut of the power has left of a first start.
	path := filepath.Join(dir, "cut.db")
	if err := os.WriteFile(path+".new", []byte("half a page"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, "bolt:"+path)
	keep(t, s, "", visit(1))
	_ = s.Close()
	if _, err := s.Keep(t.Context(), backend.Batch{Records: []checkin.Record{visit(2)}}); err == nil {
		t.Error("a closed store takes records")
	}
}

// TestABadBatchSpoilsNoOther that shares its commit.
func TestABadBatchSpoilsNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "platform.db")
	_ = open(t, "bolt:"+path).Close()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("boxes")).Put([]byte("rbent"), []byte("no bucket")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := open(t, "bolt:"+path)
	defer s.Close()
	bad := backend.Batch{Box: "bent", Received: morning, Records: []checkin.Record{refusal(1)}}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if i%5 == 0 {
				if _, err := s.Keep(context.Background(), bad); err == nil || errors.Is(err, backend.ErrStopped) {
					t.Errorf("a box that cannot be made gives %v", err)
				}
				return
			}
			keep(t, s, "", made("k-1", i*10, 10)...)
		})
	}
	all.Wait()
	if c := count(t, s, ""); c.Records != 400 {
		t.Errorf("%v, want 400", c)
	}
}

// TestADamagedRecordIsLeftOut and told; the others are given.
func TestADamagedRecordIsLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "platform.db")
	s := open(t, "bolt:"+path)
	keep(t, s, "", at(1, morning), at(2, morning), at(3, morning))
	_ = s.Close()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		records := tx.Bucket([]byte("boxes")).Bucket([]byte("r")).Bucket([]byte("records"))
		key := []byte{0, 0, 0, 0, 0, 0, 0, 2}
		bent := append([]byte{}, records.Get(key)...)
		bent[100] ^= 4
		return records.Put(key, bent)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, "bolt:"+path)
	defer s.Close()
	var seqs []uint64
	rows, err := backend.Who(t.Context(), s, backend.Question{
		Window: backend.Window{Venue: "v-1", From: morning, To: morning.Add(time.Hour)}, By: "tester", Why: "case 7",
	}, func(r checkin.Record) error {
		seqs = append(seqs, r.Event.ID.Seq)
		return nil
	})
	if diff := cmp.Diff([]uint64{1, 3}, seqs); diff != "" || rows != 3 || err == nil || !strings.Contains(err.Error(), "1 of 3 were left out") {
		t.Errorf("Who() = %d, %v (-want +got):\n%s", rows, err, diff)
	}
	if _, err := s.Count(t.Context(), ""); err == nil {
		t.Error("a damaged record is counted")
	}
	if got := keep(t, s, "", at(2, morning)); got[0] != backend.Repeated {
		t.Errorf("the index has forgotten a damaged record: %v", got)
	}
}
