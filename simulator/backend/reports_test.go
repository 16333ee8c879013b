package backend_test

import (
	"fmt"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// refusal is the incident report of visit number seq.
func refusal(seq uint64) checkin.Record {
	r := visit(seq)
	r.Event.Kind, r.Event.Visit = checkin.KindRefusal, fmt.Sprintf("visit %d", seq)
	r.Event.Verdict = &checkin.Decision{Outcome: checkin.Refused, Reason: checkin.CodeRed}
	return r
}

// TestEveryRecipientHoldsAReportOnce, however often it comes, whether its reply
// was lost or not; the check-ins are another matter.
func TestEveryRecipientHoldsAReportOnce(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		bring := func(recipient string, want checkin.AckStatus, seqs ...uint64) {
			t.Helper()
			var batch []checkin.Record
			for _, seq := range seqs {
				batch = append(batch, refusal(seq))
			}
			acks, err := h.client.Report(t.Context(), recipient, batch)
			if err != nil || len(acks) != len(batch) {
				t.Fatalf("Report(%s) = %v, %v", recipient, acks, err)
			}
			for i, a := range acks {
				if a.ID != batch[i].Event.ID || a.Status != want {
					t.Errorf("%s answers %+v, want %s", recipient, a, want)
				}
			}
		}
		bring("cdc", checkin.Stored, 1, 2)
		bring("trade", checkin.Stored, 1)
		h.order(t, backend.Fault{Kind: "lose-reply", Call: "reports/trade"})
		if acks, err := h.client.Report(t.Context(), "trade", []checkin.Record{refusal(2)}); err == nil {
			t.Errorf("a lost reply gives %v, want an error", acks)
		}
		bring("cdc", checkin.Duplicate, 2, 1)
		h.order(t, backend.Fault{Kind: "up"})
		bring("trade", checkin.Duplicate, 2)

		for recipient, want := range map[string]backend.Counts{
			"cdc": {Records: 2, Visits: 2, Again: 2}, "trade": {Records: 2, Visits: 2, Again: 1}, "nobody": {},
		} {
			if got := count(t, h.platform.Store(), recipient); got != want {
				t.Errorf("%s counts %+v, want %+v", recipient, got, want)
			}
			list := list(t, h.platform.Store(), recipient)
			for i, r := range list {
				if r.Event.ID.Seq != uint64(i+1) {
					t.Errorf("%s holds %v at place %d", recipient, r.Event.ID, i)
				}
			}
			if len(list) != want.Records {
				t.Errorf("%s holds %d reports, want %d", recipient, len(list), want.Records)
			}
		}
		if c := count(t, h.platform.Store(), backend.Checkins); c.Records != 0 {
			t.Errorf("%d reports are held as check-ins", c.Records)
		}
		if len(h.reported) != 7 || h.reported[6] != "trade 2 again" {
			t.Errorf("OnReport heard %q, want each arrival", h.reported)
		}
	})
}

// TestTwoReportsOfOneVisitAreSeen, or the zero of the scenarios proves nothing.
func TestTwoReportsOfOneVisitAreSeen(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		second := refusal(2)
		second.Event.Visit = refusal(1).Event.Visit
		if _, err := h.client.Report(t.Context(), "cdc", []checkin.Record{refusal(1), second}); err != nil {
			t.Fatal(err)
		}
		if c := count(t, h.platform.Store(), "cdc"); c.Duplicate != 1 {
			t.Errorf("cdc counts %+v, want one twice", c)
		}
	})
}

// TestReportsThatAreRejected, each by itself, and the good one is kept.
func TestReportsThatAreRejected(t *testing.T) {
	live(t, func(t *testing.T, h *house) {
		spoilt := func(seq uint64, spoil func(*checkin.Record)) checkin.Record {
			r := refusal(seq)
			spoil(&r)
			return r
		}
		batch := []checkin.Record{
			visit(1),
			spoilt(2, func(r *checkin.Record) { r.Event.Visit = "" }),
			spoilt(3, func(r *checkin.Record) { r.Event.Verdict = nil }),
			spoilt(4, func(r *checkin.Record) { r.Identity = nil }),
			spoilt(5, func(r *checkin.Record) { r.Identity = []byte("王小明") }),
			spoilt(6, func(r *checkin.Record) { r.Event.ID.Device = "k-2" }),
			refusal(7),
		}
		acks, err := h.client.Report(t.Context(), "cdc", batch)
		if err != nil || len(acks) != len(batch) {
			t.Fatalf("Report() = %v, %v", acks, err)
		}
		for i, a := range acks {
			if last := i == len(batch)-1; a.ID != batch[i].Event.ID || (a.Status == checkin.Rejected) == last || (a.Reason == "") != last {
				t.Errorf("answer %d is %+v", i, a)
			}
		}
		if list := list(t, h.platform.Store(), "cdc"); len(list) != 1 || list[0].Event.ID.Seq != 7 {
			t.Errorf("cdc holds %v, want the good one", list)
		}
	})
}

// TestCallsThatAreNone: only reports are for somebody.
func TestCallsThatAreNone(t *testing.T) {
	var f backend.Faults
	for _, call := range []string{"orders", "reports/", "verify/cdc", "/", "/cdc"} {
		if err := f.Set(backend.Fault{Kind: "hang", Call: call}); err == nil {
			t.Errorf("a fault of the call %q is taken", call)
		}
	}
}
