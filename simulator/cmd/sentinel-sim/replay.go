package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/configs/policies"
	"github.com/digital-sentinel/sentinel/simulator"
)

func replayCommand() *cobra.Command {
	o := simulator.ReplayOpts{}
	class, at, asJSON := "", "", false
	cmd := &cobra.Command{
		Use:   "replay POLICY…",
		Short: "decide one simulated crowd under several policies, and count what changes",
		Long: `replay draws one crowd and decides each person under each policy, at the
policy's own date: a day after the first date that its rules name, and now if
they name none. A policy is a file or the name of a shipped one:
` + strings.Join(policies.Names(), ", ") + `.

People bring their ages with them: who was tested 30 hours before he comes was
so under every policy. Counted is the machine's own verdict, as the lane makes
it; what a guard then does is not in it. What the crowd is made of is printed
first, and is an assumption throughout. The same seed gives the same counts.`,
		Example: "  sentinel-sim replay shanghai-2022-05 shanghai-2022-08 shanghai-2022-12\n  sentinel-sim replay --people 100000 --at 2022-06-02 mine.yaml public-place",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := checkPeople(o.People); err != nil {
				return err
			}
			if o.Class = checkin.VenueClass(class); !slices.Contains(checkin.VenueClasses(), o.Class) {
				return fmt.Errorf("--class is one of %v, not %q", checkin.VenueClasses(), class)
			}
			var err error
			if o.At, err = date(at); err != nil {
				return err
			}
			o.Now = time.Now().Truncate(time.Minute)
			var list []*checkin.Policy
			for _, name := range names {
				p, err := simulator.LoadPolicy(name)
				if err != nil {
					return err
				}
				list = append(list, p)
			}
			r := simulator.Replay(list, o)
			if asJSON {
				return indented(cmd.OutOrStdout()).Encode(r)
			}
			return printReplay(cmd.OutOrStdout(), r)
		},
	}
	cmd.Flags().IntVar(&o.People, "people", 20_000, "how many people come")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "which crowd")
	cmd.Flags().StringVar(&class, "class", "office", "venue class")
	cmd.Flags().StringVar(&at, "at", "", "when they come, a day (in China) or RFC 3339; default: each policy's own date")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// date reads a day, which begins at 00:00 in China, or a full time.
func date(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, china); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("--at %q is no day like 2022-06-02 and no time like 2022-06-02T08:00:00+08:00", s)
	}
	return t, nil
}

var china = time.FixedZone("", 8*60*60)

func printReplay(out io.Writer, r *simulator.ReplayReport) error {
	fmt.Fprintf(out, "%d people, seed %d, at a venue of class %s. What they are made of is\nassumed, by us; nobody has counted it:\n\n%s\n",
		r.People, r.Seed, r.Class, assumptions(r.Assumptions, false))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "policy\tversion\tat\tgranted\trefused\tmanual")
	for _, p := range r.Policies {
		fmt.Fprintf(w, "%s\t%d\t%s", p.ID, p.Version, p.At.In(china).Format("2006-01-02 15:04"))
		for _, o := range []checkin.Outcome{checkin.Granted, checkin.Refused, checkin.Manual} {
			fmt.Fprintf(w, "\t%d (%s)", p.Outcomes[o], share(p.Outcomes[o], r.People))
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := printReasons(out, r.Policies); err != nil {
		return err
	}
	for _, c := range r.Changes {
		fmt.Fprintf(out, "\n%s → %s: another outcome for %d people (%s)\n", c.From, c.To, c.People(), share(c.People(), r.People))
		for _, t := range c.Turns {
			fmt.Fprintf(out, "  %s → %s  %d\n", t.From, t.To, t.People)
		}
	}
	_, err := fmt.Fprintf(out, "\ndecided %d people a second\n", r.PerSecond)
	return err
}

// printReasons prints a row for each outcome and reason, a column for each
// policy.
func printReasons(out io.Writer, all []simulator.ReplayPolicy) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "outcome\treason")
	for _, p := range all {
		fmt.Fprintf(w, "\t%s", p.ID)
	}
	fmt.Fprintln(w)
	for _, o := range []checkin.Outcome{checkin.Granted, checkin.Refused, checkin.Manual} {
		for _, reason := range checkin.Reasons() {
			row, sum := fmt.Sprintf("%s\t%s", o, reason), 0
			for _, p := range all {
				n := counted(p, o, reason)
				row, sum = row+fmt.Sprintf("\t%d", n), sum+n
			}
			if sum > 0 {
				fmt.Fprintln(w, row)
			}
		}
	}
	return w.Flush()
}

func counted(p simulator.ReplayPolicy, o checkin.Outcome, reason checkin.Reason) int {
	for _, r := range p.Reasons {
		if r.Outcome == o && r.Reason == reason {
			return r.People
		}
	}
	return 0
}
