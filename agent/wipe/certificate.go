package wipe

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/durable"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// Type is what a wipe certificate calls itself, and mediaType what its
// signature does.
const (
	Type      = "sentinel-wipe"
	mediaType = "application/vnd.digital-sentinel.wipe+json"
)

// maxCertificate bounds a certificate that is read, in bytes.
const maxCertificate = 16 << 20

// Statement is what a certificate says.
type Statement struct {
	Type    string `json:"type"`
	Version int    `json:"v"`
	ID      string `json:"id"` // random
	Device  string `json:"device"`
	Program string `json:"program"` // its version
	By      string `json:"by,omitempty"`
	Reason  string `json:"reason"`
	// Begun and Finished are as the kiosk's clock had them; trusted says whether
	// that is believed.
	Begun    checkin.Stamp `json:"begun"`
	Finished checkin.Stamp `json:"finished,omitzero"`
	Runs     int           `json:"runs"` // more than one: it was interrupted
	Lost     Lost          `json:"lost"`
	Removed  []File        `json:"removed"`
	Kept     []Kept        `json:"kept"`
	Events   bool          `json:"event_log_removed"`
	Unknown  Unknown       `json:"unknown,omitempty"` // what became of files that are nobody's
	Method   string        `json:"method"`
	Limits   []string      `json:"not_claimed"`
}

// File is one file that was removed.
type File struct {
	Name   string `json:"name"` // in the state folder
	What   string `json:"what"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"` // of what it held
	Note   string `json:"note,omitempty"`
}

// Kept is one file that stays.
type Kept struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// Lost is what was in the queue and nowhere else.
type Lost struct {
	Known   bool           `json:"known"`             // the queue could be read
	Records int            `json:"records"`           // that waited for the platform
	Dead    int            `json:"dead"`              // that it had refused for good
	Reports map[string]int `json:"reports,omitempty"` // that waited for a recipient, by his name
	// Identities is how many sealed identities there were, by the id of the
	// authority's key.
	Identities map[string]int `json:"identities,omitempty"`
	// EventsKept is how many events of these records were put into the event log.
	EventsKept int `json:"events_kept,omitempty"`
}

// Number is how many records would be lost, "unknown" if the queue cannot be
// read.
func (l Lost) Number() string {
	if !l.Known {
		return "unknown"
	}
	n := l.Records + l.Dead
	for _, reports := range l.Reports {
		n += reports
	}
	return strconv.Itoa(n)
}

// String tells what would be lost.
func (l Lost) String() string {
	if !l.Known {
		return "the queue cannot be read, so that nobody knows how many"
	}
	var reports []string
	for _, name := range slices.Sorted(maps.Keys(l.Reports)) {
		reports = append(reports, fmt.Sprintf(", %d reports to %s", l.Reports[name], name))
	}
	return fmt.Sprintf("%d waiting, %d refused for good%s", l.Records, l.Dead, strings.Join(reports, ""))
}

const method = "Each file under removed was unlinked and its folder synced. Blocks were not overwritten, and no holes were punched."

// limits are what a certificate does not claim.
func limits() []string {
	return []string{
		"Flash memory and file systems keep old blocks until they use them again: who reads the bare memory may find what was unlinked.",
		"Identities were sealed to the authority's key before they were written, and this kiosk never could read them. That nobody ever can is claimed only once the authority has destroyed that key after a rotation, or if the disk's own key lay in a TPM and was destroyed.",
		"What was delivered, printed, copied or backed up elsewhere is not touched.",
		"Whoever holds this kiosk's key can write a certificate: it vouches for the kiosk, not against its owner.",
	}
}

// add takes up what a run has found; what an earlier one removed stays in.
func (s *Statement) add(found survey) {
	for _, f := range found.removed {
		if !slices.Contains(s.Removed, f) {
			s.Removed = append(s.Removed, f)
		}
	}
	s.Kept = found.kept
}

// Certificate is a statement and who vouches for it.
type Certificate struct {
	Statement   json.RawMessage `json:"statement"`
	Certificate string          `json:"certificate"` // of the kiosk's key, PEM
	Signature   []byte          `json:"signature"`   // COSE_Sign1, detached, over the compact statement

	statement *Statement
	leaf      *x509.Certificate
	chain     *x509.CertPool
}

// Verify checks a certificate and returns what it says. The kiosk's own
// certificate is trusted if it is exactly trusted, or of an authority in
// trusted and valid at the time that is stated, if the kiosk's clock was believed.
func Verify(data []byte, trusted []*x509.Certificate) (*Statement, error) {
	c, err := parse(data)
	if err != nil {
		return nil, err
	}
	if err := signed.VerifyDetached(c.leaf.PublicKey, mediaType, c.Statement, c.Signature); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(trusted, c.leaf.Equal) {
		return c.statement, nil
	}
	roots := x509.NewCertPool()
	for _, t := range trusted {
		roots.AddCert(t)
	}
	at := c.statement.Finished.Wall
	if !c.statement.Finished.Trusted {
		at = c.leaf.NotBefore // the kiosk did not know when it was, and says so
	}
	_, err = c.leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: c.chain, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("the kiosk's certificate: %w", err)
	case c.leaf.Subject.CommonName != c.statement.Device:
		return nil, fmt.Errorf("kiosk %q speaks for kiosk %q", c.leaf.Subject.CommonName, c.statement.Device)
	}
	return c.statement, nil
}

//

// parse takes a certificate apart; nothing in it is believed yet.
func parse(data []byte) (*Certificate, error) {
	if len(data) > maxCertificate {
		return nil, fmt.Errorf("a wipe certificate has at most %d bytes", maxCertificate)
	}
	c := new(Certificate)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("this is no wipe certificate: %v", err)
	}
	if d.More() {
		return nil, errors.New("this is no wipe certificate: something stands behind it")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, c.Statement); err != nil {
		return nil, fmt.Errorf("this is no wipe certificate: %v", err)
	}
	c.Statement, c.statement = compact.Bytes(), new(Statement)
	if err := json.Unmarshal(c.Statement, c.statement); err != nil {
		return nil, fmt.Errorf("this is no wipe certificate: %v", err)
	}
	if c.statement.Type != Type || c.statement.Version != 1 {
		return nil, fmt.Errorf("this is no wipe certificate of version 1 but %q, %d", c.statement.Type, c.statement.Version)
	}
	return c, c.certificates()
}

// certificates reads the leaf and those behind it.
func (c *Certificate) certificates() error {
	all, err := Certificates([]byte(c.Certificate))
	if err != nil {
		return fmt.Errorf("the kiosk's certificate: %v", err)
	}
	if len(all) == 0 {
		return errors.New("the wipe certificate lacks the kiosk's own certificate")
	}
	c.leaf, c.chain = all[0], x509.NewCertPool()
	for _, cert := range all[1:] {
		c.chain.AddCert(cert)
	}
	return nil
}

// Certificates reads every X.509 certificate in a PEM file, in order; blocks of
// other kinds are passed over.
func Certificates(file []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := file; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, cert)
	}
}

// write signs s and makes the certificate durable at o.Out.
func write(o Opts, s *Statement) error {
	statement, err := json.Marshal(s)
	if err != nil {
		return err
	}
	// What is signed is compact; the file is indented, for people.
	signature, err := signed.SignDetached(o.Key, mediaType, statement)
	if err != nil {
		return fmt.Errorf("signing the certificate: %w", err)
	}
	data, err := json.MarshalIndent(Certificate{Statement: statement, Certificate: o.Chain, Signature: signature}, "", "  ")
	if err != nil {
		return err
	}
	if _, err := Verify(data, own(o)); err != nil {
		return fmt.Errorf("the certificate does not verify with the kiosk's own: %w", err)
	}
	if err := durable.WriteFile(o.Out, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the certificate: %w; the folder is wiped: mend that and run the wipe again", err)
	}
	return nil
}

// own is the kiosk's certificate.
func own(o Opts) []*x509.Certificate {
	block, _ := pem.Decode([]byte(o.Chain))
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return []*x509.Certificate{cert}
}
