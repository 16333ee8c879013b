package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/simulator"
)

func visitsCommand() *cobra.Command {
	v := simulator.VisitOpts{}
	o := simulator.Opts{Version: version}
	cmd := &cobra.Command{
		Use:   "visits",
		Short: "let people through one after the other, and measure the kiosk",
		Long: `visits lets people through a simulated turnstile with the real sentinel program
on pseudo-terminals, and prints how long they had to wait.

Without --real nothing but the agent takes time: what is printed is its own
share. With --real devices, platform (50 ms) and people take their estimated
times, and the lane's rate is what counts.`,
		Example: "  sentinel-sim visits -n 1000\n  sentinel-sim visits -n 60 --real --by card",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if v.By != "code" && v.By != "card" {
				return fmt.Errorf("--by is code or card, not %q", v.By)
			}
			if v.N < 1 || v.N > 100_000 || v.Shard < 0 || v.Shard > 1_000_000 {
				return fmt.Errorf("-n is 1 to 100000, --shard at most a million")
			}
			if v.Offline && (v.By != "card" || v.Shard == 0) {
				return fmt.Errorf("--offline needs --by card and --shard N: without a link only cards are looked up")
			}
			last := time.Now()
			v.Told = func(done int) {
				if time.Since(last) > 2*time.Second {
					last = time.Now()
					fmt.Fprintf(cmd.ErrOrStderr(), "\r%d of %d visitors", done, v.N)
				}
			}
			r, err := simulator.Visits(cmd.Context(), o, v)
			fmt.Fprint(cmd.ErrOrStderr(), "\r                              \r")
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "visits               %d by %s, %d granted, real times: %v\n", r.Visits, v.By, r.Granted, v.Real)
			fmt.Fprintf(out, "credential→verdict   p50 %v  p99 %v  max %v   (inside the agent, verdict on the disk)\n",
				simulator.Percentile(r.Verdict, 50), simulator.Percentile(r.Verdict, 99), simulator.Percentile(r.Verdict, 100))
			fmt.Fprintf(out, "presented→gate open  p50 %v  p99 %v  max %v   (outside, through the devices)\n",
				round(simulator.Percentile(r.Gate, 50)), round(simulator.Percentile(r.Gate, 99)), round(simulator.Percentile(r.Gate, 100)))
			fmt.Fprintf(out, "lane rate            %.1f people a minute\n", r.PerMinute())
			if s := r.Shard; v.Shard > 0 {
				fmt.Fprintf(out, "signed cache         %d people: %d bytes on the wire, %d on the disk, fetched and verified in %v\n",
					s.People, s.Snapshot, s.Table, round(r.Fetched))
			}
			fmt.Fprintf(out, "start→ready          %v\n", r.Ready.Round(time.Millisecond))
			fmt.Fprintf(out, "memory afterwards    %.1f MB resident\n", float64(r.RSS)/1e6)
			return nil
		},
	}
	cmd.Flags().IntVarP(&v.N, "number", "n", 100, "how many visitors")
	cmd.Flags().StringVar(&v.By, "by", "code", "what they present: code or card")
	cmd.Flags().BoolVar(&v.Real, "real", false, "devices, platform and people take real times")
	cmd.Flags().IntVar(&v.Shard, "shard", 0, "publish the signed cache with so many people")
	cmd.Flags().BoolVar(&v.Offline, "offline", false, "take the platform away before the first visitor (with --by card and --shard)")
	cmd.Flags().StringVar(&o.Sentinel, "sentinel", "", "the agent's program (default: beside this program)")
	cmd.Flags().StringVar(&o.Policy, "policy", "public-place", "a shipped policy")
	return cmd
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
