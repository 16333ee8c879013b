package backend_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// TestAnOperatorAsksARunningPlatform over its socket, and hears the same as
// from the file when nobody runs.
func TestAnOperatorAsksARunningPlatform(t *testing.T) {
	dir, err := os.MkdirTemp("", "desk") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	spec := "bolt:" + filepath.Join(dir, "p.db")
	s := open(t, spec)
	keep(t, s, "", made("k-1", 0, 1200)...)
	if err := os.WriteFile(backend.Socket(spec), []byte("left behind"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- backend.ServeOperator(ctx, backend.StoreDesk{Store: s}, backend.Socket(spec)) }()
	answers := func() (rows []checkin.Record, shown []backend.Shown) {
		t.Helper()
		d := desk(t, spec)
		defer d.Close()
		q := backend.Question{Window: backend.Window{Venue: "v-1", From: morning, To: morning.Add(10 * time.Minute)}, By: "tester", Why: "case 7"}
		n, err := d.Who(t.Context(), q, func(r checkin.Record) error {
			rows = append(rows, r)
			return nil
		})
		if err != nil || n != len(rows) {
			t.Fatalf("Who() = %d, %v with %d rows", n, err, len(rows))
		}
		if shown, err = d.Tallies(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Who(t.Context(), backend.Question{}, nil); err == nil || !strings.Contains(err.Error(), "who asks is missing") {
			t.Errorf("a question of nobody gives %v", err)
		}
		if _, err := d.Who(t.Context(), q, func(checkin.Record) error { return context.Canceled }); !errors.Is(err, context.Canceled) {
			t.Errorf("who breaks off hears %v", err)
		}
		return rows, shown
	}
	rows, shown := answers()
	fi, err := os.Stat(backend.Socket(spec))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", fi.Mode(), err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := backend.OpenDesk(spec); !errors.Is(err, backend.ErrLocked) || !strings.Contains(err.Error(), "stop it") {
		t.Errorf("a platform without a socket gives %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	rows2, shown2 := answers()
	if diff := cmp.Diff(rows, rows2) + cmp.Diff(shown, shown2); diff != "" || len(rows) != 600 || len(shown) != 1 {
		t.Errorf("%d rows, %d counts, by socket and by file (-socket +file):\n%s", len(rows), len(shown), diff)
	}
	d := desk(t, spec)
	defer d.Close()
	var whats []string
	last, err := d.Audit(t.Context(), func(e backend.Entry) error {
		whats = append(whats, strings.Fields(e.What)[0])
		return nil
	})
	if diff := cmp.Diff([]string{"who", "counts", "who", "who", "counts", "who"}, whats); diff != "" || err != nil || last.Seq != 6 {
		t.Errorf("Audit() = %+v, %v (-want +got):\n%s", last, err, diff)
	}
}

// desk opens a desk, over the socket as soon as that is there.
func desk(t *testing.T, spec string) backend.Desk {
	t.Helper()
	for {
		d, err := backend.OpenDesk(spec)
		if err == nil {
			return d
		}
		if !errors.Is(err, backend.ErrLocked) || t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestNobodyAnswersFromAnEmptyStore that the question itself would have made.
func TestNobodyAnswersFromAnEmptyStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "typo.db")
	for _, spec := range []string{"bolt:" + path, "memory", "bolt:"} {
		if d, err := backend.OpenDesk(spec); err == nil {
			_ = d.Close()
			t.Errorf("%q is opened", spec)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a question has made a store")
	}
}
