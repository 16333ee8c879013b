package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/configs"
)

func (c *command) queueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "look into the records that wait for the platform",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.queueLs(), c.queueVerify(), c.queueExport(), c.queueRequeue())
	return cmd
}

func (c *command) queueLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "how full the queue is and what became of the last attempt",
		Long: `ls tells what waits, what was delivered and what was refused for good. It asks
the running kiosk, or reads the state folder without one. No record is shown:
who came is sealed, and this kiosk cannot read it.`,
		Example: "  sentinel queue ls\n  sentinel queue ls --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			s, err := queueStats(cmd.Context(), config)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c, s)
			}
			c.printQueue(&s)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// queueStats asks the agent, or reads the folder without one.
func queueStats(ctx context.Context, config *configs.Config) (queue.Stats, error) {
	var s agent.Status
	err := ask(ctx, config, http.MethodGet, "/v1/status", &s)
	if err == nil || !errors.Is(err, errNoAgent) {
		return s.Queue, err
	}
	stats, err := queue.Read(config.State)
	stats.MarkFormer(config.Recipients())
	return stats, err
}

func (c *command) queueVerify() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "check every file of the queue, as after a power cut",
		Long: `verify reads each file of a stopped kiosk's queue as a whole: its structure and
the checksum of every record. A damaged one is not mended here; the kiosk
salvages it at its next start and sets the original aside.

Exit code 0: all are sound; 1: one is not.`,
		Example: "  sentinel queue verify\n  sentinel queue verify --file /var/lib/sentinel/q-000001.db",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" {
				return queue.CheckFile(file)
			}
			config, err := c.load()
			if err != nil {
				return err
			}
			return c.verifyQueue(config, asJSON)
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "check this file only, without a configuration")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// checkedFile is what verify found.
type checkedFile struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

func (c *command) verifyQueue(config *configs.Config, asJSON bool) error {
	unlock, err := queue.Lock(config.State)
	if err != nil {
		return err
	}
	defer unlock()
	paths, err := filepath.Glob(filepath.Join(config.State, "q-*.db"))
	if err != nil {
		return err
	}
	list := []checkedFile{}
	bad := false
	for _, path := range paths {
		f := checkedFile{File: filepath.Base(path)}
		if fi, err := os.Stat(path); err == nil {
			f.Bytes = fi.Size()
		}
		if err := checkQueue(path); err != nil {
			f.Error, bad = err.Error(), true
		}
		f.OK = f.Error == ""
		list = append(list, f)
		if !asJSON {
			c.printChecked(&f)
		}
	}
	if asJSON {
		if err := printJSON(c, list); err != nil {
			return err
		}
	}
	if bad {
		return errFailed
	}
	return nil
}

func (c *command) printChecked(f *checkedFile) {
	if f.OK {
		c.printf("%s: sound, %s bytes\n", f.File, strconv.FormatInt(f.Bytes, 10))
		return
	}
	c.printf("%s: DAMAGED: %s; start the kiosk: it saves what can be read\n", f.File, f.Error)
}

// checkLimit bounds the look at one file: a million records take seconds.
const checkLimit = 2 * time.Minute

// checkQueue looks at a file of the queue in a child process, which a damaged
// file may end.
func checkQueue(path string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("checking %s: %w", path, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, self, "queue", "verify", "--file", path).CombinedOutput()
	if err == nil {
		return nil
	}
	if len(out) > 300 {
		out = out[:300]
	}
	return fmt.Errorf("checking %s: %w: %s", path, err, out)
}

func (c *command) queueExport() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "copy the waiting and refused records out of a stopped kiosk",
		Long: `export writes every record of a stopped kiosk's queue to a file, one JSON object
a line, for a kiosk that cannot deliver any more. Who came stays sealed to the
authority. The records stay in the queue; the platform recognises what it is
brought twice.`,
		Example: "  sentinel queue export --out records.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			if out == "-" {
				_, err := exportQueue(config.State, c.env.Stdout)
				return err
			}
			f, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("export: %w", err)
			}
			n, err := exportQueue(config.State, f)
			if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
				return err
			}
			c.printf("%s records are in %s\n", strconv.Itoa(n), out)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "-", "file to write, which must not be there; - is standard output")
	return cmd
}

// exportQueue writes the records, and counts them. A damaged one is told at the
// end, and costs itself only.
func exportQueue(dir string, to io.Writer) (n int, err error) {
	var damaged error
	e := json.NewEncoder(to)
	for item, err := range queue.Items(dir) {
		if err != nil {
			damaged = errors.Join(damaged, err)
			continue
		}
		if err := e.Encode(item); err != nil {
			return n, err
		}
		n++
	}
	return n, damaged
}

func (c *command) queueRequeue() *cobra.Command {
	return &cobra.Command{
		Use:   "requeue",
		Short: "send again what was refused for good",
		Long: `requeue lets the records that the platform or a recipient refused for good wait
once more, after the cause has been mended there. The kiosk must run.`,
		Example: "  sentinel queue requeue",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			var done struct{ Records int }
			err = ask(cmd.Context(), config, http.MethodPost, "/v1/queue/requeue", &done)
			if errors.Is(err, errNoAgent) {
				return fmt.Errorf("%w; start it: it is the one that sends", err)
			}
			if err == nil {
				c.printf("%s records wait again\n", strconv.Itoa(done.Records))
			}
			return err
		},
	}
}
