// Package backend is the kiosk's side of the platform API, version 1: JSON
// over HTTP/2 with mutual TLS, one connection kept. It believes nothing that
// is not signed for this question, reads no more than it must, and answers
// within its time-out whatever the platform does.
//
// No error of this package holds a credential, a name or a number.
package backend

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// Opts is what a Client is made of.
type Opts struct {
	URL     string      // https address of the platform
	TLS     *tls.Config // with the platform's CA and the kiosk's certificate
	Keys    signed.Keys // that sign statements
	Venue   string
	Kiosk   string
	Lane    string
	Version string // of this program, for the User-Agent
	Clock   *clock.Clock
	// Recovered hears that the platform's time has taken back one that was
	// driven ahead; nil hears nothing.
	Recovered func()
	Timeout   time.Duration // of one question; 0 is two seconds
	// Dial opens the connection; nil dials the network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Client asks the platform. It is safe for concurrent use.
type Client struct {
	o       Opts
	longest atomic.Int64 // of the questions about somebody since the last heartbeat
	base    *url.URL
	http    *http.Client
}

// Limits of what is read and waited for.
const (
	defaultTimeout = 2 * time.Second
	deliverTimeout = 30 * time.Second
	keyTimeout     = 5 * time.Second
	maxAnswer      = 1 << 20
	maxKeyAnswer   = 4 << 10
	maxStale       = 5 * time.Minute // between a statement and our clock
)

// New makes a Client. Nothing is sent before the first call.
func New(o Opts) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("platform address %q is not https", o.URL)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	transport := &http.Transport{
		TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, DialContext: o.Dial,
		Proxy:           nil, // a kiosk's environment must not redirect its questions
		IdleConnTimeout: 5 * time.Minute, MaxIdleConnsPerHost: 2,
		TLSHandshakeTimeout: 5 * time.Second, DisableCompression: true,
		MaxResponseHeaderBytes: 16 << 10,
		HTTP2: &http.HTTP2Config{
			// A connection that a router has forgotten is found by its silence.
			SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second,
		},
	}
	return &Client{o: o, base: base, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close ends the kept connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Verify asks who holds cred. The status is Known, or there is an error; Why
// names its reason.
func (c *Client) Verify(ctx context.Context, cred checkin.Credential) (checkin.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	asked := time.Now()
	raw, err := c.post(ctx, call{path: "/v1/verify", accept: api.COSE, limit: signed.MaxSize, person: true}, api.VerifyRequest{
		Kind: string(cred.Kind), Value: cred.Value, Venue: c.o.Venue, Kiosk: c.o.Kiosk,
		Lane: c.o.Lane, Nonce: nonce,
	})
	if err != nil {
		return checkin.Status{}, err
	}
	s, err := signed.Open(c.o.Keys, raw)
	if err != nil {
		return checkin.Status{}, fmt.Errorf("the platform's statement: %w", err)
	}
	hash := cred.Key()
	if err := s.Bound(nonce, hash[:], c.o.Venue, c.o.Kiosk); err != nil {
		return checkin.Status{}, fmt.Errorf("the platform's statement: %w", err)
	}
	if !timely(s) {
		return checkin.Status{}, errStale
	}
	c.answered(time.Unix(s.Time, 0), time.Since(asked))
	return status(s), nil
}

// Deliver brings records of one traffic, and returns the platform's answer for
// each. Whatever is not Live is sent as backlog.
func (c *Client) Deliver(ctx context.Context, t checkin.Traffic, records []checkin.Record) ([]checkin.Ack, error) {
	list, err := encode(records)
	if err != nil {
		return nil, err
	}
	priority := api.BacklogPriority
	if t == checkin.Live {
		priority = api.LivePriority
	}
	return c.deliver(ctx, call{path: "/v1/checkins", priority: priority}, api.CheckinsRequest{Records: list})
}

// Report brings refusals to one recipient, and returns his answer for each.
func (c *Client) Report(ctx context.Context, recipient string, records []checkin.Record) ([]checkin.Ack, error) {
	list, err := encode(records)
	if err != nil {
		return nil, err
	}
	return c.deliver(ctx, call{path: "/v1/reports"}, api.ReportsRequest{Recipient: recipient, Records: list})
}

// Heartbeat tells the platform how the kiosk is. It is at least as long as every
// question about somebody before it: the buffers of a connection keep what was
// written last, and this writes over it.
func (c *Client) Heartbeat(ctx context.Context, h api.Heartbeat) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	h.Kiosk, h.Lane, h.Version = c.o.Kiosk, c.o.Lane, c.o.Version
	longest := c.longest.Swap(0)
	_, err := c.post(ctx, call{path: "/v1/heartbeat", limit: maxAnswer, length: int(longest)}, h)
	if err != nil {
		c.about(longest)
	}
	return err
}

// EpochKey asks for the key of a shard's fingerprints in one epoch. It is a
// secret: it stays in memory, and no error holds it.
func (c *Client) EpochKey(ctx context.Context, shard string, epoch uint64) (key [32]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	raw, err := c.post(ctx, call{path: "/v1/epoch", accept: api.JSON, limit: maxKeyAnswer}, api.EpochRequest{Kiosk: c.o.Kiosk, Shard: shard, Epoch: epoch})
	if err != nil {
		return key, err
	}
	var answer api.EpochAnswer
	if err := json.Unmarshal(raw, &answer); err != nil || len(answer.Key) != len(key) {
		return key, errKey // the decoder's own words might repeat the key
	}
	return [32]byte(answer.Key), nil
}

// Refusal is an answer that is not 200.
type Refusal struct {
	Status int
	Type   string // one of the contract's, or empty
	After  time.Duration
	Batch  int
}

// Error gives the status and none of the platform's own words: they go into
// logs, and could repeat the credential.
func (r *Refusal) Error() string {
	return fmt.Sprintf("the platform refuses: %d %s", r.Status, http.StatusText(r.Status))
}

// RetryAfter is how long the platform wants to be left alone.
func (r *Refusal) RetryAfter() time.Duration { return r.After }

// MaxBatch is how many records it takes at a time; 0 says nothing.
func (r *Refusal) MaxBatch() int { return r.Batch }

// Permanent reports whether the same request can never succeed. A certificate
// that is refused today may be good tomorrow: 401 and 403 are not permanent.
func (r *Refusal) Permanent() bool {
	switch r.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// Why names the reason that a visitor is given for an error of Verify.
func Why(err error) checkin.Reason {
	var refusal *Refusal
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound && refusal.Type == api.UnknownCredential {
		return checkin.NoStatus
	}
	return checkin.PlatformUnreachable
}

//

func encode(records []checkin.Record) ([]json.RawMessage, error) {
	var list []json.RawMessage
	for i := range records {
		b, err := checkin.EncodeRecord(&records[i])
		if err != nil {
			return nil, fmt.Errorf("encoding a record: %w", err)
		}
		list = append(list, b)
	}
	return list, nil
}

// deliver sends a batch, and reads the answer for each of its records.
func (c *Client) deliver(ctx context.Context, to call, batch any) ([]checkin.Ack, error) {
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	to.accept, to.limit = api.JSON, maxAnswer
	raw, err := c.post(ctx, to, batch)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []checkin.Ack `json:"results"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("the platform's answer is not what the contract says: %w", err)
	}
	return answer.Results, nil
}

// errKey is an answer without one.
var errKey = errors.New("the platform's answer has no key of 32 bytes")

// errStale is a statement about another time.
var errStale = errors.New("the platform's statement is stale or not yet valid")

// timely reports whether a statement is of its own time: the platform's clock
// stands beside it, and our nonce vouches that both are of now. Our own clock
// has no say: it may be wrong.
func timely(s *signed.Statement) bool {
	now, asOf, until := time.Unix(s.Time, 0), time.Unix(s.AsOf, 0), time.Unix(s.ValidUntil, 0)
	return now.Sub(asOf) <= maxStale && asOf.Sub(now) <= maxStale && !now.After(until.Add(maxStale))
}

// status turns a statement into what the core knows.
func status(s *signed.Statement) checkin.Status {
	return checkin.Status{
		Known: true, Mode: checkin.ModeOnline,
		Colour: checkin.Colour(s.Colour), NAT: checkin.Result(s.NAT),
		Sampled: moment(s.Sampled), Reported: moment(s.Reported),
		Antigen: checkin.Result(s.Antigen), Host: checkin.Consent(s.Host),
		RegisterFirst: s.RegisterFirst, ControlList: s.ControlList, CodeExpired: s.CodeExpired,
		MaskedName: s.MaskedName, AsOf: moment(s.AsOf), ValidUntil: moment(s.ValidUntil),
	}
}

func moment(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}

// call is one question of the contract.
type call struct {
	path     string
	accept   string // media type of the answer; empty: nobody reads it
	limit    int64  // of the answer, in bytes
	length   int    // of the question at least, in bytes
	person   bool   // the question is about somebody
	priority string // header of that name; empty: none
}

// post sends body and returns the answer, if it is 200, of the media type and
// no longer than the limit.
func (c *Client) post(ctx context.Context, to call, body any) ([]byte, error) {
	payload, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	if to.person {
		c.about(int64(len(payload)))
	}
	if short := to.length - len(payload); short > 0 {
		payload = append(payload, bytes.Repeat([]byte{' '}, short)...)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(to.path).String(), bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", api.JSON)
	req.Header.Set("User-Agent", "digital-sentinel/"+c.o.Version)
	if to.accept != "" {
		req.Header.Set("Accept", to.accept)
	}
	if to.priority != "" {
		req.Header.Set(api.Priority, to.priority)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the platform: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, to.limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the platform's answer: %w", err)
	case int64(len(answer)) > to.limit:
		return nil, fmt.Errorf("the platform's answer is longer than %d bytes", to.limit)
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(resp, answer)
	case to.accept != "" && resp.Header.Get("Content-Type") != to.accept:
		return nil, fmt.Errorf("the platform's answer is not %s", to.accept)
	}
	return answer, nil
}

// about notes the length of a question about somebody.
func (c *Client) about(length int64) {
	for was := c.longest.Load(); length > was && !c.longest.CompareAndSwap(was, length); {
		was = c.longest.Load()
	}
}

// refusal reads what an answer that is not 200 says: known fields only, and
// bounded.
func refusal(resp *http.Response, body []byte) error {
	r := &Refusal{Status: resp.StatusCode}
	var said api.Refusal
	if json.Unmarshal(body, &said) == nil {
		r.Batch = max(0, said.MaxBatch)
		if said.Type == api.UnknownCredential || said.Type == api.UnknownEpoch {
			r.Type = said.Type
		}
		if said.RetryAfterMillis > 0 && said.RetryAfterMillis < int64(24*time.Hour/time.Millisecond) {
			r.After = time.Duration(said.RetryAfterMillis) * time.Millisecond
		}
	}
	// A date in Retry-After would trust our clock: seconds only.
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 && s < 86400 && r.After == 0 {
		r.After = time.Duration(s) * time.Second
	}
	return r
}
