package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// Bounds of what a kiosk may send.
const (
	maxQuestion = 16 << 10
	maxBatch    = 8 << 20
)

// Handler answers the whole API of version 1. Behind mutual TLS the kiosk is
// who its certificate says; without TLS (a test) it is who it says it is.
func (p *Platform) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/verify", p.verify)
	mux.HandleFunc("POST /v1/checkins", p.checkins)
	mux.HandleFunc("POST /v1/reports", p.report)
	mux.HandleFunc("POST /v1/heartbeat", p.heartbeat)
	mux.HandleFunc("POST /v1/time", p.time)
	mux.HandleFunc("POST /v1/epoch", p.epochKey)
	mux.HandleFunc("/tuf/", p.published)
	mux.HandleFunc("/feed/", p.published)
	mux.HandleFunc("GET /v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(api.Spec)
	})
	return mux
}

//

func (p *Platform) verify(w http.ResponseWriter, r *http.Request) {
	var q api.VerifyRequest
	if !read(w, r, maxQuestion, &q) || !isKiosk(w, r, q.Kiosk) {
		return
	}
	cred := checkin.Credential{Kind: checkin.Kind(q.Kind), Value: q.Value}
	if !asked(cred.Kind) || len(q.Nonce) != 16 || q.Value == "" {
		refuse(w, http.StatusBadRequest, "about:blank", "kind, value or nonce is not what the contract says")
		return
	}
	person, old, ok := p.find(cred, &q)
	if !ok {
		refuse(w, http.StatusNotFound, api.UnknownCredential, "nobody has this code or number")
		return
	}
	s := p.statement(person, old, question{q.Nonce, cred.Key(), q.Venue, q.Kiosk})
	lieOf(r.Context()).spoil(s)
	raw, err := signed.Sign(p.o.Key, p.o.KeyID, s)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "about:blank", "signing is not possible")
		return
	}
	if p.o.OnVerify != nil {
		p.o.OnVerify()
	}
	w.Header().Set("Content-Type", api.COSE)
	_, _ = w.Write(lieOf(r.Context()).strip(raw))
}

// asked reports whether the contract lets a kiosk ask about this kind.
func asked(k checkin.Kind) bool {
	return k.Online() || k == checkin.SignedCode || k == checkin.VisitorPass
}

func (p *Platform) checkins(w http.ResponseWriter, r *http.Request) {
	var batch api.CheckinsRequest
	if !read(w, r, maxBatch, &batch) || tooMany(w, len(batch.Records)) {
		return
	}
	p.answer(w, r, Checkins, batch.Records)
}

// tooMany refuses a batch that is larger than the contract allows.
func tooMany(w http.ResponseWriter, records int) bool {
	if records > api.MaxBatch {
		refuse(w, http.StatusRequestEntityTooLarge, "about:blank", fmt.Sprintf("at most %d records a call", api.MaxBatch))
	}
	return records > api.MaxBatch
}

// answer keeps the records of a batch, and says of each what became of it. A
// bad one never spoils the others; nothing is said before the store holds them.
func (p *Platform) answer(w http.ResponseWriter, r *http.Request, box string, list []json.RawMessage) {
	batch := Batch{Box: box, Received: p.o.Now()}
	acks, kiosk := []checkin.Ack{}, commonName(r)
	var asked []int // place in acks of each record of the batch
	for _, raw := range list {
		record, ack, ok := take(raw, kiosk, box)
		if !ok {
			continue // without an identity there is nobody to answer to
		}
		if ack.Status == "" {
			asked, batch.Records = append(asked, len(acks)), append(batch.Records, record)
		}
		acks = append(acks, ack)
	}
	outcomes, err := p.o.Store.Keep(r.Context(), batch)
	if err != nil {
		refuseLater(w, http.StatusServiceUnavailable, api.Refusal{Type: "about:blank", Title: "the records cannot be stored now"}, storePause)
		return
	}
	for i, o := range outcomes {
		if o != Conflict { // which comes again, as another one
			p.heard(box, batch.Records[i], o != Kept)
		}
		acks[asked[i]].Status = o.status()
	}
	w.Header().Set("Content-Type", api.JSON)
	_ = json.NewEncoder(w).Encode(struct {
		Results []checkin.Ack `json:"results"`
	}{acks})
}

// status is the outcome in the words of the contract.
func (o Outcome) status() checkin.AckStatus {
	switch o {
	case Kept:
		return checkin.Stored
	case Conflict:
		return checkin.Conflict
	default:
		return checkin.Duplicate
	}
}

// storePause is how long a kiosk waits for a store that cannot be written.
const storePause = 30 * time.Second

// heard tells the hooks of a record that has arrived.
func (p *Platform) heard(box string, r checkin.Record, again bool) {
	switch {
	case box != Checkins && p.o.OnReport != nil:
		p.o.OnReport(box, r, again)
	case box == Checkins && p.o.OnRecord != nil:
		p.o.OnRecord(r, again)
	}
}

// take reads one record; its answer has no status yet if it can be kept.
func take(raw json.RawMessage, kiosk, box string) (checkin.Record, checkin.Ack, bool) {
	rejected := func(id checkin.ID, why string) checkin.Ack {
		return checkin.Ack{ID: id, Status: checkin.Rejected, Reason: why}
	}
	r, err := checkin.DecodeRecord(raw)
	if err != nil {
		var id struct{ Event struct{ ID checkin.ID } }
		if json.Unmarshal(raw, &id) != nil || id.Event.ID.Seq == 0 {
			return checkin.Record{}, checkin.Ack{}, false
		}
		return checkin.Record{}, rejected(id.Event.ID, err.Error()), true
	}
	why := wrong(r, kiosk)
	if why == "" && box != Checkins && r.Event.Kind != checkin.KindRefusal {
		why = "a report is of a refusal"
	}
	if why != "" {
		return checkin.Record{}, rejected(r.Event.ID, why), true
	}
	return *r, checkin.Ack{ID: r.Event.ID}, true
}

func (p *Platform) heartbeat(w http.ResponseWriter, r *http.Request) {
	var h api.Heartbeat
	if !read(w, r, maxQuestion, &h) || !isKiosk(w, r, h.Kiosk) {
		return
	}
	w.Header().Set("Content-Type", api.JSON)
	_, _ = w.Write([]byte("{}\n"))
}

// epochKey tells a kiosk the key of a shard's fingerprints. It is the one
// secret that kiosks are given: over mutual TLS, and to be kept in memory only.
func (p *Platform) epochKey(w http.ResponseWriter, r *http.Request) {
	var q api.EpochRequest
	if !read(w, r, maxQuestion, &q) || !isKiosk(w, r, q.Kiosk) {
		return
	}
	u := p.publisher.Load()
	if u != nil && u.o.May != nil && !u.o.May(q.Kiosk, q.Shard) {
		refuse(w, http.StatusForbidden, "about:blank", "this shard is not for this kiosk")
		return
	}
	var key [32]byte
	ok := false
	if u != nil {
		key, ok = u.EpochKey(q.Shard, q.Epoch)
	}
	if !ok {
		refuse(w, http.StatusNotFound, api.UnknownEpoch, "nobody here knows this shard or epoch")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", api.JSON)
	_ = json.NewEncoder(w).Encode(api.EpochAnswer{Key: key[:]})
}

// published serves the signed cache, if there is one.
func (p *Platform) published(w http.ResponseWriter, r *http.Request) {
	if u := p.publisher.Load(); u != nil {
		u.serveFile(w, r)
		return
	}
	refuse(w, http.StatusNotFound, "about:blank", "nothing is published here")
}

// read decodes a bounded JSON body, or refuses.
func read[T any](w http.ResponseWriter, r *http.Request, limit int64, into *T) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit)).Decode(into)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, "about:blank", "the body is too large")
		return false
	case err != nil:
		refuse(w, http.StatusBadRequest, "about:blank", "the body is not the JSON of the contract")
		return false
	}
	return true
}

// isKiosk refuses a question in another kiosk's name.
func isKiosk(w http.ResponseWriter, r *http.Request, claimed string) bool {
	if name := commonName(r); name != "" && name != claimed {
		refuse(w, http.StatusForbidden, "about:blank", "the certificate is another kiosk's")
		return false
	}
	return true
}

// commonName is who the client's certificate says it is; empty without TLS.
func commonName(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	return r.TLS.PeerCertificates[0].Subject.CommonName
}

func refuse(w http.ResponseWriter, status int, kind, title string) {
	refuseLater(w, status, api.Refusal{Type: kind, Title: title}, 0)
}

func refuseLater(w http.ResponseWriter, status int, body api.Refusal, after time.Duration) {
	w.Header().Set("Content-Type", api.Problem)
	if after > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(after.Seconds()+0.999)))
		body.RetryAfterMillis = after.Milliseconds()
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
