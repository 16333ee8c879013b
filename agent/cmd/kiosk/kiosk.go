// Package kiosk puts a kiosk together from its configuration: the one place
// where agent, drivers, configuration and platform meet. main calls it with
// the machine's wires and clock; the bench's memory front calls the same code
// with its own.
package kiosk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/eventlog"
	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/agent/screen"
	"github.com/digital-sentinel/sentinel/agent/signed"
	"github.com/digital-sentinel/sentinel/agent/verify"
	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/drivers"
)

// Env is what a kiosk takes from the machine it runs on.
type Env struct {
	Version string
	Wires   drivers.Wires
	Clock   *clock.Clock
	Log     *slog.Logger
	// Dial opens connections to the platform; nil dials the network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// CheckQueue looks at a file of the queue in a child process, which a damaged
	// file may end; nil looks from this one.
	CheckQueue func(path string) error
	// Scrub is agent.Opts.Scrub: nil where others live in the same memory.
	Scrub func()
}

// Kiosk is a kiosk that has been put together and not started.
type Kiosk struct {
	Agent *agent.Agent
	// Control and Screen are where the kiosk answers; a nil one does not. Run
	// closes them.
	Control, Screen net.Listener

	client  *backend.Client
	second  *backend.Client            // another address of the platform; nil: none
	reports map[string]*backend.Client // by recipient
	cache   *cache                     // nil: there is no signed cache
	queue   *queue.Queue
	events  *eventlog.Log
	page    *screen.Server
	env     Env
}

// New puts the kiosk of c together. It opens the queue and no device yet.
// Errors name the file or key that is to be mended.
func New(c *configs.Config, env Env) (*Kiosk, error) {
	k := &Kiosk{env: env}
	p, refused, err := keptPolicy(c, env.Log)
	if err != nil {
		return nil, err
	}
	if k.client, err = Client(c, env); err != nil {
		return nil, err
	}
	if len(c.Platform.URLs) > 1 {
		to := *c
		to.Platform.URLs = c.Platform.URLs[1:]
		if k.second, err = Client(&to, env); err != nil {
			return nil, err
		}
	}
	if k.reports, err = reporters(c, env); err != nil {
		return nil, err
	}
	recipient, err := Recipient(c)
	if err != nil {
		return nil, err
	}
	if err := env.Clock.Keep(filepath.Join(c.State, "clock.json")); err != nil {
		env.Log.Warn("the time that was kept", "err", err)
	}
	env.Clock.Trusted = c.ClockTrusted
	if k.cache, err = newCache(c, env, k.client); err != nil {
		return nil, err
	}
	if err := k.openRecords(c, recipient); err != nil {
		return nil, err
	}
	k.page = screen.New(screen.Opts{
		Venue: c.Venue.Name, VenueEn: c.Venue.NameEn, Address: c.Venue.Address, Direction: c.Direction,
		WaitAt: c.Venue.WaitAt, WaitAtEn: c.Venue.WaitAtEn, Appeal: c.Venue.Appeal, AppealEn: c.Venue.AppealEn,
	})
	o := k.opts(c, p)
	if refused != nil {
		o.Alarms = []string{"policy-refused"}
	}
	k.Agent, err = agent.New(o)
	if err != nil {
		return nil, errors.Join(err, k.closeRecords())
	}
	if k.cache != nil {
		k.cache.policyID = p.ID
		k.cache.begin(k.Agent.SetAlarm, k.Agent.SetPolicy)
	}
	return k, nil
}

// Run runs the kiosk until ctx ends, and closes everything it opened. The
// error is nil after an orderly end.
func (k *Kiosk) Run(ctx context.Context) error {
	var servers sync.WaitGroup
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	if k.Control != nil {
		servers.Go(func() { serve(serving, k.Control, k.Agent.Control()) })
	}
	if k.Screen != nil {
		servers.Go(func() { serve(serving, k.Screen, k.page.Handler()) })
	}
	err := k.Agent.Run(ctx)
	stop()
	servers.Wait()
	k.client.Close()
	if k.second != nil {
		k.second.Close()
	}
	if k.cache != nil {
		k.cache.close()
	}
	for _, client := range k.reports {
		client.Close()
	}
	return errors.Join(err, k.closeRecords())
}

// Recipient reads the authority's public key.
func Recipient(c *configs.Config) (string, error) {
	data, err := os.ReadFile(c.Records.Recipient)
	if err != nil {
		return "", fmt.Errorf("records.recipient: %w", err)
	}
	key := strings.TrimSpace(string(data))
	if queue.CheckRecipient(key) != nil {
		// Its own error repeats the file, which may be a secret key by mistake.
		return "", fmt.Errorf("records.recipient: %s holds no age public key: it begins with age1", c.Records.Recipient)
	}
	return key, nil
}

// Client makes the platform's client of c.
func Client(c *configs.Config, env Env) (*backend.Client, error) {
	config, err := tlsConfig(&c.Platform, env.Clock)
	if err != nil {
		return nil, err
	}
	keys := signed.Keys{}
	for _, path := range c.Platform.StatementKeys {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("platform.statement_keys: %w", err)
		}
		key, err := signed.ParseKey(data)
		if err != nil {
			return nil, fmt.Errorf("platform.statement_keys: %s: %w", path, err)
		}
		keys[strings.TrimSuffix(filepath.Base(path), ".pem")] = key
	}
	return backend.New(backend.Opts{
		URL: c.Platform.URLs[0], TLS: config, Keys: keys, Venue: c.Venue.ID, Kiosk: c.Device,
		Lane: c.Lane, Version: env.Version, Clock: env.Clock, Dial: env.Dial,
		Recovered: func() {
			env.Log.Error("the time that was known lay ahead of the platform's and was taken back: a signed time was wrong")
		},
	})
}

// Parts are the devices of c as the agent opens them.
func Parts(c *configs.Config, w drivers.Wires) []agent.Part {
	var parts []agent.Part
	for i := range c.Devices {
		d := &c.Devices[i]
		parts = append(parts, agent.Part{
			Name: d.Name, Role: agent.Role(d.Role()),
			Open: func(ctx context.Context) (conn.Resource, func() error, error) {
				o, err := drivers.Open(ctx, d, c.Gate.Rest, w)
				if err != nil {
					return nil, nil, err
				}
				return o.Dev, o.Close, nil
			},
		})
	}
	return parts
}

//

func (k *Kiosk) opts(c *configs.Config, p *checkin.Policy) agent.Opts {
	ladder := &verify.Ladder{Online: k.client, Why: backend.Why, Failed: func(err error) {
		k.env.Log.Warn("the platform gave no status", "err", err)
	}}
	if k.second != nil {
		ladder.Second = k.second
	}
	o := agent.Opts{
		Version: k.env.Version, Device: c.Device, Lane: c.Lane, Direction: c.Direction,
		Venue: c.Venue.ID, Class: checkin.VenueClass(c.Venue.Class), StateDir: c.State,
		Policy: p, Patterns: patterns(&c.Codes), Parts: Parts(c, k.env.Wires),
		Timing: agent.Timing{
			Window: time.Duration(c.Timing.Window), Closer: time.Duration(c.Timing.Closer),
			Repeat: time.Duration(c.Timing.Repeat), Show: time.Duration(c.Timing.Show),
			Call: time.Duration(c.Timing.Call), HostWait: time.Duration(c.Timing.HostWait),
			WarmUp:  time.Duration(c.Timing.WarmUp),
			Release: time.Duration(c.Gate.Release), Settle: time.Duration(c.Gate.Settle),
		},
		Verifier: ladder, Queue: k.queue, Screen: k.page, Clock: k.env.Clock, Log: k.env.Log,
		Drain:     func(ctx context.Context) error { return k.queue.Drain(ctx, k.client.Deliver) },
		Reports:   k.reportLoops(),
		Heartbeat: k.heartbeat,
	}
	if k.env.Scrub != nil {
		o.Scrub = k.scrub
	}
	if k.cache != nil {
		ladder.Below = []verify.Rung{k.cache.rung()}
		o.Codes, o.Refresh, o.RefreshNow = k.cache.codes.Load, k.cache.loop, k.cache.refresh
		o.Cache = k.cache.status
	}
	return o
}

// heartbeat tells the platform how the kiosk is, and asks it for the time while
// that is not known well.
func (k *Kiosk) heartbeat(ctx context.Context, s agent.Status) error {
	err := k.client.Heartbeat(ctx, health(&s))
	if err == nil {
		k.queue.Heard()
	}
	if i := k.env.Clock.Interval(); err == nil && (!i.Bounded() || i.Hi.Sub(i.Lo) > wide) {
		return k.client.Time(ctx)
	}
	return err
}

// scrub scrubs the memory. The second platform is asked once in a while, and
// hears no heartbeats that would write over the question: its connection goes.
func (k *Kiosk) scrub() {
	if k.second != nil {
		k.second.Close()
	}
	k.env.Scrub()
}

// wide is an interval of the time that is worth a question.
const wide = 10 * time.Second

// health is the part of Status that the platform is told.
func health(s *agent.Status) api.Heartbeat {
	h := api.Heartbeat{
		Screen: string(s.Screen), Queue: s.Queue.Depth, Level: s.Queue.Level,
		Oldest: int64(s.Queue.Oldest.Seconds()), Dead: s.Queue.Dead, Expired: s.Queue.Expired,
		Devices: map[string]bool{}, Alarms: []string{},
	}
	for _, d := range s.Devices {
		h.Devices[d.Name] = d.State == agent.DeviceReady
	}
	h.Alarms = slices.AppendSeq(h.Alarms, maps.Keys(s.Alarms))
	slices.Sort(h.Alarms)
	return h
}

// patterns takes the configured beginnings of codes; what is left out keeps
// its default.
func patterns(c *configs.Codes) credential.Patterns {
	p := credential.DefaultPatterns()
	p.Issuers = c.Issuers
	for _, f := range []struct{ into, from *[]string }{
		{&p.Personal, &c.Personal}, {&p.Relative, &c.Relative}, {&p.Venue, &c.Venue}, {&p.Paper, &c.Paper},
	} {
		if len(*f.from) > 0 {
			*f.into = *f.from
		}
	}
	return p
}

// tlsConfig is the kiosk's side of mutual TLS: the platform's authority only,
// and never an older protocol than both ends of ours speak.
func tlsConfig(p *configs.Platform, c *clock.Clock) (*tls.Config, error) {
	ca, err := os.ReadFile(p.CA)
	if err != nil {
		return nil, fmt.Errorf("platform.ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("platform.ca: %s holds no certificate", p.CA)
	}
	own, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if err != nil {
		return nil, fmt.Errorf("platform.certificate and platform.key: %w", err)
	}
	return &tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13,
		Time: c.Best,
	}, nil
}

// serve answers on l until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler) {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second,
		// Streams end with the kiosk, not with their readers.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	<-ctx.Done()
	_ = s.Close()
	<-done
}
