package backend_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/simulator/backend"
)

func ask(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", nil)
	r.URL = &url.URL{Path: path}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestEveryFileIsServed with its bytes, and not again to whom has it.
func TestEveryFileIsServed(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	p.publish(0)
	p.publish(5 * time.Minute)
	changing := 0
	for name, data := range p.Files() {
		w := ask(p.platform.Handler(), http.MethodGet, "/"+name)
		tag := w.Header().Get("ETag")
		if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), data) || len(tag) != 66 {
			t.Errorf("%s: status %d, %d bytes, ETag %s, want its %d bytes", name, w.Code, w.Body.Len(), tag, len(data))
		}
		if w.Header().Get("Cache-Control") == "no-cache" {
			changing++
		}
		if w := ask(p.Handler(), http.MethodGet, "/"+name, "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("%s: status %d and %d bytes to who has it", name, w.Code, w.Body.Len())
		}
		if w := ask(p.Handler(), http.MethodGet, "/"+name, "If-None-Match", `"x"`); w.Code != http.StatusOK {
			t.Errorf("%s: status %d to who has another", name, w.Code)
		}
		if w := ask(p.platform.Handler(), http.MethodHead, "/"+name); w.Code != http.StatusOK || w.Body.Len() > 0 {
			t.Errorf("%s: HEAD gives %d and %d bytes", name, w.Code, w.Body.Len())
		}
	}
	if changing != 4 {
		t.Errorf("%d files may change, want timestamp.json, head.cose, deny.cose and deny.body", changing)
	}
}

func TestWhatIsNoFile(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	unpublished := backend.New(backend.Opts{Now: time.Now}).Handler()
	p.publish(0)
	h := p.platform.Handler()
	for _, tt := range []struct {
		name         string
		h            http.Handler
		method, path string
		want         int
	}{
		{"a folder", h, http.MethodGet, "/tuf/", 404},
		{"a folder within", h, http.MethodGet, "/tuf/targets/", 404},
		{"a folder without its slash", h, http.MethodGet, "/feed/v-1", 404},
		{"a target without its hash", h, http.MethodGet, "/tuf/targets/status/feed.json", 404},
		{"a root that is still to come", h, http.MethodGet, "/tuf/2.root.json", 404},
		{"a step that is still to come", h, http.MethodGet, "/feed/v-1/2.cose", 404},
		{"something to write", h, http.MethodPost, "/tuf/timestamp.json", 405},
		{"something to delete", p.Handler(), http.MethodDelete, "/tuf/timestamp.json", 405},
		{"a platform that publishes nothing", unpublished, http.MethodGet, "/tuf/timestamp.json", 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if w := ask(tt.h, tt.method, tt.path); w.Code != tt.want {
				t.Errorf("status %d %s, want %d", w.Code, w.Body, tt.want)
			}
		})
	}
}

// FuzzPaths: whatever path is asked for, the answer is a published file, byte
// for byte, or none; nothing is listed and nothing else is ever read.
func FuzzPaths(f *testing.F) {
	p := newPress(f, backend.PublisherOpts{})
	p.publish(0)
	files := p.Files()
	for name := range files {
		f.Add("/"+name, "")
	}
	for _, path := range []string{
		"", "/", "/tuf", "/tuf/", "/tuf/..", "/tuf/../tuf/timestamp.json", "//tuf/timestamp.json", "/tuf//timestamp.json",
		"/tuf/./timestamp.json", "/tuf/timestamp.json/", "/tuf/%2e%2e/", "/tuf/timestamp.json\x00", "/feed/v-1/../../go.mod",
		"/TUF/timestamp.json", "tuf/timestamp.json", "/tuf/index.html", `\tuf\timestamp.json`,
	} {
		f.Add(path, "bytes=0-1")
	}
	f.Fuzz(func(t *testing.T, path, ranges string) {
		for _, h := range []http.Handler{p.Handler(), p.platform.Handler()} {
			w := ask(h, http.MethodGet, path, "Range", ranges)
			data, there := files[strings.TrimPrefix(path, "/")]
			switch w.Code {
			case http.StatusOK:
				if openapi := path == "/v1/openapi.yaml"; !openapi && (!there || !bytes.Equal(w.Body.Bytes(), data)) {
					t.Errorf("%q gives %d bytes that are no published file's", path, w.Body.Len())
				}
			case http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
				if !there || w.Body.Len() > len(data)+4096 {
					t.Errorf("%q gives a part of %d bytes of what is no file, or more than it", path, w.Body.Len())
				}
			case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest:
				if strings.Contains(w.Body.String(), "timestamp.json") && !strings.Contains(path, "timestamp.json") {
					t.Errorf("%q gives a list: %s", path, w.Body)
				}
			default:
				t.Errorf("%q gives %d", path, w.Code)
			}
		}
	})
}

// TestAFolder has the same files, and a later publication over them.
func TestAFolder(t *testing.T) {
	p := newPress(t, backend.PublisherOpts{})
	dir := filepath.Join(t.TempDir(), "www")
	p.publish(0)
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	p.publish(5 * time.Minute)
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		got[name], err = fs.ReadFile(root, name)
		return err
	})
	if diff := cmp.Diff(p.Files(), got); diff != "" || err != nil {
		t.Errorf("the folder (%v, -want +got):\n%s", err, diff)
	}
	if err := p.Write(filepath.Join(dir, "tuf", "timestamp.json")); err == nil {
		t.Error("a file is taken for a folder")
	}
}

// TestNamesThatCannotBe of shards and policies: they become parts of paths.
func TestNamesThatCannotBe(t *testing.T) {
	platform := backend.New(backend.Opts{Now: time.Now})
	for _, shards := range [][]string{nil, {""}, {"../x"}, {"a/b"}, {"V-1"}, {"-x"}, {"a", "a"}, {strings.Repeat("a", 65)}} {
		if _, err := backend.NewPublisher(platform, backend.PublisherOpts{Shards: shards}); err == nil {
			t.Errorf("shards %q are taken", shards)
		}
	}
	for _, name := range []string{"", ".yaml", "../x.yaml", "a/b.yaml", "x.json", "ä.yaml", strings.Repeat("a", 130) + ".yaml"} {
		if _, err := backend.NewPublisher(platform, backend.PublisherOpts{Shards: []string{"v-1"}, Policies: map[string][]byte{name: nil}}); err == nil {
			t.Errorf("a policy %q is taken", name)
		}
	}
}
