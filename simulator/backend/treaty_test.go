package backend_test

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// The treaty is agent/backend/testdata: the agent's own test plays the
// platform's side of it, this one the kiosk's. Each reads it for itself.

// before says what is ordered from the platform before an exchange, and in
// whose name the kiosk's certificate is.
var before = map[string]struct {
	fault backend.Fault
	kiosk string
	full  bool // as much waits as may
}{
	"too many questions":                        {fault: backend.Fault{Kind: "refuse", Status: 429, Retry: 1500 * time.Millisecond}},
	"a certificate of another kiosk":            {kiosk: "k-2"},
	"a certificate of another kiosk, for a key": {kiosk: "k-2"},
	"a platform that has too much to do":        {full: true},
	"a platform that is busy":                   {fault: backend.Fault{Kind: "refuse", Status: 503, Retry: time.Minute}},
}

func TestTheTreaty(t *testing.T) {
	for name, exchanges := range map[string]int{"verify.http": 4, "checkins.http": 5, "reports.http": 4, "heartbeat.http": 1, "epoch.http": 4} {
		t.Run(name, func(t *testing.T) {
			list := treaty(t, "../../agent/backend/testdata/"+name)
			if len(list) != exchanges {
				t.Errorf("%d exchanges, want %d", len(list), exchanges)
			}
			public, key, err := ed25519.GenerateKey(nil)
			if err != nil {
				t.Fatal(err)
			}
			faults := &backend.Faults{}
			p := withWang(key)
			epochKey := publishing(t, p)
			h := faults.Wrap(p.Handler())
			full := backend.NewAdmission(backend.AdmissionOpts{MaxQueued: -1, Rand: func() float64 { return 0.5 }}).Wrap(h)
			for _, e := range list {
				order := before[e.name]
				order.fault.Kind = cmp.Or(order.fault.Kind, "up")
				if err := faults.Set(order.fault); err != nil {
					t.Fatal(err)
				}
				w := httptest.NewRecorder()
				if order.full {
					full.ServeHTTP(w, e.request(cmp.Or(order.kiosk, "k-1")))
				} else {
					h.ServeHTTP(w, e.request(cmp.Or(order.kiosk, "k-1")))
				}
				e.answer = strings.Replace(e.answer, "$key", epochKey, 1)
				e.check(t, w, public)
			}
		})
	}
}

// withWang is the platform that the treaty tells of.
func withWang(key ed25519.PrivateKey) *backend.Platform {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	p := backend.New(backend.Opts{
		Issuer: "test platform", Key: key, KeyID: "statement-1", Now: func() time.Time { return now },
		Recipients: []string{"cdc", "venue-trade"},
	})
	p.SetPerson(backend.Person{
		Ref: "wang", Name: "王小明", Number: number, Colour: checkin.Green, NAT: checkin.Negative,
		Sampled: now.Add(-time.Hour), Reported: now.Add(-30 * time.Minute),
	})
	return p
}

// publishing lets the platform tell the keys of venue v-1's seventh epoch; this
// is the key, as it is told.
func publishing(t *testing.T, p *backend.Platform) string {
	t.Helper()
	u, err := backend.NewPublisher(p, backend.PublisherOpts{
		Shards: []string{"v-1", "v-2"}, Epoch: 7, May: func(kiosk, shard string) bool { return kiosk == "k-1" && shard == "v-1" },
	})
	if err != nil {
		t.Fatal(err)
	}
	key, ok := u.EpochKey("v-1", 7)
	if !ok {
		t.Fatal("there is no key of the epoch that the publisher begins with")
	}
	return base64.StdEncoding.EncodeToString(key[:])
}

// exchange is one question and its answer: heads and bodies.
type exchange struct{ name, head, body, answerHead, answer string }

// nonce is what this kiosk asks with.
var nonce = []byte("0123456789abcdef")

func treaty(t *testing.T, path string) []exchange {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "#") {
			text.WriteString(line)
		}
	}
	var list []exchange
	for _, section := range strings.Split(text.String(), "== ")[1:] {
		name, rest, _ := strings.Cut(section, "\n")
		parts := strings.Split(strings.TrimSpace(rest), "\n\n")
		if len(parts) != 4 {
			t.Fatalf("%q has %d parts, want head and body of question and answer", name, len(parts))
		}
		list = append(list, exchange{name, parts[0], parts[1], parts[2], parts[3]})
	}
	return list
}

// request is the question, from a kiosk with a certificate in that name.
func (e exchange) request(kiosk string) *http.Request {
	line, headers, _ := strings.Cut(e.head, "\n")
	method, path, _ := strings.Cut(line, " ")
	body := strings.Replace(e.body, "$nonce", base64.StdEncoding.EncodeToString(nonce), 1)
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: kiosk}}}}
	for header := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSpace(header), ": ")
		r.Header.Set(name, value)
	}
	return r
}

// check compares an answer with the treaty's, headers and all.
func (e exchange) check(t *testing.T, w *httptest.ResponseRecorder, public ed25519.PublicKey) {
	t.Helper()
	head := strconv.Itoa(w.Code)
	for _, name := range slices.Sorted(maps.Keys(w.Header())) {
		head += "\n" + name + ": " + w.Header().Get(name)
	}
	if diff := gocmp.Diff(e.answerHead, head); diff != "" {
		t.Errorf("%s: head of the answer (-want +got):\n%s", e.name, diff)
	}
	if w.Header().Get("Content-Type") == "application/cose" {
		e.checkStatement(t, w.Body.Bytes(), public)
		return
	}
	if diff := gocmp.Diff(compact(t, e.answer), compact(t, w.Body.String())); diff != "" {
		t.Errorf("%s: answer (-want +got):\n%s", e.name, diff)
	}
}

// checkStatement compares the items of a COSE_Sign1, and verifies its
// signature with nothing of ours: Sig_structure is ["Signature1", protected,
// external data: none, payload].
func (e exchange) checkStatement(t *testing.T, got []byte, public ed25519.PublicKey) {
	t.Helper()
	items := strings.Split(strings.Replace(e.answer, "$nonce", hex.EncodeToString(nonce), 1), "\n")
	payload := items[3 : len(items)-1]
	want := unhex(t, strings.TrimSuffix(strings.Join(items, ""), "$signature"))
	body, signature := got[:len(got)-ed25519.SignatureSize], got[len(got)-ed25519.SignatureSize:]
	if diff := gocmp.Diff(hex.Dump(want), hex.Dump(body)); diff != "" {
		t.Errorf("%s: statement (-want +got):\n%s", e.name, diff)
	}
	signed := unhex(t, "84 6A 5369676E617475726531"+items[1]+"40"+strings.Join(payload, ""))
	if !ed25519.Verify(public, signed, signature) {
		t.Errorf("%s: the signature is not over the Sig_structure", e.name)
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(strings.TrimSpace(text))); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return b.String()
}
