package backend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// FuzzHandler: a kiosk may send anything to any path; the answer is one of the
// contract's, and what is held is held once.
func FuzzHandler(f *testing.F) {
	f.Add("/v1/verify", `{"kind":"resident-id","value":"11010519491231002X","nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}`)
	f.Add("/v1/checkins", `{"records":[{"event":{"v":1,"id":{"device":"k-1","epoch":"e","seq":1},"uuid":"u","kind":"passage","visit":"w","passage":"taken"}},null,1]}`)
	f.Add("/v1/reports", `{"recipient":"cdc","records":[{"event":{"v":2,"id":{"device":"k-1","epoch":"e","seq":1},"uuid":"u","kind":"refusal","visit":"w"}},null]}`)
	f.Add("/v1/heartbeat", `{"kiosk":"k-1"}`)
	p := backend.New(backend.Opts{Now: time.Now})
	h := p.Handler()
	f.Fuzz(func(t *testing.T, path, body string) {
		r := httptest.NewRequest(http.MethodPost, "/v1/verify", strings.NewReader(body))
		r.URL.Path = path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s gives %d %s", path, w.Code, w.Body)
		}
		held := map[checkin.ID]bool{}
		for _, r := range list(t, p.Store(), backend.Checkins) {
			if held[r.Event.ID] {
				t.Errorf("%v is held twice", r.Event.ID)
			}
			held[r.Event.ID] = true
		}
	})
}

// BenchmarkVerify is one question over loopback, mutual TLS and HTTP/2, on a
// kept connection: the platform's and the client's own share.
func BenchmarkVerify(b *testing.B) {
	var at net.Addr
	h := build(b, func() (net.Listener, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			at = l.Addr()
		}
		return l, err
	}, func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", at.String())
	})
	defer h.close()
	person := checkin.Credential{Kind: checkin.ResidentID, Value: number}
	for b.Loop() {
		if s, err := h.client.Verify(b.Context(), person); !s.Known {
			b.Fatal(err)
		}
	}
}

// post brings records to a handler without TLS.
func post(h http.Handler, path string, records ...checkin.Record) *httptest.ResponseRecorder {
	body, _ := json.Marshal(map[string][]checkin.Record{"records": records})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
	return w
}

// decode reads the JSON of an answer.
func decode(t testing.TB, w *httptest.ResponseRecorder, into any) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Errorf("%v in %q", err, w.Body)
	}
}

func pemBytes(t testing.TB, text []byte) []byte {
	t.Helper()
	b, _ := pem.Decode(text)
	if b == nil {
		t.Fatal("no PEM")
	}
	return b.Bytes
}
