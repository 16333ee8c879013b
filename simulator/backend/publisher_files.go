package backend

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
)

// blob is the content of a file with its hash. Nobody changes it.
type blob struct {
	data []byte
	sum  [sha256.Size]byte
}

func newBlob(data []byte) blob { return blob{data, sha256.Sum256(data)} }

// Files returns what is served now, by path. The bytes are not to be changed.
func (u *Publisher) Files() map[string][]byte {
	files := map[string][]byte{}
	for name, b := range *u.files.Load() {
		files[name] = b.data
	}
	return files
}

// Write writes what is served now below a folder, for any file server. What
// others lead to comes first and each file is replaced whole, so that whoever
// reads meanwhile finds the old or the new. Files of before stay.
func (u *Publisher) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	files := *u.files.Load()
	names := slices.Sorted(maps.Keys(files))
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	for _, name := range names {
		if err := replace(root, name, files[name].data); err != nil {
			return err
		}
	}
	return nil
}

//

// rank puts first what changes never, and last what leads to the rest.
func rank(name string) int {
	switch {
	case path.Base(name) == "timestamp.json":
		return 2
	case changes(name):
		return 1
	}
	return 0
}

// changes reports whether another publication may put other bytes at a path.
func changes(name string) bool {
	switch path.Base(name) {
	case "timestamp.json", "head.cose", "deny.cose", "deny.body":
		return true
	}
	return false
}

func replace(root *os.Root, name string, data []byte) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	temp := name + ".new"
	return errors.Join(root.WriteFile(temp, data, 0o644), root.Rename(temp, name))
}

// serveFile answers for exactly the paths that there are: a map has no folders
// to list and nothing above it.
func (u *Publisher) serveFile(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "about:blank", "these are files to read")
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	b, ok := (*u.files.Load())[name]
	if !ok {
		refuse(w, http.StatusNotFound, "about:blank", "there is no such file")
		return
	}
	h := w.Header()
	h.Set("ETag", `"`+hex.EncodeToString(b.sum[:])+`"`)
	h.Set("Content-Type", mediaType(name))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if changes(name) {
		h.Set("Cache-Control", "no-cache") // ask again; 304 costs little
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.data))
}

func mediaType(name string) string {
	switch path.Ext(name) {
	case ".json":
		return api.JSON
	case ".cose":
		return api.COSE
	case ".yaml":
		return "application/yaml"
	}
	return "application/octet-stream"
}
