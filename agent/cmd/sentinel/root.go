package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/configs"
)

// Env is what the program takes from its surroundings.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it was done, and the answer is no; or it went wrong
	exitUsage  = 2 // the command line is wrong
)

// defaultConfig is where a machine with one lane has its configuration.
const defaultConfig = "/etc/sentinel/sentinel.yaml"

// errFailed ends a command with exit code 1 after it has said what is wrong.
var errFailed = errors.New("failed")

// Run runs one command and returns the exit code.
func Run(ctx context.Context, args []string, env Env) int {
	root := rootCommand(env)
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFailed):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(env.Stderr, "sentinel: %v\nsentinel --help lists the commands.\n", err)
		return exitUsage
	}
	fmt.Fprintln(env.Stderr, "sentinel:", err)
	return exitFailed
}

// usageError is a wrong command line.
type usageError struct{ error }

func rootCommand(env Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "sentinel",
		Short: "the digital sentinel (数字哨兵): an entrance kiosk",
		Long: `sentinel runs an entrance kiosk: it reads codes and cards, asks the platform,
decides by a dated policy, records, opens the gate or says why not, and
delivers every check-in exactly once.

Exit codes: 0 done, 1 the answer is no or something went wrong, 2 the command
line is wrong.`,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("there is no command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	path := env.Getenv("SENTINEL_CONFIG")
	if path == "" {
		path = defaultConfig
	}
	c := &command{env: env}
	root.PersistentFlags().StringVarP(&c.config, "config", "c", path, "configuration file (or SENTINEL_CONFIG)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(
		c.run(), c.check(), c.devices(), c.status(), c.halt(), c.fire(), c.configCommand(),
		c.decode(), c.verify(), c.policyCommand(), c.trust(), c.queueCommand(), c.log(), c.wipe(), c.version(),
	)
	wrapArgs(root)
	return root
}

// wrapArgs makes a wrong number of arguments a usage error.
func wrapArgs(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		if check := sub.Args; check != nil {
			sub.Args = func(cmd *cobra.Command, args []string) error {
				if err := check(cmd, args); err != nil {
					return &usageError{fmt.Errorf("%s: %w", cmd.CommandPath(), err)}
				}
				return nil
			}
		}
		wrapArgs(sub)
	}
}

// command is what all commands share.
type command struct {
	env    Env
	config string
}

// load reads the configuration.
func (c *command) load() (*configs.Config, error) { return configs.Load(c.config) }

// printf writes to standard output.
func (c *command) printf(format string, args ...string) {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = a
	}
	fmt.Fprintf(c.env.Stdout, format, list...)
}

// printJSON writes v, indented, to standard output.
func printJSON[T any](c *command, v T) error {
	e := json.NewEncoder(c.env.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
