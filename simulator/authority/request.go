package authority

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"filippo.io/age"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Bounds of a file of records, in bytes.
const (
	MaxFile   = 256 << 20
	maxRecord = 256 << 10
)

// Name names an approver, and writes his private key to a new file at path,
// mode 0600, protected by the passphrase if there is one. The file is his.
func (a *Authority) Name(approver, path string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	data, err := a.protect(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		return err
	}
	if err := durably(path, data); err != nil {
		return fmt.Errorf("writing the approver's key: %w", err)
	}
	if err := a.add(Entry{Do: DoName, By: approver, Public: public}); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// Revoke says that an approver is none any more. What he has approved counts no
// more, either, if it was not carried out.
func (a *Authority) Revoke(approver string) error { return a.add(Entry{Do: DoRevoke, By: approver}) }

// Request asks for the identities in a file of records: JSON lines as
// checkin.Record. It returns the request's id.
func (a *Authority) Request(by, reason string, file []byte) (id string, err error) {
	n := 0
	for r, err := range records(file) {
		if err != nil {
			return "", err
		}
		if len(r.Identity) > 0 {
			n++
		}
	}
	if n == 0 {
		return "", errors.New("the file holds no sealed identity")
	}
	if err := a.add(Entry{Do: DoRequest, By: by, Reason: reason, File: sum(file), Records: n}); err != nil {
		return "", err
	}
	return requestID(len(a.state.entries)), nil
}

// Approve signs a request with the approver's key in the file at path.
func (a *Authority) Approve(id, by, path string) error {
	r := a.state.requests[id]
	if r == nil {
		return fmt.Errorf("there is no request %q", printable(id))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the approver's key: %w", err)
	}
	if data, err = a.unprotect(data); err != nil {
		return fmt.Errorf("the approver's key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return errors.New("the approver's key is no PEM file")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return errors.New("the approver's key is no Ed25519 key")
	}
	return a.add(Entry{Do: DoApprove, By: by, Request: id, Signature: ed25519.Sign(private, approval(r.entry.hash))})
}

// Opened is one line of the answer: who came, or why nobody can say.
type Opened struct {
	Event checkin.ID   `json:"event"`
	UUID  string       `json:"uuid"`
	At    time.Time    `json:"at"`
	Venue string       `json:"venue"`
	Lane  string       `json:"lane"`
	Kind  checkin.Kind `json:"kind,omitempty"`
	Value string       `json:"value,omitempty"`
	Name  string       `json:"name,omitempty"`
	// Error says why there is no identity here. Swapped: the sealed identity
	// belongs to another event, and is not told.
	Error   string `json:"error,omitempty"`
	Swapped bool   `json:"swapped,omitempty"`
}

// ErrNotAll is wrapped when some identities of a file were not opened; the lines
// say why.
var ErrNotAll = errors.New("not every identity could be opened")

// Decrypt carries out a request: it writes an Opened for each record that has
// an identity, as JSON lines. The log has it before the first is written, so
// that a second look wants another request, even if this one is cut short.
func (a *Authority) Decrypt(id string, file []byte, out io.Writer) error {
	if _, err := a.state.ready(id, sum(file), a.o.Now()); err != nil {
		return err
	}
	keys, err := a.keysOf(file)
	if err != nil {
		return err // a wrong passphrase is no look
	}
	if err := a.add(Entry{Do: DoDecrypt, Request: id, File: sum(file)}); err != nil {
		return err
	}
	lines, failed := json.NewEncoder(out), 0
	lines.SetEscapeHTML(false)
	for r, err := range records(file) {
		if err != nil {
			return err
		}
		if len(r.Identity) == 0 {
			continue
		}
		o := a.open(r, keys)
		if o.Error != "" {
			failed++
		}
		if err := lines.Encode(o); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%w: %d", ErrNotAll, failed)
	}
	return nil
}

//

// keysOf opens those of our keys that the file's identities are sealed to.
func (a *Authority) keysOf(file []byte) (map[string]*age.X25519Identity, error) {
	keys := map[string]*age.X25519Identity{}
	for r, err := range records(file) {
		if err != nil {
			return nil, err
		}
		k := a.state.keys[r.KeyID]
		if k == nil || k.retired || keys[r.KeyID] != nil || len(r.Identity) == 0 {
			continue
		}
		if keys[r.KeyID], err = a.key(r.KeyID); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// open opens one identity.
func (a *Authority) open(r *checkin.Record, keys map[string]*age.X25519Identity) Opened {
	e := &r.Event
	o := Opened{Event: e.ID, UUID: e.UUID, At: e.At.Wall, Venue: e.Venue, Lane: e.Lane}
	key := keys[r.KeyID]
	if key == nil {
		_, err := a.key(r.KeyID)
		o.Error = err.Error()
		return o
	}
	plain, err := age.Decrypt(bytes.NewReader(r.Identity), key)
	if err != nil {
		o.Error = "the sealed identity is damaged, or sealed to another key"
		return o
	}
	data, err := io.ReadAll(io.LimitReader(plain, maxRecord))
	var who checkin.Identity
	if err != nil || json.Unmarshal(data, &who) != nil {
		o.Error = "the sealed identity is damaged"
		return o
	}
	if who.UUID != e.UUID || who.UUID == "" {
		o.Error, o.Swapped = "the sealed identity belongs to another event: somebody has swapped them", true
		return o
	}
	o.Kind, o.Value, o.Name = who.Kind, who.Value, who.Name
	return o
}

// records reads JSON lines.
func records(file []byte) func(yield func(*checkin.Record, error) bool) {
	return func(yield func(*checkin.Record, error) bool) {
		if len(file) > MaxFile {
			yield(nil, fmt.Errorf("a file has at most %d bytes", MaxFile))
			return
		}
		in := bufio.NewScanner(bytes.NewReader(file))
		in.Buffer(nil, maxRecord)
		for n := 1; in.Scan(); n++ {
			if len(bytes.TrimSpace(in.Bytes())) == 0 {
				continue
			}
			r, err := checkin.DecodeRecord(in.Bytes())
			if err != nil {
				yield(nil, fmt.Errorf("line %d: %w", n, err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		if err := in.Err(); err != nil {
			yield(nil, fmt.Errorf("a line is longer than %d bytes: %w", maxRecord, err))
		}
	}
}

func sum(file []byte) string {
	s := sha256.Sum256(file)
	return hex.EncodeToString(s[:])
}
