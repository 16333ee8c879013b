// Package authority is the tool of whoever may learn who came: it holds the age
// keys that kiosks seal identities to, and opens identities for a request that
// two approvers have signed. It runs on a machine of the authority's own; no
// node of the platform has it or its keys.
//
// # A request
//
//	request   by somebody, with a reason, for one file (by its SHA-256)
//	approve   by two approvers, neither of them him, each with an own Ed25519 key
//	decrypt   that file, once, within 24 hours of the second approval
//
// Each step is a line of log.jsonl, durable before it counts:
//
//	{"n":7,"prev":SHA-256 of line 6,"at":…,"do":"approve",…}
//
// The state is what the log says, replayed from its first line at every start;
// a line that breaks the chain or a rule makes the log invalid, and nothing is
// opened any more.
//
// # Keys
//
// keys/ID.age is a private key, mode 0600, sealed with a passphrase (age's
// scrypt) if there is one. A rotation makes a new key and keeps the old one,
// since kiosks go on sealing to it for a while. To retire a key is to destroy
// it: from then on nobody can read what was sealed to it, which is the strong
// claim behind a kiosk's wipe certificate.
//
// # What it does not do
//
// Who can write to the folder can name approvers of his own, or put an older
// folder in its place: approvals prove who agreed, not that nobody else was
// asked. Write the hash of the last line down elsewhere, and hold the log against
// it. One person with two approvers' keys is two approvers here. A
// retired key's file is overwritten and unlinked; flash memory and backups may
// keep copies. An authority in earnest has its keys in a security module.
package authority

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"filippo.io/age"

	"github.com/digital-sentinel/sentinel/agent/durable"
)

// Opts says where an authority is.
type Opts struct {
	Dir        string
	Passphrase string // of the private keys; empty: they are not protected
	Now        func() time.Time

	work int // scrypt's, in tests
}

// Authority is an opened folder, locked until Close.
type Authority struct {
	o     Opts
	lock  *os.File
	state state

	broken error // a line that may or may not be in the log
}

// Life is how long after the second approval a request may be carried out.
const Life = 24 * time.Hour

// LogName is the log in the folder.
const LogName = "log.jsonl"

const keyFolder = "keys"

// Init makes an authority with its first key in o.Dir, which must be empty or
// not there, and returns the recipient that kiosks are given.
func Init(o Opts) (recipient string, err error) {
	if entries, err := os.ReadDir(o.Dir); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("%s is not empty: an authority gets a folder of its own", o.Dir)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, keyFolder), 0o700); err != nil {
		return "", err
	}
	if err := durably(filepath.Join(o.Dir, LogName), nil); err != nil {
		return "", err
	}
	a, err := Open(o)
	if err != nil {
		return "", err
	}
	recipient, err = a.Rotate()
	return recipient, errors.Join(err, a.Close())
}

// Open opens the authority in o.Dir. One process has it at a time.
func Open(o Opts) (*Authority, error) {
	path := filepath.Join(o.Dir, LogName)
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no authority is in %s; make it: sentinel-sim authority init --dir %s", o.Dir, o.Dir)
	}
	if err != nil {
		return nil, err
	}
	a := &Authority{o: o, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process has %s: %w", path, err), lock.Close())
	}
	if err := a.read(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return a, nil
}

// Close gives the folder back.
func (a *Authority) Close() error { return a.lock.Close() }

// Rotate makes a new key, to which kiosks are to seal from now on.
func (a *Authority) Rotate() (recipient string, err error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	recipient = key.Recipient().String()
	data, err := a.protect([]byte(key.String() + "\n"))
	if err != nil {
		return "", err
	}
	id := KeyID(recipient)
	if err := durably(a.keyPath(id), data); err != nil {
		return "", fmt.Errorf("writing the key: %w", err)
	}
	return recipient, a.add(Entry{Do: DoKey, Key: id, Recipient: recipient})
}

// Retire destroys a key that a rotation has replaced. If it ends in between, it
// is called again.
func (a *Authority) Retire(id string) error {
	k, ok := a.state.keys[id]
	switch {
	case !ok:
		return fmt.Errorf("there is no key %q", id)
	case k.retired:
		return fmt.Errorf("key %s is retired already", id)
	case id == a.state.current:
		return fmt.Errorf("key %s is the one that kiosks seal to: rotate first, and give them the new recipient", id)
	}
	// The key goes before the log says so: it never claims too much.
	if err := shred(a.keyPath(id)); err != nil {
		return fmt.Errorf("destroying the key: %w", err)
	}
	return a.add(Entry{Do: DoRetire, Key: id})
}

// KeyID is the id by which records name the key of a recipient.
func KeyID(recipient string) string {
	sum := sha256.Sum256([]byte(recipient))
	return hex.EncodeToString(sum[:4])
}

//

func (a *Authority) keyPath(id string) string {
	return filepath.Join(a.o.Dir, keyFolder, id+".age")
}

// key opens the private key of an id.
func (a *Authority) key(id string) (*age.X25519Identity, error) {
	switch k, ok := a.state.keys[id]; {
	case !ok:
		return nil, fmt.Errorf("sealed to key %q, which is not ours", printable(id))
	case k.retired:
		return nil, fmt.Errorf("sealed to key %s, which is destroyed", id)
	}
	data, err := os.ReadFile(a.keyPath(id))
	if err != nil {
		return nil, err
	}
	plain, err := a.unprotect(data)
	if err != nil {
		return nil, fmt.Errorf("opening key %s: %w", id, err)
	}
	key, err := age.ParseX25519Identity(string(bytes.TrimSpace(plain)))
	if err != nil {
		return nil, fmt.Errorf("key %s is damaged", id) // the error may repeat it
	}
	if KeyID(key.Recipient().String()) != id {
		return nil, fmt.Errorf("the file of key %s holds another one", id)
	}
	return key, nil
}

// durably makes a file that was not there, mode 0600.
func durably(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return durable.SyncDir(filepath.Dir(path))
}

// shred overwrites and unlinks a file; one that is not there is well.
func shred(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, fi.Size()))
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Remove(path), durable.SyncDir(filepath.Dir(path)))
}

// names are what people and keys may be called.
var names = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._-]{0,63}$`)

func checkName(what, name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("%s %q: a name is up to 64 letters, digits, dots and dashes", what, name)
	}
	return nil
}

// printable shortens a text of unknown origin for an error.
func printable(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
