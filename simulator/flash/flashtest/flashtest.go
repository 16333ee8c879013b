// Package flashtest puts a card into a test.
package flashtest

import (
	"errors"
	"os"
	"testing"

	"github.com/digital-sentinel/sentinel/simulator/flash"
)

// Insert mounts a card on dir until the test ends. Where none can be had the
// test is skipped, with the reason; SENTINEL_NEED_FUSE=1 makes that a failure.
func Insert(t testing.TB, dir string, o flash.Opts) *flash.FS {
	t.Helper()
	card, err := flash.Mount(dir, o)
	if errors.Is(err, flash.ErrUnavailable) && os.Getenv("SENTINEL_NEED_FUSE") == "" {
		t.Skipf("skipped: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := card.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return card
}
