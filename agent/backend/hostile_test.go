package backend_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
)

// TestAnAnswerInTime: whatever a platform does, and at whatever stage, the
// visitor is told within two seconds, and what he showed is in no error.
func TestAnAnswerInTime(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(*kiosk, net.Conn)
	}{
		{"no answer to a connection", nil},
		{"a line that is closed at once", func(_ *kiosk, far net.Conn) { _ = far.Close() }},
		{"a line that nobody reads", func(_ *kiosk, far net.Conn) {
			time.Sleep(time.Minute)
			_ = far.Close()
		}},
		{"no answer to the handshake", func(_ *kiosk, far net.Conn) { deaf(far) }},
		{"a handshake in drops", func(_ *kiosk, far net.Conn) { drip("\x16\x03\x03\x20\x00")(far) }},
		{"no TLS at all", func(_ *kiosk, far net.Conn) { drip("HTTP/1.1 400 Bad Request\r\n\r\n")(far) }},
		{"no settings after the handshake", raw("h2", deaf)},
		{"frames in drops", raw("h2", drip("\x00\x00\x00\x04\x00\x00\x00\x00\x00"))},
		{"garbage for frames", raw("h2", func(line net.Conn) {
			go deaf(line)
			_, _ = io.WriteString(line, strings.Repeat("garbage", 1000))
		})},
		{"no answer to HTTP/1.1", raw("http/1.1", deaf)},
		{"a header in drops", raw("http/1.1", drip("HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("a", 1000)))},
		{"a header without an end", raw("http/1.1", func(line net.Conn) {
			go deaf(line)
			_, err := io.WriteString(line, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(line, "X-A: "+strings.Repeat("a", 1000)+"\r\n")
			}
		})},
		{"provisional answers for ever", raw("http/1.1", drip("HTTP/1.1 103 Early Hints\r\n\r\n"))},
		{"no header", handled(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })},
		{"a header after three seconds", handled(func(http.ResponseWriter, *http.Request) { time.Sleep(3 * time.Second) })},
		{"a header and no body", handled(func(w http.ResponseWriter, r *http.Request) {
			begin(w, http.StatusOK)
			<-r.Context().Done()
		})},
		{"a body in drops", handled(func(w http.ResponseWriter, r *http.Request) {
			begin(w, http.StatusOK)
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte{0xD2})
				_ = http.NewResponseController(w).Flush()
				time.Sleep(300 * time.Millisecond)
			}
		})},
		{"a refusal in drops", handled(func(w http.ResponseWriter, r *http.Request) {
			begin(w, http.StatusServiceUnavailable)
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(300 * time.Millisecond)
			}
		})},
		{"a body without an end", handled(func(w http.ResponseWriter, _ *http.Request) {
			begin(w, http.StatusOK)
			for range 1 << 10 { // 64 MB: as good as none, and a test that ends
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
			t.Error("64 MB were read")
		})},
		{"a body cut off", handled(func(w http.ResponseWriter, _ *http.Request) {
			begin(w, http.StatusOK)
			_, _ = w.Write([]byte{0xD2, 0x84})
			panic(http.ErrAbortHandler)
		})},
		{"an empty answer", handled(func(w http.ResponseWriter, _ *http.Request) { begin(w, http.StatusOK) })},
		{"the question as the answer", handled(func(w http.ResponseWriter, r *http.Request) {
			begin(w, http.StatusOK)
			_, _ = io.Copy(w, r.Body)
		})},
		{"the number in a refusal", handled(func(w http.ResponseWriter, _ *http.Request) {
			begin(w, http.StatusTeapot)
			_, _ = fmt.Fprintf(w, `{"type":%q,"title":%q}`, shown.Value, shown.Value)
		})},
		{"the number as the media type", handled(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", shown.Value) })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKiosk(t, tt.serve)
				start := time.Now()
				s, err := k.client.Verify(t.Context(), shown)
				if took := time.Since(start); took > limit {
					t.Errorf("the answer took %v, want at most %v", took, limit)
				}
				if err == nil || s != (checkin.Status{}) || backend.Why(err) != checkin.PlatformUnreachable {
					t.Errorf("Verify() = %+v, %v, want nothing known, platform-unreachable", s, err)
				}
				mute(t, err)
				k.close()
				time.Sleep(2 * time.Minute) // hung lines die of their own limits
			})
		})
	}
}

// TestNoRedirectIsFollowed: a platform cannot send a number elsewhere.
func TestNoRedirectIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		k := newKiosk(t, handled(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Host+r.URL.Path)
			if len(asked) > 1 {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Header().Set("Location", "https://elsewhere.example/v1/verify")
			w.WriteHeader(http.StatusPermanentRedirect)
		}))
		if _, err := k.client.Verify(t.Context(), shown); err == nil {
			t.Error("a redirect is an answer, want an error")
		}
		k.close()
		if len(asked) != 1 || asked[0] != "localhost/v1/verify" {
			t.Errorf("asked %q, want the platform once", asked)
		}
	})
}

// TestMain names a proxy before anybody can ask for one: Go reads the
// environment once.
func TestMain(m *testing.M) {
	_ = os.Setenv("HTTPS_PROXY", "http://proxy.example")
	goleak.VerifyTestMain(m)
}

// TestTheEnvironmentNamesNoProxy: a kiosk's environment must not decide who
// hears the questions.
func TestTheEnvironmentNamesNoProxy(t *testing.T) {
	var dialled []string
	c, err := backend.New(backend.Opts{URL: "https://platform.example", Clock: &clock.Clock{Wall: time.Now}, Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
		dialled = append(dialled, addr)
		return nil, net.ErrClosed
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Verify(t.Context(), shown)
	mute(t, err)
	if len(dialled) != 1 || dialled[0] != "platform.example:443" {
		t.Errorf("dialled %q, want the platform alone", dialled)
	}
}
