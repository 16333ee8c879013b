package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	qrcode "github.com/skip2/go-qrcode"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
)

// farEnds is what a session's kiosk is connected to.
type farEnds struct {
	t      *testing.T
	sensor map[string][]byte // what the thermometer answers, by what is written
	answer atomic.Int32      // of the platform

	mu   sync.Mutex
	sent map[string]string // by socket: text of a GPIO line, hex of a board
}

func newFarEnds(t *testing.T, root string) *farEnds {
	t.Helper()
	f := &farEnds{t: t, sensor: map[string][]byte{}, sent: map[string]string{}}
	f.answer.Store(http.StatusOK)
	talks, err := transcript.Load(filepath.Join(root, "drivers/mlx90614/testdata/mlx90614.transcript"))
	if err != nil {
		t.Fatal(err)
	}
	good, err := transcript.Find(talks, "measures")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range good.Steps {
		if s.Kind == 'i' {
			f.sensor[string(s.Bytes)] = s.Read
		}
	}
	return f
}

// run runs one of the session's words.
func (f *farEnds) run(words, args []string, not bool) error {
	switch words[0] {
	case "platform":
		return f.platform(words[1:])
	case "platform-says":
		status, err := strconv.Atoi(args[0])
		f.answer.Store(int32(status))
		return err
	case "control":
		return f.control(args[0], args[1])
	case "board":
		return f.listen(args[0], func(c net.Conn) {
			buf := make([]byte, 4)
			for { // frames are four bytes
				if _, err := io.ReadFull(c, buf); err != nil {
					return
				}
				f.note(args[0], fmt.Sprintf("% X\n", buf))
			}
		})
	case "gpio":
		return f.listen(args[0], func(c net.Conn) { f.pin(args[0], c) })
	case "sensor":
		return f.listen(args[0], f.thermometer)
	case "sent":
		if err := f.settle(args[0]); err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if err := matches(args[1], f.sent[args[0]], not); err != nil {
			return fmt.Errorf("%w: %q", err, f.sent[args[0]])
		}
		return nil
	case "code-picture":
		return qrcode.WriteFile(args[1], qrcode.Medium, 256, args[0])
	}
	return errors.New("there is no such word")
}

func (f *farEnds) note(socket, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent[socket] += text
}

// listen serves a unix socket until the test ends, one connection after the
// other: settle relies on it.
func (f *farEnds) listen(path string, serve func(net.Conn)) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	f.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	return nil
}

// settle returns when a socket has read all that was sent to it before: its
// turn comes after every connection that has ended. HTTP notes before it
// answers, so there is nothing to wait for.
func (f *farEnds) settle(path string) error {
	if path == "control" || path == "platform" {
		return nil
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}

// pin is one GPIO line: it takes every order, and an input is low.
func (f *farEnds) pin(socket string, c net.Conn) {
	for in := bufio.NewScanner(c); in.Scan(); {
		f.note(socket, in.Text()+"\n")
		answer := "ok\n"
		if strings.HasPrefix(in.Text(), "in ") {
			answer += "level 0\n"
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

// thermometer answers register reads on a remote bus.
func (f *farEnds) thermometer(c net.Conn) {
	for {
		var head [3]uint16 // address, length written, length read
		if binary.Read(c, binary.BigEndian, &head) != nil {
			return
		}
		written := make([]byte, head[1])
		if _, err := io.ReadFull(c, written); err != nil {
			return
		}
		read, ok := f.sensor[string(written)]
		answer := []byte{0, 0, byte(len(read))}
		if !ok || len(read) != int(head[2]) {
			read, answer = []byte("nobody acknowledges"), []byte{1, 0, 19}
		}
		if _, err := c.Write(append(answer, read...)); err != nil {
			return
		}
	}
}

// control answers every question on the control socket alike.
func (f *farEnds) control(status, file string) error {
	code, err := strconv.Atoi(status)
	var body []byte
	if err == nil && file != "" {
		body, err = os.ReadFile(file)
	}
	if err != nil {
		return err
	}
	l, err := net.Listen("unix", "s/control.sock")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.note("control", r.Method+" "+r.URL.Path+"\n")
		w.WriteHeader(code)
		_, _ = w.Write(body)
	})}
	go func() { _ = server.Serve(l) }()
	f.t.Cleanup(func() { _ = server.Close() })
	return nil
}

// platform serves heartbeats, writes what a kiosk is given at installation,
// and puts its address into the files.
func (f *farEnds) platform(files []string) error {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.note("platform", r.Method+" "+r.URL.Path+"\n")
		w.WriteHeader(int(f.answer.Load()))
		_, _ = w.Write([]byte("{}"))
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused hands are part of the sessions
	server.StartTLS()
	f.t.Cleanup(server.Close)
	if err := installation(server.Certificate()); err != nil {
		return err
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, bytes.ReplaceAll(data, []byte("@PLATFORM@"), []byte(server.URL)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// installation writes ca.pem, kiosk.pem, kiosk.key, statement-1.pem and
// authority.age into the current folder.
func installation(ca *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	kiosk := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "k-1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, kiosk, kiosk, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	statement, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(statement)
	if err != nil {
		return err
	}
	authority, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	for _, w := range []struct {
		name, kind string
		der        []byte
	}{
		{"ca.pem", "CERTIFICATE", ca.Raw}, {"kiosk.pem", "CERTIFICATE", cert},
		{"kiosk.key", "PRIVATE KEY", private}, {"statement-1.pem", "PUBLIC KEY", public},
	} {
		if err := os.WriteFile(w.name, pem.EncodeToMemory(&pem.Block{Type: w.kind, Bytes: w.der}), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile("authority.age", []byte(authority.Recipient().String()+"\n"), 0o600)
}
