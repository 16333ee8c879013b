package backend_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
)

// TestKeysThatAreNone: what is not a key of 32 bytes is none, in time, and no
// error repeats what came in its place.
func TestKeysThatAreNone(t *testing.T) {
	const secret = "c2VjcmV0c2VjcmV0c2VjcmV0"
	answers := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", api.JSON)
			_, _ = io.WriteString(w, body)
		}
	}
	long := base64.StdEncoding.EncodeToString(make([]byte, 33))
	for _, tt := range []struct {
		name  string
		serve http.HandlerFunc
	}{
		{"a short one", answers(`{"key":"` + secret + `"}`)},
		{"a long one", answers(`{"key":"` + long + `"}`)},
		{"none", answers(`{}`)},
		{"no base64", answers(`{"key":"` + secret + `!"}`)},
		{"no JSON", answers(secret)},
		{"another media type", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"key":%q}`, base64.StdEncoding.EncodeToString(make([]byte, 32)))
		}},
		{"a body without an end", answers(`{"key":"` + strings.Repeat("A", 1<<20))},
		{"a refusal with a key", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, `{"type":"`+secret+`"}`)
		}},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKiosk(t, handled(tt.serve))
				start := time.Now()
				key, err := k.client.EpochKey(t.Context(), "v-1", 7)
				if took := time.Since(start); err == nil || key != [32]byte{} || took > 5*time.Second {
					t.Errorf("EpochKey() = %x, %v, after %v, want an error within 5 s", key, err, took)
				}
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("the error repeats the answer: %v", err)
				}
				k.close()
			})
		})
	}
}
