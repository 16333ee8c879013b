package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/authority"
)

// asked runs authority ARGS on dir and returns what it prints, its words on
// standard error, and its exit code.
func asked(t *testing.T, dir string, args ...string) (out, said string, exit int) {
	t.Helper()
	cmd := authorityCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(append(args, "--dir", dir))
	err := cmd.Execute()
	var code exitCode
	switch {
	case errors.As(err, &code):
		exit = int(code)
	case err != nil:
		return "", err.Error(), 2
	}
	return stdout.String(), stderr.String(), exit
}

func TestAuthorityCommands(t *testing.T) {
	home := t.TempDir()
	at := func(name string) string { return filepath.Join(home, name) }
	dir := at("authority")
	step := func(exit int, want string, args ...string) string {
		t.Helper()
		out, said, got := asked(t, dir, args...)
		if got != exit || !regexp.MustCompile(want).MatchString(out+said) {
			t.Fatalf("%v ends with %d:\n%s%s", args, got, out, said)
		}
		return strings.TrimSpace(out)
	}
	recipient := step(0, "^age1.*\nthere is no passphrase", "init")
	if err := os.WriteFile(at("who.jsonl"), sealedTo(t, recipient), 0o600); err != nil {
		t.Fatal(err)
	}
	step(0, "give it to nobody else", "approver", "add", "zhao", "--key", at("zhao.key"))
	step(0, "give it to nobody else", "approver", "add", "qian", "--key", at("qian.key"))
	step(1, "was named before", "approver", "add", "qian", "--key", at("qian-2.key"))
	step(2, `required flag.*"reason"`, "request", at("who.jsonl"), "--by", "li")
	id := step(0, "^r4\n$", "request", at("who.jsonl"), "--by", "li", "--reason", "case 7")
	step(0, "^$", "approve", "--request", id, "--by", "zhao", "--key", at("zhao.key"))
	step(1, "1 of 2 approvals", "decrypt", at("who.jsonl"), "--request", id)
	head := regexp.MustCompile(`head ([0-9a-f]{64})`).FindStringSubmatch(step(0, "5 lines, each in order", "log"))[1]
	step(0, "^$", "approve", "--request", id, "--by", "qian", "--key", at("qian.key"))
	step(0, `"value":"11010519491231002X","name":"王小明"`, "decrypt", at("who.jsonl"), "--request", id)
	step(1, "has been carried out", "decrypt", at("who.jsonl"), "--request", id)
	step(0, `decrypt +request="r4"`, "log", "--head", head)
	step(0, `"do":"decrypt"`, "log", "--json")
	step(1, "another one was put in its place", "log", "--head", strings.Repeat("0", 64))
	step(0, "^age1", "rotate")
	step(2, "say --yes", "retire", authority.KeyID(recipient))
	step(0, "^$", "retire", authority.KeyID(recipient), "--yes")
	step(0, "^$", "approver", "revoke", "qian")
	step(1, "is no approver", "approver", "revoke", "qian")
}

func TestAuthorityPassphrase(t *testing.T) {
	home := t.TempDir()
	right, wrong := filepath.Join(home, "right"), filepath.Join(home, "wrong")
	if err := errors.Join(os.WriteFile(right, []byte("correct horse\n"), 0o600), os.WriteFile(wrong, []byte("\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "authority")
	if _, said, exit := asked(t, dir, "init", "--passphrase-file", wrong); exit != 2 || !strings.Contains(said, "is empty") {
		t.Errorf("an empty passphrase ends with %d: %s", exit, said)
	}
	if out, said, exit := asked(t, dir, "init", "--passphrase-file", right); exit != 0 || said != "" || !strings.HasPrefix(out, "age1") {
		t.Errorf("it ends with %d: %s%s", exit, out, said)
	}
	keys, err := filepath.Glob(filepath.Join(dir, "keys", "*.age"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	if data, err := os.ReadFile(keys[0]); err != nil || !bytes.HasPrefix(data, []byte("age-encryption.org/v1\n-> scrypt")) {
		t.Errorf("the key lies as %.40q (%v)", data, err)
	}
}

// sealedTo is a file with one record.
func sealedTo(t *testing.T, recipient string) []byte {
	t.Helper()
	to, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(checkin.Identity{UUID: "u-1", Kind: checkin.ResidentID, Value: "11010519491231002X", Name: "王小明"})
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
	line, err := checkin.EncodeRecord(&checkin.Record{
		Event:    checkin.Event{Version: checkin.EventVersion, ID: checkin.ID{Device: "k-1", Epoch: "e", Seq: 1}, UUID: "u-1", Kind: checkin.KindVisit},
		Identity: sealed.Bytes(), KeyID: authority.KeyID(recipient),
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(line, '\n')
}
