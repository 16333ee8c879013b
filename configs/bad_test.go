package configs_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/configs"
)

var update = flag.Bool("update", false, "write the files in testdata that tests compare with")

// TestBadFiles: what is said of each testdata/bad/*.yaml stands in the .want
// beside it, whole: a problem more, less or elsewhere is a difference.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, problems := configs.Parse(data, name+".yaml")
			if len(problems) == 0 {
				t.Fatal("no problem is found")
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".want", configs.Invalid(problems).Error()+"\n")
		})
	}
}

// golden compares got with the file at path, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got; go test ./configs -update writes it):\n%s", path, diff)
	}
}
