package screen_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
	"github.com/digital-sentinel/sentinel/agent/screen"
)

// ask is a request as the kiosk's own browser makes it.
func ask(s *screen.Server, method, path string, change func(r *http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = "127.0.0.1:8088"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestWhatIsServed(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		status       int
		kind         string
	}{
		{http.MethodGet, "/", http.StatusOK, "text/html; charset=utf-8"},
		{http.MethodGet, "/static/screen.js", http.StatusOK, "text/javascript; charset=utf-8"},
		{http.MethodGet, "/static/screen.css", http.StatusOK, "text/css; charset=utf-8"},
		{http.MethodPost, "/", http.StatusMethodNotAllowed, ""},
		{http.MethodPost, "/events", http.StatusMethodNotAllowed, ""},
		{http.MethodGet, "/elsewhere", http.StatusNotFound, ""},
		{http.MethodGet, "/static/", http.StatusNotFound, ""},           // no list of files
		{http.MethodGet, "/static/index.html", http.StatusNotFound, ""}, // only through its template
		{http.MethodGet, "/static/%2e%2e/screen.go", http.StatusNotFound, ""},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			w := ask(screen.New(screen.Opts{}), tt.method, tt.path, nil)
			if w.Code != tt.status || tt.kind != "" && w.Header().Get("Content-Type") != tt.kind {
				t.Errorf("%d %s, want %d %s", w.Code, w.Header().Get("Content-Type"), tt.status, tt.kind)
			}
			if strings.Contains(w.Body.String(), "{{") {
				t.Error("the template itself is served")
			}
		})
	}
}

// TestWhoIsLetIn: only programs that know this machine by its own name, and
// only scripts of this very page; on every path.
func TestWhoIsLetIn(t *testing.T) {
	for _, tt := range []struct {
		name, host, origin string
		in                 bool
	}{
		{"this machine", "127.0.0.1:8088", "", true},
		{"without a port", "127.0.0.1", "", true},
		{"another address of this machine", "127.8.9.10:8088", "", true},
		{"by name, from its own page", "localhost:8088", "http://localhost:8088", true},
		{"IPv6", "[::1]:8088", "http://[::1]:8088", true},
		{"nobody", "", "", false},
		{"a name that a stranger's DNS points here", "evil.example:8088", "", false},
		{"a name that begins like this machine", "localhost.evil.example:8088", "", false},
		{"an address that begins like this machine", "127.0.0.1.evil.example", "", false},
		{"all addresses", "0.0.0.0:8088", "", false},
		{"an address on the network", "192.168.1.2:8088", "http://192.168.1.2:8088", false},
		{"a page of another origin", "127.0.0.1:8088", "http://evil.example", false},
		{"a page of another port", "127.0.0.1:8088", "http://127.0.0.1:9999", false},
		{"a page of the same machine by another name", "127.0.0.1:8088", "http://localhost:8088", false},
		{"a page of nowhere", "127.0.0.1:8088", "null", false},
		{"an origin that is none", "127.0.0.1:8088", "http://[", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/", "/static/screen.js"} {
				w := ask(screen.New(screen.Opts{}), http.MethodGet, path, func(r *http.Request) {
					r.Host = tt.host
					if tt.origin != "" {
						r.Header.Set("Origin", tt.origin)
					}
				})
				if (w.Code == http.StatusOK) != tt.in || !tt.in && w.Code != http.StatusForbidden {
					t.Errorf("%s: status %d, want in %v", path, w.Code, tt.in)
				}
			}
		})
	}
	w := ask(screen.New(screen.Opts{}), http.MethodGet, "/events", func(r *http.Request) { r.Host = "evil.example" })
	if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "event:") {
		t.Errorf("the stream: %d %s, want it refused", w.Code, w.Body)
	}
}

// TestNothingOnThePageIsMarkup, whatever the operator calls his venue.
func TestNothingOnThePageIsMarkup(t *testing.T) {
	const evil = `</b><script>alert("1")</script>'楼`
	for name, o := range map[string]screen.Opts{
		"venue": {Venue: evil}, "venue in English": {VenueEn: evil}, "address": {Address: evil},
	} {
		w := ask(screen.New(o), http.MethodGet, "/", nil)
		page := w.Body.String()
		if strings.Contains(page, "<script>alert") || !strings.Contains(html.UnescapeString(page), evil) {
			t.Errorf("%s: it is markup, or not on the page:\n%s", name, page)
		}
	}
	w := ask(screen.New(screen.Opts{}), http.MethodGet, "/", nil)
	for header, want := range map[string]string{
		"Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'", "Cache-Control": "no-store",
	} {
		if got := w.Header().Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	inline := regexp.MustCompile(`<script>|<style|\son\w+=|\sstyle=|javascript:|https?://`)
	if found := inline.FindString(w.Body.String()); found != "" {
		t.Errorf("the page has %q in it, which its policy forbids", found)
	}
}

// TestThePageKnowsEveryState: each has a shape of its own in the script, and
// the words that the page shows without a server are the catalogue's.
func TestThePageKnowsEveryState(t *testing.T) {
	script, err := os.ReadFile("static/screen.js")
	if err != nil {
		t.Fatal(err)
	}
	_, shapes, _ := strings.Cut(string(script), "const shapes = {")
	shapes, _, _ = strings.Cut(shapes, "}")
	for _, state := range screen.States() {
		if !regexp.MustCompile(`\b` + string(state) + `"?: \w+,`).MatchString(shapes) {
			t.Errorf("state %s has no shape: %s", state, shapes)
		}
	}
	starting, _ := catalogue.Get(string(screen.Starting))
	page := ask(screen.New(screen.Opts{}), http.MethodGet, "/", nil).Body.String()
	for _, words := range []string{starting.Headline.Zh(), starting.Headline.En(), starting.Text.Zh(), starting.Text.En()} {
		if !strings.Contains(string(script), `"`+words+`"`) || !strings.Contains(page, ">"+words+"<") {
			t.Errorf("%q of the catalogue is not what the page or its script says", words)
		}
	}
}
