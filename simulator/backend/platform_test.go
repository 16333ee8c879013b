package backend_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	client "github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// TestALostReplyIsNotALostRecord: stored, and nobody heard of it; the second
// delivery must neither lose nor double anything.
func TestALostReplyIsNotALostRecord(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		batch := []checkin.Record{visit(1), visit(2), visit(3)}
		h.order(t, backend.Fault{Kind: "lose-reply", Call: "checkins"})
		if acks, err := h.client.Deliver(t.Context(), checkin.Backlog, batch); err == nil {
			t.Errorf("a lost reply gives %v, want an error", acks)
		}
		if c := count(t, h.platform.Store(), backend.Checkins); c.Visits != 3 {
			t.Fatalf("the platform counts %v behind a lost reply, want 3 visits", c)
		}
		h.order(t, backend.Fault{Kind: "up"})
		acks, err := h.client.Deliver(t.Context(), checkin.Backlog, batch)
		if err != nil || len(acks) != 3 {
			t.Fatalf("Deliver() = %v, %v", acks, err)
		}
		for i, a := range acks {
			if a.ID != batch[i].Event.ID || a.Status != checkin.Duplicate {
				t.Errorf("answer %d: %+v, want duplicate", i, a)
			}
		}
		if c := count(t, h.platform.Store(), backend.Checkins); c.Visits != 3 || c.Duplicate != 0 || c.Again != 3 {
			t.Errorf("the platform counts %v, want 3 visits, none twice", c)
		}
		if len(h.heard) != 6 {
			t.Errorf("OnRecord heard %d records, want each arrival, 6", len(h.heard))
		}
	})
}

// TestDeliveriesAtTheSameTime: however often and at once, each record once.
func TestDeliveriesAtTheSameTime(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if acks, err := h.client.Deliver(t.Context(), checkin.Backlog, []checkin.Record{visit(1), visit(2), visit(1)}); err != nil || len(acks) != 3 {
					t.Errorf("Deliver() = %v, %v, want three answers", acks, err)
				}
			})
		}
		all.Wait()
		if c := count(t, h.platform.Store(), backend.Checkins); c.Records != 2 || c.Visits != 2 || c.Duplicate != 0 || c.Again != 22 {
			t.Errorf("the platform counts %v, want 2 records and 22 that came again", c)
		}
	})
}

// TestAFaultOfOneCallSparesTheOthers for each kind of fault there is.
func TestAFaultOfOneCallSparesTheOthers(t *testing.T) {
	for _, f := range []backend.Fault{
		{Kind: "down"}, {Kind: "hang"}, {Kind: "slow", Delay: time.Hour}, {Kind: "refuse", Status: 503},
		{Kind: "lose-reply"}, {Kind: "garbage"},
	} {
		t.Run(f.Kind, func(t *testing.T) {
			live(t, func(t *testing.T, h *house) {
				person := checkin.Credential{Kind: checkin.ResidentID, Value: number}
				for _, call := range []string{"verify", "checkins", "reports", "reports/cdc", "heartbeat"} {
					f.Call = call
					h.order(t, f)
					_, asked := h.client.Verify(t.Context(), person)
					_, brought := h.client.Deliver(t.Context(), checkin.Backlog, []checkin.Record{visit(1)})
					beat := h.client.Heartbeat(t.Context(), api.Heartbeat{})
					_, cdc := h.client.Report(t.Context(), "cdc", []checkin.Record{refusal(1)})
					_, trade := h.client.Report(t.Context(), "trade", []checkin.Record{refusal(1)})
					for name, err := range map[string]error{
						"verify": asked, "checkins": brought, "heartbeat": beat, "reports/cdc": cdc, "reports/trade": trade,
					} {
						// A kiosk does not read what comes back from a heartbeat.
						deaf := name == "heartbeat" && f.Kind == "garbage"
						hit := name == call || strings.HasPrefix(name, call+"/")
						if (err != nil) != (hit && !deaf) {
							t.Errorf("%s of %s: %s gives %v", f.Kind, call, name, err)
						}
					}
				}
				h.order(t, backend.Fault{Kind: "up"})
			})
		})
	}
}

// TestARefusalSaysWhen: what is ordered is what the kiosk hears.
func TestARefusalSaysWhen(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		h.order(t, backend.Fault{Kind: "refuse", Status: 429, Retry: 1500 * time.Millisecond})
		_, err := h.client.Deliver(t.Context(), checkin.Backlog, []checkin.Record{visit(1)})
		var r *client.Refusal
		if !errors.As(err, &r) || r.Status != 429 || r.RetryAfter() != 1500*time.Millisecond || r.Permanent() {
			t.Errorf("Deliver() = %+v, want 429, retry in 1.5 s", err)
		}
		if n := count(t, h.platform.Store(), backend.Checkins).Records; n != 0 {
			t.Errorf("%d records are held behind a refusal", n)
		}
	})
}

// TestDownCutsWhatIsOpen: HTTP/2 keeps its connection, and a refused dial
// alone would leave it working.
func TestDownCutsWhatIsOpen(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		person := checkin.Credential{Kind: checkin.ResidentID, Value: number}
		h.order(t, backend.Fault{Kind: "slow", Delay: time.Second})
		ended := make(chan error)
		go func() {
			_, err := h.client.Verify(t.Context(), person)
			ended <- err
		}()
		time.Sleep(500 * time.Millisecond)
		start := time.Now()
		h.order(t, backend.Fault{Kind: "down"})
		if err := <-ended; err == nil || time.Since(start) > 0 {
			t.Errorf("a question on its way ends after %v with %v, want at once, cut", time.Since(start), err)
		}
		if _, err := h.client.Verify(t.Context(), person); err == nil {
			t.Error("a platform that is down answers")
		}
		h.server.Down() // no harm
		h.order(t, backend.Fault{Kind: "up"})
		if err := h.server.Up(); err != nil { // nor this
			t.Error(err)
		}
		if s, err := h.client.Verify(t.Context(), person); !s.Known {
			t.Errorf("up again: %v", err)
		}
	})
}

// TestALieAboutSomebodyElse: red stays red, whatever green thing is signed.
func TestALieAboutSomebodyElse(t *testing.T) {
	for _, lie := range []string{"unsigned", "stale", "other-person"} {
		t.Run(lie, func(t *testing.T) {
			live(t, func(t *testing.T, h *house) {
				h.order(t, backend.Fault{Kind: "lie", Lie: lie})
				s, err := h.client.Verify(t.Context(), checkin.Credential{Kind: checkin.ResidentID, Value: "440524188001010014"})
				if s != (checkin.Status{}) || client.Why(err) != checkin.PlatformUnreachable {
					t.Errorf("Verify() = %+v, %v, want nothing known", s, err)
				}
			})
		})
	}
}

// TestThePlatformsWordsRepeatNothing: no answer but the statement has to do
// with who was asked about.
func TestThePlatformsWordsRepeatNothing(t *testing.T) {
	h := backend.New(backend.Opts{Now: time.Now}).Handler()
	for _, body := range []string{
		`{"kind":"resident-id","value":"` + number + `","nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}`,
		`{"kind":"` + number + `","value":"x","nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}`,
		`{"kind":"resident-id","value":"` + number + `","nonce":"` + number + `"}`,
		`{"kind":"resident-id","value":` + strings.TrimSuffix(number, "X") + `}`,
		`{"kind":"resident-id","value":"` + number,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/verify", strings.NewReader(body)))
		if w.Code < 400 || strings.Contains(w.Body.String(), number[:17]) {
			t.Errorf("answer %d %s repeats who was asked about", w.Code, w.Body)
		}
	}
}

func TestTheContractIsServed(t *testing.T) {
	w := httptest.NewRecorder()
	backend.New(backend.Opts{Now: time.Now}).Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/openapi.yaml", nil))
	if w.Code != http.StatusOK || w.Body.String() != string(api.Spec) {
		t.Errorf("status %d, %d bytes, want the contract's %d", w.Code, w.Body.Len(), len(api.Spec))
	}
}

func TestNobodyReadsTheKeys(t *testing.T) {
	pki, err := backend.NewPKI("k-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files, err := pki.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	for path, kind := range map[string]string{
		files.CA: "CERTIFICATE", files.Certificate: "CERTIFICATE", files.Key: "PRIVATE KEY", files.StatementKey: "PUBLIC KEY",
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 || filepath.Dir(path) != dir {
			t.Errorf("%s: %v, %v, want mode 0600 in the folder that was named", path, info.Mode(), err)
		}
		data, _ := os.ReadFile(path)
		if b, _ := pem.Decode(data); b == nil || b.Type != kind {
			t.Errorf("%s is no %s", path, kind)
		}
	}
	data, err := os.ReadFile(files.StatementKey)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := signed.ParseKey(data); err != nil || !k.(ed25519.PublicKey).Equal(pki.Statement.Public()) {
		t.Errorf("the agent reads %v, %v, want the key that signs", k, err)
	}
}

// TestAStrangersCertificate: the same name on a certificate of another
// authority opens nothing.
func TestAStrangersCertificate(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		stranger, err := backend.NewPKI("k-1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		h.server.Down()
		h.server.TLS.ClientCAs = x509.NewCertPool()
		h.server.TLS.ClientCAs.AddCert(stranger.CA)
		if err := h.server.Up(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.client.Deliver(t.Context(), checkin.Backlog, []checkin.Record{visit(1)}); err == nil || count(t, h.platform.Store(), backend.Checkins).Records != 0 {
			t.Errorf("a kiosk of another authority delivers: %v", err)
		}
	})
}

func TestAMemoryListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := backend.NewMemoryListener()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody accepts, and Dial gives %v, want the context's end", err)
		}
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, _ = io.WriteString(c, "hello")
				_ = c.Close()
			}
		}()
		c, err := l.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); string(b) != "hello" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		_, _ = l.Close(), l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept() of a closed listener: %v", err)
		}
		if _, err := l.Dial(t.Context()); err == nil {
			t.Error("a closed listener is reached")
		}
	})
}
