package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/cmd/kiosk"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

func (c *command) verify() *cobra.Command {
	var o verifyOpts
	cmd := &cobra.Command{
		Use:   "verify -|CODE",
		Short: "print what a signed code says, and whether it verifies",
		Long: `verify prints what a signed code (DS1:) says, whether it verifies, and if not,
why not. With - it reads the code from standard input, so that it need not stand
in the list of processes.

Exit codes: 0 the code is valid, 1 it is not, 2 the command line is wrong or a
file cannot be read: then nothing is said about the code.

The clock of this machine is taken for right; a kiosk asks whether a code is good
at every moment that it can be. Whether the code was used before, and what the
status list says of its holder, only a kiosk knows.`,
		Example: "  sentinel decode photo.jpg | sentinel verify --issuers keys.json -\n  sentinel verify --issuers keys.json --at 2026-11-24T08:00:00Z --json -",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return c.verifyCode(args[0], o) },
	}
	cmd.Flags().StringVar(&o.at, "at", "", "judge the code at this time, RFC 3339, instead of now")
	cmd.Flags().StringVar(&o.issuers, "issuers", "", "file of the trusted issuers' keys (issuers/keys.json); default: the kiosk's signed cache")
	cmd.Flags().StringVar(&o.revoked, "revoked", "", "file of withdrawn codes")
	cmd.Flags().StringVar(&o.venue, "venue", "", "refuse a visitor pass for another venue")
	cmd.Flags().BoolVar(&o.json, "json", false, "print {kind, valid, reason, issuer, issued, expires, claims}")
	return cmd
}

type verifyOpts struct {
	at, issuers, revoked, venue string
	json                        bool
}

func (c *command) verifyCode(arg string, o verifyOpts) error {
	now := time.Now()
	if o.at != "" {
		var err error
		if now, err = time.Parse(time.RFC3339, o.at); err != nil {
			return &usageError{fmt.Errorf("--at %q is no time like 2026-11-24T08:00:00Z", o.at)}
		}
	}
	codes, err := c.codes(&o)
	if err != nil {
		return &usageError{err}
	}
	text, err := c.codeText(arg)
	if err != nil {
		return &usageError{err}
	}
	r := codes.Open(text, credential.Interval{Lo: now, Hi: now})
	if o.json {
		err = printJSON(c, factsOf(&r))
	} else {
		c.printResult(&r)
	}
	if err == nil && !r.Valid {
		err = errFailed
	}
	return err
}

// codes is what the files say that codes are judged by.
func (c *command) codes(o *verifyOpts) (*credential.Codes, error) {
	if o.issuers == "" {
		return c.storedCodes(o)
	}
	data, err := os.ReadFile(o.issuers)
	if err != nil {
		return nil, err
	}
	codes := &credential.Codes{Venue: o.venue}
	if codes.Issuers, err = credential.ParseIssuers(data); err != nil {
		return nil, fmt.Errorf("%s: %w", o.issuers, err)
	}
	if o.revoked == "" {
		return codes, nil
	}
	if data, err = os.ReadFile(o.revoked); err != nil {
		return nil, err
	}
	if codes.Revoked, err = credential.ParseRevocations(data); err != nil {
		return nil, fmt.Errorf("%s: %w", o.revoked, err)
	}
	return codes, nil
}

// storedCodes is what the kiosk's own signed cache says.
func (c *command) storedCodes(o *verifyOpts) (*credential.Codes, error) {
	config, err := c.load()
	if err != nil {
		return nil, fmt.Errorf("%w; or give the issuers' keys: --issuers FILE", err)
	}
	codes, err := kiosk.StoredCodes(config)
	if err != nil {
		return nil, fmt.Errorf("%w; or give the issuers' keys: --issuers FILE", err)
	}
	if o.venue != "" {
		codes.Venue = o.venue
	}
	return codes, nil
}

// codeText is the code itself: from standard input if arg is "-". A code is one
// line; no more is read than tells that it is none.
func (c *command) codeText(arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	data, err := io.ReadAll(io.LimitReader(c.env.Stdin, signed.MaxCode+3))
	if err != nil {
		return "", fmt.Errorf("standard input: %w", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// codeFacts is what verify --json prints.
type codeFacts struct {
	Kind    string         `json:"kind"`
	Valid   bool           `json:"valid"`
	Reason  checkin.Reason `json:"reason"`
	Issuer  string         `json:"issuer"`
	Issued  *time.Time     `json:"issued"`
	Expires *time.Time     `json:"expires"`
	Claims  *claimsOfACode `json:"claims"`
}

// claimsOfACode is what the code says; ids in hexadecimal.
type claimsOfACode struct {
	Proven  bool           `json:"proven"` // the signatures are right
	KeyID   string         `json:"kid"`
	ID      string         `json:"id"`
	Person  string         `json:"person,omitempty"`
	Index   *uint32        `json:"index,omitempty"`
	Name    string         `json:"name,omitempty"`
	Tail    string         `json:"tail,omitempty"`
	Colour  checkin.Colour `json:"colour,omitempty"`
	Sampled *time.Time     `json:"sampled,omitempty"`
	Begins  *time.Time     `json:"not_before,omitempty"`
	Venue   string         `json:"venue,omitempty"`
	Host    string         `json:"host,omitempty"`
	Shown   *time.Time     `json:"shown,omitempty"` // by the phone's clock
}

func factsOf(r *credential.Result) codeFacts {
	f := codeFacts{Kind: r.Kind.String(), Valid: r.Valid, Reason: r.Reason}
	if r.Kind == 0 {
		return f
	}
	s := &r.Claims
	f.Issuer, f.Issued, f.Expires = s.Issuer, known(r.Issued()), known(r.Expires())
	f.Claims = &claimsOfACode{
		Proven: r.Proven, KeyID: r.KeyID, ID: hex.EncodeToString(s.ID), Person: hex.EncodeToString(s.Person), Index: s.Index,
		Name: s.Name, Tail: s.Tail, Sampled: known(r.Sampled()), Begins: known(r.Begins()),
		Venue: s.Venue, Host: s.Host, Shown: known(r.Shown),
	}
	if s.Status != 0 {
		f.Claims.Colour = r.Colour()
	}
	return f
}

// known is nil for a time that is not there.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// printResult writes r for people.
func (c *command) printResult(r *credential.Result) {
	f := factsOf(r)
	if s := f.Claims; s != nil {
		c.printf("%s of %s, key %s\n", f.Kind, f.Issuer, s.KeyID)
		c.printTime("issued", f.Issued)
		c.printTime("begins", s.Begins)
		c.printTime("expires", f.Expires)
		c.printTime("shown", s.Shown)
		for _, row := range [][2]string{
			{"name", s.Name}, {"number", s.Tail}, {"colour", string(s.Colour)}, {"venue", s.Venue}, {"host", s.Host}, {"id", s.ID},
		} {
			if row[1] != "" {
				c.printf("  %-8s %s\n", row[0], row[1])
			}
		}
		c.printTime("sampled", s.Sampled)
	}
	switch {
	case r.Valid:
		c.printf("valid\n")
	case r.Kind != 0 && !r.Proven:
		c.printf("not valid: %s: %s; none of this is proven\n", string(r.Reason), r.Detail)
	default:
		c.printf("not valid: %s: %s\n", string(r.Reason), r.Detail)
	}
}

func (c *command) printTime(what string, t *time.Time) {
	if t != nil {
		c.printf("  %-8s %s\n", what, t.Format(time.RFC3339))
	}
}
