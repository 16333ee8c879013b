package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/drivers/camqr"
)

// made runs code ARGS in dir and returns what the text file says and what was
// printed.
func made(t *testing.T, dir string, args ...string) (code, printed string) {
	t.Helper()
	cmd := codeCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs(append(args, "--out", dir))
	if err := cmd.Execute(); err != nil {
		t.Fatalf("code %v: %v", args, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, args[0]+".txt"))
	if err != nil {
		if text, err = os.ReadFile(filepath.Join(dir, "bearer.txt")); err != nil {
			t.Fatal(err)
		}
	}
	return strings.TrimSuffix(string(text), "\n"), out.String()
}

func judged(t *testing.T, dir, code string, at time.Time) credential.Result {
	t.Helper()
	keys, err := os.ReadFile(filepath.Join(dir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	issuers, err := credential.ParseIssuers(keys)
	if err != nil {
		t.Fatal(err)
	}
	codes := credential.Codes{Issuers: issuers, Venue: "v-1"}
	return codes.Open(code, credential.Interval{Lo: at, Hi: at})
}

// TestCodesAreGood: what is made can be read from its picture and verifies with
// the keys beside it.
func TestCodesAreGood(t *testing.T) {
	at := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		args []string
		file string
		size string
		want checkin.Reason
	}{
		{"paper", []string{"paper"}, "paper", "QR version 8 at M, 49×49 modules", checkin.OK},
		{"paper of an ES256 issuer", []string{"paper", "--alg", "ES256"}, "paper", "QR version 8 ", checkin.OK},
		{"a phone", []string{"phone"}, "phone", "QR version 12 at M, 65×65 modules", checkin.OK},
		{"a phone with a secure element", []string{"phone", "--device-alg", "ES256"}, "phone", "QR version 12 ", checkin.OK},
		{"a phone that shows an old code", []string{"phone", "--shown-after", "-10m"}, "phone", "QR version 12 ", checkin.CodeExpired},
		{"a bearer code", []string{"phone", "--bearer", "--nat", "0"}, "bearer", "QR version 8 ", checkin.OK},
		{"a pass", []string{"pass"}, "pass", "QR version 8 ", checkin.OK},
		{"a pass for tomorrow", []string{"pass", "--begins-after", "24h"}, "pass", "QR version 8 ", checkin.CredentialInvalid},
		{"a pass for elsewhere", []string{"pass", "--venue", "v-2"}, "pass", "QR version 8 ", checkin.CredentialInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			code, printed := made(t, dir, append(tt.args, "--at", at.Format(time.RFC3339))...)
			if !strings.Contains(printed, tt.size) {
				t.Errorf("it says %q, want %q", printed, tt.size)
			}
			if r := judged(t, dir, code, at); r.Reason != tt.want || !r.Proven {
				t.Errorf("it is %s (%s), want %s", r.Reason, r.Detail, tt.want)
			}
			picture, err := os.Open(filepath.Join(dir, tt.file+".png"))
			if err != nil {
				t.Fatal(err)
			}
			defer picture.Close()
			found, err := camqr.DecodeFile(picture)
			if err != nil || len(found) != 1 || found[0].Text != code {
				t.Errorf("the picture shows %v, %v", found, err)
			}
		})
	}
}

// TestOneFolderIsOneIssuer: the second code is by the key of the first; another
// kid stands beside it.
func TestOneFolderIsOneIssuer(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	paper, _ := made(t, dir, "paper")
	phone, _ := made(t, dir, "phone", "--colour", "red")
	other := t.TempDir()
	made(t, other, "paper")
	pass, _ := made(t, dir, "pass", "--key", filepath.Join(other, "issuer.key"), "--kid", "k2", "--issuer", "tower")
	for _, code := range []string{paper, phone, pass} {
		if r := judged(t, dir, code, now); !r.Valid {
			t.Errorf("%v: %s", r, r.Detail)
		}
	}
	if a, b := judged(t, dir, paper, now), judged(t, dir, phone, now); !bytes.Equal(a.Claims.Person, b.Claims.Person) || b.Colour() != checkin.Red {
		t.Errorf("two codes of one person tell of %x and %x, colour %s", a.Claims.Person, b.Claims.Person, b.Colour())
	}
}

func TestCodesThatAreNotMade(t *testing.T) {
	for name, args := range map[string][]string{
		"a colour that is none": {"phone", "--colour", "blue"}, "an algorithm that is none": {"paper", "--alg", "RS256"},
		"half a number": {"paper", "--number", "12"}, "a year": {"phone", "--life", "8760h"}, "no time": {"pass", "--at", "soon"},
		"no key": {"pass", "--key", "nosuch.key"},
	} {
		cmd := codeCommand()
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs(append(args, "--out", t.TempDir()))
		if err := cmd.Execute(); err == nil {
			t.Errorf("%s: it is made", name)
		}
	}
}
