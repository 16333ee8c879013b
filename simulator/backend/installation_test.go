package backend_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	client "github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// TestAKioskIsGivenAllItNeeds: with the files of its folder alone it is served,
// by the platform as it was first made and after a restart.
func TestAKioskIsGivenAllItNeeds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "platform")
	for _, first := range []bool{true, false} {
		keys, made, err := backend.OpenInstallation(dir, []string{"platform.example", "192.0.2.7"}, time.Now())
		if err != nil || made != first {
			t.Fatalf("OpenInstallation() = made %v, %v, want made %v", made, err, first)
		}
		folder, made, err := keys.GiveKiosk("k-1")
		if err != nil || made != first {
			t.Fatalf("GiveKiosk() = made %v, %v, want made %v", made, err, first)
		}
		p := backend.New(backend.Opts{Key: keys.Statement, KeyID: keys.KeyID, Now: time.Now})
		p.SetPerson(backend.Person{Ref: "wang", Number: number, Colour: checkin.Green})
		l := backend.NewMemoryListener()
		server := &backend.Server{Handler: p.Handler(), TLS: keys.ServerTLS(), Listen: func() (net.Listener, error) { return l, nil }}
		if err := server.Up(); err != nil {
			t.Fatal(err)
		}
		c := kioskOf(t, folder, l)
		if s, err := c.Verify(t.Context(), checkin.Credential{Kind: checkin.ResidentID, Value: number}); s.Colour != checkin.Green {
			t.Errorf("Verify() = %+v, %v", s, err)
		}
		if acks, err := c.Deliver(t.Context(), checkin.Live, []checkin.Record{visit(1)}); err != nil || acks[0].Status != checkin.Stored {
			t.Errorf("Deliver() = %v, %v", acks, err)
		}
		c.Close()
		server.Down()
		_ = l.Close()
		text, err := os.ReadFile(filepath.Join(folder, "authority.age"))
		if _, perr := age.ParseX25519Recipient(string(text[:len(text)-1])); err != nil || perr != nil {
			t.Errorf("the authority's key: %v, %v", err, perr)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if fi, ierr := os.Stat(path); ierr == nil && fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, fi.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// kioskOf is the client of a kiosk that has a folder's files and nothing else.
func kioskOf(t *testing.T, folder string, l *backend.MemoryListener) *client.Client {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(folder, "kiosk.pem"), filepath.Join(folder, "kiosk.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	statement, err := os.ReadFile(filepath.Join(folder, "statement-1.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKIXPublicKey(pemBytes(t, statement))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c, err := client.New(client.Opts{
		URL: "https://platform.example", TLS: &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots},
		Keys: signed.Keys{"statement-1": key}, Venue: "v-1", Kiosk: "k-1", Lane: "1", Clock: &clock.Clock{Wall: time.Now},
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.Dial(ctx) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestFoldersThatAreNone: nothing foreign is written over.
func TestFoldersThatAreNone(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign")
	if err := os.MkdirAll(filepath.Join(foreign, "holiday"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := backend.OpenInstallation(foreign, nil, time.Now()); err == nil {
		t.Error("a foreign folder is taken")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("an attempt leaves %v, %v", left, err)
	}
	old := filepath.Join(dir, "old")
	if _, _, err := backend.OpenInstallation(old, nil, time.Now().AddDate(-6, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := backend.OpenInstallation(old, nil, time.Now()); err == nil {
		t.Error("an authority that has ended is taken")
	}
	for _, name := range []string{"ca.key", "ca.pem", "statement-1.key"} {
		good := filepath.Join(dir, "good "+name)
		keys, _, err := backend.OpenInstallation(good, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, kiosk := range []string{"", "../k", "a b", "k/1", "k\n"} {
			if _, _, err := keys.GiveKiosk(kiosk); err == nil {
				t.Errorf("%q is the id of a kiosk", kiosk)
			}
		}
		if err := os.WriteFile(filepath.Join(good, name), []byte("-----BEGIN X-----\n-----END X-----\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := backend.OpenInstallation(good, nil, time.Now()); err == nil {
			t.Errorf("a damaged %s is taken", name)
		}
	}
}
