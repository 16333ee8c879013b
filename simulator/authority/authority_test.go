package authority_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	. "github.com/digital-sentinel/sentinel/simulator/authority"
)

// house is an authority, its clock, and where its approvers keep their keys.
type house struct {
	t    *testing.T
	o    Opts
	now  time.Time
	home string
	*Authority
	recipient string
}

func newHouse(t *testing.T, approvers ...string) *house {
	t.Helper()
	h := &house{t: t, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), home: t.TempDir()}
	h.o = Quickly(Opts{Dir: filepath.Join(t.TempDir(), "authority"), Passphrase: "correct horse", Now: func() time.Time { return h.now }})
	var err error
	if h.recipient, err = Init(h.o); err != nil {
		t.Fatal(err)
	}
	h.open()
	t.Cleanup(func() { _ = h.Close() })
	for _, name := range approvers {
		h.must(h.Name(name, h.keyOf(name)))
	}
	return h
}

func (h *house) open() {
	h.t.Helper()
	var err error
	if h.Authority, err = Open(h.o); err != nil {
		h.t.Fatal(err)
	}
}

// reopen begins a new process.
func (h *house) reopen() {
	h.t.Helper()
	h.must(h.Close())
	h.open()
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) keyOf(name string) string { return filepath.Join(h.home, name+".key") }

func (h *house) log() []byte {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join(h.o.Dir, LogName))
	h.must(err)
	return data
}

// seal seals a person for a record of the event uuid, as a kiosk does.
func seal(t *testing.T, recipient, uuid string, who *checkin.Identity) checkin.Record {
	t.Helper()
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(who)
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(plain)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return checkin.Record{
		Event:    checkin.Event{Version: checkin.EventVersion, ID: checkin.ID{Device: "k-1", Epoch: "e", Seq: 1}, UUID: uuid, Kind: checkin.KindVisit, Venue: "v-1"},
		Identity: sealed.Bytes(), KeyID: KeyID(recipient),
	}
}

// wang is a synthetic person.
func wang(uuid string) *checkin.Identity {
	return &checkin.Identity{UUID: uuid, Kind: checkin.ResidentID, Value: "11010519491231002X", Name: "王小明"}
}

func file(t *testing.T, records ...checkin.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	for i := range records {
		line, err := checkin.EncodeRecord(&records[i])
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

// opened carries out a request and returns its lines.
func (h *house) opened(id string, file []byte) ([]Opened, error) {
	h.t.Helper()
	var out bytes.Buffer
	err := h.Decrypt(id, file, &out)
	var all []Opened
	for d := json.NewDecoder(&out); d.More(); {
		var o Opened
		h.must(d.Decode(&o))
		all = append(all, o)
	}
	return all, err
}

// asked is a request for one file, with the approvals of those.
func (h *house) asked(file []byte, by ...string) string {
	h.t.Helper()
	id, err := h.Request("li", "case 7", file)
	h.must(err)
	for _, name := range by {
		h.must(h.Approve(id, name, h.keyOf(name)))
	}
	return id
}

func TestDecrypt(t *testing.T) {
	h := newHouse(t, "zhao", "qian")
	passage := checkin.Record{Event: checkin.Event{Version: checkin.EventVersion, UUID: "p", Kind: checkin.KindPassage}}
	records := file(t, seal(t, h.recipient, "u-1", wang("u-1")), passage)
	h.reopen()
	id := h.asked(records, "zhao", "qian")
	h.reopen()
	got, err := h.opened(id, records)
	h.must(err)
	want := []Opened{{
		Event: checkin.ID{Device: "k-1", Epoch: "e", Seq: 1}, UUID: "u-1", Venue: "v-1",
		Kind: checkin.ResidentID, Value: "11010519491231002X", Name: "王小明",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
	if log := string(h.log()); strings.Contains(log, "王") || strings.Contains(log, "1101051") {
		t.Error("the log names people")
	}
	entries, err := Verify(h.log())
	h.must(err)
	var steps []Do
	for _, e := range entries {
		steps = append(steps, e.Do)
	}
	if diff := cmp.Diff([]Do{DoKey, DoName, DoName, DoRequest, DoApprove, DoApprove, DoDecrypt}, steps); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

// Each row ends in a refusal, and nothing is opened.
func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(h *house, records []byte) error
		want string
	}{
		"no approval": {func(h *house, r []byte) error { _, err := h.opened(h.asked(r), r); return err }, "0 of 2 approvals"},
		"one":         {func(h *house, r []byte) error { _, err := h.opened(h.asked(r, "zhao"), r); return err }, "1 of 2 approvals"},
		"twice the same": {func(h *house, r []byte) error {
			return h.Approve(h.asked(r, "zhao"), "zhao", h.keyOf("zhao"))
		}, "approved it already"},
		"by the requester": {func(h *house, r []byte) error {
			id, err := h.Request("zhao", "case 7", r)
			h.must(err)
			return h.Approve(id, "zhao", h.keyOf("zhao"))
		}, "cannot approve it"},
		"by nobody known": {func(h *house, r []byte) error {
			return h.Approve(h.asked(r), "wu", h.keyOf("zhao"))
		}, `"wu" is no approver`},
		"with another's key": {func(h *house, r []byte) error {
			return h.Approve(h.asked(r, "zhao"), "qian", h.keyOf("zhao"))
		}, "the signature is not qian's"},
		"by one who was revoked": {func(h *house, r []byte) error {
			id := h.asked(r, "zhao", "qian")
			h.must(h.Revoke("qian"))
			_, err := h.opened(id, r)
			return err
		}, "1 of 2 approvals"},
		"approves after he was revoked": {func(h *house, r []byte) error {
			h.must(h.Revoke("qian"))
			return h.Approve(h.asked(r), "qian", h.keyOf("qian"))
		}, "is no approver"},
		"another file": {func(h *house, r []byte) error {
			_, err := h.opened(h.asked(r, "zhao", "qian"), append(r, '\n'))
			return err
		}, "is for another file"},
		"a second look": {func(h *house, r []byte) error {
			id := h.asked(r, "zhao", "qian")
			_, err := h.opened(id, r)
			h.must(err)
			h.reopen()
			_, err = h.opened(id, r)
			return err
		}, "has been carried out"},
		"a day later": {func(h *house, r []byte) error {
			id := h.asked(r, "zhao", "qian")
			h.now = h.now.Add(Life - time.Second)
			h.must(h.Approve(id, "sun", h.keyOf("sun"))) // a third one prolongs nothing
			h.now = h.now.Add(time.Second)
			_, err := h.opened(id, r)
			return err
		}, "was approved until 2026-11-25T12:00:00Z"},
		"the clock set back": {func(h *house, r []byte) error {
			id := h.asked(r, "zhao", "qian")
			h.now = h.now.Add(-time.Second)
			_, err := h.opened(id, r)
			return err
		}, "set the clock"},
		"no such request":         {func(h *house, r []byte) error { _, err := h.opened("r99", r); return err }, `no request "r99"`},
		"approves nothing":        {func(h *house, _ []byte) error { return h.Approve("r99", "zhao", h.keyOf("zhao")) }, `no request "r99"`},
		"no reason":               {func(h *house, r []byte) error { _, err := h.Request("li", "", r); return err }, "a reason"},
		"no requester":            {func(h *house, r []byte) error { _, err := h.Request("", "case", r); return err }, "requester"},
		"nothing to open":         {func(h *house, _ []byte) error { _, err := h.Request("li", "case", nil); return err }, "no sealed identity"},
		"not records":             {func(h *house, _ []byte) error { _, err := h.Request("li", "case", []byte("{}\n")); return err }, "line 1"},
		"a name twice":            {func(h *house, _ []byte) error { return h.Name("zhao", h.keyOf("zhao-2")) }, "was named before"},
		"a name of two lines":     {func(h *house, _ []byte) error { return h.Name("a\nb", h.keyOf("ab")) }, "a name is"},
		"a key over another":      {func(h *house, _ []byte) error { return h.Name("wu", h.keyOf("zhao")) }, "exists"},
		"revokes nobody":          {func(h *house, _ []byte) error { return h.Revoke("wu") }, "is no approver"},
		"retires the present key": {func(h *house, _ []byte) error { return h.Retire(KeyID(h.recipient)) }, "rotate first"},
		"retires no key":          {func(h *house, _ []byte) error { return h.Retire("00000000") }, "there is no key"},
		"a wrong passphrase": {func(h *house, r []byte) error {
			id := h.asked(r, "zhao", "qian")
			h.o.Passphrase = "battery staple"
			h.reopen()
			_, err := h.opened(id, r)
			return err
		}, "the passphrase is wrong"},
		"no passphrase": {func(h *house, r []byte) error {
			id := h.asked(r, "zhao", "qian")
			h.o.Passphrase = ""
			h.reopen()
			_, err := h.opened(id, r)
			return err
		}, "it is protected"},
		"a second process": {func(h *house, _ []byte) error { _, err := Open(h.o); return err }, "another process"},
		"made twice":       {func(h *house, _ []byte) error { _, err := Init(h.o); return err }, "is not empty"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, "zhao", "qian", "sun")
			records := file(t, seal(t, h.recipient, "u-1", wang("u-1")))
			before := len(h.log())
			if err := tt.do(h, records); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it says %v", err)
			}
			entries, err := Verify(h.log())
			if err != nil || len(h.log()) < before {
				t.Errorf("the log: %v", err)
			}
			if last := entries[len(entries)-1]; last.Do == DoDecrypt && name != "a second look" {
				t.Error("the log says that it was opened")
			}
		})
	}
}

// What was refused for want of a passphrase may be tried again: nobody has
// looked.
func TestWrongPassphraseIsNoLook(t *testing.T) {
	h := newHouse(t, "zhao", "qian")
	records := file(t, seal(t, h.recipient, "u-1", wang("u-1")))
	id := h.asked(records, "zhao", "qian")
	right := h.o.Passphrase
	h.o.Passphrase = "battery staple"
	h.reopen()
	if _, err := h.opened(id, records); err == nil {
		t.Fatal("it opens")
	}
	h.o.Passphrase = right
	h.reopen()
	if got, err := h.opened(id, records); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

// What cannot be opened is told, beside what can; of a swapped one no name.
func TestSwappedAndSpoilt(t *testing.T) {
	h := newHouse(t, "zhao", "qian")
	good := seal(t, h.recipient, "u-1", wang("u-1"))
	swapped := seal(t, h.recipient, "u-2", wang("u-9"))
	spoilt := seal(t, h.recipient, "u-3", wang("u-3"))
	spoilt.Identity[len(spoilt.Identity)-1] ^= 1
	foreign := seal(t, h.recipient, "u-4", wang("u-4"))
	foreign.KeyID = "12345678"
	nameless := seal(t, h.recipient, "", wang(""))
	records := file(t, swapped, good, spoilt, foreign, nameless)
	got, err := h.opened(h.asked(records, "zhao", "qian"), records)
	if !errors.Is(err, ErrNotAll) || !strings.HasSuffix(err.Error(), ": 4") {
		t.Errorf("it ends with %v", err)
	}
	var said []string
	for _, o := range got {
		said = append(said, o.UUID+" "+o.Value+" "+o.Error)
		if o.Error != "" && (o.Name != "" || o.Value != "") {
			t.Errorf("%s names somebody", o.UUID)
		}
		if o.Swapped != (o.UUID == "u-2" || o.UUID == "") {
			t.Errorf("%s: swapped: %v", o.UUID, o.Swapped)
		}
	}
	want := []string{
		"u-2  the sealed identity belongs to another event: somebody has swapped them",
		"u-1 11010519491231002X ",
		"u-3  the sealed identity is damaged",
		`u-4  sealed to key "12345678", which is not ours`,
		"  the sealed identity belongs to another event: somebody has swapped them",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A key that was rotated opens what was sealed to it until it is retired; then
// nobody does, with whatever passphrase and approvals.
func TestRotateAndRetire(t *testing.T) {
	h := newHouse(t, "zhao", "qian")
	old, oldID := h.recipient, KeyID(h.recipient)
	next, err := h.Rotate()
	h.must(err)
	h.reopen()
	records := file(t, seal(t, old, "u-1", wang("u-1")), seal(t, next, "u-2", wang("u-2")))
	got, err := h.opened(h.asked(records, "zhao", "qian"), records)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	h.must(h.Retire(oldID))
	if err := h.Retire(oldID); err == nil || !strings.Contains(err.Error(), "retired already") {
		t.Errorf("it is retired twice: %v", err)
	}
	h.reopen()
	got, err = h.opened(h.asked(records, "zhao", "qian"), records)
	if !errors.Is(err, ErrNotAll) || len(got) != 2 || !strings.Contains(got[0].Error, "destroyed") || got[1].Value == "" {
		t.Errorf("%v, %v", got, err)
	}
	entries, err := os.ReadDir(filepath.Join(h.o.Dir, "keys"))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	// A power cut between the end of the key and its line in the log.
	third, err := h.Rotate()
	h.must(err)
	h.must(os.Remove(filepath.Join(h.o.Dir, "keys", KeyID(next)+".age")))
	h.must(h.Retire(KeyID(next)))
	if third == next {
		t.Error("a rotation makes the same key")
	}
}

// Private keys are in no file in clear, and nobody else may read them.
func TestKeysAreProtected(t *testing.T) {
	h := newHouse(t, "zhao")
	for _, path := range []string{filepath.Join(h.o.Dir, "keys", KeyID(h.recipient)+".age"), h.keyOf("zhao")} {
		data, err := os.ReadFile(path)
		h.must(err)
		fi, err := os.Stat(path)
		h.must(err)
		if fi.Mode().Perm() != 0o600 || !bytes.HasPrefix(data, []byte("age-encryption.org/")) {
			t.Errorf("%s has mode %v and begins with %.20q", path, fi.Mode(), data)
		}
	}
}

// Whatever is changed in the log, or left out of it, is found, and nothing is
// opened any more; only its end can be cut off, and the head shows that.
func TestChangedLog(t *testing.T) {
	h := newHouse(t, "zhao", "qian")
	records := file(t, seal(t, h.recipient, "u-1", wang("u-1")))
	id := h.asked(records, "zhao", "qian")
	log := h.log()
	h.must(h.Close())
	for at := range bytes.LastIndexByte(log[:len(log)-1], '\n') + 1 { // the last line has none after it
		bent := bytes.Clone(log)
		bent[at] ^= 1
		if _, err := Verify(bent); err == nil {
			t.Fatalf("byte %d of %d does not matter", at, len(log))
		}
	}
	lines := bytes.SplitAfter(log, []byte("\n"))
	for i := range len(lines) - 2 {
		without := append(bytes.Join(lines[:i], nil), bytes.Join(lines[i+1:], nil)...)
		if _, err := Verify(without); err == nil {
			t.Errorf("line %d can be left out", i+1)
		}
	}
	h.must(os.WriteFile(filepath.Join(h.o.Dir, LogName), bytes.Replace(log, []byte("case 7"), []byte("case 8"), 1), 0o600))
	if _, err := Open(h.o); err == nil || !strings.Contains(err.Error(), "not to be trusted: line 5") {
		t.Errorf("a changed request: %v", err)
	}
	// A power cut leaves less than a line.
	h.must(os.WriteFile(filepath.Join(h.o.Dir, LogName), append(log, `{"n":7,"prev`...), 0o600))
	h.open()
	if _, err := h.opened(id, records); err != nil {
		t.Error(err)
	}
	if _, err := Verify(h.log()); err != nil {
		t.Error(err)
	}
}

// An approval that was put into the log by hand, with a chain that is right,
// fails for its signature.
func TestForgedApproval(t *testing.T) {
	h := newHouse(t, "zhao", "qian")
	records := file(t, seal(t, h.recipient, "u-1", wang("u-1")))
	id := h.asked(records, "zhao")
	entries, err := Verify(h.log())
	h.must(err)
	_, mine, err := ed25519.GenerateKey(nil)
	h.must(err)
	forged := Entry{
		N: len(entries) + 1, Prev: entries[len(entries)-1].Hash(), At: h.now, Do: DoApprove, By: "qian", Request: id,
		Signature: ed25519.Sign(mine, []byte("digital-sentinel authority approval v1\n"+entries[3].Hash())),
	}
	line, err := json.Marshal(forged)
	h.must(err)
	if _, err := Verify(append(append(h.log(), line...), '\n')); err == nil || !strings.Contains(err.Error(), "the signature is not qian's") {
		t.Errorf("it is taken: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	o := Quickly(Opts{Dir: filepath.Join(f.TempDir(), "a"), Now: func() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }})
	if _, err := Init(o); err != nil {
		f.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(o.Dir, LogName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(log)
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"n":1,"prev":"","at":"2026-11-24T12:00:00Z","do":"decrypt"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := Verify(data)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.Do == DoDecrypt {
				t.Error("a log without approvals opens something")
			}
		}
	})
}
