package crowd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/simulator/crowd"
)

// A small crowd comes back at once, some answers are lost, and people go on
// coming meanwhile: the store has every record once.
func TestEveryRecordArrivesOnce(t *testing.T) {
	for _, store := range []string{"memory", "bolt"} {
		t.Run(store, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			r, err := crowd.Run(t.Context(), crowd.Opts{
				Kiosks: 20, Records: 50, Live: 300 * time.Millisecond, Twice: 0.5, Spread: time.Second, Store: store,
			})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Once() || r.Drained != 20*50 || r.Left != 0 {
				t.Errorf("%+v, want 1000 records drained, none left, each once", r)
			}
			if r.Again == 0 || r.Again < r.Repeated || r.Live == 0 || r.Handshakes < 20 {
				t.Errorf("%+v: nothing was repeated, nobody came, or kiosks shared a connection", r)
			}
			if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
				t.Errorf("%v is left behind", left)
			}
		})
	}
}

func TestACrowdThatIsToldToEnd(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ended := errors.New("told to end")
	ctx, cancel := context.WithCancelCause(t.Context())
	told := crowd.Opts{Kiosks: 2, Records: 100_000, Store: "memory", Told: func(crowd.Progress) { cancel(ended) }}
	_, err := crowd.Run(ctx, told)
	if !errors.Is(err, ended) {
		t.Errorf("%v, want the cause", err)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		t.Errorf("%v is left behind", left)
	}
}

// A store of another crowd would make this one's records look doubled.
func TestACrowdWantsAnEmptyStore(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	o := crowd.Opts{Kiosks: 1, Records: 1, Store: "bolt:" + filepath.Join(t.TempDir(), "platform.db")}
	if r, err := crowd.Run(t.Context(), o); err != nil || !r.Once() {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := crowd.Run(t.Context(), o); err == nil {
		t.Error("a store with records was taken")
	}
}

func TestACleanUpload(t *testing.T) {
	r, err := crowd.Upload(t.Context(), crowd.Opts{Kiosks: 4, Batch: 10, Twice: 0.5, Store: "memory", For: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Once() || r.Drained == 0 || r.Again != r.Repeated {
		t.Errorf("%+v, want some records, each once, and every repetition recognised", r)
	}
}

// When the time is up, what waits is still on the kiosks, and none of it counts
// as lost.
func TestACrowdWhoseTimeIsUp(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r, err := crowd.Run(t.Context(), crowd.Opts{Kiosks: 2, Records: 10, Store: "memory", Spread: 1000 * time.Hour, For: time.Millisecond})
	if !errors.Is(err, crowd.ErrTime) {
		t.Errorf("%v, want %v", err, crowd.ErrTime)
	}
	if r.Left != 20 || r.Drained != 0 || !r.Once() {
		t.Errorf("%+v, want 20 left, none drained, none lost", r)
	}
}
