package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/simulator/crowd"
)

func crowdCommand() *cobra.Command {
	o := crowd.Opts{}
	asJSON := false
	cmd := &cobra.Command{
		Use:   "crowd",
		Short: "let hundreds of kiosks come back at once, and count what becomes of their records",
		Long: `crowd fills the queues of hundreds of kiosks, brings the reference platform up
for all of them at once, and drains them; then it asks the platform's store for
every record. Queue and uplink are the kiosk's own code, on a disk and over
mutual TLS; kiosks and platform share this machine, so that figures compare two
versions on one machine and are no promise for another.

A kiosk needs 8 open files and, with 1000 records, about 2 MB in the folder for
temporary files (TMPDIR); everything there is removed at the end. Half of the
records are visits with a sealed identity, half are passages. Ctrl-C ends it.

What is printed:
  drained      records that the platform has acknowledged, of those that waited;
               left is what waits on the kiosks still
  time         from the platform's start until the last of them was acknowledged
  put off      calls that the platform answered with 429 or 503, and the records
               in them: the kiosk comes again later
  wasted       records brought and neither acknowledged nor put off (time-outs,
               broken connections), and calls that the platform worked on for a
               kiosk that had hung up. Records brought twice on order are not in it
  duplicates   records that the platform recognised as held already
  live         records made while the backlog drained, from before the commit on
               the kiosk's disk to the platform's acknowledgement
  memory       of this process, kiosks and platform: private, and with the mapped
               files of all queues
  at the store acknowledged and not there (lost), there more than once (doubled),
               there and nobody's (strange). All must be 0

It exits 0 if everything was drained and is in the store exactly once, else 1.`,
		Example: "  sentinel-sim crowd\n  sentinel-sim crowd --kiosks 100 --records 5000 --live 10s --no-admission --for 2m",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Told = teller(cmd.ErrOrStderr())
			r, err := crowd.Run(cmd.Context(), o)
			clearLine(cmd.ErrOrStderr())
			if r == nil || r.Kiosks == 0 {
				return err
			}
			print := printCrowd
			if asJSON {
				print = func(out io.Writer, r *crowd.Report) error { return indented(out).Encode(r) }
			}
			if perr := print(cmd.OutOrStdout(), r); perr != nil {
				return perr
			}
			return crowdResult(r, err, cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Kiosks, "kiosks", 500, "how many kiosks")
	f.IntVar(&o.Records, "records", 1000, "how many records wait on each")
	f.IntVar(&o.Batch, "batch", 0, "most records a call; 0: what the queue makes of it, 200")
	f.DurationVar(&o.Live, "live", time.Minute, "each kiosk makes a live record so often; 0: none")
	f.Float64Var(&o.Twice, "twice", 0.2, "share of the calls whose first answer is lost, so that they are made twice, 0 to 1")
	f.StringVar(&o.Store, "store", "memory", "where the platform keeps records: memory, bolt (a temporary file) or bolt:PATH")
	f.BoolVar(&o.NoAdmission, "no-admission", false, "the platform takes whatever comes, without putting anybody off")
	f.DurationVar(&o.Spread, "connect-spread", 0, "each kiosk waits a random part of it before its first call")
	f.DurationVar(&o.For, "for", 10*time.Minute, "at most so long from the platform's start; 0: no limit")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// crowdResult says in words and by the exit code what did not come out right.
func crowdResult(r *crowd.Report, err error, errs io.Writer) error {
	switch {
	case err != nil:
		fmt.Fprintln(errs, "sentinel-sim: ended early:", err)
	case !r.Once():
		fmt.Fprintln(errs, "sentinel-sim: the store does not hold every record exactly once")
	default:
		return nil
	}
	return exitCode(1)
}

// terminal reports whether somebody looks at a screen there.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}

// teller tells how far a run is: on a screen in one line, elsewhere in a plain
// line every ten seconds.
func teller(w io.Writer) func(crowd.Progress) {
	before, after, every := "", "\n", 10*time.Second
	if terminal(w) {
		before, after, every = "\r\x1b[K", "", 0
	}
	var last time.Time
	phase := ""
	return func(p crowd.Progress) {
		if p.Phase == phase && time.Since(last) < every {
			return
		}
		phase, last = p.Phase, time.Now()
		line := fmt.Sprintf("%s  %d of %d records", p.Phase, p.Done, p.Of)
		if p.Phase == "drain" {
			line += fmt.Sprintf(", %d left, %d calls put off, %d live", p.Of-p.Done, p.Refusals, p.Live)
		}
		if left := p.Remaining(); left > 0 {
			line += fmt.Sprintf(", %v to go", left.Round(time.Second))
		}
		fmt.Fprint(w, before+line+after)
	}
}

func clearLine(w io.Writer) {
	if terminal(w) {
		fmt.Fprint(w, "\r\x1b[K")
	}
}

func printCrowd(out io.Writer, r *crowd.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, text string) { fmt.Fprintf(w, "%s\t%s\n", name, text) }
	row("kiosks", fmt.Sprintf("%d with %d records, filled in %v", r.Kiosks, r.Records, r.Filled.Round(time.Second)))
	row("drained", fmt.Sprintf("%d (%s), %d left", r.Drained, share(r.Drained, r.Records), r.Left))
	row("time", fmt.Sprintf("%v, %.0f records/s", r.Took.Round(10*time.Millisecond), r.Rate))
	row("put off", fmt.Sprintf("%d calls with %d records", r.Refusals, r.Refused))
	row("wasted", fmt.Sprintf("%d records in %d calls; %d calls were worked on for nobody, %v", r.Wasted, r.Unanswered, r.Gone, r.GoneFor.Round(time.Millisecond)))
	row("duplicates", fmt.Sprintf("%d recognised; %d records were brought twice on order", r.Again, r.Repeated))
	if r.Live > 0 {
		row("live", fmt.Sprintf("%d records, p50 %v  p99 %v  max %v", r.Live, round(r.LiveP50), round(r.LiveP99), round(r.LiveMax)))
	}
	row("handshakes", fmt.Sprintf("%d, %d of them resumed", r.Handshakes, r.Resumed))
	row("brought", fmt.Sprintf("%.1f MB in bodies", float64(r.Bytes)/1e6))
	row("processor", fmt.Sprintf("%v, %.2f of one", r.CPU.Round(10*time.Millisecond), r.CPU.Seconds()/max(r.Took.Seconds(), 1e-9)))
	row("memory", fmt.Sprintf("%.0f MB private, %.0f MB with mapped files", float64(r.Private)/1e6, float64(r.Peak)/1e6))
	if r.Checked {
		row("at the store", fmt.Sprintf("%d lost, %d doubled, %d strange, %d rejected", r.Lost, r.Doubled, r.Strange, r.Rejected))
	} else {
		row("at the store", "not checked")
	}
	return w.Flush()
}
