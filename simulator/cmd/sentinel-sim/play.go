package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/simulator"
)

func playCommand() *cobra.Command {
	var o simulator.Opts
	var front string
	var jobs int
	var quiet bool
	cmd := &cobra.Command{
		Use:   "play FILE…",
		Short: "play scenarios, each on a fresh bench with the real agent",
		Long: `play runs each scenario file on a fresh bench with the real sentinel binary,
prints the story with times, and exits

  0  every expect held
  1  one did not, or something broke
  2  a file could not be read or a flag is wrong
  3  a line cannot be carried out on this front or in this version:
     not available is never a pass`,
		Example: "  sentinel-sim play simulator/testdata/granted-by-code.txt\n  sentinel-sim play -j 4 simulator/testdata/*.txt",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			switch front {
			case "pty":
				o.Front = simulator.PTY
			case "memory":
				return fmt.Errorf("the memory front runs in virtual time, which only go test has: go test ./simulator -run Scenarios")
			case "usb", "vm":
				fmt.Fprintf(cmd.ErrOrStderr(), "front %s is not available in this version\n", front)
				return exitCode(simulator.NotAvailable)
			default:
				return fmt.Errorf("--front is pty (or memory in go test), not %q", front)
			}
			scenarios := make([]*simulator.Scenario, len(files))
			for i, f := range files {
				s, err := simulator.LoadScenario(f)
				if err != nil {
					return err
				}
				scenarios[i] = s
			}
			return playAll(cmd.Context(), cmd.OutOrStdout(), scenarios, o, jobs, quiet)
		},
	}
	cmd.Flags().StringVar(&front, "front", "pty", "how devices are attached: pty")
	cmd.Flags().IntVarP(&jobs, "jobs", "j", 1, "how many scenarios to play at once")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "tell only the stories that did not hold")
	cmd.Flags().StringVar(&o.Sentinel, "sentinel", "", "the agent's binary (default: beside this program)")
	return cmd
}

// playAll plays the scenarios, jobs at a time, and prints them in their order
// as they end.
func playAll(ctx context.Context, out io.Writer, scenarios []*simulator.Scenario, o simulator.Opts, jobs int, quiet bool) error {
	start := time.Now()
	results := make([]simulator.Result, len(scenarios))
	var mu sync.Mutex // of out
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(1, jobs))
	for i, s := range scenarios {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var story bytes.Buffer
			direct := io.Writer(&story)
			if jobs <= 1 && !quiet {
				direct = out
			}
			began := time.Now()
			results[i] = simulator.Play(ctx, s, o, direct)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case quiet && results[i] == simulator.Held:
				fmt.Fprintf(out, "held  %6.2fs  %s\n", time.Since(began).Seconds(), s.Name)
			default:
				_, _ = story.WriteTo(out)
			}
		})
	}
	wg.Wait()
	return summary(out, scenarios, results, time.Since(start))
}

func summary(out io.Writer, scenarios []*simulator.Scenario, results []simulator.Result, took time.Duration) error {
	count := map[simulator.Result]int{}
	var bad []string
	for i, r := range results {
		count[r]++
		if r != simulator.Held {
			bad = append(bad, scenarios[i].Name)
		}
	}
	fmt.Fprintf(out, "%d scenarios: %d held, %d failed, %d not available, in %v\n",
		len(scenarios), count[simulator.Held], count[simulator.Failed], count[simulator.NotAvailable], took.Round(10*time.Millisecond))
	if len(bad) > 0 {
		fmt.Fprintf(out, "not held: %s\n", strings.Join(bad, " "))
	}
	switch {
	case count[simulator.Failed] > 0:
		return exitCode(simulator.Failed)
	case count[simulator.NotAvailable] > 0:
		return exitCode(simulator.NotAvailable)
	}
	return nil
}
