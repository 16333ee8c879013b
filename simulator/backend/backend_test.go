package backend_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	client "github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

func TestAPersonIsKnownByEveryCredential(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		for _, c := range []checkin.Credential{
			{Kind: checkin.ResidentID, Value: number},
			{Kind: checkin.PersonalCode, Value: h.platform.Code("wang")},
			{Kind: checkin.RelativeCode, Value: h.platform.RelativeCode("wang")},
		} {
			s, err := h.client.Verify(t.Context(), c)
			if err != nil || s.Colour != checkin.Green || s.MaskedName != "王*" || s.CodeExpired || !s.AsOf.Equal(time.Now()) {
				t.Errorf("%s: %+v, %v, want green", c.Kind, s, err)
			}
		}
	})
}

// TestACodeAges: good in its own minute and two more, then expired, then
// nobody's.
func TestACodeAges(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		code, start := h.platform.Code("wang"), time.Now()
		for _, tt := range []struct {
			after   time.Duration
			expired bool
			known   bool
		}{
			{0, false, true},
			{3*time.Minute - time.Second, false, true},
			{3 * time.Minute, true, true},
			{9*time.Minute - time.Second, true, true},
			{9 * time.Minute, false, false},
		} {
			time.Sleep(time.Until(start.Add(tt.after)))
			s, err := h.client.Verify(t.Context(), checkin.Credential{Kind: checkin.PersonalCode, Value: code})
			if s.Known != tt.known || s.CodeExpired != tt.expired {
				t.Errorf("after %v: known %v, expired %v (%v), want %v, %v", tt.after, s.Known, s.CodeExpired, err, tt.known, tt.expired)
			}
			if !tt.known && client.Why(err) != checkin.NoStatus {
				t.Errorf("after %v: because of %s, want no-status", tt.after, client.Why(err))
			}
		}
		if h.platform.Code("wang") == code || h.platform.Code("wang") == h.platform.Code("red") {
			t.Error("the code has not changed in nine minutes, or is another person's too")
		}
	})
}

// TestEveryFaultEndsInTime, on a connection that is open already, and leaves
// nothing behind.
func TestEveryFaultEndsInTime(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault backend.Fault
		known bool
	}{
		{"up", backend.Fault{Kind: "up"}, true},
		{"down", backend.Fault{Kind: "down"}, false},
		{"hanging", backend.Fault{Kind: "hang"}, false},
		{"slow", backend.Fault{Kind: "slow", Delay: 3 * time.Second}, false},
		{"slow, within the limit", backend.Fault{Kind: "slow", Delay: time.Second}, true},
		{"refusing", backend.Fault{Kind: "refuse", Status: 503, Retry: time.Second}, false},
		{"garbage", backend.Fault{Kind: "garbage"}, false},
		{"losing replies", backend.Fault{Kind: "lose-reply"}, false},
		{"lying without a signature", backend.Fault{Kind: "lie", Lie: "unsigned"}, false},
		{"lying about another time", backend.Fault{Kind: "lie", Lie: "stale"}, false},
		{"lying about another person", backend.Fault{Kind: "lie", Lie: "other-person"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			live(t, func(t *testing.T, h *house) {
				wang := checkin.Credential{Kind: checkin.ResidentID, Value: number}
				if _, err := h.client.Verify(t.Context(), wang); err != nil {
					t.Fatal(err)
				}
				h.order(t, tt.fault)
				if got := h.faults.State(); got != tt.fault.Kind {
					t.Errorf("State() = %q, want %q", got, tt.fault.Kind)
				}
				start := time.Now()
				s, err := h.client.Verify(t.Context(), wang)
				if took := time.Since(start); s.Known != tt.known || took > 2*time.Second {
					t.Errorf("known %v, %v, after %v, want %v within 2s", s.Known, err, took, tt.known)
				}
				h.order(t, backend.Fault{Kind: "up"})
				if _, err := h.client.Verify(t.Context(), wang); err != nil {
					t.Errorf("after the fault: %v", err)
				}
			})
		})
	}
}

func TestFaultsThatAreNone(t *testing.T) {
	var f backend.Faults
	if f.State() != "up" || f.Down() {
		t.Errorf("the zero Faults is %s, want up", f.State())
	}
	for _, x := range []backend.Fault{
		{}, {Kind: "tired"}, {Kind: "lie", Lie: "white"}, {Kind: "refuse", Status: 200}, {Kind: "refuse", Status: 600},
		{Kind: "hang", Call: "home"},
	} {
		if err := f.Set(x); err == nil {
			t.Errorf("%+v is taken", x)
		}
	}
}

// TestNobodySpeaksForAnotherKiosk: this client's certificate says k-1.
func TestNobodySpeaksForAnotherKiosk(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		foreign := visit(1)
		foreign.Event.ID.Device = "k-2"
		acks, err := h.client.Deliver(t.Context(), checkin.Backlog, []checkin.Record{foreign})
		if err != nil || len(acks) != 1 || acks[0].Status != checkin.Rejected || count(t, h.platform.Store(), backend.Checkins).Records != 0 {
			t.Errorf("Deliver() = %+v, %v, want it rejected", acks, err)
		}
	})
}

func TestABadRecordSpoilsNoOther(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		batch := []checkin.Record{visit(1)}
		for _, spoil := range []func(*checkin.Record){
			func(r *checkin.Record) { r.Identity = nil },
			func(r *checkin.Record) { r.Identity = []byte("王小明") },
			func(r *checkin.Record) { r.Event.Verdict = nil },
			func(r *checkin.Record) { r.Event.Version = 99 },
			func(r *checkin.Record) { r.Event.UUID = "" },
			func(r *checkin.Record) { r.Event.ID.Epoch = "" },
			func(r *checkin.Record) { r.Event.Kind = checkin.KindPassage },
			func(r *checkin.Record) { r.Event.Lane = strings.Repeat("1", 129) },
			func(r *checkin.Record) { r.Event.Venue = "v-1\x1b[2J" },
			func(r *checkin.Record) { r.KeyID = "k\n" },
			func(r *checkin.Record) { r.Event.Verdict.Outcome = "\u009b" },
		} {
			r := visit(uint64(len(batch) + 1))
			spoil(&r)
			batch = append(batch, r)
		}
		batch = append(batch, visit(uint64(len(batch)+1)))
		acks, err := h.client.Deliver(t.Context(), checkin.Backlog, batch)
		if err != nil || len(acks) != len(batch) {
			t.Fatalf("Deliver() = %v, %v, want %d answers", acks, err, len(batch))
		}
		for i, a := range acks {
			good := i == 0 || i == len(batch)-1
			if (a.Status == checkin.Stored) != good || (a.Reason == "") != good || a.ID != batch[i].Event.ID {
				t.Errorf("answer %d: %+v, want stored %v", i, a, good)
			}
		}
		if n := count(t, h.platform.Store(), backend.Checkins).Records; n != 2 {
			t.Errorf("%d records are held, want the 2 good ones", n)
		}
	})
}

func TestBodiesThatAreNone(t *testing.T) {
	h := backend.New(backend.Opts{Now: time.Now}).Handler()
	for _, tt := range []struct {
		name, path, body string
		want             int
	}{
		{"no JSON", "/v1/verify", "{", 400},
		{"a kind that cannot be asked", "/v1/verify", `{"kind":"unknown","value":"x","nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}`, 400},
		{"a short nonce", "/v1/verify", `{"kind":"resident-id","value":"x","nonce":"AAAA"}`, 400},
		{"no value", "/v1/verify", `{"kind":"resident-id","nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}`, 400},
		{"too long", "/v1/verify", `{"value":"` + strings.Repeat("x", 20<<10) + `"}`, 413},
		{"as many records as may be", "/v1/checkins", `{"records":[` + strings.Repeat("{},", 499) + `{}]}`, 200},
		{"too many records", "/v1/checkins", `{"records":[` + strings.Repeat("{},", 500) + `{}]}`, 413},
		{"records that are none", "/v1/checkins", `{"records":[1,"x",null,{}]}`, 200},
		{"reports to nobody", "/v1/reports", `{"records":[]}`, 400},
		{"reports to a name without end", "/v1/reports", `{"recipient":"` + strings.Repeat("x", 65) + `"}`, 400},
		{"too many reports", "/v1/reports", `{"recipient":"cdc","records":[` + strings.Repeat("{},", 500) + `{}]}`, 413},
		{"reports that are none", "/v1/reports", `{"recipient":"cdc","records":[1,"x",null,{}]}`, 200},
		{"a heartbeat of nobody", "/v1/heartbeat", `[]`, 400},
		{"another path", "/v1/orders", `{}`, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, tt.path, strings.NewReader(tt.body)))
			if w.Code != tt.want {
				t.Errorf("status %d %s, want %d", w.Code, w.Body, tt.want)
			}
		})
	}
}

// TestPeopleAreKept as they were set, by reference.
func TestPeopleAreKept(t *testing.T) {
	p := backend.New(backend.Opts{Now: time.Now})
	p.SetPerson(backend.Person{Ref: "b", Number: number, Colour: checkin.Green})
	p.SetPerson(backend.Person{Ref: "a", Colour: checkin.Red})
	p.SetPerson(backend.Person{Ref: "b", Number: number, Colour: checkin.Yellow})
	list := p.People()
	if len(list) != 2 || list[0].Ref != "a" || list[1].Colour != checkin.Yellow {
		t.Errorf("People() = %+v, want a, and b as it was set last", list)
	}
	if b, ok := p.Person("b"); !ok || b.Colour != checkin.Yellow {
		t.Errorf("Person(b) = %+v, %v", b, ok)
	}
	if _, ok := p.Person("c"); ok {
		t.Error("there is a person that nobody set")
	}
}

// TestAListenerThatCannotOpen: Up tells it, and may be tried again.
func TestAListenerThatCannotOpen(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		h.server.Down()
		listen, busy := h.server.Listen, errors.New("busy")
		h.server.Listen = func() (net.Listener, error) { return nil, busy }
		if err := h.server.Up(); !errors.Is(err, busy) {
			t.Errorf("Up() = %v, want %v", err, busy)
		}
		h.server.Listen = listen
		if err := h.server.Up(); err != nil {
			t.Error(err)
		}
	})
}
