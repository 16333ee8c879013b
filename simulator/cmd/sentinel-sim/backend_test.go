package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
)

// platform runs backend in a folder, as a person at a terminal would.
type platform struct {
	dir, store string
	stop       context.CancelFunc
	ended      chan error
	out        *screen
}

// screen is what is printed, for a reader beside the writer.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func startPlatform(t *testing.T, dir string, args ...string) *platform {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &platform{dir: filepath.Join(dir, "keys"), store: "bolt:" + filepath.Join(dir, "p.db"), stop: stop, ended: make(chan error, 1), out: &screen{}}
	cmd := backendCommand()
	cmd.SetOut(p.out)
	cmd.SetErr(io.Discard)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append([]string{"--dir", p.dir, "--store", p.store, "--listen", "127.0.0.1:0"}, args...))
	go func() { p.ended <- cmd.ExecuteContext(ctx) }()
	for !strings.Contains(p.out.String(), "Ctrl-C") {
		select {
		case err := <-p.ended:
			t.Fatalf("the platform ended: %v\n%s", err, p.out)
		case <-time.After(time.Millisecond):
		}
	}
	return p
}

func (p *platform) end(t *testing.T) {
	t.Helper()
	p.stop()
	if err := <-p.ended; err != nil {
		t.Errorf("Ctrl-C gives %v", err)
	}
	if !strings.Contains(p.out.String(), "ending…") {
		t.Errorf("it ends without a word:\n%s", p.out)
	}
}

// kiosk is the client of a kiosk that was given its folder.
func (p *platform) kiosk(t *testing.T, name string) *backend.Client {
	t.Helper()
	folder := filepath.Join(p.dir, "kiosks", name)
	cert, err := tls.LoadX509KeyPair(filepath.Join(folder, "kiosk.pem"), filepath.Join(folder, "kiosk.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	url := regexp.MustCompile(`urls: \["(https://localhost:\d+)"\]`).FindStringSubmatch(p.out.String())
	if url == nil {
		t.Fatalf("no address is printed:\n%s", p.out)
	}
	c, err := backend.New(backend.Opts{
		URL: url[1], TLS: &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots}, Kiosk: name, Clock: &clock.Clock{Wall: time.Now},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func visitAt(seq uint64, at time.Time) checkin.Record {
	id := checkin.ID{Device: "k-1", Epoch: "e", Seq: seq}
	return checkin.Record{
		Event: checkin.Event{
			Version: checkin.EventVersion, ID: id, UUID: id.String(), Kind: checkin.KindVisit, Venue: "v-1", Lane: "1", Direction: "in",
			At: checkin.Stamp{Wall: at, Trusted: true}, Verdict: &checkin.Decision{Outcome: checkin.Granted, Reason: checkin.OK},
		},
		Identity: []byte("age-encryption.org/v1\n…"), KeyID: "5f2c11aa",
	}
}

// TestThePlatformByItself: a kiosk that was given its folder delivers, an
// operator asks while the platform runs and afterwards, and a second life
// knows what the first has acknowledged.
func TestThePlatformByItself(t *testing.T) {
	dir, err := os.MkdirTemp("", "platform") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	eight := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	var batch []checkin.Record
	for seq := range uint64(7) {
		batch = append(batch, visitAt(seq+1, eight.Add(time.Duration(seq)*10*time.Minute)))
	}
	deliver := func(p *platform, want checkin.AckStatus) {
		t.Helper()
		c := p.kiosk(t, "k-1")
		defer c.Close()
		acks, err := c.Deliver(t.Context(), checkin.Backlog, batch)
		if err != nil || len(acks) != len(batch) || acks[0].Status != want {
			t.Fatalf("Deliver() = %v, %v, want %s", acks, err, want)
		}
	}
	p := startPlatform(t, dir, "--kiosk", "k-1")
	deliver(p, checkin.Stored)
	if _, err := run(backendCommand(), "--dir", p.dir, "--store", p.store); err == nil || !strings.Contains(err.Error(), "a platform runs on it already") {
		t.Errorf("a second platform on one store gives %v", err)
	}
	question := []string{"--store", p.store, "--venue", "v-1", "--from", "2026-11-24T16:00:00+08:00", "--to", "2026-11-24T09:00:00Z", "--by", "tester", "--reason", "case 7"}
	rows := filepath.Join(dir, "rows.jsonl")
	said, err := run(whoCommand(), append(question, "--out", rows)...)
	if err != nil || !strings.Contains(said, "6 records are in") {
		t.Errorf("who says %q, %v", said, err)
	}
	checkRows(t, rows)
	if said, err := run(countsCommand(), question...); err != nil || !strings.Contains(said, "2026-11-24 08:00  1     granted  6") || strings.Contains(said, "09:00") {
		t.Errorf("counts says %q, %v", said, err)
	}
	p.end(t)

	p = startPlatform(t, dir, "--kiosk", "k-1", "--kiosk", "k-2")
	deliver(p, checkin.Duplicate)
	p.end(t)
	said, err = run(whoCommand(), question...)
	if err != nil || !strings.Contains(said, "6 records") || strings.Contains(said, "age-encryption") {
		t.Errorf("who says %q, %v", said, err)
	}
	said, err = run(auditCommand(), "--store", p.store)
	if err != nil || !strings.Contains(said, "3 entries, and nothing") {
		t.Errorf("audit says %q, %v", said, err)
	}
	head := strings.TrimSpace(said[strings.LastIndex(strings.TrimSpace(said), "\n"):])
	if _, err := run(auditCommand(), "--store", p.store, "--expect", head); err != nil {
		t.Errorf("what was written down gives %v", err)
	}
	var code exitCode
	if _, err := run(auditCommand(), "--store", p.store, "--expect", "2"+head[1:]); !errors.As(err, &code) || code != 1 {
		t.Errorf("an entry that is another gives %v, want exit 1", err)
	}
}

// checkRows reads what the authority's tool reads.
func checkRows(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		var r checkin.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil || len(r.Identity) == 0 || r.KeyID != "5f2c11aa" || r.Event.Venue != "v-1" {
			t.Errorf("line %q: %v", line, err)
		}
		n++
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 || n != 6 {
		t.Errorf("%d lines in a file of mode %v, %v", n, fi.Mode(), err)
	}
}

func TestBackendCommandsRefuse(t *testing.T) {
	dir := t.TempDir()
	question := "--venue v-1 --from 2026-11-24 --to 2026-11-25 --by tester --reason case-7 "
	for _, tt := range []struct{ name, args, want string }{
		{"nobody asks", "who --venue v-1 --from 2026-11-24 --to 2026-11-25 --reason x", "--by and --reason are needed"},
		{"no reason", "counts --venue v-1 --from 2026-11-24 --to 2026-11-25 --by x", "--by and --reason are needed"},
		{"no venue", "who --by x --reason y", "--venue is missing"},
		{"a time that is none", "who --venue v-1 --from yesterday --to 2026-11-25 --by x --reason y", "is no time: write"},
		{"no store", "who " + question + "--store bolt:" + dir + "/none.db", "no store to ask"},
		{"an audit of no store", "audit --store bolt:" + dir + "/none.db", "no store to ask"},
		{"a store of another kind", "counts " + question + "--store postgres:x", "bolt:PATH"},
		{"a hash that is none", "audit --store bolt:" + dir + "/none.db --expect 7", "--expect is NUMBER:HASH"},
		{"a bad name of a kiosk", "--dir " + dir + "/keys --listen 127.0.0.1:0 --kiosk ../k", "is no id of a kiosk"},
		{"a bad address", "--dir " + dir + "/keys --store memory --listen nowhere:x", "choose another address with --listen"},
		{"a bad store", "--dir " + dir + "/keys --store sqlite:x", "there are memory and bolt:PATH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said, err := run(backendCommand(), strings.Fields(tt.args)...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q; it says %q", err, tt.want, said)
			}
		})
	}
}
