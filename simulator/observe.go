package simulator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/digital-sentinel/sentinel/agent"
)

// observer follows the agent's control socket, over one life of the agent
// after the other, and writes what it sees into the facts.
type observer struct {
	facts  *facts
	client *http.Client
	dial   func(ctx context.Context) (net.Conn, error)

	mu   sync.Mutex
	last lastSeen
	runs bool
}

// lastSeen is what the panel shows of the agent.
type lastSeen struct{ screen, reason, spoken string }

func newObserver(f *facts) *observer {
	o := &observer{facts: f}
	o.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return o.dial(ctx) },
	}}
	return o
}

// follow reads the event stream until ctx ends; an agent that is not there, or
// is gone, is looked for again.
func (o *observer) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := o.follow1(ctx)
		if o.setRuns(false) {
			o.facts.add(Fact{Kind: "agent", State: "gone"})
		}
		if err == nil || sleep(ctx, 20*time.Millisecond) != nil {
			continue
		}
	}
	o.client.CloseIdleConnections()
}

// follow1 follows one life of the agent.
func (o *observer) follow1(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sentinel/v1/events?since=0", nil)
	if err != nil {
		return err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	o.setRuns(true)
	o.facts.add(Fact{Kind: "agent", State: "running"})
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		var h agent.Happening
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
			return fmt.Errorf("event stream: %w", err)
		}
		o.see(h)
	}
	return nil
}

func (o *observer) setRuns(now bool) (was bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was, o.runs = o.runs, now
	return was
}

// see turns a happening into a fact. What the agent says that it spoke or
// released is left out: the far ends tell that.
func (o *observer) see(h agent.Happening) {
	switch h.Type {
	case "screen":
		o.mu.Lock()
		o.last.screen, o.last.reason = h.State, string(h.Reason)
		o.mu.Unlock()
		o.facts.add(Fact{Kind: "screen", Name: h.State, Reason: string(h.Reason)})
	case "verdict":
		o.facts.add(Fact{Kind: "verdict", Outcome: string(h.Outcome), Reason: string(h.Reason), Mode: string(h.Mode), Took: h.TookMicros})
	case "device":
		o.facts.add(Fact{Kind: "device", Name: h.Device, State: h.State})
	case "alarm":
		o.facts.add(Fact{Kind: "alarm", Name: h.Name, State: h.State})
	case "note", "passage", "mode", "call", "vehicle":
		o.facts.add(Fact{Kind: h.Type, Name: h.Name, State: h.State, Mode: string(h.Mode)})
	}
}

// status asks the agent how it is.
func (o *observer) status(ctx context.Context) (agent.Status, error) {
	var s agent.Status
	answer, err := o.ask(ctx, http.MethodGet, "/v1/status", nil)
	if err == nil {
		err = json.Unmarshal(answer, &s)
	}
	return s, err
}

// ask makes one request on the control socket and returns the answer; a
// refusal is an error with its text.
func (o *observer) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://sentinel"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the agent does not answer: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("the agent does not answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var refusal struct{ Error string }
		_ = json.Unmarshal(answer, &refusal)
		return nil, fmt.Errorf("the agent refuses: %s", refusal.Error)
	}
	return answer, nil
}
