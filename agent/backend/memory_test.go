package backend_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// limit is what a visitor may have to wait for the platform.
const limit = 2 * time.Second

// shown is what somebody lays down; no error may repeat a part of it.
var shown = checkin.Credential{Kind: checkin.ResidentID, Value: "11010519491231002X", Name: "王小明"}

// kiosk is a client in virtual time, and what it needs of the far side.
type kiosk struct {
	client *backend.Client
	opts   backend.Opts
	tls    *tls.Config // the platform's side
	key    ed25519.PrivateKey
}

// close ends the kept connection, once a question that was given up is off it.
func (k *kiosk) close() {
	synctest.Wait()
	k.client.Close()
}

// with is a second client of the same platform, with another clock.
func (k *kiosk) with(t *testing.T, c *clock.Clock) *backend.Client {
	t.Helper()
	o := k.opts
	o.Clock = c
	second, err := backend.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return second
}

// newKiosk makes a client whose every connection is given to serve. It waits
// for the scenario's date first: certificates are made in virtual time.
func newKiosk(t *testing.T, serve func(k *kiosk, line net.Conn)) *kiosk {
	t.Helper()
	time.Sleep(time.Until(time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)))
	certificate, pool := selfSigned(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &kiosk{key: private, tls: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}}}
	k.opts = backend.Opts{
		URL: "https://localhost", TLS: &tls.Config{RootCAs: pool, ServerName: "localhost"},
		Keys: signed.Keys{"k": public}, Venue: "v-1", Kiosk: "k-1", Lane: "1", Version: "test",
		Clock: &clock.Clock{Wall: time.Now},
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if serve == nil { // packets vanish
				<-ctx.Done()
				return nil, ctx.Err()
			}
			near, far := net.Pipe()
			go serve(k, far)
			return near, nil
		},
	}
	if k.client, err = backend.New(k.opts); err != nil {
		t.Fatal(err)
	}
	return k
}

// selfSigned is a certificate for localhost, and who believes it.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// raw serves bytes after the handshake, over HTTP/1.1 unless h2 is agreed on.
func raw(protocol string, then func(line net.Conn)) func(*kiosk, net.Conn) {
	return func(k *kiosk, far net.Conn) {
		defer far.Close()
		config := k.tls.Clone()
		config.NextProtos = []string{protocol}
		line := tls.Server(far, config)
		if line.Handshake() == nil {
			then(line)
		}
	}
}

// handled serves HTTP/2 with h until the line dies.
func handled(h http.HandlerFunc) func(*kiosk, net.Conn) {
	return func(k *kiosk, far net.Conn) {
		l := &oneLine{line: far, closed: make(chan struct{})}
		server := &http.Server{Handler: h, TLSConfig: k.tls.Clone(), ErrorLog: log.New(io.Discard, "", 0)}
		server.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				_ = l.Close()
			}
		}
		_ = server.ServeTLS(l, "", "")
	}
}

// oneLine is a listener that accepts once.
type oneLine struct {
	line   net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *oneLine) Accept() (net.Conn, error) {
	if line := l.line; line != nil {
		l.line = nil
		return line, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneLine) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *oneLine) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// drip writes text over and over, a byte every 300 ms, until nobody reads.
func drip(text string) func(net.Conn) {
	return func(line net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, line) }()
		for i := 0; ; i++ {
			if _, err := line.Write([]byte{text[i%len(text)]}); err != nil {
				return
			}
			time.Sleep(300 * time.Millisecond)
		}
	}
}

// deaf reads and never says a word.
func deaf(line net.Conn) { _, _ = io.Copy(io.Discard, line) }

func begin(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", api.COSE)
	w.WriteHeader(status)
	_ = http.NewResponseController(w).Flush()
}

// mute fails if err repeats a part of what was shown.
func mute(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	hash := shown.Key()
	for _, secret := range []string{shown.Value, shown.Value[6:14], shown.Name, url.QueryEscape(shown.Name), string(hash[:]), fmt.Sprintf("%x", hash)} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats what was shown: %v", err)
		}
	}
}
