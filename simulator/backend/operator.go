package backend

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// Desk answers an operator: from a store, or over the socket of the platform
// that has it.
type Desk interface {
	Who(ctx context.Context, q Question, yield func(checkin.Record) error) (rows int, err error)
	Tallies(ctx context.Context, q Question) ([]Shown, error)
	// Audit gives the verified audit trail, and its last entry.
	Audit(ctx context.Context, yield func(Entry) error) (Entry, error)
	Close() error
}

// OpenDesk opens the store of spec, or asks the platform that has it open. It
// makes no store: a question to an empty one would be answered with nobody.
func OpenDesk(spec string) (Desk, error) {
	path, ok := cutBolt(spec)
	if !ok {
		return nil, fmt.Errorf("%q is no store that can be asked; name the platform's bolt:PATH", spec)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("no store to ask: %w", err)
	}
	s, err := OpenStore(spec)
	if err == nil {
		return StoreDesk{s}, nil
	}
	socket := Socket(spec)
	if !errors.Is(err, ErrLocked) {
		return nil, err
	}
	conn, dialed := net.Dial("unix", socket)
	if dialed != nil {
		return nil, fmt.Errorf("%w, and none answers at %s: ask as the user who runs it, or stop it and ask again", err, socket)
	}
	return newRemoteDesk(socket), conn.Close()
}

// Socket is where a platform with the store of spec answers its operator; empty
// for a store without a file.
func Socket(spec string) string {
	if path, ok := cutBolt(spec); ok {
		return path + ".sock"
	}
	return ""
}

// StoreDesk answers from a store.
type StoreDesk struct{ Store }

// Who answers who was at a venue.
func (d StoreDesk) Who(ctx context.Context, q Question, yield func(checkin.Record) error) (int, error) {
	return Who(ctx, d.Store, q, yield)
}

// Tallies answers how many came.
func (d StoreDesk) Tallies(ctx context.Context, q Question) ([]Shown, error) {
	return Tallies(ctx, d.Store, q)
}

// Audit gives the verified audit trail.
func (d StoreDesk) Audit(ctx context.Context, yield func(Entry) error) (Entry, error) {
	return VerifyTrail(ctx, d.Store, yield)
}

// ServeOperator answers on the socket until ctx ends. Only this user may ask.
// The caller has the store open: whoever left a socket behind is gone.
func ServeOperator(ctx context.Context, d Desk, socket string) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("opening the operator's socket: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	s := &http.Server{Handler: operator(d), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

//

// line is one line of an answer over the socket. The last one has Done or Error.
type line struct {
	Record *checkin.Record `json:"record,omitempty"`
	Shown  *Shown          `json:"shown,omitempty"`
	Entry  *Entry          `json:"entry,omitempty"`
	Rows   int             `json:"rows,omitempty"`
	Done   bool            `json:"done,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// operator answers with lines of JSON.
func operator(d Desk) http.Handler {
	mux := http.NewServeMux()
	answer := func(f func(ctx context.Context, q Question, out *json.Encoder) line) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var q Question
			if !read(w, r, maxQuestion, &q) {
				return
			}
			out := json.NewEncoder(w)
			_ = out.Encode(f(r.Context(), q, out))
		}
	}
	mux.HandleFunc("POST /who", answer(func(ctx context.Context, q Question, out *json.Encoder) line {
		rows, err := d.Who(ctx, q, func(r checkin.Record) error { return out.Encode(line{Record: &r}) })
		return last(line{Rows: rows}, err)
	}))
	mux.HandleFunc("POST /counts", answer(func(ctx context.Context, q Question, out *json.Encoder) line {
		list, err := d.Tallies(ctx, q)
		for i := range list {
			err = firstError(err, out.Encode(line{Shown: &list[i]}))
		}
		return last(line{}, err)
	}))
	mux.HandleFunc("POST /audit", answer(func(ctx context.Context, _ Question, out *json.Encoder) line {
		e, err := d.Audit(ctx, func(e Entry) error { return out.Encode(line{Entry: &e}) })
		return last(line{Entry: &e}, err)
	}))
	return mux
}

func last(l line, err error) line {
	l.Done = err == nil
	if err != nil {
		l.Error = err.Error()
	}
	return l
}

// remoteDesk asks over a socket.
type remoteDesk struct{ http *http.Client }

func newRemoteDesk(socket string) remoteDesk {
	return remoteDesk{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}}
}

// Who asks who was at a venue.
func (d remoteDesk) Who(ctx context.Context, q Question, yield func(checkin.Record) error) (int, error) {
	end, err := d.ask(ctx, "who", q, func(l line) error {
		if l.Record == nil {
			return errAnswer
		}
		return yield(*l.Record)
	})
	return end.Rows, err
}

// Tallies asks how many came.
func (d remoteDesk) Tallies(ctx context.Context, q Question) ([]Shown, error) {
	var list []Shown
	_, err := d.ask(ctx, "counts", q, func(l line) error {
		if l.Shown == nil {
			return errAnswer
		}
		list = append(list, *l.Shown)
		return nil
	})
	return list, err
}

// Audit asks for the verified audit trail.
func (d remoteDesk) Audit(ctx context.Context, yield func(Entry) error) (Entry, error) {
	end, err := d.ask(ctx, "audit", Question{}, func(l line) error {
		if l.Entry == nil {
			return errAnswer
		}
		return yield(*l.Entry)
	})
	if err != nil || end.Entry == nil {
		return Entry{}, err
	}
	return *end.Entry, nil
}

// Close ends the connection.
func (d remoteDesk) Close() error {
	d.http.CloseIdleConnections()
	return nil
}

// maxLine bounds a line of an answer, in bytes.
const maxLine = 16 << 20

var errAnswer = errors.New("the platform's answer is not of this program's version: ask with the program that runs it")

// ask gives each line but the last to yield, and returns that one.
func (d remoteDesk) ask(ctx context.Context, what string, q Question, yield func(line) error) (line, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return line{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://platform/"+what, bytes.NewReader(body))
	if err != nil {
		return line{}, err
	}
	resp, err := d.http.Do(r)
	if err != nil {
		return line{}, fmt.Errorf("asking the running platform: %w", err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			return line{}, errAnswer
		}
		switch {
		case l.Error != "":
			return l, errors.New(l.Error)
		case l.Done:
			return l, nil
		}
		if err := yield(l); err != nil {
			return line{}, err
		}
	}
	return line{}, errors.Join(errors.New("the running platform broke off its answer: ask again"), lines.Err())
}

var (
	_ Desk = StoreDesk{}
	_ Desk = remoteDesk{}
)
