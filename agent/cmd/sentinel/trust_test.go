package main

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// tufSite is a file server with a repository on it: one key, one target.
type tufSite struct {
	t      *testing.T
	signer signature.Signer
	files  map[string][]byte
	asked  []string
	url    string
}

func newTUFSite(t *testing.T) *tufSite {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(key, crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	s := &tufSite{t: t, signer: signer, files: map[string][]byte{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked = append(s.asked, r.URL.EscapedPath())
		data, ok := s.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// publish makes the metadata of a version, with a target of that name.
func (s *tufSite) publish(version int64, target string, data []byte) {
	until := time.Now().Add(24 * time.Hour)
	root, targets, snapshot, timestamp := metadata.Root(until), metadata.Targets(until), metadata.Snapshot(until), metadata.Timestamp(until)
	key, err := metadata.KeyFromPublicKey(must(s.signer.PublicKey()))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if err := root.Signed.AddKey(key, role); err != nil {
			s.t.Fatal(err)
		}
	}
	info := must(metadata.TargetFile().FromBytes(target, data))
	targets.Signed.Targets[target] = info
	targets.Signed.Version, snapshot.Signed.Version, timestamp.Signed.Version = version, version, version
	snapshot.Signed.Meta["targets.json"].Version = version
	timestamp.Signed.Meta["snapshot.json"].Version = version
	s.files["/m/1.root.json"] = sealed(s, root)
	s.files[fmt.Sprintf("/m/%d.targets.json", version)] = sealed(s, targets)
	s.files[fmt.Sprintf("/m/%d.snapshot.json", version)] = sealed(s, snapshot)
	s.files["/m/timestamp.json"] = sealed(s, timestamp)
	dir, base := filepath.Split(target)
	s.files["/t/"+dir+hex.EncodeToString(info.Hashes["sha256"])+"."+base] = data
}

func sealed[T metadata.Roles](s *tufSite, md *metadata.Metadata[T]) []byte {
	if _, err := md.Sign(s.signer); err != nil {
		s.t.Fatal(err)
	}
	return must(md.ToBytes(false))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// sentinel runs one command.
func (s *tufSite) sentinel(args ...string) (code int, stderr string) {
	var out, errs bytes.Buffer
	s.asked = nil
	code = Run(s.t.Context(), args, Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }})
	if out.Len() > 0 {
		s.t.Errorf("%v printed %q", args, out.String())
	}
	return code, errs.String()
}

// TestTrustAgainstAFileServer speaks the protocol of TUF's conformance tests.
func TestTrustAgainstAFileServer(t *testing.T) {
	s, dir, into := newTUFSite(t), t.TempDir(), t.TempDir()
	const name = "path/to/a file.txt"
	s.publish(1, name, []byte("first"))
	root := filepath.Join(t.TempDir(), "root.json")
	if err := os.WriteFile(root, s.files["/m/1.root.json"], 0o600); err != nil {
		t.Fatal(err)
	}
	refresh := []string{"trust", "--metadata-url", s.url + "/m/", "--metadata-dir", dir, "refresh"}
	download := []string{"trust", "--metadata-url", s.url + "/m", "--metadata-dir", dir, "--target-name", name,
		"--target-dir", into, "--target-base-url", s.url + "/t/", "download"}
	steps := []struct {
		name  string
		args  []string
		code  int
		asked []string
	}{
		{"init asks nobody", []string{"trust", "--metadata-dir", dir, "init", root}, 0, nil},
		{"refresh", refresh, 0, []string{"/m/2.root.json", "/m/timestamp.json", "/m/1.snapshot.json", "/m/1.targets.json"}},
		{"init again changes nothing", []string{"trust", "--metadata-dir", dir, "init", root}, 0, nil},
		{"refresh again", refresh, 0, []string{"/m/2.root.json", "/m/timestamp.json"}},
		{"download", download, 0, []string{"/m/2.root.json", "/m/timestamp.json",
			"/t/path/to/a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e.a%20file.txt"}},
		{"download again", download, 0, []string{"/m/2.root.json", "/m/timestamp.json"}},
	}
	for _, step := range steps {
		code, stderr := s.sentinel(step.args...)
		if code != step.code || !slices.Equal(s.asked, step.asked) {
			t.Fatalf("%s: exit code %d, asked for %q\n%s", step.name, code, s.asked, stderr)
		}
	}
	got, err := os.ReadFile(filepath.Join(into, "path%2Fto%2Fa%20file.txt"))
	if err != nil || string(got) != "first" {
		t.Errorf("downloaded %q, %v", got, err)
	}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		if _, err := os.Stat(filepath.Join(dir, role+".json")); err != nil {
			t.Errorf("no plain file of %s: %v", role, err)
		}
	}
	s.publish(2, name, []byte("second"))
	delete(s.files, "/t/path/to/a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e.a file.txt")
	for path := range s.files {
		if strings.HasPrefix(path, "/t/") {
			s.files[path] = []byte("secOnd")
		}
	}
	if code, stderr := s.sentinel(download...); code != 1 || !strings.Contains(stderr, "refused") {
		t.Errorf("a target that was swapped: exit code %d, %s", code, stderr)
	}
	if got, _ := os.ReadFile(filepath.Join(into, "path%2Fto%2Fa%20file.txt")); string(got) != "first" {
		t.Errorf("afterwards there is %q", got)
	}
}
