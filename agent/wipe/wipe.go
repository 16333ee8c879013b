// Package wipe takes everything that a kiosk has kept out of its state folder,
// and writes a certificate of exactly what it did.
//
//	hold the queue → survey → marker → unlink, sync → certificate → marker away
//
// The marker is durable before the first file goes. It holds the certificate as
// far as it is known: a wipe that was killed is finished by the next one, which
// knows what the first has removed. While the marker is there, no kiosk may
// run on the folder (Pending): it would write into what is being wiped.
//
// # What goes and what stays
//
// What goes: the queue in all its files, its asides and reserve, codes that
// were used, the signed cache, core and memory dumps, sockets; and the event
// log if that is asked for, since the law may want it for half a year.
// What stays: every file that the configuration names (keys, certificates,
// policy), and what is the machine's: the known time, the accepted policy, a
// fire that was not reset, the empty lock of the queue. Files that are nobody's stop the wipe, until the
// caller says what is to become of them.
//
// # What it does not claim
//
// Files are unlinked. Their blocks are not overwritten: a flash card would
// write elsewhere, and keep the old blocks all the same. What makes the
// identities unreadable is that this kiosk never could read them, and that the
// authority destroys its old key; the certificate says so.
package wipe

import (
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/durable"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// Errors a caller branches on.
var (
	// ErrPending is wrapped by Pending's error.
	ErrPending = errors.New("a wipe of this folder was begun and not finished")
	// ErrUndelivered is wrapped when records would be lost, and nobody has said
	// their number.
	ErrUndelivered = errors.New("records that nobody else has would be lost")
	// ErrUnknown is wrapped when there are files that no sentinel has made.
	ErrUnknown = errors.New("there are files that are not the sentinel's")
)

// marker is the file that says that a wipe goes on.
const marker = "wipe.json"

// Unknown says what becomes of files that are nobody's.
type Unknown string

// The answers; the empty one is none.
const (
	RemoveUnknown Unknown = "remove"
	KeepUnknown   Unknown = "keep"
)

// Opts is one wipe.
type Opts struct {
	Dir     string   // the state folder
	Keep    []string // paths of files that the configuration names
	Events  bool     // the event log goes, too
	Unknown Unknown

	// Undelivered is Lost.Number as a person has repeated it; empty: nobody has.
	Undelivered string
	// Hold takes the queue's lock, and tells what would be lost.
	Hold func() (Lost, func() error, error)

	Device, Version string
	By, Reason      string // who asks for it and why, in his words
	Now             func() checkin.Stamp

	Key   crypto.Signer // the kiosk's own
	Chain string        // its certificate, PEM
	Out   string        // the certificate to be written, outside Dir

	// step is told of every step, in tests that kill there.
	step func(string)
}

// Pending reports whether a wipe of dir was begun and not finished: the error
// wraps ErrPending then, and says what to do.
func Pending(dir string) error {
	_, err := os.Lstat(filepath.Join(dir, marker))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking for an unfinished wipe: %w", err)
	}
	return fmt.Errorf("%s: %w; finish it with: sentinel wipe --yes", dir, ErrPending)
}

// Run wipes o.Dir, or finishes a wipe that was begun, and returns what its
// certificate says.
func Run(o Opts) (*Statement, error) {
	if o.step == nil {
		o.step = func(string) {}
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	w := &wiper{o: o}
	var err error
	if w.root, err = os.OpenRoot(o.Dir); err != nil {
		return nil, fmt.Errorf("opening the state folder: %w", err)
	}
	defer w.root.Close()
	alone, err := w.alone()
	if err != nil {
		return nil, err
	}
	defer alone()
	lost, release, err := o.Hold()
	if err != nil {
		return nil, err
	}
	s, err := w.run(lost)
	if rerr := release(); err == nil && rerr != nil {
		err = fmt.Errorf("the wipe is done; giving the queue back: %w", rerr)
	}
	return s, err
}

//

// wiper is one run.
type wiper struct {
	o    Opts
	root *os.Root
}

// check finds what is wrong before anything is touched.
func (o *Opts) check() error {
	if err := signed.CheckKey(o.Key.Public()); err != nil {
		return fmt.Errorf("the kiosk's key cannot sign a certificate: %w", err)
	}
	dir, err := resolve(o.Dir)
	if err != nil {
		return fmt.Errorf("finding the state folder: %w", err)
	}
	folder, err := resolve(filepath.Dir(o.Out))
	if err != nil {
		return fmt.Errorf("finding the certificate's folder: %w", err)
	}
	if folder == dir || strings.HasPrefix(folder, dir+string(filepath.Separator)) {
		return fmt.Errorf("the certificate %s would lie in the folder that is wiped: write it elsewhere", o.Out)
	}
	return nil
}

func (w *wiper) run(lost Lost) (*Statement, error) {
	s, err := w.begin(lost)
	if err != nil {
		return nil, err
	}
	if err := w.finishable(s); err != nil {
		return nil, err
	}
	found, err := w.survey(s)
	if err != nil {
		return nil, err
	}
	s.add(found)
	s.Runs++
	if err := w.mark(s); err != nil {
		return nil, err
	}
	w.o.step("marked")
	if err := w.remove(found); err != nil {
		return nil, err
	}
	left, err := w.survey(s)
	if err != nil {
		return nil, err
	}
	if len(left.removed) > 0 {
		return nil, fmt.Errorf("%s has come back while it was wiped: is a kiosk running? then run the wipe again", left.removed[0].Name)
	}
	s.Finished = w.o.Now()
	if err := write(w.o, s); err != nil {
		return nil, err
	}
	w.o.step("certified")
	if err := errors.Join(w.root.Remove(marker), w.sync(".")); err != nil {
		return nil, fmt.Errorf("taking the marker away: %w", err)
	}
	w.o.step("unmarked")
	return s, nil
}

// begin is the statement of a wipe that was begun, or of a new one, whose
// conditions hold.
func (w *wiper) begin(lost Lost) (*Statement, error) {
	data, err := w.root.ReadFile(marker)
	if err == nil {
		s := new(Statement)
		if err := json.Unmarshal(data, s); err != nil {
			return nil, fmt.Errorf("the marker %s is damaged: look at it, remove it, and wipe again: %v", marker, err)
		}
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if n := lost.Number(); n != "0" && n != w.o.Undelivered {
		return nil, fmt.Errorf("%w: %s; deliver them first, or say --undelivered %s", ErrUndelivered, lost, n)
	}
	s := &Statement{
		Type: Type, Version: 1, ID: rand.Text(), Device: w.o.Device, Program: w.o.Version,
		By: w.o.By, Reason: w.o.Reason, Begun: w.o.Now(), Lost: lost,
		Events: w.o.Events, Unknown: w.o.Unknown, Method: method, Limits: limits(),
	}
	return s, nil
}

// finishable makes sure that the certificate can be written at the end.
func (w *wiper) finishable(s *Statement) error {
	data, err := os.ReadFile(w.o.Out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the certificate's file: %w", err)
	}
	if c, err := parse(data); err == nil && s.Runs > 0 && c.statement.ID == s.ID {
		return nil // of the run that was killed after it had written it
	}
	return fmt.Errorf("%s is there already: name another file with --out", w.o.Out)
}

// mark makes s durable in the folder.
func (w *wiper) mark(s *Statement) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(w.o.Dir, marker)
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("writing the marker: %w", err)
	}
	return w.sync(".")
}

// remove unlinks what was found, and syncs every folder.
func (w *wiper) remove(found survey) error {
	for _, f := range found.removed {
		if err := w.root.Remove(f.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing %s: %w; mend that and run the wipe again", f.Name, err)
		}
		w.o.step("removed " + f.Name)
	}
	for _, dir := range found.folders { // the deepest first
		if err := w.sync(dir); err != nil {
			return fmt.Errorf("syncing %s: %w; run the wipe again", dir, err)
		}
		if dir != "." && !found.stays[dir] {
			if err := w.root.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("removing the folder %s: %w", dir, err)
			}
		}
	}
	w.o.step("synced")
	return nil
}

func (w *wiper) sync(dir string) error {
	d, err := w.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// alone keeps a second wipe out.
func (w *wiper) alone() (func(), error) {
	d, err := os.Open(w.o.Dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("another wipe of %s is going on: %w", w.o.Dir, err)
	}
	return func() { _ = d.Close() }, nil
}

// resolve is the one name of a folder that is there.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}
