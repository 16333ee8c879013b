package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Control answers on the control socket: HTTP and JSON, for the commands, the
// bench and the operator's tools of this machine.
//
//	GET  /v1/status        Status
//	GET  /v1/events?since= happenings after that number, one JSON object a
//	                       line, until the caller hangs up; an empty line every
//	                       five seconds tells that the stream lives
//	POST /v1/halt          gate to rest, lane closed until a restart
//	POST /v1/fire/reset    a person says that the fire is over
//	POST /v1/cache/refresh fetches the signed cache now
//	POST /v1/queue/requeue lets the dead of the queue wait again; answers
//	                       {"records": N}
//	POST /v1/guard         a guard's Word; answers WordAnswer
//	POST /v1/car           a Vehicle arrives or leaves; answers {"group": "…"}
//
// A refusal is {"error": "…"} with status 409.
func (a *Agent) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, a.Status())
	})
	mux.HandleFunc("GET /v1/events", a.streamEvents)
	mux.HandleFunc("POST /v1/halt", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, a.Halt())
	})
	mux.HandleFunc("POST /v1/fire/reset", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, a.gate.resetFire())
	})
	mux.HandleFunc("POST /v1/cache/refresh", func(w http.ResponseWriter, r *http.Request) {
		if a.o.RefreshNow == nil {
			answer(w, errors.New("this kiosk has no signed cache: trust.root is not configured"))
			return
		}
		answer(w, a.o.RefreshNow(r.Context()))
	})
	mux.HandleFunc("POST /v1/queue/requeue", func(w http.ResponseWriter, r *http.Request) {
		n, err := a.o.Queue.Requeue(r.Context())
		if err != nil {
			answer(w, err)
			return
		}
		writeJSON(w, http.StatusOK, map[string]int{"records": n})
	})
	mux.HandleFunc("POST /v1/guard", func(w http.ResponseWriter, r *http.Request) {
		said(w, r, a.Guard)
	})
	mux.HandleFunc("POST /v1/car", func(w http.ResponseWriter, r *http.Request) {
		said(w, r, func(ctx context.Context, v Vehicle) (map[string]string, error) {
			group, err := a.Vehicle(ctx, v)
			return map[string]string{"group": group}, err
		})
	})
	return mux
}

//

// beat is how often an idle event stream says that it lives.
const beat = 5 * time.Second

func (a *Agent) streamEvents(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.ParseUint(r.FormValue("since"), 10, 64)
	if err != nil && r.FormValue("since") != "" {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "since is not a number"})
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	for {
		batch, more := a.hub.since(since)
		for _, e := range batch {
			if json.NewEncoder(w).Encode(e) != nil {
				return
			}
			since = e.Seq
		}
		if flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		case <-time.After(beat):
			_, _ = w.Write([]byte("\n"))
		}
	}
}

// maxSaid bounds what is said on the control socket.
const maxSaid = 16 << 10

// said reads what somebody says, does it, and answers what came of it.
func said[T, A any](w http.ResponseWriter, r *http.Request, do func(context.Context, T) (A, error)) {
	// It may name a person. The buffer that it was read into is held as long as
	// the connection is open.
	w.Header().Set("Connection", "close")
	var v T
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSaid))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "this is not the JSON of this call: " + err.Error()})
		return
	}
	a, err := do(r.Context(), v)
	if err != nil {
		answer(w, err)
		return
	}
	writeJSON(w, http.StatusOK, a)
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		writeJSON(w, http.StatusConflict, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]bool{"ok": true})
}

func writeJSON[T any](w http.ResponseWriter, status int, v T) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
