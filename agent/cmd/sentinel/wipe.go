package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/wipe"
	"github.com/digital-sentinel/sentinel/configs"
)

// wipeFlags are what a person has said about a wipe.
type wipeFlags struct {
	yes, json                                     bool
	events, unknown, undelivered, by, reason, out string
}

func (c *command) wipe() *cobra.Command {
	f := new(wipeFlags)
	cmd := &cobra.Command{
		Use:   "wipe",
		Short: "take everything that visitors left out of the state folder, and certify it",
		Long: `wipe removes the queue in all its files, codes that were used, the signed cache,
dumps and sockets from the state folder, and writes a certificate of what it did,
signed with the kiosk's own key. The kiosk must be stopped.

The event log stays, since the law may want it for half a year; it holds no
identity. --events=remove takes it, too. Files that the configuration names,
the known time, the accepted policy and a fire that was not reset stay. Files
that are not the sentinel's stop it, until --unknown says what is to become of
them.

Records that the platform does not hold would be lost: it refuses, says how many,
and goes on if --undelivered repeats the number. Their events go into the event
log first, if that stays; who came is lost.

Files are unlinked and their folders synced. Their blocks are not overwritten:
flash memory would write elsewhere and keep the old ones all the same. That
nobody can ever read a sealed identity is for the authority to say, when it has
destroyed its old key. The certificate says both.

A wipe that was interrupted is finished by "sentinel wipe --yes"; until then
"sentinel run" refuses the folder.

Exit code 0: it is wiped; 1: it is not, or not yet; 2: the command line is wrong.`,
		Example: `  sentinel wipe --yes --reason "returned to the lender" --by op-7
  sentinel wipe verify wipe-k-1.json --ca ca.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			clk, err := c.clock(cmd.Context(), config)
			if err != nil {
				return err
			}
			_ = clk.Keep(filepath.Join(config.State, "clock.json")) // what cannot be read is not known
			clk.Trusted = config.ClockTrusted
			return c.wipeState(config, f, clk.Stamp)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.yes, "yes", false, "it is meant")
	flags.StringVar(&f.reason, "reason", "", "why, in your words; it stands in the certificate, so name nobody")
	flags.StringVar(&f.by, "by", "", "id of who asks for it; it stands in the certificate")
	flags.StringVar(&f.events, "events", "keep", "the event log: keep or remove")
	flags.StringVar(&f.unknown, "unknown", "", "files that are not the sentinel's: keep or remove")
	flags.StringVar(&f.undelivered, "undelivered", "", "how many undelivered records may be lost, as the refusal says it")
	flags.StringVar(&f.out, "out", "", "the certificate (default wipe-DEVICE.json in the current folder)")
	flags.BoolVar(&f.json, "json", false, "print what the certificate says as JSON")
	cmd.AddCommand(c.wipeVerify())
	return cmd
}

func (c *command) wipeState(config *configs.Config, f *wipeFlags, now func() checkin.Stamp) error {
	pending := wipe.Pending(config.State)
	switch {
	case pending != nil && !errors.Is(pending, wipe.ErrPending):
		return pending
	case f.events != "keep" && f.events != "remove":
		return &usageError{fmt.Errorf("--events is keep or remove, not %q", f.events)}
	case f.unknown != "" && f.unknown != "keep" && f.unknown != "remove":
		return &usageError{fmt.Errorf("--unknown is keep or remove, not %q", f.unknown)}
	case f.reason == "" && pending == nil:
		return &usageError{errors.New("--reason is missing: it stands in the certificate")}
	case !f.yes:
		return &usageError{fmt.Errorf("this removes what %s has kept in %s: say --yes if that is meant; nothing was touched", config.Device, config.State)}
	}
	o, err := c.wipeOpts(config, f)
	if err != nil {
		return err
	}
	o.Now = now
	o.Hold = func() (wipe.Lost, func() error, error) { return c.hold(config, f, now) }
	s, err := wipe.Run(o)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(c, s)
	}
	c.printWipe(s)
	c.printf("the certificate is %s; keep it\n", o.Out)
	return nil
}

func (c *command) wipeOpts(config *configs.Config, f *wipeFlags) (wipe.Opts, error) {
	pair, err := tls.LoadX509KeyPair(config.Platform.Certificate, config.Platform.Key)
	if err != nil {
		return wipe.Opts{}, fmt.Errorf("platform.certificate and platform.key: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return wipe.Opts{}, fmt.Errorf("platform.key: %s cannot sign", config.Platform.Key)
	}
	var chain strings.Builder
	for _, der := range pair.Certificate {
		chain.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	out := f.out
	if out == "" {
		out = "wipe-" + config.Device + ".json"
	}
	return wipe.Opts{
		Dir: config.State, Keep: append(configured(config), c.config), Events: f.events == "remove",
		Unknown: wipe.Unknown(f.unknown), Undelivered: f.undelivered,
		Device: config.Device, Version: version, By: f.by, Reason: f.reason,
		Key: key, Chain: chain.String(), Out: out,
	}, nil
}

// configured are the files that the configuration names.
func configured(config *configs.Config) []string {
	p := &config.Platform
	paths := []string{p.CA, p.Certificate, p.Key, config.Policy, config.Records.Recipient}
	if config.Trust.Root != "" {
		paths = append(paths, config.Trust.Root)
	}
	return append(paths, p.StatementKeys...)
}

// printWipe tells what was done.
func (c *command) printWipe(s *wipe.Statement) {
	believed := ""
	if !s.Finished.Trusted {
		believed = " (the kiosk did not know the time for sure)"
	}
	c.printf("kiosk %s was wiped at %s%s\n", printable(s.Device), s.Finished.Wall.Local().Format(time.DateTime), believed)
	c.printf("why: %s", printable(s.Reason))
	if s.By != "" {
		c.printf("; asked for by %s", printable(s.By))
	}
	c.printf("\n\n")
	var bytes int64
	rows := [][]string{{"removed", "what", "bytes", "SHA-256"}}
	for _, f := range s.Removed {
		bytes += f.Size
		sum := f.SHA256
		if sum == "" {
			sum = f.Note
		}
		rows = append(rows, []string{printable(f.Name), printable(f.What), strconv.FormatInt(f.Size, 10), printable(sum)})
	}
	rows = append(rows, []string{strconv.Itoa(len(s.Removed)) + " files", "", strconv.FormatInt(bytes, 10), ""})
	c.printf("%s\n", table(rows, []int{40, 24, 14, 64}))
	rows = [][]string{{"kept", "why"}}
	for _, k := range s.Kept {
		rows = append(rows, []string{printable(k.Name), printable(k.Why)})
	}
	c.printf("%s\n", table(rows, []int{40, 60}))
	c.printf("records lost: %s\n", s.Lost.String())
	if s.Lost.EventsKept > 0 {
		c.printf("  %s of their events are kept in the event log\n", strconv.Itoa(s.Lost.EventsKept))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Lost.Identities)) {
		c.printf("  %s identities sealed to the authority's key %s\n", strconv.Itoa(s.Lost.Identities[key]), printable(key))
	}
	c.printf("%s\n", printable(s.Method))
	for _, limit := range s.Limits {
		c.printf("%s", table([][]string{{"-", printable(limit)}}, []int{1, 90}))
	}
}

func (c *command) wipeVerify() *cobra.Command {
	var ca, cert string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "check a certificate of a wipe, and print what it says",
		Long: `verify checks the signature of a wipe's certificate, and whose it is: --ca says
which authority kiosks' certificates are of, --cert which kiosk it must be.
Nothing of a kiosk is needed. Exit code 0: it is good; 1: it is not.`,
		Example: "  sentinel wipe verify wipe-k-1.json --ca ca.pem",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if (ca == "") == (cert == "") {
				return &usageError{errors.New("say whom to believe: --ca or --cert")}
			}
			trusted, err := readCertificates(ca + cert)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			s, err := wipe.Verify(data, trusted)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if asJSON {
				return printJSON(c, s)
			}
			c.printf("%s is good\n", args[0])
			c.printWipe(s)
			return nil
		},
	}
	cmd.Flags().StringVar(&ca, "ca", "", "certificate of the kiosks' authority (PEM)")
	cmd.Flags().StringVar(&cert, "cert", "", "certificate of the kiosk (PEM)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what it says as JSON")
	return cmd
}

// readCertificates reads a file of certificates.
func readCertificates(path string) ([]*x509.Certificate, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all, err := wipe.Certificates(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return all, nil
}
