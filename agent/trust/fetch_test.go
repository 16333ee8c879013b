package trust_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/a b.json":
			_, _ = w.Write([]byte("content"))
		case "/base/endless":
			w.(http.Flusher).Flush() // no length is told
			_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<16))
		case "/base/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("short"))
		case "/base/forbidden":
			http.Error(w, "no", http.StatusForbidden)
		case "/base/broken":
			http.Error(w, "no", http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	f, err := trust.HTTP(server.Client(), server.URL+"/base")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := f.Get(t.Context(), "a%20b.json", 7); err != nil || string(data) != "content" {
		t.Errorf("Get: %q, %v", data, err)
	}
	for path, want := range map[string]error{
		"missing": trust.ErrNotFound, "forbidden": trust.ErrNotFound, "endless": trust.ErrTooLong, "a%20b.json": trust.ErrTooLong,
	} {
		if _, err := f.Get(t.Context(), path, 6); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	for _, path := range []string{"broken", "cut", "%zz"} {
		if _, err := f.Get(t.Context(), path, 1000); err == nil || errors.Is(err, trust.ErrNotFound) {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Get(ctx, "a%20b.json", 100); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if data, err := trust.Below(f, "x").Get(t.Context(), "y", 100); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("below: %q, %v", data, err)
	}
	for _, base := range []string{"", "cdn.example", "ftp://cdn.example", "http://", "http://%zz"} {
		if _, err := trust.HTTP(http.DefaultClient, base); err == nil {
			t.Errorf("%q is an address", base)
		}
	}
}

// TestFetcherThatDoesNotKeepTheLimit: nothing that it brings is believed.
func TestFetcherThatDoesNotKeepTheLimit(t *testing.T) {
	r := newRepo(t)
	c := newClient(t, r)
	if _, err := c.open().Refresh(t.Context(), trust.Sources{Metadata: careless{}}, now); !errors.Is(err, trust.ErrTooLong) {
		t.Errorf("Refresh: %v", err)
	}
	if _, err := c.open().Refresh(t.Context(), trust.Sources{}, now); err == nil {
		t.Error("a refresh from nowhere succeeded")
	}
}

type careless struct{}

func (careless) Get(context.Context, string, int64) ([]byte, error) { return make([]byte, 1<<20), nil }

// TestLoop: about every hour, sooner after errors, and never all at once.
func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var times []time.Time
		n := 0
		done := make(chan error)
		go func() {
			done <- trust.Loop(ctx, time.Hour, func(context.Context) error {
				times = append(times, time.Now())
				if n++; n >= 3 && n <= 12 {
					return errors.New("the link is down")
				}
				return nil
			})
		}()
		time.Sleep(14 * time.Hour)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Loop: %v", err)
		}
		want := []time.Duration{time.Hour, time.Hour, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute,
			32 * time.Minute, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour}
		if len(times) <= len(want) {
			t.Fatalf("only %d refreshes", len(times))
		}
		for i, w := range want {
			if got := times[i+1].Sub(times[i]); got < w*8/10 || got > w*12/10 {
				t.Errorf("pause %d: %v, want %v within 20 %%", i, got, w)
			}
		}
	})
}

func TestJitterIsSpread(t *testing.T) {
	low, high := time.Hour*2, time.Duration(0)
	for range 1000 {
		d := trust.Jitter(time.Hour)
		low, high = min(low, d), max(high, d)
	}
	if low < 48*time.Minute || high > 72*time.Minute || low > 50*time.Minute || high < 70*time.Minute {
		t.Errorf("between %v and %v", low, high)
	}
}

func TestInstall(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	if _, err := trust.Installed(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Installed: %v", err)
	}
	if err := trust.Install(dir, r.last("root")); err != nil {
		t.Fatal(err)
	}
	if root, err := trust.Installed(dir); err != nil || !bytes.Equal(root, r.last("root")) {
		t.Errorf("Installed: %v", err)
	}
	if err := trust.Install("/dev/null/x", r.last("root")); err == nil {
		t.Error("a folder that cannot be")
	}
}
