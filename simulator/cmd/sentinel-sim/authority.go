package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/simulator/authority"
)

// authorityFlags are common to the authority's commands.
type authorityFlags struct{ dir, passphraseFile string }

func authorityCommand() *cobra.Command {
	f := new(authorityFlags)
	cmd := &cobra.Command{
		Use:   "authority",
		Short: "open sealed identities, after two approvals",
		Long: `authority is the tool of whoever may learn who came. It holds the keys that
kiosks seal identities to, on a machine of its own: no node of the platform has
it. Identities of one file are opened once, for a request that two approvers have
signed, within 24 hours; every step is in a log that shows later changes.

Private keys are protected by a passphrase, from SENTINEL_PASSPHRASE or the first
line of --passphrase-file; an approver's key by his own. Without one they are not,
and the commands say so.

What it does not prevent: who can write to the folder can name approvers of his
own, or put an older copy in its place. Write down the hash that "authority log"
prints, elsewhere, and hold later logs against it with --head.

Exit code 0: done; 1: refused, or not all of it; 2: it went wrong.`,
		Example: `  sentinel-sim authority init --dir authority > authority.age
  sentinel-sim authority approver add zhao --dir authority --key zhao.key
  sentinel-sim authority request --dir authority --by li --reason "case 7" who.jsonl
  sentinel-sim authority approve --dir authority --request r4 --by zhao --key zhao.key
  sentinel-sim authority decrypt --dir authority --request r4 who.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&f.dir, "dir", "", "the authority's folder")
	cmd.PersistentFlags().StringVar(&f.passphraseFile, "passphrase-file", "", "file with the passphrase (or SENTINEL_PASSPHRASE)")
	_ = cmd.MarkPersistentFlagRequired("dir")
	cmd.AddCommand(f.initCommand(), f.approver(), f.request(), f.approve(), f.decrypt(), f.rotate(), f.retire(), f.log())
	return cmd
}

// opts reads the passphrase.
func (f *authorityFlags) opts() (authority.Opts, error) {
	o := authority.Opts{Dir: f.dir, Passphrase: os.Getenv("SENTINEL_PASSPHRASE"), Now: time.Now}
	if f.passphraseFile != "" {
		data, err := os.ReadFile(f.passphraseFile)
		if err != nil {
			return o, fmt.Errorf("--passphrase-file: %w", err)
		}
		line, _, _ := strings.Cut(string(data), "\n")
		if o.Passphrase = strings.TrimSuffix(line, "\r"); o.Passphrase == "" {
			return o, fmt.Errorf("--passphrase-file: the first line of %s is empty", f.passphraseFile)
		}
	}
	return o, nil
}

// with runs do on the opened authority.
func (f *authorityFlags) with(do func(a *authority.Authority) error) error {
	o, err := f.opts()
	if err != nil {
		return err
	}
	a, err := authority.Open(o)
	if err != nil {
		return err
	}
	return errors.Join(do(a), a.Close())
}

// warn says that keys lie in clear.
func (f *authorityFlags) warn(w io.Writer) {
	if o, err := f.opts(); err == nil && o.Passphrase == "" {
		fmt.Fprintln(w, "there is no passphrase: the private key lies in clear in a file of mode 0600")
	}
}

func (f *authorityFlags) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "init",
		Short:   "make an authority; print the recipient that kiosks seal to",
		Example: "  sentinel-sim authority init --dir authority > authority.age",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := f.opts()
			if err != nil {
				return err
			}
			recipient, err := authority.Init(o)
			if err != nil {
				return refused(cmd, err)
			}
			f.warn(cmd.ErrOrStderr())
			fmt.Fprintln(cmd.OutOrStdout(), recipient)
			return nil
		},
	}
}

func (f *authorityFlags) approver() *cobra.Command {
	cmd := &cobra.Command{
		Use: "approver", Short: "who may approve", Example: "  sentinel-sim authority approver add zhao --dir authority --key zhao.key",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var key string
	add := &cobra.Command{
		Use: "add NAME", Short: "name an approver and make his key, which is his alone",
		Example: "  sentinel-sim authority approver add zhao --dir authority --key zhao.key", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := f.with(func(a *authority.Authority) error { return a.Name(args[0], key) })
			if err != nil {
				return refused(cmd, err)
			}
			f.warn(cmd.ErrOrStderr())
			fmt.Fprintf(cmd.OutOrStdout(), "%s approves with %s; give it to nobody else\n", args[0], key)
			return nil
		},
	}
	add.Flags().StringVar(&key, "key", "", "file to write the approver's key to")
	_ = add.MarkFlagRequired("key")
	cmd.AddCommand(add, &cobra.Command{
		Use: "revoke NAME", Short: "say that somebody approves no more; what he has approved counts no more",
		Example: "  sentinel-sim authority approver revoke zhao --dir authority", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return refused(cmd, f.with(func(a *authority.Authority) error { return a.Revoke(args[0]) }))
		},
	})
	return cmd
}

func (f *authorityFlags) request() *cobra.Command {
	var by, reason string
	cmd := &cobra.Command{
		Use:   "request FILE",
		Short: "ask for the identities in a file; print the request's id",
		Long: `request records who asks for the identities in FILE, and why. FILE holds records
as JSON lines {event, identity, key_id}, as the platform gives them out. The
request holds for exactly this file.`,
		Example: `  sentinel-sim authority request --dir authority --by li --reason "case 7" who.jsonl`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readRecords(args[0])
			if err != nil {
				return err
			}
			return refused(cmd, f.with(func(a *authority.Authority) error {
				id, err := a.Request(by, reason, data)
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), id)
				}
				return err
			}))
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "who asks")
	cmd.Flags().StringVar(&reason, "reason", "", "why; it stays in the log, so name nobody")
	_ = cmd.MarkFlagRequired("by")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

func (f *authorityFlags) approve() *cobra.Command {
	var id, by, key string
	cmd := &cobra.Command{
		Use:     "approve",
		Short:   "sign a request",
		Long:    "approve signs a request with an approver's own key. Two are needed, of neither the requester.",
		Example: "  sentinel-sim authority approve --dir authority --request r4 --by zhao --key zhao.key",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return refused(cmd, f.with(func(a *authority.Authority) error { return a.Approve(id, by, key) }))
		},
	}
	cmd.Flags().StringVar(&id, "request", "", "the request's id")
	cmd.Flags().StringVar(&by, "by", "", "the approver")
	cmd.Flags().StringVar(&key, "key", "", "file of his key")
	for _, name := range []string{"request", "by", "key"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (f *authorityFlags) decrypt() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "decrypt FILE",
		Short: "print who came, of an approved request, once",
		Long: `decrypt opens the identities in FILE and prints a JSON line for each: event, uuid,
at, venue, lane, kind, value, name; or error, where one cannot be opened. One that
was sealed for another event is told as swapped, without its name.

The log says that it was opened before the first line is printed: a second look
wants a new request, even if this one is cut short.`,
		Example: "  sentinel-sim authority decrypt --dir authority --request r4 who.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readRecords(args[0])
			if err != nil {
				return err
			}
			return refused(cmd, f.with(func(a *authority.Authority) error { return a.Decrypt(id, data, cmd.OutOrStdout()) }))
		},
	}
	cmd.Flags().StringVar(&id, "request", "", "the request's id")
	_ = cmd.MarkFlagRequired("request")
	return cmd
}

func (f *authorityFlags) rotate() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "make a new key; print the recipient that kiosks seal to from now on",
		Long: `rotate makes a new key. The old one goes on opening what was sealed to it until
it is retired.`,
		Example: "  sentinel-sim authority rotate --dir authority > authority.age",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return refused(cmd, f.with(func(a *authority.Authority) error {
				recipient, err := a.Rotate()
				if err == nil {
					f.warn(cmd.ErrOrStderr())
					fmt.Fprintln(cmd.OutOrStdout(), recipient)
				}
				return err
			}))
		},
	}
}

func (f *authorityFlags) retire() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "retire KEYID",
		Short: "destroy a key that was rotated: what was sealed to it, nobody can read again",
		Long: `retire overwrites and unlinks a private key that a rotation has replaced. From
then on nobody can read what was sealed to it, on whatever kiosk or card it lies:
the strong claim behind a wipe. It holds if there is no copy of the key.`,
		Example: "  sentinel-sim authority retire 1a2b3c4d --yes --dir authority",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return errors.New("this destroys a key for ever: say --yes if that is meant")
			}
			return refused(cmd, f.with(func(a *authority.Authority) error { return a.Retire(args[0]) }))
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "it is meant")
	return cmd
}

func (f *authorityFlags) log() *cobra.Command {
	var head string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "log",
		Short: "check the log and print it",
		Long: `log checks the chain, every rule and every signature of the log, and prints it.
The last line's hash stands for all of it: written down elsewhere and given as
--head later, it shows that nothing of then was changed or left out.`,
		Example: "  sentinel-sim authority log --dir authority --head 5f3c…",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := os.ReadFile(filepath.Join(f.dir, authority.LogName))
			if err != nil {
				return err
			}
			entries, err := authority.Verify(data)
			if err != nil {
				return refused(cmd, err)
			}
			if err := printLog(cmd.OutOrStdout(), entries, asJSON); err != nil {
				return err
			}
			if head != "" && !slices.ContainsFunc(entries, func(e authority.Entry) bool { return e.Hash() == head }) {
				return refused(cmd, errors.New("the log does not hold that head: it was changed, or another one was put in its place"))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&head, "head", "", "a hash that this command has printed before")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	return cmd
}

func printLog(out io.Writer, entries []authority.Entry, asJSON bool) error {
	last := ""
	for _, e := range entries {
		last = e.Hash()
		if asJSON {
			if err := json.NewEncoder(out).Encode(e); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(out, "%4d  %s  %-8s", e.N, e.At.Local().Format(time.DateTime), e.Do)
		for _, w := range []struct{ what, value string }{
			{"by", e.By}, {"request", e.Request}, {"key", e.Key}, {"file", e.File}, {"reason", e.Reason},
		} {
			if w.value != "" {
				fmt.Fprintf(out, "  %s=%q", w.what, w.value)
			}
		}
		fmt.Fprintln(out)
	}
	if !asJSON {
		fmt.Fprintf(out, "%d lines, each in order; head %s\n", len(entries), last)
	}
	return nil
}

// readRecords reads a file of records.
func readRecords(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, authority.MaxFile+1))
	if err == nil && len(data) > authority.MaxFile {
		err = fmt.Errorf("%s is larger than %d bytes: ask for less at a time", path, authority.MaxFile)
	}
	return data, err
}

// refused tells an error and ends the program with exit code 1.
func refused(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "sentinel-sim:", err)
	return exitCode(1)
}
