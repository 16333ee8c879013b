package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/simulator"
)

func winterCommand() *cobra.Command {
	o := simulator.WinterOpts{}
	asJSON := false
	cmd := &cobra.Command{
		Use:   "winter",
		Short: "measure a simulated winter crowd by three methods, and count what each gets wrong",
		Long: `winter lets one crowd come in from the cold past two doors, and judges the same
foreheads by three methods: a raw threshold with a fixed offset, the body
estimate without limits of validity, and what this kiosk does (limits, second
reading, nothing low is normal). It needs no kiosk and gives the same counts for
the same seed.

It is a model and no measurement. A person has a true core temperature, walks
through the cold, and stands before the sensor some seconds after entering; his
forehead goes from rest in one air to rest in the next as things do that cool.
These are its numbers, and where they are from:

` + assumptions(simulator.WinterAssumptions(), true) + `
What it shows is how the methods differ on the same people, not how many a real
door would stop.`,
		Example: "  sentinel-sim winter\n  sentinel-sim winter --people 100000 --fever-share 0.005 --seed 7",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkPeople(o.People); err != nil {
				return err
			}
			if !(o.FeverShare >= 0 && o.FeverShare <= 1) {
				return fmt.Errorf("--fever-share is 0 to 1")
			}
			r := simulator.Winter(o)
			if asJSON {
				return indented(cmd.OutOrStdout()).Encode(r)
			}
			return printWinter(cmd.OutOrStdout(), r)
		},
	}
	cmd.Flags().IntVar(&o.People, "people", 20_000, "how many people come")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "which crowd")
	cmd.Flags().Float64Var(&o.FeverShare, "fever-share", 0.01, "how many of them have a fever, 0 to 1")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// checkPeople bounds a crowd to what is done in seconds.
func checkPeople(n int) error {
	if n < 1 || n > 1_000_000 {
		return fmt.Errorf("--people is 1 to 1000000")
	}
	return nil
}

// indented writes JSON that people read, too.
func indented(out io.Writer) *json.Encoder {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e
}

// assumptions lays out what a model stands on, and from where that is.
func assumptions(list []simulator.Assumption, from bool) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, a := range list {
		if from {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", a.Of, a.Is, a.From)
			continue
		}
		fmt.Fprintf(w, "  %s\t%s\n", a.Of, a.Is)
	}
	_ = w.Flush() // a builder takes everything
	return text.String()
}

func printWinter(out io.Writer, r *simulator.WinterReport) error {
	fmt.Fprintf(out, "%d people, %d with a fever, seed %d; a model, no measurement (--help tells its numbers)\n\n", r.People, r.Fevers, r.Seed)
	healthy := r.People - r.Fevers
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "door\tmethod\tfalse stops\tof healthy\tfalse passes\tof fevers\tto a guard\tof all\tlow let in")
	for _, d := range r.Doors {
		for _, m := range d.Methods {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\t%d\t%s\t%d\n", d.Name, m.Method, m.FalseStops, share(m.FalseStops, healthy),
				m.FalsePasses, share(m.FalsePasses, r.Fevers), m.NotMeasured, share(m.NotMeasured, r.People), m.LowPassed)
		}
	}
	fmt.Fprintln(w, "\t\t\t\t\t\t\t\t")
	fmt.Fprintln(w, "door\tthis kiosk, time since entering\tfalse stops\tof healthy\tfalse passes\tof fevers\tto a guard\tof all\tlow let in")
	for _, d := range r.Doors {
		for i, s := range d.Since {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\t%d\t%s\t%d\n", d.Name, span(d.Since, i), s.FalseStops, share(s.FalseStops, s.People-s.Fevers),
				s.FalsePasses, share(s.FalsePasses, s.Fevers), s.NotMeasured, share(s.NotMeasured, s.People), s.LowPassed)
		}
	}
	return w.Flush()
}

func span(all []simulator.WinterSince, i int) string {
	if i+1 == len(all) {
		return fmt.Sprintf("%v and more", short(all[i].Over))
	}
	return fmt.Sprintf("%v to %v", short(all[i].Over), short(all[i+1].Over))
}

// short writes 2 min for 2m0s.
func short(d time.Duration) string {
	if d >= time.Minute {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

func share(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}
