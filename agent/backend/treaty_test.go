package backend_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// exchange is one question and its answer out of testdata: the treaty with
// the platform, whose own test plays the kiosk's side of the same files.
type exchange struct {
	name   string
	line   string // POST /v1/verify
	header http.Header
	body   string

	status       int
	answerHeader http.Header
	answer       string
}

// treaty reads the exchanges of a file; verify.http tells the form.
func treaty(t *testing.T, name string) []exchange {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	var list []exchange
	for _, section := range strings.Split(strings.Join(lines, ""), "== ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		parts := strings.Split(strings.TrimSpace(text), "\n\n")
		if len(parts) != 4 {
			t.Fatalf("%q has %d parts, want head and body of question and answer", title, len(parts))
		}
		e := exchange{name: title, body: parts[1], answer: parts[3]}
		var status string
		e.line, e.header = head(parts[0])
		status, e.answerHeader = head(parts[2])
		if e.status, err = strconv.Atoi(status); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// head splits the first line from the headers after it.
func head(text string) (first string, h http.Header) {
	h = http.Header{}
	first, rest, _ := strings.Cut(text, "\n")
	for line := range strings.Lines(rest) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		h.Set(name, value)
	}
	return first, h
}

// play answers the exchanges, one request each, and fails at the first byte of
// a request that differs.
func play(t *testing.T, list []exchange, key ed25519.PrivateKey) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(list) == 0 {
			t.Error("a question too many")
			return
		}
		e := list[0]
		list = list[1:]
		body, err := io.ReadAll(r.Body)
		var question api.VerifyRequest
		if err := errors.Join(err, json.Unmarshal(body, &question)); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
		r.Header.Del("Content-Length")
		nonce := base64.StdEncoding.EncodeToString(question.Nonce)
		want := strings.Replace(compact(t, e.body), "$nonce", nonce, 1)
		if diff := cmp.Diff([]string{e.line, want}, []string{r.Method + " " + r.URL.Path, string(body)}); diff != "" {
			t.Errorf("%s: the question differs (-want +got):\n%s", e.name, diff)
		}
		if diff := cmp.Diff(e.header, r.Header); diff != "" || r.ProtoMajor != 2 {
			t.Errorf("%s: headers over %s differ (-want +got):\n%s", e.name, r.Proto, diff)
		}
		for name := range e.answerHeader {
			w.Header().Set(name, e.answerHeader.Get(name))
		}
		w.WriteHeader(e.status)
		if e.answerHeader.Get("Content-Type") == api.COSE {
			_, _ = w.Write(statement(t, e.answer, question.Nonce, key))
			return
		}
		_, _ = io.WriteString(w, strings.Replace(e.answer, "$key", base64.StdEncoding.EncodeToString(epochKey[:]), 1))
	}
}

// statement makes the bytes that the treaty spells in hex, signed here and by
// nothing of ours. Its lines are the items of a COSE_Sign1; the payload has
// several.
func statement(t *testing.T, text string, nonce []byte, key ed25519.PrivateKey) []byte {
	items := strings.Split(strings.Replace(text, "$nonce", hex.EncodeToString(nonce), 1), "\n")
	payload := items[3 : len(items)-1]
	// Sig_structure: ["Signature1", protected, external data: none, payload]
	const context = "84 6A 5369676E617475726531"
	signature := ed25519.Sign(key, unhex(t, context+items[1]+"40"+strings.Join(payload, "")))
	return unhex(t, strings.Replace(strings.Join(items, ""), "$signature", hex.EncodeToString(signature), 1))
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Error(err)
	}
	return b
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Errorf("%v in %s", err, text)
	}
	return b.String()
}

// underTreaty plays a file and asks for each of its exchanges, in order.
func underTreaty(t *testing.T, name string, asks map[string]func(*testing.T, *backend.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		list := treaty(t, name)
		if len(list) != len(asks) {
			t.Errorf("%d exchanges in %s, want %d", len(list), name, len(asks))
		}
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		k := newKiosk(t, handled(play(t, list, key)))
		k.opts.Keys = signed.Keys{"statement-1": key.Public()}
		k.client = k.with(t, k.opts.Clock)
		for _, e := range list {
			ask, ok := asks[e.name]
			if !ok {
				t.Fatalf("nobody asks for %q", e.name)
			}
			ask(t, k.client)
		}
		k.close()
	})
}

func TestVerifyUnderTheTreaty(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	known := checkin.Status{
		Known: true, Mode: checkin.ModeOnline, Colour: checkin.Green, NAT: checkin.Negative,
		Sampled: now.Add(-time.Hour), Reported: now.Add(-30 * time.Minute), MaskedName: "王*",
		AsOf: now, ValidUntil: now.Add(10 * time.Minute),
	}
	refused := func(number string, why checkin.Reason, want backend.Refusal) func(*testing.T, *backend.Client) {
		return func(t *testing.T, c *backend.Client) {
			got, err := c.Verify(t.Context(), checkin.Credential{Kind: checkin.ResidentID, Value: number})
			if got != (checkin.Status{}) || backend.Why(err) != why {
				t.Errorf("Verify() = %+v, %v, want nothing known, because of %s", got, err, why)
			}
			checkRefusal(t, err, want)
		}
	}
	underTreaty(t, "verify.http", map[string]func(*testing.T, *backend.Client){
		"somebody known": func(t *testing.T, c *backend.Client) {
			got, err := c.Verify(t.Context(), shown)
			if diff := cmp.Diff(known, got); diff != "" || err != nil {
				t.Errorf("Verify() = %v (-want +got):\n%s", err, diff)
			}
		},
		"nobody": refused("440524188001010014", checkin.NoStatus,
			backend.Refusal{Status: 404, Type: api.UnknownCredential}),
		"too many questions": refused(shown.Value, checkin.PlatformUnreachable,
			backend.Refusal{Status: 429, After: 1500 * time.Millisecond}),
		"a certificate of another kiosk": refused(shown.Value, checkin.PlatformUnreachable,
			backend.Refusal{Status: 403}),
	})
}

func checkRefusal(t *testing.T, err error, want backend.Refusal) {
	t.Helper()
	var got *backend.Refusal
	if !errors.As(err, &got) {
		t.Errorf("error = %v, want a refusal", err)
		return
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
	if got.RetryAfter() != want.After || got.MaxBatch() != want.Batch { // as the queue asks
		t.Errorf("again after %v, %d at a time, want %v and %d", got.RetryAfter(), got.MaxBatch(), want.After, want.Batch)
	}
}

func TestDeliverUnderTheTreaty(t *testing.T) {
	id := func(device string, seq uint64) checkin.ID { return checkin.ID{Device: device, Epoch: "e", Seq: seq} }
	brings := func(traffic checkin.Traffic, want []checkin.Ack, ids ...checkin.ID) func(*testing.T, *backend.Client) {
		return func(t *testing.T, c *backend.Client) {
			got, err := c.Deliver(t.Context(), traffic, passages(ids))
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("Deliver() = %v (-want +got):\n%s", err, diff)
			}
		}
	}
	underTreaty(t, "checkins.http", map[string]func(*testing.T, *backend.Client){
		"two records, one of another kiosk": brings(checkin.Live, []checkin.Ack{
			{ID: id("k-1", 1), Status: checkin.Stored},
			{ID: id("k-2", 2), Status: checkin.Rejected, Reason: "the record is another kiosk's"},
		}, id("k-1", 1), id("k-2", 2)),
		"a record that comes again beside a new one": brings(checkin.Backlog, []checkin.Ack{
			{ID: id("k-1", 1), Status: checkin.Duplicate}, {ID: id("k-1", 3), Status: checkin.Stored},
		}, id("k-1", 1), id("k-1", 3)),
		"another event under an identity that is known": func(t *testing.T, c *backend.Client) {
			records := passages([]checkin.ID{id("k-1", 3)})
			records[0].Event.UUID = "another"
			got, err := c.Deliver(t.Context(), checkin.Live, records)
			if want := []checkin.Ack{{ID: id("k-1", 3), Status: checkin.Conflict}}; !cmp.Equal(want, got) || err != nil {
				t.Errorf("Deliver() = %v, %v, want a conflict", got, err)
			}
		},
		"a platform that is busy": func(t *testing.T, c *backend.Client) {
			_, err := c.Deliver(t.Context(), checkin.Backlog, passages([]checkin.ID{id("k-1", 4)}))
			checkRefusal(t, err, backend.Refusal{Status: 503, After: time.Minute})
		},
		"a platform that has too much to do": func(t *testing.T, c *backend.Client) {
			_, err := c.Deliver(t.Context(), checkin.Backlog, passages([]checkin.ID{id("k-1", 5)}))
			checkRefusal(t, err, backend.Refusal{Status: 429, After: time.Second, Batch: 500})
		},
	})
}

func TestReportUnderTheTreaty(t *testing.T) {
	id := func(seq uint64) checkin.ID { return checkin.ID{Device: "k-1", Epoch: "e", Seq: seq} }
	brings := func(recipient string, records []checkin.Record, want ...checkin.Ack) func(*testing.T, *backend.Client) {
		return func(t *testing.T, c *backend.Client) {
			got, err := c.Report(t.Context(), recipient, records)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("Report() = %v (-want +got):\n%s", err, diff)
			}
		}
	}
	underTreaty(t, "reports.http", map[string]func(*testing.T, *backend.Client){
		"a refusal, and something that is none": brings("cdc", append(refusals(1), passages([]checkin.ID{id(2)})...),
			checkin.Ack{ID: id(1), Status: checkin.Stored},
			checkin.Ack{ID: id(2), Status: checkin.Rejected, Reason: "a report is of a refusal"}),
		"the same refusal for another recipient":      brings("venue-trade", refusals(1), checkin.Ack{ID: id(1), Status: checkin.Stored}),
		"a refusal that comes again beside a new one": brings("cdc", refusals(1, 3), checkin.Ack{ID: id(1), Status: checkin.Duplicate}, checkin.Ack{ID: id(3), Status: checkin.Stored}),
		"a recipient that nobody knows": func(t *testing.T, c *backend.Client) {
			_, err := c.Report(t.Context(), "nobody", refusals(1))
			checkRefusal(t, err, backend.Refusal{Status: 404})
			var refusal *backend.Refusal
			if errors.As(err, &refusal) && refusal.Permanent() {
				t.Error("a recipient that is not known today is given up for ever")
			}
		},
	})
}

// refusals are incident reports with a sealed identity each.
func refusals(seqs ...uint64) []checkin.Record {
	var records []checkin.Record
	for _, seq := range seqs {
		records = append(records, checkin.Record{
			Event: checkin.Event{
				Version: 2, ID: checkin.ID{Device: "k-1", Epoch: "e", Seq: seq}, UUID: fmt.Sprintf("u-%d", seq), Kind: checkin.KindRefusal,
				At:    checkin.Stamp{Wall: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), Boot: 1000, BootID: "b", Trusted: true},
				Venue: "v-1", Lane: "1", Direction: "in", Visit: "u-0",
				Verdict: &checkin.Decision{
					Outcome: checkin.Refused, Reason: checkin.CodeRed, Rule: "code-red", Policy: "p", PolicyVersion: 1,
					Mode: checkin.ModeOnline, Class: "office", Credential: checkin.ResidentID, Known: true, Colour: checkin.Red,
					Temperature: checkin.Unmeasured, Now: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), ClockOK: true,
				},
			},
			Identity: []byte("age-encryption.org/v1\n"), KeyID: "a1",
		})
	}
	return records
}

// passages are records without a person in them.
func passages(ids []checkin.ID) []checkin.Record {
	records := make([]checkin.Record, len(ids))
	for i, id := range ids {
		records[i] = checkin.Record{Event: checkin.Event{
			Version: 1, ID: id, UUID: fmt.Sprintf("u-%d", id.Seq), Kind: checkin.KindPassage,
			At:    checkin.Stamp{Wall: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), Boot: 1000, BootID: "b", Trusted: true},
			Venue: "v-1", Lane: "1", Direction: "in", Visit: "u-0", Passage: checkin.Taken,
		}}
	}
	return records
}

// epochKey is what the platform of the treaty tells.
var epochKey = [32]byte{0: 0xFF, 31: 1}

func TestEpochKeyUnderTheTreaty(t *testing.T) {
	refused := func(shard string, epoch uint64, want backend.Refusal) func(*testing.T, *backend.Client) {
		return func(t *testing.T, c *backend.Client) {
			key, err := c.EpochKey(t.Context(), shard, epoch)
			if key != [32]byte{} {
				t.Error("there is a key behind a refusal")
			}
			checkRefusal(t, err, want)
		}
	}
	underTreaty(t, "epoch.http", map[string]func(*testing.T, *backend.Client){
		"the key of an epoch": func(t *testing.T, c *backend.Client) {
			if key, err := c.EpochKey(t.Context(), "v-1", 7); key != epochKey || err != nil {
				t.Errorf("EpochKey() = %x, %v, want the platform's", key, err)
			}
		},
		"an epoch that is long over":                refused("v-1", 5, backend.Refusal{Status: 404, Type: api.UnknownEpoch}),
		"the shard of another venue":                refused("v-2", 7, backend.Refusal{Status: 403}),
		"a certificate of another kiosk, for a key": refused("v-1", 7, backend.Refusal{Status: 403}),
	})
}

func TestHeartbeatUnderTheTreaty(t *testing.T) {
	underTreaty(t, "heartbeat.http", map[string]func(*testing.T, *backend.Client){
		"a kiosk with an alarm": func(t *testing.T, c *backend.Client) {
			h := api.Heartbeat{Kiosk: "somebody else", Screen: "idle", Queue: 3, Devices: map[string]bool{"scanner": true}, Alarms: []string{"fire"}}
			if err := c.Heartbeat(t.Context(), h); err != nil {
				t.Error(err)
			}
		},
	})
}
