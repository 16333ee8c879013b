package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/durable"
	"github.com/digital-sentinel/sentinel/simulator/flash"
	"github.com/digital-sentinel/sentinel/simulator/flash/flashtest"
)

// TestWrittenIsThere cuts the power right after a file was written, made or
// replaced, on a card that forgets what was not synced.
func TestWrittenIsThere(t *testing.T) {
	card := flashtest.Insert(t, t.TempDir(), flash.Opts{})
	path := filepath.Join(card.Dir(), "a")
	for seed := range uint64(20) {
		want := string(rune('a' + seed))
		if err := durable.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		card.Cut(seed)
		card.Restore()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Fatalf("seed %d: after the cut there is %q, %v, want %q", seed, got, err, want)
		}
	}
}

// TestCutWhileWriting cuts at every step: what is there is the one or the other.
func TestCutWhileWriting(t *testing.T) {
	card := flashtest.Insert(t, t.TempDir(), flash.Opts{})
	path := filepath.Join(card.Dir(), "a")
	if err := durable.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		card.CutAfter(n, uint64(n))
		err := durable.WriteFile(path, []byte("new"), 0o600)
		card.Restore()
		if got, rerr := os.ReadFile(path); rerr != nil || string(got) != "old" && string(got) != "new" {
			t.Fatalf("cut at change %d: %q, %v", n, got, rerr)
		}
		if err == nil {
			if n < 5 {
				t.Errorf("only %d changes were cut", n-1)
			}
			return
		}
	}
}
