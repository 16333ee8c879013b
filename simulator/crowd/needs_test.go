package crowd

import (
	"strings"
	"testing"
)

func TestACrowdSaysWhatItNeeds(t *testing.T) {
	for _, tt := range []struct {
		name          string
		kiosks, limit int
		want          string // of the error; empty: none
	}{
		{"room enough", 500, 20_000, ""},
		{"exactly enough", 100, 928, ""},
		{"one too few", 100, 927, "ulimit -n 928"},
		{"how many could be", 500, 1024, "at most 112 kiosks"},
		{"none could be", 1, 64, "at most 0 kiosks"},
	} {
		err := enough(tt.kiosks, tt.limit)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// What is counted at the store is found by these names.
func TestUUIDsAreReadBack(t *testing.T) {
	for _, tt := range []struct{ kiosk, n int }{{0, 0}, {7, 12}, {99_999, 1_200_000}} {
		kiosk, n, err := parseUUID(uuid(tt.kiosk, tt.n))
		if err != nil || kiosk != tt.kiosk || n != tt.n {
			t.Errorf("%v is read as %d, %d, %v", tt, kiosk, n, err)
		}
	}
	for _, s := range []string{"", strings.Repeat("x", 36), "ffffffff-0000-7000-8000-000000000000"} {
		if _, _, err := parseUUID(s); err == nil {
			t.Errorf("%q is read", s)
		}
	}
}
