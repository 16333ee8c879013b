// Package screen is the visitor's page: one page on loopback that shows what
// the lane says, in zh and en together, by word, colour and shape.
//
// The server pushes whole views over server-sent events, never differences, so
// that a page that was away is right again after one event. Two things the
// page does alone, with no server at all: a verdict is taken away when its
// time is over, and after 15 s without a heartbeat the page says that the
// system is starting. A stale green screen is the one failure this page must
// never have.
package screen

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
)

// State is what the page shows (design, section 4).
type State string

// The states.
const (
	Starting     State = "starting"
	Idle         State = "idle"
	Reading      State = "reading"
	Asking       State = "asking"
	Closer       State = "closer"
	Granted      State = "granted"
	Refused      State = "refused"
	Manual       State = "manual"
	Assisted     State = "assisted"
	WaitHost     State = "wait-host"
	WrongCode    State = "wrong-code"
	OutOfService State = "out-of-service"
	Open         State = "open"
)

// States lists every state once.
func States() []State {
	return []State{
		Starting, Idle, Reading, Asking, Closer, Granted, Refused, Manual, Assisted,
		WaitHost, WrongCode, OutOfService, Open,
	}
}

// View is what the lane wants shown. It carries ids, never a person.
type View struct {
	State      State
	Reason     string        // id in the catalogue; empty: the state speaks for itself
	Phone      string        // whom to call when the verdict is manual; may be empty
	Reference  string        // what to name in an appeal; empty: there is nothing to appeal
	Offline    bool          // badge: the platform does not answer
	Scanner    bool          // a scanner is ready: show where to hold a code
	CardReader bool          // a card reader is ready: show where to lay a card
	For        time.Duration // the page takes the view away after so long; 0: it stays
}

// Opts is what stands on the page besides the view.
type Opts struct {
	Venue     string // name of the place, zh
	VenueEn   string
	Address   string
	Direction string // in or out
	// WaitAt says where those wait who are not let in, Appeal where they can
	// object; zh and en. Empty ones are not shown.
	WaitAt, WaitAtEn string
	Appeal, AppealEn string
}

// Server holds the present view and serves the page. The zero Server is not
// ready; use New.
type Server struct {
	o Opts

	mu    sync.Mutex
	view  View
	note  string
	since time.Time
	woken chan struct{}
}

// New returns a Server that shows the state starting.
func New(o Opts) *Server {
	return &Server{o: o, view: View{State: Starting}, since: time.Now(), woken: make(chan struct{})}
}

// Show replaces the view.
func (s *Server) Show(v View) { s.set(v, "") }

// Note puts a short word beside the view: "one moment, please". The next Show
// takes it away.
func (s *Server) Note(id string) {
	s.mu.Lock()
	v := s.view
	s.mu.Unlock()
	s.set(v, id)
}

// Handler serves the page at /, its parts below /static/, and the event
// stream at /events. Requests for another host, or from a page of another
// origin, are refused: a browser must not be talked into reading the screen.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /events", s.events)
	// By name: a folder would serve the page's bare template as its index.
	for _, name := range []string{"screen.css", "screen.js"} {
		mux.Handle("GET /static/"+name, http.FileServerFS(files))
	}
	return guard(mux)
}

//

//go:embed static
var files embed.FS

var index = template.Must(template.ParseFS(files, "static/index.html"))

// heartbeat is how often an idle stream speaks; the page gives up after three.
const heartbeat = 5 * time.Second

func (s *Server) set(v View, note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != v {
		s.since = time.Now()
	}
	s.view, s.note = v, note
	close(s.woken)
	s.woken = make(chan struct{})
}

// sent is a view as the page gets it, its words looked up.
type sent struct {
	State    State     `json:"state"`
	Reason   string    `json:"reason"`
	Headline [2]string `json:"headline"` // zh, en
	Text     [2]string `json:"text"`
	Note     [2]string `json:"note"`
	Phone    string    `json:"phone"`
	Ref      string    `json:"reference"`
	Offline  bool      `json:"offline"`
	Scanner  bool      `json:"scanner"`
	Card     bool      `json:"card"`
	// LeftMillis is how much longer the page may show this; 0: for ever.
	LeftMillis int64 `json:"left_ms"`
}

// render looks up the words of the present view. A verdict whose time is over
// is sent as idle: a page that comes late must not show an old green.
func (s *Server) render() (sent, <-chan struct{}) {
	s.mu.Lock()
	v, note, since, woken := s.view, s.note, s.since, s.woken
	s.mu.Unlock()
	left := time.Duration(0)
	if v.For > 0 {
		left = time.Until(since.Add(v.For))
		if left <= 0 {
			v = View{State: Idle, Offline: v.Offline, Scanner: v.Scanner, CardReader: v.CardReader}
			left = 0
		}
	}
	state, _ := catalogue.Get(string(v.State))
	text := state.Text
	if reason, ok := catalogue.Get(v.Reason); ok {
		text = reason.Text
	}
	word, _ := catalogue.Get(note)
	return sent{
		State: v.State, Reason: v.Reason,
		Headline: [2]string(state.Headline), Text: [2]string(text), Note: [2]string(word.Text),
		Phone: v.Phone, Ref: v.Reference, Offline: v.Offline, Scanner: v.Scanner, Card: v.CardReader,
		LeftMillis: left.Milliseconds(),
	}, woken
}

func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
	_ = index.Execute(w, s.o)
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	for {
		v, woken := s.render()
		body, err := json.Marshal(v)
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(w, "event: view\ndata: %s\n\n", body)
		if flush.Flush() != nil {
			return
		}
		if !beatUntil(r, w, woken) {
			return
		}
	}
}

// beatUntil sends heartbeats until woken; false means that the page hung up.
func beatUntil(r *http.Request, w http.ResponseWriter, woken <-chan struct{}) bool {
	flush := http.NewResponseController(w)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return false
		case <-woken:
			return true
		case <-tick.C:
			_, _ = fmt.Fprint(w, "event: heartbeat\ndata: {}\n\n")
			if flush.Flush() != nil {
				return false
			}
		}
	}
}

// guard lets through only requests that name this machine, and only from
// pages of this server.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) {
			http.Error(w, "this page answers only under a loopback address", http.StatusForbidden)
			return
		}
		if o := r.Header.Get("Origin"); o != "" {
			u, err := url.Parse(o)
			if err != nil || u.Host != r.Host {
				http.Error(w, "this page answers only its own scripts", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// loopback reports whether a Host header names this machine; a name that an
// attacker's DNS could point here does not.
func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
