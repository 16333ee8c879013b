package credential_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
)

// vector is one file of testdata/codes. write.py beside them made them, which
// shares nothing with this program.
type vector struct {
	name string
	code string
	want checkin.Reason
	at   credential.Interval
	seen bool // it was used before
}

func vectors(t testing.TB) []vector {
	t.Helper()
	paths, err := filepath.Glob("testdata/codes/*.code")
	if err != nil || len(paths) < 100 {
		t.Fatalf("%d vectors, %v", len(paths), err)
	}
	var all []vector
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v := vector{name: strings.TrimSuffix(filepath.Base(path), ".code")}
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch {
			case strings.HasPrefix(line, "#"):
			case key == "expect":
				v.want = checkin.Reason(value)
			case key == "lo":
				v.at.Lo = moment(t, value)
			case key == "hi" && value != "unbounded":
				v.at.Hi = moment(t, value)
			case key == "seen":
				v.seen = true
			case key == "code":
				v.code = value
			}
		}
		all = append(all, v)
	}
	return all
}

func moment(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// known is what the vectors' kiosk knows.
func known(t testing.TB) *credential.Codes {
	t.Helper()
	keys, err := os.ReadFile("testdata/codes/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile("testdata/codes/revoked.json")
	if err != nil {
		t.Fatal(err)
	}
	codes := &credential.Codes{Venue: "v-1"}
	if codes.Issuers, err = credential.ParseIssuers(keys); err != nil {
		t.Fatal(err)
	}
	if codes.Revoked, err = credential.ParseRevocations(list); err != nil {
		t.Fatal(err)
	}
	return codes
}

func TestCodeVectors(t *testing.T) {
	codes := known(t)
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			var m credential.Memory
			r := codes.Open(v.code, v.at)
			if v.seen {
				first := r
				m.Use(&first, v.at.Lo)
			}
			m.Seen(&r)
			if r.Reason != v.want || r.Valid != (v.want == checkin.OK) {
				t.Errorf("Reason = %s, Valid = %v (%s), want %s", r.Reason, r.Valid, r.Detail, v.want)
			}
			t.Logf("%s: %s", r.Reason, r.Detail)
			if !r.Proven && (!r.Heard.IsZero() || r.Status.Known || r.Credential.Fault == "") {
				t.Errorf("what is not proven has an effect: heard %v, status known %v, fault %q", r.Heard, r.Status.Known, r.Credential.Fault)
			}
		})
	}
}
