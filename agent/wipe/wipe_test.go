package wipe_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	. "github.com/digital-sentinel/sentinel/agent/wipe"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// TestMain is also the child that TestKilledAtEachStep kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("WIPE_CHILD"); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

func child(dir string) {
	left, err := strconv.Atoi(os.Getenv("WIPE_KILL"))
	if err != nil {
		panic(err)
	}
	o, err := kiosk(dir)
	if err != nil {
		panic(err)
	}
	_, err = Run(Stepping(o, func(string) {
		if left--; left < 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it takes a moment
		}
	}))
	if err != nil {
		panic(err)
	}
	os.Exit(0)
}

// files are in a state folder, and whether they stay.
var files = map[string]bool{
	"q-1.db": false, "q-2.db": false, "queue.db": false, "queue.db.new": false, "q-1.db.damaged": false, "q-3.db.salvage": false,
	"reserve": false, "queue.clean": false, "codes-used": false, "screen.url": false, "core.4711": false, "agent.heap": false,
	"trust/root.json": false, "trust/feed/v-1-card/1-2.table": false, "trust/quarantine/1-x": false,
	".clock.json123": false,
	"queue.lock":     true,
	"clock.json":     true, "policy-accepted.yaml": true, "fire": true, "kiosk.key": true, "trust/mine.json": true,
	"events/events-000001-2026-11.log": true,
}

// prepare fills dir/state, and makes the kiosk's key and certificate in dir.
func prepare(t testing.TB, dir string) {
	t.Helper()
	for name := range files {
		path := filepath.Join(dir, "state", filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("this is "+name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := certificate(t, "ca", nil, nil, key)
	kioskKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := certificate(t, "k-1", ca, key, kioskKey)
	der, err := x509.MarshalPKCS8PrivateKey(kioskKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: ca.Raw}, "kiosk.pem": {Type: "CERTIFICATE", Bytes: leaf.Raw}, "key.pem": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func certificate(t testing.TB, name string, ca *x509.Certificate, signer crypto.Signer, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour), IsCA: ca == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if ca == nil {
		ca, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

// kiosk is the wipe of the kiosk in dir.
func kiosk(dir string) (Opts, error) {
	chain, err := os.ReadFile(filepath.Join(dir, "kiosk.pem"))
	if err != nil {
		return Opts{}, err
	}
	data, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		return Opts{}, err
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Opts{}, err
	}
	state := filepath.Join(dir, "state")
	return Opts{
		Dir: state, Keep: []string{filepath.Join(state, "kiosk.key"), filepath.Join(state, "trust", "mine.json"), "/etc/none.yaml"},
		Hold: func() (Lost, func() error, error) {
			return Lost{Known: true, Records: 2, Dead: 1, Reports: map[string]int{"cdc": 4}, Identities: map[string]int{"abcd": 3}}, func() error { return nil }, nil
		},
		Undelivered: "7", Device: "k-1", Version: "test", By: "op-7", Reason: "sold <to> another owner",
		Now: func() checkin.Stamp { return checkin.Stamp{Wall: noon, Trusted: true} },
		Key: key.(crypto.Signer), Chain: string(chain), Out: filepath.Join(dir, "wiped.json"),
	}, nil
}

func prepared(t testing.TB) (string, Opts) {
	t.Helper()
	dir := t.TempDir()
	prepare(t, dir)
	o, err := kiosk(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, o
}

// left are the files in the state folder.
func left(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	root := filepath.Join(dir, "state")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, rerr := filepath.Rel(root, p)
			names = append(names, filepath.ToSlash(rel))
			return rerr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// those are the names of files that stay, or go.
func those(stay bool) []string {
	var names []string
	for name, s := range files {
		if s == stay {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func trusted(t testing.TB, path string) []*x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return []*x509.Certificate{c}
}

// holds checks a certificate against what prepare has made.
func holds(t testing.TB, dir string) *Statement {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "wiped.json"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Verify(data, trusted(t, filepath.Join(dir, "ca.pem")))
	if err != nil {
		t.Fatal(err)
	}
	var removed, kept []string
	for _, f := range s.Removed {
		sum := sha256.Sum256([]byte("this is " + f.Name))
		if f.SHA256 != hex.EncodeToString(sum[:]) || f.Size != int64(len("this is "+f.Name)) || f.What == "" {
			t.Errorf("%+v", f)
		}
		removed = append(removed, f.Name)
	}
	for _, k := range s.Kept {
		kept = append(kept, k.Name)
	}
	slices.Sort(removed)
	slices.Sort(kept)
	if diff := cmp.Diff(those(false), removed); diff != "" {
		t.Errorf("removed, it says (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(those(true), kept); diff != "" {
		t.Errorf("kept, it says (-want +got):\n%s", diff)
	}
	return s
}

func TestWipe(t *testing.T) {
	dir, o := prepared(t)
	got, err := Run(o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(those(true), left(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "state", "trust", "feed")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder is left: %v", err)
	}
	s := holds(t, dir)
	if diff := cmp.Diff(got, s); diff != "" {
		t.Errorf("Run and the certificate differ:\n%s", diff)
	}
	if s.Device != "k-1" || s.By != "op-7" || s.Reason != o.Reason || s.Lost.Number() != "7" || s.Runs != 1 || len(s.Limits) < 3 {
		t.Errorf("it says %+v", s)
	}
	if err := Pending(o.Dir); err != nil {
		t.Error(err)
	}
	if _, err := Run(o); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a certificate is written over: %v", err)
	}
}

func TestWipeOfEvents(t *testing.T) {
	dir, o := prepared(t)
	o.Events = true
	if _, err := Run(o); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(left(t, dir), func(n string) bool { return strings.HasPrefix(n, "events/") }) {
		t.Errorf("left: %v", left(t, dir))
	}
}

// Whatever is refused is refused before anything is touched.
func TestRefuses(t *testing.T) {
	locked := errors.New("locked")
	for name, tt := range map[string]struct {
		change func(dir string, o *Opts)
		want   string
	}{
		"nobody has looked": {func(_ string, o *Opts) { o.Undelivered = "" }, "2 waiting, 1 refused for good, 4 reports to cdc; deliver them first, or say --undelivered 7"},
		"another number":    {func(_ string, o *Opts) { o.Undelivered = "6" }, "--undelivered 7"},
		"a queue nobody can read": {func(_ string, o *Opts) {
			o.Hold = func() (Lost, func() error, error) { return Lost{}, func() error { return nil }, nil }
			o.Undelivered = "0"
		}, "--undelivered unknown"},
		"a kiosk runs": {func(_ string, o *Opts) {
			o.Hold = func() (Lost, func() error, error) { return Lost{}, nil, locked }
		}, "locked"},
		"a file of somebody's":   {func(dir string, _ *Opts) { touch(t, dir, "state/letter.txt") }, "letter.txt; say --unknown=remove"},
		"the certificate inside": {func(dir string, o *Opts) { o.Out = filepath.Join(dir, "state", "events", "w.json") }, "in the folder that is wiped"},
		"no folder for it":       {func(dir string, o *Opts) { o.Out = filepath.Join(dir, "none", "w.json") }, "certificate's folder"},
		"a file in its place":    {func(dir string, _ *Opts) { touch(t, dir, "wiped.json") }, "is there already"},
		"no state folder":        {func(dir string, o *Opts) { o.Dir = filepath.Join(dir, "none") }, "state folder"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, o := prepared(t)
			tt.change(dir, &o)
			before := left(t, dir)
			if _, err := Run(o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it says %v", err)
			}
			if diff := cmp.Diff(before, left(t, dir)); diff != "" {
				t.Errorf("it has touched:\n%s", diff)
			}
		})
	}
}

func touch(t testing.TB, dir, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A link goes and what it leads to stays; a file that is nobody's is treated as
// was said; a file that the configuration names through a link stays.
func TestLinksAndLetters(t *testing.T) {
	for _, unknown := range []Unknown{KeepUnknown, RemoveUnknown} {
		dir, o := prepared(t)
		touch(t, dir, "outside.txt")
		touch(t, dir, "state/letter.txt")
		for name, to := range map[string]string{"q-9.db": "../outside.txt", "dump.heap": "kiosk.key", "trust/feed/all": "../../../"} {
			if err := os.Symlink(to, filepath.Join(dir, "state", name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("state", filepath.Join(dir, "alias")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("state/kiosk.key", filepath.Join(dir, "installed.key")); err != nil {
			t.Fatal(err)
		}
		o.Keep[0] = filepath.Join(dir, "installed.key")
		o.Dir, o.Unknown = filepath.Join(dir, "alias"), unknown
		if _, err := Run(o); err != nil {
			t.Fatal(err)
		}
		want := those(true)
		if unknown == KeepUnknown {
			want = append(want, "letter.txt")
			slices.Sort(want)
		}
		if diff := cmp.Diff(want, left(t, dir)); diff != "" {
			t.Errorf("%s: left (-want +got):\n%s", unknown, diff)
		}
		if _, err := os.Stat(filepath.Join(dir, "outside.txt")); err != nil {
			t.Error(err)
		}
	}
}

// A wipe that is killed after any step is finished by running it again, and its
// certificate tells what both have done. In between no kiosk runs.
func TestKilledAtEachStep(t *testing.T) {
	last := len(those(false)) + 4 // marked, each file, synced, certified, unmarked
	for kill := range last + 1 {
		dir := t.TempDir()
		prepare(t, dir)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "WIPE_CHILD="+dir, "WIPE_KILL="+strconv.Itoa(kill))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if killed != (kill < last) {
			t.Fatalf("step %d of %d: %v\n%s", kill, last, err, out)
		}
		o, err := kiosk(dir)
		if err != nil {
			t.Fatal(err)
		}
		pending := Pending(o.Dir)
		if errors.Is(pending, ErrPending) != (kill < last-1) {
			t.Fatalf("step %d: pending: %v", kill, pending)
		}
		if pending == nil {
			holds(t, dir)
			continue
		}
		o.Undelivered, o.Reason = "", "" // it is known already
		if _, err := Run(o); err != nil {
			t.Fatalf("step %d: %v", kill, err)
		}
		if s := holds(t, dir); s.Runs != 2 || s.Reason == "" || s.Lost.Records != 2 {
			t.Errorf("step %d: it says %+v", kill, s)
		}
		if diff := cmp.Diff(those(true), left(t, dir)); diff != "" {
			t.Errorf("step %d: left (-want +got):\n%s", kill, diff)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	dir, o := prepared(t)
	if _, err := Run(o); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	ca, leaf := trusted(t, filepath.Join(dir, "ca.pem")), trusted(t, filepath.Join(dir, "kiosk.pem"))
	for _, by := range [][]*x509.Certificate{ca, leaf} {
		if _, err := Verify(good, by); err != nil {
			t.Error(err)
		}
		if _, err := Verify(bytes.ReplaceAll(good, []byte("\n"), []byte("\n\n ")), by); err != nil {
			t.Errorf("white space matters: %v", err)
		}
	}
	other, late := prepared(t)
	late.Now = func() checkin.Stamp { return checkin.Stamp{Wall: noon.Add(48 * time.Hour), Trusted: true} }
	if _, err := Run(late); err != nil {
		t.Fatal(err)
	}
	stale, err := os.ReadFile(late.Out)
	if err != nil {
		t.Fatal(err)
	}
	lost, unsure := prepared(t)
	unsure.Now = func() checkin.Stamp { return checkin.Stamp{Wall: time.Unix(0, 0).UTC()} }
	if _, err := Run(unsure); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(unsure.Out); err != nil {
		t.Error(err)
	} else if s, err := Verify(data, trusted(t, filepath.Join(lost, "ca.pem"))); err != nil || s.Finished.Trusted {
		t.Errorf("a kiosk that did not know the time: %v", err)
	}
	again, named := prepared(t)
	named.Key, named.Chain, named.Device = o.Key, o.Chain, "k-2"
	if _, err := Run(named); err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(again, "wiped.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		data []byte
		by   []*x509.Certificate
		want string
	}{
		"another authority":  {good, trusted(t, filepath.Join(other, "ca.pem")), "certificate"},
		"another kiosk":      {good, trusted(t, filepath.Join(other, "kiosk.pem")), "certificate"},
		"nobody":             {good, nil, "certificate"},
		"a word changed":     {bytes.Replace(good, []byte("sold"), []byte("told"), 1), ca, "signature"},
		"a file left out":    {bytes.Replace(good, []byte(`"q-1.db"`), []byte(`"q-3.db"`), 1), ca, "signature"},
		"expired by then":    {stale, trusted(t, filepath.Join(other, "ca.pem")), "expired"},
		"for another device": {foreign, ca, `kiosk "k-1" speaks for kiosk "k-2"`},
		"nothing":            {nil, ca, "no wipe certificate"},
		"two":                {append(bytes.Clone(good), good...), ca, "stands behind"},
		"another thing":      {[]byte(`{"statement":{"type":"x"},"certificate":"","signature":""}`), ca, "no wipe certificate"},
		"no statement":       {[]byte(`{}`), ca, "no wipe certificate"},
		"nobody's":           {[]byte(`{"statement":{"type":"sentinel-wipe","v":1}}`), ca, "lacks the kiosk's own"},
	} {
		if _, err := Verify(tt.data, tt.by); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	dir, o := prepared(f)
	if _, err := Run(o); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(o.Out)
	if err != nil {
		f.Fatal(err)
	}
	ca := trusted(f, filepath.Join(dir, "ca.pem"))
	want, err := Verify(good, ca)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{good, nil, []byte("{}"), []byte(`{"statement":{"type":"sentinel-wipe","v":1},"certificate":"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := Verify(data, ca); err == nil && !cmp.Equal(got, want) {
			t.Errorf("nobody has signed %+v", got)
		}
	})
}
