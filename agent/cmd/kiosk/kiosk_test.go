package kiosk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/cmd/kiosk"
	"github.com/digital-sentinel/sentinel/configs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var day = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func env(dial func(context.Context, string, string) (net.Conn, error)) kiosk.Env {
	return kiosk.Env{
		Version: "test", Wires: wires{}, Log: slog.New(slog.DiscardHandler), Dial: dial,
		Clock: &clock.Clock{Wall: time.Now, Boot: func() time.Duration { return time.Hour }, BootID: "b"},
	}
}

// nobody is a platform that is not there.
func nobody(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }

// TestErrorsNameWhatIsToBeMended: the key or the file; and a kiosk that was
// not put together keeps nothing open: mended, it starts.
func TestErrorsNameWhatIsToBeMended(t *testing.T) {
	const secret = "AGE-SECRET-KEY-1QYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSGWKXKQ"
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, c *configs.Config)
		want  []string
	}{
		{"no policy", func(_ *testing.T, c *configs.Config) { c.Policy += "-not" }, []string{"policy: ", "policy.yaml-not"}},
		{"a policy with a word that is none", func(t *testing.T, c *configs.Config) {
			write(t, c.Policy, "id: x\nversion: 1\nrule: []\n")
		}, []string{"policy.yaml", ":3", `"rule"`}},
		{"no authority", func(t *testing.T, c *configs.Config) { remove(t, c.Platform.CA) }, []string{"platform.ca: ", "ca.pem"}},
		{"an authority that is none", func(t *testing.T, c *configs.Config) { write(t, c.Platform.CA, "hello") },
			[]string{"platform.ca: ", "ca.pem holds no certificate"}},
		{"no certificate", func(t *testing.T, c *configs.Config) { remove(t, c.Platform.Certificate) },
			[]string{"platform.certificate", "kiosk.pem"}},
		{"no key", func(t *testing.T, c *configs.Config) { remove(t, c.Platform.Key) }, []string{"platform.key", "kiosk.key"}},
		{"a key of another certificate", func(t *testing.T, c *configs.Config) {
			_, key := self(t)
			write(t, c.Platform.Key, key)
		}, []string{"platform.certificate and platform.key: "}},
		{"no statement key", func(t *testing.T, c *configs.Config) { remove(t, c.Platform.StatementKeys[0]) },
			[]string{"platform.statement_keys: ", "statement-1.pem"}},
		{"a private statement key", func(t *testing.T, c *configs.Config) {
			_, key := self(t)
			write(t, c.Platform.StatementKeys[0], key)
		}, []string{"platform.statement_keys: ", "statement-1.pem", "PUBLIC KEY"}},
		{"an address that is not https", func(_ *testing.T, c *configs.Config) { c.Platform.URLs = []string{"http://localhost"} },
			[]string{"http://localhost", "https"}},
		{"no recipient", func(t *testing.T, c *configs.Config) { remove(t, c.Records.Recipient) },
			[]string{"records.recipient: ", "authority.age"}},
		{"a secret key for a recipient", func(t *testing.T, c *configs.Config) { write(t, c.Records.Recipient, secret) },
			[]string{"records.recipient: ", "authority.age", "age1"}},
		{"a state folder that is a file", func(_ *testing.T, c *configs.Config) { c.State = c.Policy }, []string{"policy.yaml"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := folder(t)
			good := *c
			good.Platform.URLs = []string{"https://localhost"}
			before := contents(t, filepath.Dir(c.Policy))
			tt.spoil(t, c)
			k, err := kiosk.New(c, env(nobody))
			if err == nil || k != nil {
				t.Fatalf("New() = %v, %v, want an error", k, err)
			}
			for _, words := range tt.want {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("New() = %v, want %q in it", err, words)
				}
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error repeats a secret: %v", err)
			}
			for path, text := range before {
				write(t, path, text)
			}
			synctest.Test(t, func(t *testing.T) { run(t, &good, nobody, func(*kiosk.Kiosk) {}) })
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// contents are the files of a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(data)
	}
	return texts
}

// run puts the kiosk of c together in a bubble, runs it while f lasts, and
// wants an orderly end.
func run(t *testing.T, c *configs.Config, dial func(context.Context, string, string) (net.Conn, error), f func(k *kiosk.Kiosk)) {
	t.Helper()
	time.Sleep(time.Until(day))
	k, err := kiosk.New(c, env(dial))
	if err != nil {
		t.Fatal(err)
	}
	k.Control, k.Screen = newMemory(), newMemory()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- k.Run(ctx) }()
	time.Sleep(time.Second)
	f(k)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run() = %v, want an orderly end", err)
	}
	for name, l := range map[string]net.Listener{"control": k.Control, "screen": k.Screen} {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s still listens: %v", name, err)
		}
	}
}

// TestAKioskAnswersOnBothSides, twice from one folder, and gives it back.
func TestAKioskAnswersOnBothSides(t *testing.T) {
	c := folder(t)
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			run(t, c, nobody, func(k *kiosk.Kiosk) {
				_, body := get(t, k.Control.(*memory), "/v1/status")
				var s agent.Status
				if err := json.Unmarshal(body, &s); err != nil {
					t.Fatal(err)
				}
				got := []string{s.Version, s.Device, s.Lane, s.Direction, s.Venue, string(s.Class), s.Policy}
				want := []string{"test", "k-1", "1", "in", "v-1", "office", "public-place"}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("status (-want +got):\n%s", diff)
				}
				resp, body := get(t, k.Screen.(*memory), "/")
				if resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("示范大厦")) {
					t.Errorf("screen %d, want a page with the venue's name:\n%s", resp.StatusCode, body)
				}
			})
		})
	}
}

// TestAStreamEndsWithTheKiosk, not with its reader.
func TestAStreamEndsWithTheKiosk(t *testing.T) {
	c := folder(t)
	synctest.Test(t, func(t *testing.T) {
		var reading sync.WaitGroup
		run(t, c, nobody, func(k *kiosk.Kiosk) {
			near, err := k.Screen.(*memory).dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := near.Write([]byte("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			reading.Go(func() {
				b := new(bytes.Buffer)
				_, _ = b.ReadFrom(near)
				if !strings.Contains(b.String(), "event: view") {
					t.Errorf("the stream said %q", b)
				}
			})
			time.Sleep(time.Minute)
		})
		reading.Wait()
	})
}

// TestThePlatformHearsHowTheKioskIs, under the name of its certificate.
func TestThePlatformHearsHowTheKioskIs(t *testing.T) {
	c := folder(t)
	c.Devices = []configs.Device{{Name: "scanner", Driver: "linescan", Address: "unix:nowhere"}}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var heard []api.Heartbeat
		var names []string
		l, stop := platform(t, c, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			var h api.Heartbeat
			if err := json.NewDecoder(r.Body).Decode(&h); err != nil || r.URL.Path != "/v1/heartbeat" {
				t.Errorf("%s: %v", r.URL.Path, err)
			}
			heard = append(heard, h)
			names = append(names, r.TLS.PeerCertificates[0].Subject.CommonName)
		})
		run(t, c, l.dial, func(*kiosk.Kiosk) { time.Sleep(5 * time.Minute) })
		stop()
		if len(heard) == 0 {
			t.Fatal("no heartbeat in five minutes")
		}
		want := api.Heartbeat{
			Kiosk: "k-1", Lane: "1", Version: "test", Screen: "out-of-service", Devices: map[string]bool{"scanner": false},
			Alarms: []string{"device-gone"},
		}
		if diff := cmp.Diff(want, heard[len(heard)-1]); diff != "" || names[0] != "k-1" {
			t.Errorf("heartbeat of %s (-want +got):\n%s", names[0], diff)
		}
	})
}
