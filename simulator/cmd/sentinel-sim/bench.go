package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/simulator"
)

func benchCommand() *cobra.Command {
	o := simulator.Opts{Real: true, Version: version}
	listen := "127.0.0.1:8090"
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "run a kiosk on simulated devices, with a panel to play by hand",
		Long: `bench starts simulated devices, the reference platform with a few people, and
the real sentinel program against them; it lets one visitor pass, prints where
the visitor's screen and the panel are, and goes on until Ctrl-C. Nothing of
your machine is needed but two free ports, and nothing is left behind.`,
		Example: "  sentinel-sim bench\n  sentinel-sim bench --profile desk --policy visitor",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runBench(cmd.Context(), cmd.OutOrStdout(), o, listen)
		},
	}
	cmd.Flags().StringVar(&o.Profile, "profile", "turnstile", "turnstile, floor, wall, desk or handheld")
	cmd.Flags().StringVar(&o.Policy, "policy", "public-place", "a shipped policy: public-place, residential, visitor")
	cmd.Flags().StringVar(&o.Class, "class", "office", "venue class")
	cmd.Flags().StringVar(&o.Sentinel, "sentinel", "", "the agent's program (default: beside this program)")
	cmd.Flags().StringVar(&listen, "panel", listen, "address of the panel; a busy port moves to a free one")
	cmd.Flags().StringVar(&o.Screen, "screen", "127.0.0.1:8088", "address of the visitor's screen; a busy port moves to a free one")
	return cmd
}

// people is who lives around the bench. All of them are synthetic.
var people = []string{
	"person wang id=11010519491231002X name=王小明 colour=green nat=12h host=yes",
	"person li id=53010219200508011X name=李四 colour=red nat=12h host=no",
	"person zhao id=810000199408230021 name=赵六 colour=green nat=50h host=silent",
	"person chen id=110105194912310038 name=陈奶奶 colour=green nat=30h host=yes",
}

func runBench(ctx context.Context, out io.Writer, o simulator.Opts, listen string) (err error) {
	b, err := simulator.New(o)
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(out, "ending…")
		err = errors.Join(err, b.Close())
	}()
	began := time.Now()
	if err := b.Start(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "digital sentinel %s: the kiosk is ready after %v (%s, policy %s)\n\n", version, time.Since(began).Round(time.Millisecond), o.Profile, o.Policy)
	panel := simulator.NewPanel(b)
	for _, line := range people {
		if err := panel.Do(ctx, line); err != nil {
			return err
		}
	}
	if err := panel.Do(ctx, "cache publish"); err != nil {
		return err
	}
	stop, err := servePanel(panel, listen)
	if err != nil {
		return err
	}
	defer stop.Close()
	telling := tell(ctx, b, out)
	defer telling()
	if err := firstVisitor(ctx, panel, o); err != nil {
		return fmt.Errorf("the first visitor: %w", err)
	}
	fmt.Fprintf(out, "\n  visitor's screen  %s\n  bench panel       http://%s/\n\nCtrl-C ends everything.\n\n", b.ScreenURL(), stop.Addr())
	<-ctx.Done()
	return nil
}

// servePanel serves the panel on listen, or on a free port if it is busy.
func servePanel(panel *simulator.Panel, listen string) (net.Listener, error) {
	l, err := net.Listen("tcp", listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(listen)
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("opening the panel's address: %w", err)
	}
	go func() {
		s := &http.Server{Handler: panel.Handler(), ReadHeaderTimeout: 5 * time.Second}
		_ = s.Serve(l)
	}()
	return l, nil
}

// tell prints what is seen, until the returned function is called.
func tell(ctx context.Context, b *simulator.Bench, out io.Writer) func() {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	began, from := time.Now(), b.Mark()
	go func() {
		defer close(done)
		b.Follow(ctx, from, func(f simulator.Fact) {
			text := "    " + f.String()
			if f.Kind == "stimulus" {
				text = "▶ " + f.Text
			}
			fmt.Fprintf(out, "%8.3fs  %s\n", f.At.Sub(began).Seconds(), text)
		})
	}()
	return func() {
		cancel()
		<-done
	}
}

// firstVisitor lets one visitor pass, so that the story is seen.
func firstVisitor(ctx context.Context, panel *simulator.Panel, o simulator.Opts) error {
	lines := []string{"pass", "scan person wang", "expect verdict granted within=10s", "wait 2s"}
	if o.Profile == "desk" || o.Profile == "handheld" {
		lines = lines[1:]
	}
	for _, line := range lines {
		if err := panel.Do(ctx, line); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	return nil
}
