package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// trustFlags are those of the protocol by which TUF clients are tested; they
// come before the verb.
type trustFlags struct {
	metadataDir, metadataURL              string
	targetName, targetBaseURL, targetsDir string
}

// trustTimeout bounds each request of the commands.
const trustTimeout = 30 * time.Second

// trustMaxTarget bounds one target that the commands bring.
const trustMaxTarget = 256 << 20

func (c *command) trust() *cobra.Command {
	f := new(trustFlags)
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "the signed files of a repository (TUF), by the agent's own client",
		Long: `trust keeps the metadata of a TUF repository in a folder, brings it up to date
and downloads targets, with the code that a kiosk runs. It is for looking into a
repository and for conformance tests; a kiosk needs none of it, its root is in
its configuration.

The flags come before the verb. The folder holds root.json, timestamp.json,
snapshot.json, targets.json and each delegated role as they were last verified.

Exit code 0: it was done; 1: something was refused or went wrong.`,
		Example: `  sentinel trust --metadata-dir D init root.json
  sentinel trust --metadata-dir D --metadata-url https://cdn.example/tuf refresh`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.metadataDir, "metadata-dir", "", "folder of the trusted metadata")
	flags.StringVar(&f.metadataURL, "metadata-url", "", "where the repository's metadata lies")
	flags.StringVar(&f.targetName, "target-name", "", "the target to download")
	flags.StringVar(&f.targetBaseURL, "target-base-url", "", "where the repository's targets lie")
	flags.StringVar(&f.targetsDir, "target-dir", "", "folder to download into")
	cmd.AddCommand(c.trustInit(f), c.trustRefresh(f), c.trustDownload(f))
	return cmd
}

func (c *command) trustInit(f *trustFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "init ROOT",
		Short:   "trust the root metadata in a file",
		Example: "  sentinel trust --metadata-dir D init root.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := given("--metadata-dir", f.metadataDir); err != nil {
				return err
			}
			root, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			return trust.Install(f.metadataDir, root)
		},
	}
}

func (c *command) trustRefresh(f *trustFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "refresh",
		Short:   "bring the metadata up to date",
		Example: "  sentinel trust --metadata-dir D --metadata-url https://cdn.example/tuf refresh",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, from, err := f.open()
			if err != nil {
				return err
			}
			_, err = s.Refresh(cmd.Context(), from, time.Now())
			return err
		},
	}
}

func (c *command) trustDownload(f *trustFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "download",
		Short:   "bring the metadata up to date and download one target",
		Example: "  sentinel trust --metadata-dir D --metadata-url https://cdn.example/tuf --target-name status/feed.json --target-base-url https://cdn.example/tuf/targets --target-dir T download",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := errors.Join(given("--target-name", f.targetName), given("--target-base-url", f.targetBaseURL),
				given("--target-dir", f.targetsDir))
			if err != nil {
				return err
			}
			s, from, err := f.open()
			if err != nil {
				return err
			}
			if from.Targets, err = trust.HTTP(&http.Client{Timeout: trustTimeout}, f.targetBaseURL); err != nil {
				return &usageError{err}
			}
			return s.Download(cmd.Context(), from, time.Now(), f.targetName, f.targetsDir)
		},
	}
}

// open opens the store that init made.
func (f *trustFlags) open() (*trust.Store, trust.Sources, error) {
	if err := errors.Join(given("--metadata-dir", f.metadataDir), given("--metadata-url", f.metadataURL)); err != nil {
		return nil, trust.Sources{}, err
	}
	from, err := trust.HTTP(&http.Client{Timeout: trustTimeout}, f.metadataURL)
	if err != nil {
		return nil, trust.Sources{}, &usageError{err}
	}
	root, err := trust.Installed(f.metadataDir)
	if err != nil {
		return nil, trust.Sources{}, fmt.Errorf("the folder has no root; sentinel trust init puts it there: %w", err)
	}
	s, err := trust.Open(f.metadataDir, trust.Options{Root: root, MaxTarget: trustMaxTarget})
	return s, trust.Sources{Metadata: from}, err
}

// given makes a missing flag a usage error.
func given(flag, value string) error {
	if value == "" {
		return &usageError{fmt.Errorf("%s is missing", flag)}
	}
	return nil
}
