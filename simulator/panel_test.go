package simulator_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/digital-sentinel/sentinel/simulator"
)

// TestThePanelInABrowser: a person plays by hand. Choose, hold up the code, see
// the gate open and the record arrive; pull a plug; take the platform down.
func TestThePanelInABrowser(t *testing.T) {
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("left out: chromium is not installed; make test installs it as root")
	}
	b, err := simulator.New(simulator.Opts{Front: simulator.PTY, Sentinel: sentinel(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	panel := simulator.NewPanel(b)
	for _, line := range []string{
		"person wang id=11010519491231002X name=王小明 colour=green nat=12h",
		"person zhao id=810000199408230021 name=赵六 colour=red nat=12h",
	} {
		if err := panel.Do(t.Context(), line); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(panel.Handler())
	defer server.Close()

	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox,
		chromedp.WindowSize(1280, 1000), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), flags...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 60*time.Second)
	defer cancel()

	text := func(id, want string) chromedp.Action[chromedp.Void] {
		return chromedp.Poll[chromedp.Void](`document.getElementById("`+id+`").textContent.includes("`+want+`")`, chromedp.WithPollingTimeout(15*time.Second))
	}
	press := func(label string) chromedp.Action[chromedp.Void] {
		return chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll("button")].find(b => b.textContent.trim() === "` + label + `").click()`)
	}
	for _, step := range []struct {
		name    string
		actions []chromedp.Action[chromedp.Void]
	}{
		{"the page opens", []chromedp.Action[chromedp.Void]{chromedp.Navigate(server.URL), text("people", "wang"), text("devices", "Unplug scanner")}},
		{"a visitor passes", []chromedp.Action[chromedp.Void]{
			chromedp.Click(`button[data-person="wang"]`), press("Walk through"), press("Hold up the code"),
			text("state", "granted"), text("delivered", "1"), text("spoken", "请通行"),
		}},
		{"another is refused", []chromedp.Action[chromedp.Void]{
			chromedp.Click(`button[data-person="zhao"]`), press("Lay down the card"), text("reason", "code-red"), text("gate", "closed"),
		}},
		{"a plug is pulled", []chromedp.Action[chromedp.Void]{press("Unplug scanner"), text("devices", "Plug in scanner"), text("log", "device scanner gone")}},
		{"the platform is down", []chromedp.Action[chromedp.Void]{press("down"), text("link", "down")}},
		{"a line that is wrong says so", []chromedp.Action[chromedp.Void]{
			chromedp.SetValue("#line", "dance"), press("Do"), text("error", "is no verb"),
		}},
	} {
		if err := chromedp.Do(ctx, step.actions...); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		for name, size := range map[string][2]int64{"panel-wide": {1280, 1000}, "panel-narrow": {420, 900}} {
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(size[0], size[1])); err != nil {
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
	}
}

// TestThePanelObeysItsOwnPageOnly: a page of another origin must not play.
func TestThePanelObeysItsOwnPageOnly(t *testing.T) {
	b, err := simulator.New(simulator.Opts{Front: simulator.Memory})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8090/do", strings.NewReader("fire on"))
	r.Header.Set("Origin", "http://evil.example")
	w := httptest.NewRecorder()
	simulator.NewPanel(b).Handler().ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d, want 403", w.Code)
	}
}
