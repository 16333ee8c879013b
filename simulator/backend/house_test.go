package backend_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	client "github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// house is a platform behind its faults, served on a listener of the test's
// choice, and the real client of a kiosk k-1 with a certificate of that name.
type house struct {
	platform *backend.Platform
	faults   *backend.Faults
	server   *backend.Server
	client   *client.Client

	mu    sync.Mutex
	heard []checkin.ID // by OnRecord

	reported []string // by OnReport
}

// build makes a house. listen opens its listener and dial reaches it; with
// both nil they are in memory.
func build(t testing.TB, listen func() (net.Listener, error), dial func(context.Context, string, string) (net.Conn, error)) *house {
	t.Helper()
	pki, err := backend.NewPKI("k-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := &house{faults: &backend.Faults{}}
	h.platform = backend.New(backend.Opts{Key: pki.Statement, KeyID: pki.KeyID, Now: time.Now, OnRecord: h.hear, OnReport: h.hearReport})
	h.platform.SetPerson(backend.Person{Ref: "wang", Name: "王小明", Number: number, Colour: checkin.Green})
	h.platform.SetPerson(backend.Person{Ref: "red", Name: "张三", Number: "440524188001010014", Colour: checkin.Red})
	if listen == nil {
		var l *backend.MemoryListener
		listen = func() (net.Listener, error) { l = backend.NewMemoryListener(); return l, nil }
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return l.Dial(ctx) }
	}
	h.server = &backend.Server{Handler: h.faults.Wrap(h.platform.Handler()), TLS: pki.ServerTLS(), Listen: listen}
	if err := h.server.Up(); err != nil {
		t.Fatal(err)
	}
	h.client, err = client.New(client.Opts{
		URL: "https://localhost", TLS: pki.ClientTLS(), Keys: signed.Keys{pki.KeyID: pki.Statement.Public()},
		Venue: "v-1", Kiosk: "k-1", Lane: "1", Clock: &clock.Clock{Wall: time.Now}, Dial: dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const number = "11010519491231002X"

func (h *house) hear(r checkin.Record, _ bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, r.Event.ID)
}

func (h *house) hearReport(recipient string, r checkin.Record, again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	line := fmt.Sprint(recipient, " ", r.Event.ID.Seq)
	if again {
		line += " again"
	}
	h.reported = append(h.reported, line)
}

func (h *house) close() {
	h.client.Close()
	h.server.Down()
}

// order sets a fault and takes the server down or up with it, as a bench does.
func (h *house) order(t testing.TB, f backend.Fault) {
	t.Helper()
	if err := h.faults.Set(f); err != nil {
		t.Fatal(err)
	}
	if h.faults.Down() {
		h.server.Down()
		return
	}
	if err := h.server.Up(); err != nil {
		t.Fatal(err)
	}
}

// live runs f in virtual time, in a house in memory, at the scenario's date.
func live(t *testing.T, f func(t *testing.T, h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)))
		h := build(t, nil, nil)
		f(t, h)
		synctest.Wait()
		h.close()
	})
}

func visit(seq uint64) checkin.Record {
	id := checkin.ID{Device: "k-1", Epoch: "e", Seq: seq}
	return checkin.Record{
		Event: checkin.Event{
			Version: checkin.EventVersion, ID: id, UUID: id.String(), Kind: checkin.KindVisit, Venue: "v-1", Lane: "1", Direction: "in",
			Verdict: &checkin.Decision{Outcome: checkin.Granted, Reason: checkin.OK},
		},
		Identity: []byte("age-encryption.org/v1\n…"), KeyID: "k",
	}
}
