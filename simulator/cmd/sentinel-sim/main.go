// Command sentinel-sim is everything around a kiosk: it plays scenarios
// against the real agent, and runs a bench with a panel for the hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is stamped by the Makefile.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "sentinel-sim",
		Short:         "simulated devices, platform and people around a real digital sentinel",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		benchCommand(), playCommand(), visitsCommand(), winterCommand(), replayCommand(), codeCommand(),
		backendCommand(), crowdCommand(), authorityCommand(),
	)
	if err := root.ExecuteContext(ctx); err != nil {
		var code exitCode
		if errors.As(err, &code) {
			os.Exit(int(code))
		}
		fmt.Fprintln(os.Stderr, "sentinel-sim:", err)
		os.Exit(2)
	}
}

// exitCode ends the program with a code and no further word.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit %d", int(c)) }
