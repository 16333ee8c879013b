package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// askOpts is a question to the platform's store.
type askOpts struct {
	store    string
	q        backend.Question
	from, to string
	asJSON   bool
	out      string
	expect   string
}

func whoCommand() *cobra.Command {
	o := &askOpts{}
	cmd := &cobra.Command{
		Use:   "who",
		Short: "who was at a venue between two times, with identities as they are sealed",
		Long: `who gives every record with an identity at a venue between two times: those who
were refused there, too. Identities stay sealed: only "sentinel-sim authority"
opens them, after two approvals. It reads what --json or --out gives: a line of
{event, identity, key_id} for each.

The question, who asks it and why are in the audit trail before the first line
is given. It can be asked while the platform runs, and while it does not.`,
		Example: "  sentinel-sim backend who --store bolt:platform.db --venue shanghai-demo-0001 \\\n    --from 2026-11-24T08:00:00+08:00 --to 2026-11-24T12:00:00+08:00 --by officer-17 --reason \"case 2026-114\" --out rows.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.ask(func(d backend.Desk) error { return o.who(cmd.Context(), d, cmd.OutOrStdout()) })
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print lines of JSON with the sealed identities")
	cmd.Flags().StringVar(&o.out, "out", "", "write these lines to a file that only this user reads")
	return cmd
}

func countsCommand() *cobra.Command {
	o := &askOpts{}
	cmd := &cobra.Command{
		Use:   "counts",
		Short: "how many came to a venue, by hour, lane and verdict, without anybody's identity",
		Long: `counts gives the whole hours that the two times touch (UTC). Fewer than five are
printed as <5: they would be somebody. There are no sums, from which they could
be told.`,
		Example: "  sentinel-sim backend counts --venue shanghai-demo-0001 --from 2026-11-24 --to 2026-11-25 --by manager --reason staffing",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.ask(func(d backend.Desk) error { return o.counts(cmd.Context(), d, cmd.OutOrStdout()) })
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

func auditCommand() *cobra.Command {
	o := &askOpts{}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "who has asked what and why; checks that nothing of it was changed",
		Long: `audit prints the audit trail and checks its chain of hashes: no entry can be
changed or taken out without changing all that follow. Somebody who cuts off its
end, or makes all of it again, is found by --expect only: write down the last
number and hash now and then, elsewhere. It ends with 1 if the trail was
tampered with.`,
		Example: "  sentinel-sim backend audit --store bolt:platform.db\n  sentinel-sim backend audit --expect 17:5f2c…",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			expect, err := o.expected()
			if err != nil {
				return err
			}
			d, err := backend.OpenDesk(o.store)
			if err != nil {
				return err
			}
			return errors.Join(o.audit(cmd.Context(), d, cmd.OutOrStdout(), expect), d.Close())
		},
	}
	o.storeFlag(cmd)
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print lines of JSON")
	cmd.Flags().StringVar(&o.expect, "expect", "", "NUMBER:HASH of an entry that was written down before")
	return cmd
}

func (o *askOpts) storeFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.store, "store", "bolt:platform/platform.db", "the platform's store")
}

func (o *askOpts) flags(cmd *cobra.Command) {
	o.storeFlag(cmd)
	cmd.Flags().StringVar(&o.q.Venue, "venue", "", "id of the venue")
	cmd.Flags().StringVar(&o.from, "from", "", "RFC 3339, or a date (UTC)")
	cmd.Flags().StringVar(&o.to, "to", "", "likewise; not included")
	cmd.Flags().StringVar(&o.q.By, "by", "", "who asks; goes into the audit trail")
	cmd.Flags().StringVar(&o.q.Why, "reason", "", "and why; likewise")
}

// ask checks the question before the store is opened.
func (o *askOpts) ask(f func(backend.Desk) error) (err error) {
	if o.q.Venue == "" {
		return errors.New("--venue is missing: the id of the venue, as it is in the kiosk's configuration")
	}
	if o.q.By == "" || o.q.Why == "" {
		return errors.New("--by and --reason are needed: say who asks and why, since every question is written into the audit trail")
	}
	if o.q.From, err = moment("--from", o.from); err != nil {
		return err
	}
	if o.q.To, err = moment("--to", o.to); err != nil {
		return err
	}
	d, err := backend.OpenDesk(o.store)
	if err != nil {
		return err
	}
	return errors.Join(f(d), d.Close())
}

func moment(flag, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q is no time: write 2026-11-24T08:00:00+08:00, or 2026-11-24 for its beginning in UTC", flag, text)
}

func (o *askOpts) who(ctx context.Context, d backend.Desk, out io.Writer) error {
	switch {
	case o.out != "":
		rows, err := o.whoFile(ctx, d)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d records are in %s, their identities sealed. The question is in the audit trail.\n", rows, o.out)
		return nil
	case o.asJSON:
		_, err := d.Who(ctx, o.q, lines(out))
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "time\tlane\tkind\tverdict\trecord\tsealed to")
	rows, err := d.Who(ctx, o.q, func(r checkin.Record) error {
		_, err := fmt.Fprintln(w, row(&r))
		return err
	})
	_ = w.Flush()
	fmt.Fprintf(out, "\n%d records; --out FILE gives the sealed identities. The question is in the audit trail.\n", rows)
	return err
}

// row is a record for people: nothing of the identity but to whom it is sealed.
func row(r *checkin.Record) string {
	e := &r.Event
	at, verdict := e.At.Wall.Format(time.RFC3339), ""
	if !e.At.Trusted {
		at = "clock unknown"
	}
	if e.Verdict != nil {
		verdict = string(e.Verdict.Outcome)
	}
	return strings.Join([]string{at, e.Lane, string(e.Kind), verdict, e.UUID, r.KeyID}, "\t")
}

// whoFile writes the lines to a file that appears whole or not at all.
func (o *askOpts) whoFile(ctx context.Context, d backend.Desk) (rows int, err error) {
	f, err := os.CreateTemp(filepath.Dir(o.out), ".who-*") // mode 0600
	if err != nil {
		return 0, fmt.Errorf("%w: --out needs a folder that can be written", err)
	}
	rows, err = d.Who(ctx, o.q, lines(f))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, errors.Join(fmt.Errorf("%w; no file was made, and --json prints what can be read", err), os.Remove(f.Name()))
	}
	return rows, os.Rename(f.Name(), o.out)
}

// lines writes records as the authority's tool reads them.
func lines(out io.Writer) func(checkin.Record) error {
	e := json.NewEncoder(out)
	return func(r checkin.Record) error { return e.Encode(r) }
}

func (o *askOpts) counts(ctx context.Context, d backend.Desk, out io.Writer) error {
	list, err := d.Tallies(ctx, o.q)
	if err != nil {
		return err
	}
	if o.asJSON {
		return indented(out).Encode(list)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "hour (UTC)\tlane\tverdict\tvisits")
	for _, t := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Hour.Format("2006-01-02 15:04"), t.Lane, t.Verdict, t.Visits)
	}
	return w.Flush()
}

// audit prints the trail, and looks for the entry that is expected, if any.
func (o *askOpts) audit(ctx context.Context, d backend.Desk, out io.Writer, expect backend.Entry) error {
	found := o.expect == ""
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !o.asJSON {
		fmt.Fprintln(w, "entry\ttime\tby\treason\twhat\trows")
	}
	last, err := d.Audit(ctx, func(e backend.Entry) error {
		found = found || e.Seq == expect.Seq && e.Hash == expect.Hash
		if o.asJSON {
			return json.NewEncoder(out).Encode(e)
		}
		_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\n", e.Seq, e.At.Format(time.RFC3339), e.By, e.Why, e.What, e.Rows)
		return err
	})
	_ = w.Flush()
	if err == nil && !found {
		err = fmt.Errorf("the audit trail was tampered with: entry %d is not the one that was written down", expect.Seq)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sentinel-sim:", err)
		return exitCode(1)
	}
	if !o.asJSON {
		fmt.Fprintf(out, "\n%d entries, and nothing of them was changed. Write this down elsewhere:\n%d:%s\n", last.Seq, last.Seq, last.Hash)
	}
	return nil
}

// expected reads the number and hash of --expect.
func (o *askOpts) expected() (e backend.Entry, err error) {
	if o.expect == "" {
		return e, nil
	}
	number, hash, ok := strings.Cut(o.expect, ":")
	if e.Seq, err = strconv.ParseUint(number, 10, 64); !ok || err != nil || len(hash) != 64 {
		return e, errors.New("--expect is NUMBER:HASH, as audit has printed it")
	}
	e.Hash = hash
	return e, nil
}
