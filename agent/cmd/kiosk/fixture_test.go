package kiosk_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/configs"
)

// recipient is an age public key whose other half nobody has kept.
const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

// folder writes a kiosk's files and its configuration, without devices.
func folder(t *testing.T) *configs.Config {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	policy, err := os.ReadFile("../../../configs/policies/public-place.yaml")
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := self(t)
	write(t, at("policy.yaml"), string(policy))
	write(t, at("ca.pem"), certificate)
	write(t, at("kiosk.pem"), certificate)
	write(t, at("kiosk.key"), key)
	write(t, at("authority.age"), recipient+"\n")
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	write(t, at("statement-1.pem"), block("PUBLIC KEY", der))
	write(t, at("kiosk.yaml"), `
device: k-1
profile: desk
venue: {id: v-1, name: 示范大厦, class: office}
policy: policy.yaml
state: .
platform:
  urls: [https://localhost]
  ca: ca.pem
  certificate: kiosk.pem
  key: kiosk.key
  statement_keys: [statement-1.pem]
records: {recipient: authority.age}
`)
	c, err := configs.Load(at("kiosk.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// self is a certificate that vouches for itself: authority, platform and
// kiosk k-1 in one.
func self(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "k-1"}, DNSNames: []string{"localhost"},
		NotBefore: day.Add(-time.Hour), NotAfter: day.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", pkcs8)
}

// memory is a listener without a network.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (l *memory) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memory) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

func (l *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// get asks a server of the kiosk, as a program on this machine does.
func get(t *testing.T, l *memory, path string) (*http.Response, []byte) {
	t.Helper()
	transport := &http.Transport{DialContext: l.dial}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://localhost" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// platform serves h with the certificate of c, and demands one. stop fails the
// test if a connection is open still.
func platform(t *testing.T, c *configs.Config, h http.HandlerFunc) (l *memory, stop func()) {
	t.Helper()
	own, err := tls.LoadX509KeyPair(c.Platform.Certificate, c.Platform.Key)
	if err != nil {
		t.Fatal(err)
	}
	l = newMemory()
	// What time it is, nobody here can sign.
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.Handle("POST /v1/time", http.NotFoundHandler())
	s := &http.Server{
		Handler: mux, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert},
	}
	var open atomic.Int32
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.ServeTLS(l, "", "") })
	return l, func() {
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("%d connections to the platform are left open", n)
		}
		_ = s.Close()
		serving.Wait()
	}
}
