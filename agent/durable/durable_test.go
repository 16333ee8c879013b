package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/durable"
)

func TestFilesAreReplacedWholeAndRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, want := range []string{"one", "another"} {
		if err := durable.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); string(got) != want || err != nil {
			t.Errorf("the file holds %q, %v, want %q", got, err, want)
		}
	}
	for range 2 { // the second time it is not there
		if err := durable.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := os.ReadDir(filepath.Dir(path)); len(list) != 0 || err != nil {
		t.Errorf("the folder holds %v, %v, want nothing", list, err)
	}
	if err := durable.WriteFile(filepath.Join(path, "x"), nil, 0o600); err == nil {
		t.Error("a file was written into a folder that is not there")
	}
}
