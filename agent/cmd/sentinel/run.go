package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/cmd/kiosk"
	"github.com/digital-sentinel/sentinel/agent/scrub"
	"github.com/digital-sentinel/sentinel/agent/wipe"
	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/drivers"
)

// builtAfter is a day that has surely passed: a clock before it was never set.
var builtAfter = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func (c *command) run() *cobra.Command {
	var jsonLog, verbose bool
	cmd := &cobra.Command{
		Use:     "run",
		Short:   "run the kiosk until it is told to stop",
		Example: "  sentinel run --config /etc/sentinel/sentinel.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			return c.runKiosk(cmd.Context(), config, c.logger(jsonLog, verbose))
		},
	}
	cmd.Flags().BoolVar(&jsonLog, "log-json", false, "log in JSON")
	cmd.Flags().BoolVar(&verbose, "log-debug", false, "log more")
	return cmd
}

func (c *command) logger(jsonLog, verbose bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose {
		o.Level = slog.LevelDebug
	}
	if jsonLog {
		return slog.New(slog.NewJSONHandler(c.env.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(c.env.Stderr, o))
}

func (c *command) runKiosk(ctx context.Context, config *configs.Config, log *slog.Logger) error {
	clk, err := c.clock(ctx, config)
	if err != nil {
		return err
	}
	env := kiosk.Env{
		Version: version, Wires: drivers.HostWires(config.Insecure), Clock: clk, Log: log,
		CheckQueue: checkQueue, Scrub: scrub.Memory,
	}
	if config.Bench {
		log.Warn("this configuration is marked bench: true and is not for service")
	}
	if err := os.MkdirAll(config.State, 0o700); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	if err := wipe.Pending(config.State); err != nil {
		return err
	}
	k, err := kiosk.New(config, env) // takes the queue's lock: one kiosk a folder
	if err != nil {
		return err
	}
	if err := wipe.Pending(config.State); err != nil {
		return err // it was begun before the lock was ours
	}
	if err := c.listen(config, k, log); err != nil {
		return err
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	err = k.Run(ctx)
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	return err
}

// listen opens the control socket and the screen. The kiosk closes them.
func (c *command) listen(config *configs.Config, k *kiosk.Kiosk, log *slog.Logger) error {
	control, err := listenUnix(config.Control)
	if err != nil {
		return err
	}
	k.Control = control
	if config.Screen.Listen == "off" {
		return nil
	}
	page, err := net.Listen("tcp", config.Screen.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(config.Screen.Listen)
		page, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return fmt.Errorf("screen.listen: %w", err)
	}
	k.Screen = page
	address := "http://" + page.Addr().String() + "/"
	log.Info("the visitor's screen is at", "url", address)
	return os.WriteFile(filepath.Join(config.State, "screen.url"), []byte(address+"\n"), 0o600)
}

// listenUnix opens a control socket. One that an earlier agent left behind is
// taken away; the queue's lock has made sure that no other agent runs.
func listenUnix(path string) (net.Listener, error) {
	if len(path) > 100 {
		return nil, fmt.Errorf("control: the path of the socket is longer than the 100 bytes a kernel takes: %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	return l, nil
}

// clock is the machine's, or on a bench the one that the bench moves.
func (c *command) clock(ctx context.Context, config *configs.Config) (*clock.Clock, error) {
	clk := clock.System(builtAfter)
	if path, ok := strings.CutPrefix(config.Clock, "unix:"); ok {
		return clk, clk.Follow(ctx, path)
	}
	return clk, nil
}
