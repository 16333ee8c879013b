package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	qrcode "github.com/skip2/go-qrcode"
	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

func codeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "code paper|phone|pass",
		Short: "make a signed code (DS1:) as a picture and as text",
		Long: `code makes a signed code of a synthetic person: NAME.png for a scanner or a
camera, NAME.txt for sentinel verify, and keys.json, which is what a kiosk must
trust. It signs with --key, else with the issuer.key of the folder, else with a
fresh one that it leaves there.

The picture is a QR code at error correction M, four pixels a module.`,
		Example: `  sentinel-sim code paper --out codes
  sentinel-sim code phone --out codes --colour yellow --nat 12h
  sentinel verify --issuers codes/keys.json - < codes/phone.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(paperCommand(), phoneCommand(), passCommand())
	return cmd
}

func paperCommand() *cobra.Command {
	o := newCodeOpts()
	cmd := &cobra.Command{
		Use: "paper", Short: "a handle without any health state, for 180 days", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.make(cmd.OutOrStdout(), signed.Paper) },
	}
	o.flags(cmd)
	o.holder(cmd)
	cmd.Flags().Uint32Var(&o.index, "index", 0, "place in the status list; default: at random")
	cmd.Flags().DurationVar(&o.life, "life", signed.Paper.Longest(), "for how long it is good")
	return cmd
}

func phoneCommand() *cobra.Command {
	o := newCodeOpts()
	bearer := false
	cmd := &cobra.Command{
		Use: "phone", Short: "a status with the signature of the phone that shows it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if bearer {
				return o.make(cmd.OutOrStdout(), signed.Bearer)
			}
			return o.make(cmd.OutOrStdout(), signed.Phone)
		},
	}
	o.flags(cmd)
	o.holder(cmd)
	cmd.Flags().StringVar(&o.colour, "colour", "green", "green, yellow, red or none")
	cmd.Flags().DurationVar(&o.nat, "nat", 12*time.Hour, "how old the negative sample is; 0: there is none")
	cmd.Flags().DurationVar(&o.life, "life", signed.Phone.Longest(), "for how long it is good")
	cmd.Flags().DurationVar(&o.shown, "shown-after", 0, "when the phone signs, counted from --at; may be negative")
	cmd.Flags().StringVar(&o.device, "device-alg", "EdDSA", "of the phone's key: EdDSA or ES256")
	cmd.Flags().BoolVar(&bearer, "bearer", false, "without the phone's signature: a screenshot waiting to happen")
	return cmd
}

func passCommand() *cobra.Command {
	o := newCodeOpts()
	cmd := &cobra.Command{
		Use: "pass", Short: "a host's word for a visitor, good once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.make(cmd.OutOrStdout(), signed.Pass) },
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.name, "name", "王小明", "the visitor's name; the code has it masked")
	cmd.Flags().StringVar(&o.venue, "venue", "v-1", "where it is good")
	cmd.Flags().StringVar(&o.host, "host", "h-20417", "who expects him")
	cmd.Flags().DurationVar(&o.begins, "begins-after", 0, "when it begins, counted from --at")
	cmd.Flags().DurationVar(&o.life, "life", 8*time.Hour, "for how long it is good then")
	return cmd
}

// codeOpts is one code that is asked for.
type codeOpts struct {
	out, key, kid, issuer, alg, at string

	name, number  string
	index         uint32
	colour        string
	nat           time.Duration
	life          time.Duration
	shown, begins time.Duration
	device        string
	venue, host   string
}

func newCodeOpts() *codeOpts { return &codeOpts{device: "EdDSA"} }

func (o *codeOpts) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.out, "out", ".", "folder to write to")
	cmd.Flags().StringVar(&o.key, "key", "", "the issuer's private key, PEM; default: issuer.key of the folder")
	cmd.Flags().StringVar(&o.kid, "kid", "k1", "id of the issuer's key")
	cmd.Flags().StringVar(&o.issuer, "issuer", "sh", "name of the issuer")
	cmd.Flags().StringVar(&o.alg, "alg", "EdDSA", "of a fresh key: EdDSA or ES256")
	cmd.Flags().StringVar(&o.at, "at", "", "when it is issued, RFC 3339; default: now")
}

func (o *codeOpts) holder(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.name, "name", "王小明", "the holder's name; the code has it masked")
	cmd.Flags().StringVar(&o.number, "number", "11010519491231002X", "the holder's number; the code has its end")
}

// make makes the code and writes its files.
func (o *codeOpts) make(out io.Writer, kind signed.Kind) error {
	at, err := date(o.at)
	if err != nil {
		return err
	}
	if at.IsZero() {
		at = time.Now()
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	issuer, err := o.issuerKey()
	if err != nil {
		return err
	}
	text, err := o.sign(kind, issuer, at.Truncate(time.Second))
	if err != nil {
		return err
	}
	return errors.Join(o.writeKeys(issuer.Public()), o.write(out, kind, text))
}

// sign makes the text.
func (o *codeOpts) sign(kind signed.Kind, issuer crypto.Signer, at time.Time) (string, error) {
	claims, err := o.claims(kind, issuer, at)
	if err != nil {
		return "", err
	}
	if kind != signed.Phone {
		return signed.SignCode(issuer, o.kid, claims)
	}
	device, err := newKey(o.device)
	if err != nil {
		return "", err
	}
	claims.Device = device.Public()
	code, err := signed.SignCode(issuer, o.kid, claims)
	if err != nil {
		return "", err
	}
	return signed.Show(device, code, at.Add(o.shown).Unix())
}

func (o *codeOpts) claims(kind signed.Kind, issuer crypto.Signer, at time.Time) (*signed.Claims, error) {
	random := make([]byte, 12)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	c := &signed.Claims{
		Kind: kind, Issuer: o.issuer, Issued: at.Unix(), Expires: at.Add(o.begins + o.life).Unix(),
		ID: random[:8], Name: checkin.MaskName(o.name),
	}
	if kind == signed.Pass {
		c.NotBefore, c.Venue, c.Host = at.Add(o.begins).Unix(), o.venue, o.host
		return c, nil
	}
	if len(o.number) < 4 {
		return nil, errors.New("--number has at least 4 characters")
	}
	c.Tail = o.number[len(o.number)-4:]
	c.Person = person(issuer, o.number)
	if kind == signed.Paper {
		index := o.index
		if index == 0 { // a list of a city of 25 million
			index = (uint32(random[8])<<24 | uint32(random[9])<<16 | uint32(random[10])<<8 | uint32(random[11])) % 25_000_000
		}
		c.Index = &index
		return c, nil
	}
	colour, ok := map[string]uint8{"none": 0, "green": 1, "yellow": 2, "red": 3}[o.colour]
	if !ok {
		return nil, fmt.Errorf("--colour is green, yellow, red or none, not %q", o.colour)
	}
	if c.Status = signed.StatusByte(colour); o.nat > 0 {
		c.Sampled = at.Add(-o.nat).Unix()
	}
	return c, nil
}

// person stands in for the issuer's keyed hash of a holder: the same for the same
// issuer's key and number.
func person(issuer crypto.Signer, number string) []byte {
	public, err := x509.MarshalPKIXPublicKey(issuer.Public())
	if err != nil {
		return nil // SignCode refuses that
	}
	sum := sha256.Sum256(append(public, number...))
	return sum[:8]
}

// issuerKey reads the issuer's key, or makes and keeps one.
func (o *codeOpts) issuerKey() (crypto.Signer, error) {
	path := o.key
	if path == "" {
		path = filepath.Join(o.out, "issuer.key")
	}
	key, err := readKey(path)
	if o.key != "" || !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = newKey(o.alg); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// writeKeys puts the issuer among those that a kiosk is to trust
// (credential.ParseIssuers). Others that stand there stay.
func (o *codeOpts) writeKeys(key crypto.PublicKey) error {
	path := filepath.Join(o.out, "keys.json")
	all := map[string]json.RawMessage{}
	if data, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(data, &all); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return err
	}
	all[o.kid], err = json.Marshal(map[string]string{
		"name": o.issuer, "key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	})
	if err != nil {
		return err
	}
	keys, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(keys, '\n'), 0o644)
}

// write writes the picture and the text and says what they are.
func (o *codeOpts) write(out io.Writer, kind signed.Kind, text string) error {
	code, err := qrcode.New(text, qrcode.Medium)
	if err != nil {
		return err
	}
	name := filepath.Join(o.out, kind.String())
	if err := errors.Join(code.WriteFile(-4, name+".png"), os.WriteFile(name+".txt", []byte(text+"\n"), 0o644)); err != nil {
		return err
	}
	raw, err := signed.DecodeBase45(strings.TrimPrefix(text, signed.Prefix))
	if err != nil {
		return err
	}
	side := 17 + 4*code.VersionNumber
	fmt.Fprintf(out, "%s.png: QR version %d at M, %d×%d modules, %d bytes in %d characters\n%s.txt\n",
		name, code.VersionNumber, side, side, len(raw), len(text), name)
	return nil
}

func newKey(alg string) (crypto.Signer, error) {
	switch alg {
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return nil, fmt.Errorf("an algorithm is EdDSA or ES256, not %q", alg)
}

func readKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s, ok := key.(crypto.Signer); ok {
		return s, nil
	}
	return nil, fmt.Errorf("%s: a key that signs nothing", path)
}
