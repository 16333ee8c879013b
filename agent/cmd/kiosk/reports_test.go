package kiosk_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/cmd/kiosk"
	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/configs"
)

// TestEachRecipientIsReportedTo at his own address, or else at the platform's,
// each over a connection of his own.
func TestEachRecipientIsReportedTo(t *testing.T) {
	c := folder(t)
	c.Reports = []configs.Report{{Name: "cdc"}, {Name: "venue-trade", URL: "https://localhost:8443/trade"}}
	leaveARefusal(t, c)
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var calls []string
		over := map[*tls.ConnectionState]string{} // for whom a connection is used
		l, stop := platform(t, c, func(w http.ResponseWriter, r *http.Request) {
			var batch api.ReportsRequest
			_ = json.NewDecoder(r.Body).Decode(&batch)
			mu.Lock()
			defer mu.Unlock()
			if !strings.HasSuffix(r.URL.Path, "/v1/heartbeat") {
				calls = append(calls, r.URL.Path+" "+batch.Recipient)
			}
			if user, used := over[r.TLS]; used && user != batch.Recipient {
				t.Errorf("%q and %q share a connection", user, batch.Recipient)
			}
			over[r.TLS] = batch.Recipient
			w.Header().Set("Content-Type", api.JSON)
			_ = json.NewEncoder(w).Encode(answerAll(t, batch.Records))
		})
		run(t, c, l.dial, func(k *kiosk.Kiosk) {
			got := k.Agent.Status().Queue.Reports
			want := map[string]queue.Outbox{"cdc": {Delivered: 1}, "venue-trade": {Delivered: 1}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("outboxes (-want +got):\n%s", diff)
			}
		})
		stop()
		slices.Sort(calls)
		want := []string{"/trade/v1/reports venue-trade", "/v1/checkins ", "/v1/reports cdc"}
		if calls = slices.Compact(calls); !slices.Equal(calls, want) {
			t.Errorf("calls %q, want %q", calls, want)
		}
	})
}

// answerAll stores every record of a batch of reports.
func answerAll(t *testing.T, records []json.RawMessage) map[string][]checkin.Ack {
	acks := []checkin.Ack{}
	for _, raw := range records {
		r, err := checkin.DecodeRecord(raw)
		if err != nil {
			t.Error(err)
			continue
		}
		acks = append(acks, checkin.Ack{ID: r.Event.ID, Status: checkin.Stored})
	}
	return map[string][]checkin.Ack{"results": acks}
}

// leaveARefusal is an earlier run of the kiosk of c, which ended before it
// could report somebody.
func leaveARefusal(t *testing.T, c *configs.Config) {
	t.Helper()
	q, err := queue.Open(queue.Opts{Dir: c.State, Device: c.Device, Recipient: recipient, Recipients: c.Recipients()})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := q.Put(ctx, checkin.Event{Version: checkin.EventVersion, UUID: "u", Kind: checkin.KindRefusal, Visit: "v"}, nil); err != nil {
		t.Fatal(err)
	}
}

// TestARecipientsAddressThatIsNone is named with the recipient.
func TestARecipientsAddressThatIsNone(t *testing.T) {
	c := folder(t)
	c.Reports = []configs.Report{{Name: "cdc", URL: "http://localhost"}}
	if _, err := kiosk.New(c, env(nobody)); err == nil || !strings.Contains(err.Error(), "reports: cdc: ") {
		t.Errorf("New() = %v, want an error with reports: cdc", err)
	}
}
