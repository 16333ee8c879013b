package backend_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// answered is a kiosk whose platform gives every question the same answer.
func answered(t *testing.T, status int, header http.Header, body string, f func(t *testing.T, c *backend.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := newKiosk(t, handled(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for name := range header {
				w.Header().Set(name, header.Get(name))
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		f(t, k.client)
		k.close()
	})
}

// TestRefusalsSayWhen: known fields, within bounds, and nothing else.
func TestRefusalsSayWhen(t *testing.T) {
	for _, tt := range []struct {
		name, header, body string
		want               backend.Refusal
		permanent          bool
	}{
		{"seconds in the header", "7", "", backend.Refusal{Status: 503, After: 7 * time.Second}, false},
		{"milliseconds in the body", "", `{"retry_after_ms":1500,"max_batch":50}`,
			backend.Refusal{Status: 429, After: 1500 * time.Millisecond, Batch: 50}, false},
		{"the body wins", "60", `{"retry_after_ms":1500}`, backend.Refusal{Status: 503, After: 1500 * time.Millisecond}, false},
		{"a day is the most, in the header", "86400", "", backend.Refusal{Status: 503}, false},
		{"a day is the most, in the body", "", `{"retry_after_ms":86400000}`, backend.Refusal{Status: 503}, false},
		{"a date is not trusted", "Wed, 21 Oct 2015 07:28:00 GMT", "", backend.Refusal{Status: 503}, false},
		{"nonsense", "-5", `{"retry_after_ms":-1,"max_batch":-9}`, backend.Refusal{Status: 503}, false},
		{"words of its own", "", `{"type":"https://platform.example/whatever"}`, backend.Refusal{Status: 409}, false},
		{"too large a batch", "", "", backend.Refusal{Status: 413}, true},
		{"a bad request", "", "", backend.Refusal{Status: 400}, true},
		{"what cannot be processed", "", "", backend.Refusal{Status: 422}, true},
		{"a certificate that is not let in is not for ever", "", "", backend.Refusal{Status: 401}, false},
		{"nor one that is another's", "", "", backend.Refusal{Status: 403}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{}
			if tt.header != "" {
				header.Set("Retry-After", tt.header)
			}
			answered(t, tt.want.Status, header, tt.body, func(t *testing.T, c *backend.Client) {
				_, err := c.Deliver(t.Context(), checkin.Backlog, nil)
				checkRefusal(t, err, tt.want)
				if p, ok := err.(interface{ Permanent() bool }); !ok || p.Permanent() != tt.permanent {
					t.Errorf("%v: permanent %v, want %v", err, !tt.permanent, tt.permanent)
				}
			})
		})
	}
}

// TestOnlyAnUnknownCredentialIsNoStatus: a path that is not there says nothing
// about a person.
func TestOnlyAnUnknownCredentialIsNoStatus(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   checkin.Reason
	}{
		{"404 of the contract", 404, `{"type":"unknown-credential"}`, checkin.NoStatus},
		{"404 of a proxy", 404, "not found", checkin.PlatformUnreachable},
		{"the type alone", 500, `{"type":"unknown-credential"}`, checkin.PlatformUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answered(t, tt.status, nil, tt.body, func(t *testing.T, c *backend.Client) {
				if _, err := c.Verify(t.Context(), shown); backend.Why(err) != tt.want {
					t.Errorf("Verify() = %v, because of %s, want %s", err, backend.Why(err), tt.want)
				}
			})
		})
	}
}

// TestDeliveriesThatNobodyConfirmed: a record whose answer cannot be read
// stays in the queue.
func TestDeliveriesThatNobodyConfirmed(t *testing.T) {
	for _, tt := range []struct{ name, kind, body string }{
		{"another type", "text/html", `{"results":[]}`},
		{"no JSON", api.JSON, "<html>"},
		{"other JSON", api.JSON, `{"results":"all of them"}`},
		{"more than a megabyte", api.JSON, `{"results":[]}` + strings.Repeat(" ", 1<<20)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answered(t, http.StatusOK, http.Header{"Content-Type": {tt.kind}}, tt.body, func(t *testing.T, c *backend.Client) {
				if acks, err := c.Deliver(t.Context(), checkin.Backlog, passages([]checkin.ID{{Device: "k-1", Epoch: "e", Seq: 1}})); err == nil {
					t.Errorf("Deliver() = %v, want an error", acks)
				}
			})
		})
	}
}

// TestDeliveriesHaveMoreTime than questions, and are bounded all the same.
func TestDeliveriesHaveMoreTime(t *testing.T) {
	for name, call := range map[string]struct {
		do   func(ctx context.Context, c *backend.Client) error
		want time.Duration
	}{
		"a delivery": {func(ctx context.Context, c *backend.Client) error {
			_, err := c.Deliver(ctx, checkin.Backlog, nil)
			return err
		}, 30 * time.Second},
		"a report": {func(ctx context.Context, c *backend.Client) error {
			_, err := c.Report(ctx, "cdc", nil)
			return err
		}, 30 * time.Second},
		"a heartbeat": {func(ctx context.Context, c *backend.Client) error { return c.Heartbeat(ctx, api.Heartbeat{}) }, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKiosk(t, handled(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
				start := time.Now()
				if err := call.do(t.Context(), k.client); err == nil || time.Since(start) != call.want {
					t.Errorf("ends with %v after %v, want an error after %v", err, time.Since(start), call.want)
				}
				k.close()
			})
		})
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	for _, url := range []string{"", "http://platform.example", "platform.example", "https://", "https://a b", "file:///etc"} {
		if _, err := backend.New(backend.Opts{URL: url}); err == nil {
			t.Errorf("New(%q) gives no error", url)
		}
	}
}

// TestAFolderInTheAddressIsKept: a platform may stand below a path.
func TestAFolderInTheAddressIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked string
		k := newKiosk(t, handled(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.Path }))
		k.opts.URL += "/sentinel/"
		k.client = k.with(t, k.opts.Clock)
		_ = k.client.Heartbeat(t.Context(), api.Heartbeat{})
		k.close()
		if want := "/sentinel/v1/heartbeat"; asked != want {
			t.Errorf("asked %q, want %q", asked, want)
		}
	})
}

// TestAHeartbeatWritesOverAQuestion: it is as long as the longest question about
// somebody since the last one that arrived, and still what the contract says.
func TestAHeartbeatWritesOverAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, beat []byte
		refuse := false
		k := newKiosk(t, handled(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.HasSuffix(r.URL.Path, "/verify") {
				asked = body
				w.WriteHeader(http.StatusNotFound)
				return
			}
			beat = body
			if refuse {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		defer k.close()
		heartbeat := func() {
			_ = k.client.Heartbeat(t.Context(), api.Heartbeat{})
			var h api.Heartbeat
			if err := json.Unmarshal(beat, &h); err != nil {
				t.Errorf("a heartbeat of %d bytes: %v", len(beat), err)
			}
		}
		heartbeat()
		short := len(beat)
		long := checkin.Credential{Kind: checkin.PersonalCode, Value: "https://a.example/" + strings.Repeat("x", 900)}
		_, _ = k.client.Verify(t.Context(), long)
		_, _ = k.client.Verify(t.Context(), shown)
		refuse = true
		heartbeat()
		refuse = false
		for range 2 { // one that was refused may not have arrived whole
			if len(beat) < 900 || len(beat) < len(asked) {
				t.Errorf("a heartbeat of %d bytes after a question of more than 900", len(beat))
			}
			heartbeat()
		}
		if len(beat) != short {
			t.Errorf("%d bytes when nobody was asked about, want %d", len(beat), short)
		}
	})
}
