package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/eventlog"
)

// eventKinds are those that --kind takes.
var eventKinds = []checkin.EventKind{
	checkin.KindVisit, checkin.KindPassage, checkin.KindWrong, checkin.KindRefusal, checkin.KindAssisted,
	checkin.KindOverride, checkin.KindCall, checkin.KindVehicle, checkin.KindGap,
}

// logFlags say which events are wanted, and how.
type logFlags struct {
	from, to, kind string
	json, counts   bool
}

func (c *command) log() *cobra.Command {
	f := new(logFlags)
	cmd := &cobra.Command{
		Use:   "log",
		Short: "what happened at this kiosk in the last half year, without who it was",
		Long: `log prints the event log in the state folder, the oldest first. It changes
nothing and may be asked while the kiosk runs. What still waits for the platform
is in the queue, and comes here when it is delivered: sentinel queue ls. No name,
number or code is in the log: who came is sealed to the authority, and not kept
here.

A time is 2026-11-24, "2026-11-24 08:30", both of this machine's zone, or RFC
3339. --from is in, --to is not. A time with a ? behind it was not believed when
the event happened; such an event is printed if it may have happened then.

--json prints one object a line, or one object with --counts.

Exit code 0: all of it was read; 1: some of it is damaged (said on standard
error, the rest is printed), or there is none.`,
		Example: "  sentinel log --from 2026-11-24 --kind visit\n  sentinel log --counts --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			events, err := f.events(filepath.Join(config.State, eventlog.Folder))
			if err != nil {
				return err
			}
			return c.printLog(f, events)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "the first time that is wanted")
	flags.StringVar(&f.to, "to", "", "the first time that is not")
	flags.StringVar(&f.kind, "kind", "", "one kind of event only: "+kindList())
	flags.BoolVar(&f.json, "json", false, "print JSON")
	flags.BoolVar(&f.counts, "counts", false, "print how many of what, and no events")
	return cmd
}

// events are those that f asks for.
func (f *logFlags) events(dir string) (iter.Seq2[checkin.Event, error], error) {
	from, ferr := parseTime("--from", f.from)
	to, terr := parseTime("--to", f.to)
	if err := errors.Join(ferr, terr); err != nil {
		return nil, err
	}
	kind := checkin.EventKind(f.kind)
	if f.kind != "" && !slices.Contains(eventKinds, kind) {
		return nil, &usageError{fmt.Errorf("--kind: there is no %q; there are %s", f.kind, kindList())}
	}
	return func(yield func(checkin.Event, error) bool) {
		for e, err := range eventlog.Read(dir, from, to) {
			if (err != nil || kind == "" || e.Kind == kind) && !yield(e, err) {
				return
			}
		}
	}, nil
}

// printLog prints events as they are read: a year of them is never in memory.
func (c *command) printLog(f *logFlags, events iter.Seq2[checkin.Event, error]) error {
	failed, total, counts := false, 0, map[eventCount]int{}
	for e, err := range events {
		var damage *eventlog.Damage
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("no event log is here yet: %w", err)
		case errors.As(err, &damage):
			fmt.Fprintln(c.env.Stderr, "sentinel:", damage)
			failed = true
			continue
		case err != nil:
			return err
		}
		total++
		switch {
		case f.counts:
			counts[countOf(&e)]++
		case f.json:
			err = json.NewEncoder(c.env.Stdout).Encode(&e)
		default:
			c.printEvent(&e, total == 1)
		}
		if err != nil {
			return err
		}
	}
	var err error
	if f.counts {
		err = c.printCounts(f.json, total, counts)
	}
	if err == nil && failed {
		return errFailed
	}
	return err
}

// printEvent prints one line, and for the first event the heading.
func (c *command) printEvent(e *checkin.Event, first bool) {
	const columns = "%-20s %-9s %-8s %-22s %-9s %s\n"
	if first {
		c.printf(columns, "time", "kind", "outcome", "reason", "mode", "visit")
	}
	at := e.At.Wall.Local().Format(time.DateTime)
	if !e.At.Trusted {
		at += "?"
	}
	n, mode := countOf(e), ""
	if e.Verdict != nil {
		mode = string(e.Verdict.Mode)
	}
	c.printf(columns, at, printable(string(e.Kind)), printable(n.Outcome), printable(n.Reason), printable(mode), printable(cmp.Or(e.Visit, e.UUID)))
}

// eventCount is how many events were alike.
type eventCount struct {
	Kind    string `json:"kind"`
	Outcome string `json:"outcome,omitempty"` // of a passage: what became of it
	Reason  string `json:"reason,omitempty"`
	Events  int    `json:"events"`
}

// countOf is what e is counted under.
func countOf(e *checkin.Event) eventCount {
	n := eventCount{Kind: string(e.Kind), Outcome: string(e.Passage), Reason: e.Override}
	if e.Verdict != nil {
		n.Outcome, n.Reason = string(e.Verdict.Outcome), string(e.Verdict.Reason)
	}
	return n
}

func (c *command) printCounts(asJSON bool, total int, counts map[eventCount]int) error {
	all := slices.SortedFunc(maps.Keys(counts), func(a, b eventCount) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(counts[b], counts[a]),
			cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason))
	})
	rows := [][]string{{"events", "kind", "outcome", "reason"}}
	for i, n := range all {
		all[i].Events = counts[n]
		rows = append(rows, []string{strconv.Itoa(counts[n]), printable(n.Kind), printable(n.Outcome), printable(n.Reason)})
	}
	if asJSON {
		return printJSON(c, struct {
			Events int          `json:"events"`
			Counts []eventCount `json:"counts"`
		}{total, append([]eventCount{}, all...)})
	}
	rows = append(rows, []string{strconv.Itoa(total), "all"})
	for i := range rows {
		rows[i] = append(rows[i], make([]string, 4-len(rows[i]))...)
	}
	c.printf("%s", table(rows, []int{12, 20, 20, 40}))
	return nil
}

// parseTime reads a time that a person has typed; nothing is no time.
func parseTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, &usageError{fmt.Errorf("%s: %q is no time; write 2026-11-24, \"2026-11-24 08:30\" or RFC 3339", flag, text)}
	}
	return t, nil
}

func kindList() string {
	var names []string
	for _, k := range eventKinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}
