package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	client "github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// body is a batch that knows whether somebody has read it.
type body struct {
	strings.Reader
	read atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.Reader.Read(p)
}

func (b *body) Close() error { return nil }

// bring sends a batch with that priority, in the name of a sender.
func bring(ctx context.Context, h http.Handler, priority, sender string) (w *httptest.ResponseRecorder, read bool) {
	b := &body{Reader: *strings.NewReader("{}")}
	r := httptest.NewRequest(http.MethodPost, "/v1/checkins", b).WithContext(ctx)
	r.ContentLength = 2
	r.RemoteAddr = sender + ":1"
	if priority != "" {
		r.Header.Set(api.Priority, priority)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w, b.read.Load()
}

// slow takes a while for each batch.
func slow(d time.Duration) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		time.Sleep(d)
	})
}

const service = 100 * time.Millisecond

// TestAHerdIsRefusedAndLiveIsNot: 1,000 kiosks come at once, and one scan every
// 50 ms. No backlog waits longer than the bound and none is served in vain;
// what is refused at once is not read; live never stands behind backlog.
func TestAHerdIsRefusedAndLiveIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := backend.NewAdmission(backend.AdmissionOpts{Width: 8})
		h := a.Wrap(slow(service))
		var all sync.WaitGroup
		var served atomic.Int64
		start := time.Now()
		for i := range 1000 {
			all.Go(func() {
				for {
					asked := time.Now()
					w, read := bring(t.Context(), h, "u=5", fmt.Sprint("kiosk-", i))
					if w.Code == 200 {
						if took := time.Since(asked); took > 2500*time.Millisecond+service {
							t.Errorf("a backlog was admitted and took %v", took)
						}
						served.Add(1)
						return
					}
					if w.Code != 429 || read != (time.Since(asked) > 0) {
						t.Errorf("a refusal is %d, read %v, after %v", w.Code, read, time.Since(asked))
					}
					time.Sleep(pauseOf(t, w))
				}
			})
		}
		var first backend.Load
		for i := range 400 {
			time.Sleep(service / 2)
			if i == 60 {
				first = a.Load()
			}
			all.Go(func() {
				asked := time.Now()
				w, _ := bring(t.Context(), h, "u=1", fmt.Sprint("gate-", i))
				if took := time.Since(asked); w.Code != 200 || took > service {
					t.Errorf("a live batch got %d after %v, want no wait", w.Code, took)
				}
			})
		}
		all.Wait()
		l := a.Load()
		if served.Load() != 1000 || l.Backlog.Served != 1000 || l.Live.Served != 400 || l.Backlog.Wasted+l.Live.Wasted+l.Live.Refused > 0 {
			t.Errorf("served %d, load %+v", served.Load(), l)
		}
		if l.Backlog.Refused == 0 || l.Backlog.Longest > 2500*time.Millisecond || l.Live.Longest > 0 {
			t.Errorf("load %+v: want refusals, no live wait", l)
		}
		if late := l.Backlog.Late - first.Backlog.Late; late > 0 || l.Live.Late > 0 { // but at first, when it did not know its own speed
			t.Errorf("%d were refused late", late)
		}
		// 1,000 batches of 100 ms at six places are some 17 s.
		if took := time.Since(start); took > 40*time.Second {
			t.Errorf("drained after %v", took)
		}
	})
}

// pauseOf is what a refusal says, which its header must not contradict.
func pauseOf(t *testing.T, w *httptest.ResponseRecorder) time.Duration {
	t.Helper()
	var r api.Refusal
	decode(t, w, &r)
	pause := time.Duration(r.RetryAfterMillis) * time.Millisecond
	if want := fmt.Sprint(int((pause + time.Second - 1) / time.Second)); w.Header().Get("Retry-After") != want || pause < time.Second || r.MaxBatch != api.MaxBatch {
		t.Errorf("refusal %+v with Retry-After %q", r, w.Header().Get("Retry-After"))
	}
	return pause
}

// TestThePauseIsARoundOfAll who come, shared fairly, more or less.
func TestThePauseIsARoundOfAll(t *testing.T) {
	for _, tt := range []struct {
		random float64
		want   time.Duration
	}{{0, 100 * time.Second}, {0.5, 200 * time.Second}, {1, 300 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			a := backend.NewAdmission(backend.AdmissionOpts{Width: 2, Rand: func() float64 { return tt.random }})
			h := a.Wrap(slow(service))
			for i := range 200 { // so that it knows what a batch takes
				bring(t.Context(), h, "", fmt.Sprint("kiosk-", i))
			}
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			for i := range 40 { // 2 s of work
				all.Go(func() { bring(ctx, h, "", fmt.Sprint("kiosk-", i)) })
			}
			synctest.Wait()
			var last time.Duration
			for i := range 2000 {
				w, _ := bring(t.Context(), h, "", fmt.Sprint("kiosk-", i))
				last = pauseOf(t, w)
			}
			if got := a.Load(); got.Senders != 2000 || last < tt.want*99/100 || last > tt.want*101/100 {
				t.Errorf("the pause is %v among %d, want %v", last, got.Senders, tt.want)
			}
			stop()
			all.Wait()
			time.Sleep(time.Hour) // nobody comes any more
			bring(t.Context(), h, "", "kiosk-1")
			time.Sleep(time.Hour)
			bring(t.Context(), h, "", "kiosk-1")
			if got := a.Load().Senders; got != 1 {
				t.Errorf("%d come and go after an hour, want 1", got)
			}
		})
	}
}

// TestWorkInVainIsCounted, and who leaves the queue costs none.
func TestWorkInVainIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := backend.NewAdmission(backend.AdmissionOpts{Width: 2}) // one place for the backlog
		h := a.Wrap(slow(service))
		gone, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { bring(gone, h, "u=5", "kiosk-1") })
		}
		synctest.Wait()
		leave()
		all.Wait()
		bring(t.Context(), h, "u=5", "kiosk-1")
		if got := a.Load().Backlog; got.Admitted != 4 || got.Wasted != 1 || got.Left != 2 || got.Served != 2 {
			t.Errorf("%+v, want one wasted and two that left before", got)
		}
	})
}

// TestALiveLaneIsBounded by itself: who calls everything live gains nothing.
func TestALiveLaneIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := backend.NewAdmission(backend.AdmissionOpts{Width: 8})
		h := a.Wrap(slow(service))
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { bring(t.Context(), h, "u=0", "kiosk-1") })
		}
		synctest.Wait()
		all.Go(func() { // and the backlog goes on afterwards
			if w, _ := bring(t.Context(), h, "u=5", "kiosk-2"); w.Code == 200 && a.Load().Live.Served < 100 {
				t.Error("a backlog goes before live")
			}
		})
		all.Wait()
		if got := a.Load().Live; got.Refused == 0 || got.Longest > 8*time.Second || got.Admitted+got.Refused != 1000 {
			t.Errorf("%+v, want some refused", got)
		}
	})
}

// TestLargeBatchesAreNotLive, nor are those of unknown length.
func TestLargeBatchesAreNotLive(t *testing.T) {
	for _, length := range []int64{-1, 64<<10 + 1} {
		a := backend.NewAdmission(backend.AdmissionOpts{})
		r := httptest.NewRequest(http.MethodPost, "/v1/checkins", strings.NewReader(strings.Repeat(" ", 64<<10+1)))
		r.ContentLength = length
		r.Header.Set(api.Priority, "u=1")
		a.Wrap(slow(0)).ServeHTTP(httptest.NewRecorder(), r)
		if got := a.Load(); got.Live.Admitted != 0 || got.Backlog.Admitted != 1 {
			t.Errorf("length %d: %+v, want backlog", length, got)
		}
	}
}

// TestPriorities that are hostile, or only strange: what cannot be read is
// backlog.
func TestPriorities(t *testing.T) {
	for header, live := range map[string]bool{
		"u=1": true, "u=0": true, "u=2": true, "u=1, i": true, "i, u=1": true, "u=5, u=1": true, "u=1,i=?0": true, " u=2\t": true, "x=-12, u=1": true,
		"": false, "u=3": false, "u=5": false, "u=7": false, "u=1, u=5": false, "u": false, "u=": false, "u=-1": false, "u=8": false,
		"u=1.0": false, "u=01": false, "u=?1": false, "U=1": false, "u=1;q": false, "u=1,": false, ",u=1": false, "u =1": false, "u= 1": false,
		`a="x, u=1"`: false, `a="x", u=1`: false, "u=1\x00": false, "u=１": false, "ü=1": false,
		"u=1, " + strings.Repeat("a, ", 30) + "i": false,
	} {
		a := backend.NewAdmission(backend.AdmissionOpts{})
		bring(t.Context(), a.Wrap(slow(0)), header, "kiosk-1")
		if got := a.Load(); (got.Live.Admitted == 1) != live || got.Live.Admitted+got.Backlog.Admitted != 1 {
			t.Errorf("%q: live %v, want %v", header, !live, live)
		}
	}
}

// FuzzPriority: whatever stands in the header, a batch is in one lane.
func FuzzPriority(f *testing.F) {
	for _, seed := range []string{"u=1", "u=5, i", `a="u=1"`, "u=1;q=2", "\x00", "u=?1,,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		a := backend.NewAdmission(backend.AdmissionOpts{})
		bring(t.Context(), a.Wrap(slow(0)), header, "kiosk-1")
		got := a.Load()
		if got.Live.Admitted+got.Backlog.Admitted != 1 || got.Live.Admitted == 1 && !strings.ContainsAny(header, "012") {
			t.Errorf("%q: %+v", header, got)
		}
	})
}

// TestARefusalOverTheWire: the kiosk's client hears it although nobody reads
// what it sends, and its connection goes on.
func TestARefusalOverTheWire(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		a := backend.NewAdmission(backend.AdmissionOpts{MaxQueued: -1})
		h.server.Down()
		h.server.Handler = a.Wrap(h.platform.Handler())
		if err := h.server.Up(); err != nil {
			t.Fatal(err)
		}
		batch := made("k-1", 0, 500)
		for _, traffic := range []checkin.Traffic{checkin.Live, checkin.Backlog} {
			for range 20 {
				_, err := h.client.Deliver(t.Context(), traffic, batch)
				var r *client.Refusal
				if !errors.As(err, &r) || r.Status != 429 || r.RetryAfter() < time.Second || r.MaxBatch() != 500 {
					t.Fatalf("Deliver() = %v, want a refusal with a pause", err)
				}
			}
		}
		if s, err := h.client.Verify(t.Context(), checkin.Credential{Kind: checkin.ResidentID, Value: number}); !s.Known {
			t.Errorf("a question meanwhile: %v", err)
		}
		if got := a.Load(); got.Backlog.Refused != 40 || count(t, h.platform.Store(), backend.Checkins).Records != 0 { // 500 records are too large to be live
			t.Errorf("load %+v, held %v", got, count(t, h.platform.Store(), backend.Checkins))
		}
	})
}

// TestABodyThatDoesNotCome takes no place, and not for ever.
func TestABodyThatDoesNotCome(t *testing.T) {
	a := backend.NewAdmission(backend.AdmissionOpts{})
	h := a.Wrap(slow(0))
	for name, tt := range map[string]struct {
		body io.Reader
		want int
	}{
		"broken off": {io.MultiReader(strings.NewReader("{"), brokenReader{}), 408},
		"too large":  {io.LimitReader(zeros{}, 9<<20), 413},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/reports", tt.body))
		if w.Code != tt.want {
			t.Errorf("%s: %d, want %d", name, w.Code, tt.want)
		}
	}
	if got := a.Load().Backlog; got.Left != 2 || got.Served != 0 {
		t.Errorf("%+v, want two that left", got)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
