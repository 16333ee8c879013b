package backend_test

import (
	"encoding/json"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// says answers each question with the statement that f makes of the true one.
func says(k **kiosk, f func(s *signed.Statement)) func(*kiosk, net.Conn) {
	return handled(func(w http.ResponseWriter, r *http.Request) {
		var q api.VerifyRequest
		_ = json.NewDecoder(r.Body).Decode(&q)
		hash := checkin.Credential{Kind: checkin.Kind(q.Kind), Value: q.Value}.Key()
		now := time.Now().Unix()
		s := &signed.Statement{
			Version: 1, Issuer: "test", Nonce: q.Nonce, Credential: hash[:], Venue: q.Venue, Kiosk: q.Kiosk,
			Colour: "green", NAT: "negative", Sampled: now - 3600, AsOf: now, ValidUntil: now + 600, Time: now,
		}
		f(s)
		answer, err := signed.Sign((*k).key, "k", s)
		if err != nil {
			panic(err)
		}
		begin(w, http.StatusOK)
		_, _ = w.Write(answer)
	})
}

// TestOnlyTheTrueStatementIsUsed: signed well, and still not for this question
// or this hour.
func TestOnlyTheTrueStatementIsUsed(t *testing.T) {
	var first []byte // the nonce of the first question, for a replay
	for _, tt := range []struct {
		name string
		f    func(s *signed.Statement)
		good bool
	}{
		{"the true one", func(s *signed.Statement) { first = s.Nonce }, true},
		{"the first one again", func(s *signed.Statement) { s.Nonce = first }, false},
		{"another person", func(s *signed.Statement) {
			h := checkin.Credential{Kind: checkin.ResidentID, Value: "440524188001010014"}.Key()
			s.Credential = h[:]
		}, false},
		{"the same number on another kind of card", func(s *signed.Statement) {
			h := checkin.Credential{Kind: checkin.ForeignerCard, Value: shown.Value}.Key()
			s.Credential = h[:]
		}, false},
		{"another venue", func(s *signed.Statement) { s.Venue = "v-2" }, false},
		{"another kiosk", func(s *signed.Statement) { s.Kiosk = "k-2" }, false},
		{"as of 5 minutes ago", func(s *signed.Statement) { s.AsOf -= 300 }, true},
		{"as of 5 minutes and a second ago", func(s *signed.Statement) { s.AsOf -= 301 }, false},
		{"as of 5 minutes and a second ahead", func(s *signed.Statement) { s.AsOf += 301 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var k *kiosk
				k = newKiosk(t, says(&k, tt.f))
				s, err := k.client.Verify(t.Context(), shown)
				if s.Known != tt.good || (err == nil) != tt.good {
					t.Errorf("Verify() = %+v, %v, want known %v", s, err, tt.good)
				}
				if !tt.good && backend.Why(err) != checkin.PlatformUnreachable {
					t.Errorf("because of %s, want platform-unreachable", backend.Why(err))
				}
				if !tt.good {
					mute(t, err)
				}
				k.close()
			})
		})
	}
}

// TestEveryNonceIsNew: the platform's answer to one question fits no other.
func TestEveryNonceIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[string]bool{}
		var k *kiosk
		k = newKiosk(t, says(&k, func(s *signed.Statement) { seen[string(s.Nonce)] = true }))
		for range 50 {
			if _, err := k.client.Verify(t.Context(), shown); err != nil {
				t.Fatal(err)
			}
		}
		k.close()
		if len(seen) != 50 {
			t.Errorf("%d nonces in 50 questions", len(seen))
		}
	})
}

// TestTheConnectionIsKept: a lane that rests for a minute does not shake hands
// again in front of the next visitor.
func TestTheConnectionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines atomic.Int32
		var k *kiosk
		serve := says(&k, func(*signed.Statement) {})
		k = newKiosk(t, func(k *kiosk, far net.Conn) { lines.Add(1); serve(k, far) })
		for range 4 {
			if _, err := k.client.Verify(t.Context(), shown); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		k.close()
		if n := lines.Load(); n != 1 {
			t.Errorf("%d connections for four questions a minute apart, want one", n)
		}
	})
}

// TestTheAnswerSetsTheClock: our own clock has no say in whether an answer is of
// now; the nonce vouches for it, and the answer says what time it is.
func TestTheAnswerSetsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k *kiosk
		var said time.Time
		k = newKiosk(t, says(&k, func(s *signed.Statement) { said = time.Unix(s.Time, 0) }))
		wall := time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC)
		at := &clock.Clock{Wall: func() time.Time { return wall }}
		c := k.with(t, at)
		if at.Believable() {
			t.Fatal("the clock is believed before anybody was asked")
		}
		if s, err := c.Verify(t.Context(), shown); !s.Known {
			t.Errorf("known %v, %v", s.Known, err)
		}
		if i := at.Interval(); !i.Bounded() || !i.Lo.Equal(said) {
			t.Errorf("the interval is %v, the platform said %v", i, said)
		}
		synctest.Wait()
		c.Close()
	})
}
