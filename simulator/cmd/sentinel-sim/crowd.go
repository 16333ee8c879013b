package main

import (
	"errors"
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
	asJSON, clean := false, false
	cmd := &cobra.Command{
		Use:   "crowd",
		Short: "let hundreds of kiosks come back at once, and count what becomes of their records",
		Long: `crowd fills the queues of hundreds of kiosks, brings the reference platform up
for all of them at once, and drains them; then it asks the platform's store for
every record. Queue and uplink are the kiosk's own code, on a disk and over
mutual TLS; kiosks and platform share this machine, so that figures compare two
versions on one machine and are no promise for another.

A kiosk needs 8 open files, 2 to 4 MB of memory and, with 1000 records, 2 MB in
the folder for temporary files (TMPDIR), and the platform's store 1 kB a record;
everything there is removed at the end. Half of the records are visits with a
sealed identity, half are passages. Ctrl-C ends it.

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
               the kiosk's disk to the platform's acknowledgement. One whose own
               call failed comes with the backlog, and late
  memory       of this process, kiosks and platform: private, and with the mapped
               files of all queues
  at the store acknowledged and not there (lost), there more than once (doubled),
               there and nobody's (strange). All must be 0

It exits 0 if everything was drained and is in the store exactly once, else 1.`,
		Example: "  sentinel-sim crowd\n  sentinel-sim crowd --kiosks 100 --records 5000 --live 10s --no-admission --for 2m\n  sentinel-sim crowd --clean-upload",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run, print := crowd.Run, printCrowd
			if clean {
				run, print = crowd.Upload, printUpload
				uploadDefaults(cmd, &o)
			} else if cmd.Flags().Changed("batch") {
				return errors.New("--batch goes with --clean-upload: a queue makes its own batches")
			}
			if asJSON {
				print = func(out io.Writer, r *crowd.Report) error { return indented(out).Encode(r) }
			}
			o.Told = teller(cmd.ErrOrStderr())
			r, err := run(cmd.Context(), o)
			clearLine(cmd.ErrOrStderr())
			if r == nil || r.Kiosks == 0 {
				return err
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
	f.IntVar(&o.Batch, "batch", 100, "records a call, with --clean-upload; a queue makes its own batches, of up to 200")
	f.DurationVar(&o.Live, "live", time.Minute, "each kiosk makes a live record so often; 0: none")
	f.Float64Var(&o.Twice, "twice", 0.2, "share of the calls whose first answer is lost, so that they are made twice, 0 to 1")
	f.StringVar(&o.Store, "store", "bolt", "where the platform keeps records: memory, bolt (a temporary file) or bolt:PATH (a new file)")
	f.BoolVar(&o.NoAdmission, "no-admission", false, "the platform takes whatever comes, without putting anybody off")
	f.DurationVar(&o.Spread, "connect-spread", 0, "each kiosk waits a random part of it before its first call")
	f.DurationVar(&o.For, "for", 10*time.Minute, "at most so long from the platform's start; 0: no limit")
	f.BoolVar(&clean, "clean-upload", false, "measure the platform without the kiosks' disks: 16 senders, batches of 100, for 10s, unless said otherwise")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// uploadDefaults are those of a clean upload, for what nobody has said.
func uploadDefaults(cmd *cobra.Command, o *crowd.Opts) {
	if !cmd.Flags().Changed("kiosks") {
		o.Kiosks = 16
	}
	if !cmd.Flags().Changed("for") {
		o.For = 10 * time.Second
	}
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
		line := fmt.Sprintf("%s  %d records", p.Phase, p.Done)
		if p.Of > 0 {
			line = fmt.Sprintf("%s  %d of %d records", p.Phase, p.Done, p.Of)
		}
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
	fmt.Fprintf(w, "kiosks\t%d with %d records, filled in %v\n", r.Kiosks, r.Records, r.Filled.Round(time.Second))
	fmt.Fprintf(w, "drained\t%d (%s), %d left\n", r.Drained, share(r.Drained, r.Records), r.Left)
	fmt.Fprintf(w, "time\t%v, %.0f records/s\n", r.Took.Round(10*time.Millisecond), r.Rate)
	if r.Live > 0 {
		fmt.Fprintf(w, "live\t%d records, p50 %v  p99 %v  max %v; %d came with the backlog\n", r.Live, round(r.LiveP50), round(r.LiveP99), round(r.LiveMax), r.Fallen)
	}
	printCost(w, r)
	return w.Flush()
}

func printUpload(out io.Writer, r *crowd.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "senders\t%d, for %v\n", r.Kiosks, r.Took.Round(10*time.Millisecond))
	fmt.Fprintf(w, "taken\t%d unique records, %.0f a second\n", r.Drained, r.Rate)
	fmt.Fprintf(w, "call\tp50 %v  p99 %v  max %v, the second of those made twice included\n", round(r.LiveP50), round(r.LiveP99), round(r.LiveMax))
	printCost(w, r)
	return w.Flush()
}

// printCost prints what both have.
func printCost(w io.Writer, r *crowd.Report) {
	fmt.Fprintf(w, "put off\t%d calls with %d records, %d of the calls live ones\n", r.Refusals, r.Refused, r.LiveCalls)
	fmt.Fprintf(w, "wasted\t%d records in %d calls (%d timed out); %d calls were worked on for nobody, for %v in all\n",
		r.Wasted, r.Unanswered, r.TimedOut, r.Gone, r.GoneFor.Round(time.Millisecond))
	fmt.Fprintf(w, "duplicates\t%d recognised; %d records were brought twice on order\n", r.Again, r.Repeated)
	fmt.Fprintf(w, "handshakes\t%d, %d of them resumed\n", r.Handshakes, r.Resumed)
	fmt.Fprintf(w, "brought\t%.1f MB in bodies\n", float64(r.Bytes)/1e6)
	fmt.Fprintf(w, "processor\t%v, %.2f of one\n", r.CPU.Round(10*time.Millisecond), r.CPU.Seconds()/max(r.Took.Seconds(), 1e-9))
	fmt.Fprintf(w, "memory\t%.0f MB private, %.0f MB with mapped files\n", float64(r.Private)/1e6, float64(r.Peak)/1e6)
	if !r.Checked {
		fmt.Fprintln(w, "at the store\tnot asked")
		return
	}
	fmt.Fprintf(w, "at the store\t%d lost, %d doubled, %d strange, %d rejected\n", r.Lost, r.Doubled, r.Strange, r.Rejected)
}
