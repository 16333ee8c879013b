package kiosk_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/cmd/kiosk"
	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/configs"
)

// TestCertificatesAgeByTheKiosksClock: the one that a bench moves, too.
func TestCertificatesAgeByTheKiosksClock(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"in their time": 30 * time.Minute, "after it": 2 * time.Hour, "before it": -2 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			c := folder(t)
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(day))
				l, stop := platform(t, c, func(http.ResponseWriter, *http.Request) {})
				e := env(l.dial)
				e.Clock.Wall = func() time.Time { return time.Now().Add(ahead) }
				client, err := kiosk.Client(c, e)
				if err != nil {
					t.Fatal(err)
				}
				err = client.Heartbeat(t.Context(), api.Heartbeat{})
				if good := ahead == 30*time.Minute; (err == nil) != good {
					t.Errorf("Heartbeat() = %v, want it heard %v", err, good)
				}
				synctest.Wait()
				client.Close()
				stop()
			})
		})
	}
}

// TestStatementKeysGoByTheirFilesName: k-7.pem signs as k-7 and as nothing
// else.
func TestStatementKeysGoByTheirFilesName(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	c := folder(t)
	c.Platform.StatementKeys = append(c.Platform.StatementKeys, filepath.Join(c.State, "k-7.pem"))
	write(t, c.Platform.StatementKeys[1], block("PUBLIC KEY", der))
	for kid, want := range map[string]bool{"k-7": true, "k-7.pem": false, "statement-1": false} {
		synctest.Test(t, func(t *testing.T) { askUnder(t, c, private, kid, want) })
	}
}

// askUnder asks a platform that signs with key and calls it kid.
func askUnder(t *testing.T, c *configs.Config, key ed25519.PrivateKey, kid string, want bool) {
	t.Helper()
	time.Sleep(time.Until(day))
	l, stop := platform(t, c, func(w http.ResponseWriter, r *http.Request) {
		var q api.VerifyRequest
		_ = json.NewDecoder(r.Body).Decode(&q)
		hash := checkin.Credential{Kind: checkin.Kind(q.Kind), Value: q.Value}.Key()
		answer, err := signed.Sign(key, kid, &signed.Statement{
			Version: 1, Nonce: q.Nonce, Credential: hash[:], Venue: q.Venue, Kiosk: q.Kiosk, Colour: "green",
			AsOf: day.Unix(), ValidUntil: day.Unix() + 600, Time: day.Unix(),
		})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", api.COSE)
		_, _ = w.Write(answer)
	})
	client, err := kiosk.Client(c, env(l.dial))
	if err != nil {
		t.Fatal(err)
	}
	s, err := client.Verify(t.Context(), checkin.Credential{Kind: checkin.ResidentID, Value: "11010519491231002X"})
	if s.Known != want {
		t.Errorf("signed as %s: known %v, %v, want %v", kid, s.Known, err, want)
	}
	synctest.Wait()
	client.Close()
	stop()
}
