package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/eventlog"
)

// logged makes a kiosk's folder with a few events in its log, one of them
// damaged, and returns its configuration.
func logged(t *testing.T) string {
	t.Helper()
	config := installed(t)
	dir := filepath.Join(filepath.Dir(config), "s", eventlog.Folder)
	now := func() checkin.Stamp { return checkin.Stamp{Wall: eight, Trusted: true} }
	l, err := eventlog.Open(eventlog.Opts{Dir: dir, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range []checkin.Event{
		{Kind: checkin.KindVisit, Verdict: &checkin.Decision{Outcome: checkin.Granted, Reason: checkin.OK, Mode: checkin.ModeOnline}},
		{Kind: checkin.KindPassage, Visit: "u-0", Passage: checkin.Taken},
		{Kind: checkin.KindVisit, Verdict: &checkin.Decision{Outcome: checkin.Refused, Reason: checkin.CodeRed, Mode: checkin.ModeOnline}},
		{Kind: checkin.KindVisit, Verdict: &checkin.Decision{Outcome: checkin.Granted, Reason: checkin.OK, Mode: checkin.ModeCached}},
		{Kind: checkin.KindCall, Visit: "to be bent"},
	} {
		e.Version, e.ID = checkin.EventVersion, checkin.ID{Device: "k-1", Epoch: "e", Seq: uint64(i)}
		e.UUID, e.At = "u-"+string(rune('0'+i)), checkin.Stamp{Wall: eight.Add(time.Duration(i) * time.Hour), Trusted: i != 2}
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, l.Stats().File)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(data, []byte("to be bent"), []byte("to be Bent"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// eight is a morning in this machine's zone.
var eight = time.Date(2026, 11, 24, 8, 0, 0, 0, time.Local)

func TestLog(t *testing.T) {
	config := logged(t)
	for _, tt := range []struct {
		name, args string
		exit       int
		stdout     string // each line is a pattern of one line
		stderr     string
	}{
		{"all", "", 1, `time +kind +outcome +reason +mode +visit
2026-11-24 08:00:00  visit     granted  ok                     online    u-0
2026-11-24 09:00:00  passage   taken                                     u-0
2026-11-24 10:00:00\? visit     refused  code-red               online    u-2
2026-11-24 11:00:00  visit     granted  ok                     cached    u-3`,
			`sentinel: events-000001-2026-11.log line 5 is damaged: its checksum is wrong`},
		{"a kind", "--kind visit --to 2026-11-24T08:30:00" + eight.Format("Z07:00"), 1, "time.*\n.*08:00:00  visit.*", "damaged"},
		{"from a time on", "--from 2026-11-24T10:30:00" + eight.Format("Z07:00"), 1, "time.*\n.*10:00:00\\? visit.*\n.*11:00:00  visit.*", "damaged"},
		{"json", "--json --kind passage", 1, `{"v":2,"id":{"device":"k-1","epoch":"e","seq":1},"uuid":"u-1","kind":"passage".*`, "damaged"},
		{"counts", "--counts", 1, `events +kind +outcome +reason
1 +passage +taken
2 +visit +granted +ok
1 +visit +refused +code-red
4 +all`, "damaged"},
		{"none", "--from 2027-01-01 --counts", 1, "events +kind +outcome +reason\n0 +all", "damaged"},
		{"no such kind", "--kind person", 2, "", `--kind: there is no "person"; there are visit, passage, wrong`},
		{"no time", "--from noon", 2, "", `--from: "noon" is no time`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			env := Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }}
			exit := Run(t.Context(), append([]string{"log", "-c", config}, strings.Fields(tt.args)...), env)
			if exit != tt.exit || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("it ends with %d and says %q", exit, stderr.String())
			}
			if !regexp.MustCompile(`^` + tt.stdout + `\n?$`).MatchString(stdout.String()) {
				t.Errorf("it prints\n%s", cmp.Diff(tt.stdout, stdout.String()))
			}
		})
	}
}

func TestLogOfNothing(t *testing.T) {
	var out bytes.Buffer
	if exit := Run(t.Context(), []string{"log", "-c", installed(t)}, quiet(&out)); exit != 1 || !strings.Contains(out.String(), "no event log is here yet") {
		t.Errorf("it ends with %d: %s", exit, out.String())
	}
}
