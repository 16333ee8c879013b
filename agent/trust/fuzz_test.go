package trust_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// FuzzStoredFiles puts any bytes in the place of one file of a whole store: it
// opens, and what it believes was signed.
func FuzzStoredFiles(f *testing.F) {
	_, c := rotated(f)
	good := filesIn(f, c.dir, ".")
	names := []string{"usable.set", "floor", "timestamp.json", "snapshot.json", "targets.json", "policy.json", "root.json", filepath.Join("roots", "2.root.json")}
	for i, name := range names {
		f.Add(i, good[name])
		f.Add(i, []byte(`{"signed":{"_type":"timestamp","meta":{}},"signatures":[]}`))
		f.Add(i, []byte(`{"signed":{"_type":"root","keys":{"a":null},"roles":{"root":null}},"signatures":[{}]}`))
		f.Add(i, []byte(`{"version":1,"roots":[null],"delegated":[{}]}`))
	}
	dir := f.TempDir()
	put(f, dir, good)
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		name := names[max(which, -which, 0)%len(names)]
		if name == "usable.set" || name == "floor" { // beyond the checksum
			if i := 9; len(data) > i && data[8] == ' ' {
				data = data[i:]
			}
			data = fmt.Appendf(nil, "%08x %s", crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)), data)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		defer put(t, dir, good)
		s, err := trust.OpenCareless(dir, c.o)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		if text, _, err := s.Target("policy/office.1.yaml"); err == nil && string(text) != "id: office\n" {
			t.Fatalf("a policy that nobody signed: %q", text)
		}
		if v := s.Versions()["root"]; v > 2 {
			t.Fatalf("root %d", v)
		}
	})
}

// FuzzSet reads any text as a usable set; none but what was signed verifies. It
// touches no disk, so that it is fast.
func FuzzSet(f *testing.F) {
	r, c := rotated(f)
	_, text, _ := bytes.Cut(filesIn(f, c.dir, ".")["usable.set"], []byte(" "))
	root := r.published["root"][0]
	if err := trust.VerifySet(root, text); err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, spoilt := range []string{
		`{"signed":{"_type":"timestamp","meta":{"snapshot.json":null}},"signatures":[]}`,
		`{"signed":{"_type":"root","keys":{"a":null},"roles":{"root":{"keyids":["a"],"threshold":1}}},"signatures":[{}]}`,
	} {
		data, err := json.Marshal(map[string]any{"version": 1, "roots": [][]byte{[]byte(spoilt)}, "timestamp": []byte(spoilt)})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	var good map[string]any
	if err := json.Unmarshal(text, &good); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if trust.VerifySet(root, text) != nil {
			return
		}
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		for _, role := range []string{"timestamp", "snapshot", "targets"} {
			if fmt.Sprint(got[role]) != fmt.Sprint(good[role]) && !sameMeaning(got[role], good[role]) {
				t.Fatalf("%s is not what was signed: %v", role, got[role])
			}
		}
	})
}

// sameMeaning compares what is signed in two files of metadata.
func sameMeaning(a, b any) bool {
	var x, y struct{ Signed any }
	read := func(v any, to any) error {
		text, _ := v.(string)
		data, err := base64.StdEncoding.DecodeString(text)
		return errors.Join(err, json.Unmarshal(data, to))
	}
	return read(a, &x) == nil && read(b, &y) == nil && fmt.Sprint(x.Signed) == fmt.Sprint(y.Signed)
}

// FuzzServed serves any bytes as one file of the repository: they are refused
// or are what was published.
func FuzzServed(f *testing.F) {
	r := kioskRepo(f)
	names := []string{"metadata/2.root.json", "metadata/timestamp.json", "metadata/2.snapshot.json", "metadata/2.targets.json", "metadata/1.policy.json"}
	for i := range names {
		for _, role := range []string{"root", "timestamp", "snapshot", "targets", "policy"} {
			f.Add(i, r.last(role))
		}
		f.Add(i, []byte(`{"signed":{"_type":"snapshot","meta":{"targets.json":null}},"signatures":[{"keyid":"a","sig":""}]}`))
	}
	o := kioskOptions(r)
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		name := names[max(which, -which, 0)%len(names)]
		r.extra = map[string][]byte{name: data}
		s, err := trust.OpenCareless(t.TempDir(), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Refresh(t.Context(), r.sources(), now); err == nil {
			if text, _, err := s.Target("policy/office.1.yaml"); err != nil || string(text) != "id: office\n" {
				t.Fatalf("accepted, and the policy is %q: %v", text, err)
			}
		}
	})
}
