package screen_test

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/digital-sentinel/sentinel/agent/screen"
)

// browser opens a page in a real browser, of the size of a kiosk's panel.
func browser(t *testing.T, url string) context.Context {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("left out: chromium is not installed; make test installs it as root")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.WindowSize(800, 1280),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 60*time.Second)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("opening the page: %v", err)
	}
	return ctx
}

// shows waits until the page is in the state.
func shows(t *testing.T, ctx context.Context, state screen.State, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitVisible(`body[data-state="`+string(state)+`"] h1 .zh`)); err != nil {
		t.Fatalf("the page does not show %s within %v: %v", state, within, err)
	}
}

// reference is given to those who were not let in.
func reference(s screen.State) string {
	if s == screen.Refused || s == screen.Manual {
		return "1A2B-3C4D"
	}
	return ""
}

// TestTheBrowserShowsEveryState also looks for what a person would stumble
// over: words that do not fit the panel. With SCREENSHOTS=folder it keeps
// pictures.
func TestTheBrowserShowsEveryState(t *testing.T) {
	t.Parallel()
	s := screen.New(screen.Opts{
		Venue: "示范大厦", VenueEn: "Demo Building", Address: "示范路 1 号", WaitAt: "大厅左侧等候区", WaitAtEn: "the left side of the lobby",
		Appeal: "随申办“我要申诉”", AppealEn: "“我要申诉” in the 随申办 app",
	})
	server := httptest.NewServer(s.Handler())
	defer func() {
		server.CloseClientConnections() // or Close waits for the event stream
		server.Close()
	}()
	ctx := browser(t, server.URL)
	for _, state := range screen.States() {
		s.Show(screen.View{State: state, Scanner: true, CardReader: true, Offline: state == screen.Manual, Phone: "021-12345", Reference: reference(state)})
		shows(t, ctx, state, 10*time.Second)
		for _, size := range [][2]int64{{800, 1280}, {360, 640}, {1280, 800}} {
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(size[0], size[1])); err != nil {
				t.Fatal(err)
			}
			overflow, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`[...document.querySelectorAll("h1 span, .text span, .next span")].some(e => {
					const r = e.getBoundingClientRect();
					return r.left < 0 || r.top < 0 || r.right > innerWidth || r.bottom > innerHeight || e.scrollWidth > innerWidth;
				})`))
			if err != nil {
				t.Fatal(err)
			}
			if overflow {
				t.Errorf("%s does not fit %d × %d", state, size[0], size[1])
			}
		}
		keepPicture(t, ctx, string(state))
	}
}

func keepPicture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(800, 1280)); err != nil {
		t.Fatal(err)
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAPageOnItsOwn: the server dies while a green verdict is shown. The page
// takes the verdict away by itself, and after 15 s of silence says that the
// system is starting.
func TestAPageOnItsOwn(t *testing.T) {
	t.Parallel()
	s := screen.New(screen.Opts{})
	server := httptest.NewServer(s.Handler())
	ctx := browser(t, server.URL)
	s.Show(screen.View{State: screen.Idle})
	shows(t, ctx, screen.Idle, 10*time.Second)
	s.Show(screen.View{State: screen.Granted, Reason: "ok", For: 2 * time.Second})
	shows(t, ctx, screen.Granted, 5*time.Second)
	server.CloseClientConnections()
	go server.Close()
	shows(t, ctx, screen.Idle, 5*time.Second)
	shows(t, ctx, screen.Starting, 20*time.Second)
}
