package simulator

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Panel is the bench as a small web page: choose a person, hold up the code,
// pull a plug, and see what comes of it. Every button is one line of the
// scenario language, posted to /do.
type Panel struct {
	b *Bench

	mu     sync.Mutex // one line at a time
	player *player
}

// NewPanel makes the panel of a started bench.
func NewPanel(b *Bench) *Panel {
	return &Panel{b: b, player: &player{out: io.Discard, bench: b, start: time.Now(), at: time.Now(), passes: map[string]string{}}}
}

// Do carries out one line of the scenario language on the running bench.
func (p *Panel) Do(ctx context.Context, line string) error {
	step, err := parseStep(line)
	if err != nil || step == nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if step.Verb == "venue" || step.Verb == "profile" {
		return fmt.Errorf("%s is fixed once the bench runs; start it with --%s", step.Verb, step.Verb)
	}
	if step.stimulus() {
		p.b.facts.add(Fact{Kind: "stimulus", Text: step.Text})
	}
	return p.player.step(ctx, step)
}

// Handler serves the panel. Only pages of this server may post.
func (p *Panel) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, panelFiles, "static/panel.html")
	})
	mux.Handle("GET /static/", http.FileServerFS(panelFiles))
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("POST /do", p.do)
	return http.NewCrossOriginProtection().Handler(mux)
}

//

//go:embed static
var embedded embed.FS

var panelFiles = fs.FS(embedded)

// maxLine bounds a posted line.
const maxLine = 8 << 10

func (p *Panel) do(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLine))
	if err != nil {
		http.Error(w, "a line of at most 8 kB", http.StatusRequestEntityTooLarge)
		return
	}
	if err := p.Do(r.Context(), string(body)); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// panelState is what the page shows.
type panelState struct {
	People    []panelPerson `json:"people"`
	Devices   []panelDevice `json:"devices"`
	Facts     []panelFact   `json:"facts"`
	Agent     bool          `json:"agent"`
	Platform  string        `json:"platform"`
	Gate      string        `json:"gate"`
	GateOpen  bool          `json:"gate_open"`
	Screen    string        `json:"screen"`
	Reason    string        `json:"reason"`
	Spoken    string        `json:"spoken"`
	Stored    int           `json:"stored"`
	Delivered int           `json:"delivered"`
	Duplicate int           `json:"duplicate"`
	ScreenURL string        `json:"screen_url"`
}

type panelPerson struct {
	Ref   string `json:"ref"`
	Label string `json:"label"`
}

type panelDevice struct {
	Name    string `json:"name"`
	Plugged bool   `json:"plugged"`
}

type panelFact struct {
	At       string `json:"at"`
	Text     string `json:"text"`
	Stimulus bool   `json:"stimulus"`
}

// events streams the state: at each fact, and every second because counters
// move by themselves.
func (p *Panel) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	seen := max(0, p.b.facts.mark()-100)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		list, more := p.b.facts.after(seen)
		seen += len(list)
		body, err := json.Marshal(p.state(r.Context(), list))
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(w, "event: state\ndata: %s\n\n", body)
		if flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		case <-tick.C:
		}
	}
}

func (p *Panel) state(ctx context.Context, list []Fact) panelState {
	s := panelState{
		People: p.b.people(), Devices: p.b.panelDevices(), Platform: p.b.platformState(),
		Agent: p.b.agentRuns(), GateOpen: p.b.gateOpen(), ScreenURL: p.b.ScreenURL(),
	}
	s.Gate = map[bool]string{false: "closed 关", true: "open 开"}[s.GateOpen]
	if !p.b.hasGate() {
		s.Gate = "this profile has no gate"
	}
	last := p.b.last()
	s.Screen, s.Reason, s.Spoken = last.screen, last.reason, last.spoken
	if n, err := p.b.records(ctx); err == nil {
		s.Stored, s.Delivered, s.Duplicate = n.stored, n.delivered, n.duplicate
	}
	for _, f := range list {
		text := f.String()
		if f.Kind == "stimulus" {
			text = "▶ " + f.Text
		}
		s.Facts = append(s.Facts, panelFact{f.At.Format("15:04:05.000"), text, f.Kind == "stimulus"})
	}
	slices.SortFunc(s.People, func(a, b panelPerson) int { return strings.Compare(a.Ref, b.Ref) })
	return s
}
