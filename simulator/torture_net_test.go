//go:build linux

package simulator_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/eventlog"
	"github.com/digital-sentinel/sentinel/agent/queue"
	platform "github.com/digital-sentinel/sentinel/simulator/backend"
	"github.com/digital-sentinel/sentinel/simulator/netfault"
)

// The names of the rig's kiosk, and of who gets the reports of its refusals.
const (
	tortureKiosk = "torture-kiosk"
	reportsBox   = "cdc"
)

// tortureKit is what takes time to make and can be shared.
type tortureKit struct {
	pki       *platform.PKI // of the year 2000, in which virtual time begins
	recipient string
}

func newTortureKit(t *testing.T) *tortureKit {
	t.Helper()
	k := &tortureKit{}
	authority, err := age.GenerateX25519Identity()
	if err == nil {
		k.recipient = authority.Recipient().String()
		k.pki, err = platform.NewPKI(tortureKiosk, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// netWay is a kiosk's way to the platform through a bad network: the queue, the
// event log and the uplink as they are wired in the kiosk, mutual TLS and HTTP/2,
// a proxy that goes wrong by luck, and the reference platform with its admission.
type netWay struct {
	believing bool // control: what failed on the way counts as delivered
	keyless   bool // control: the platform keeps what comes twice
}

// netStory is one cycle of it.
type netStory struct {
	netWay
	r     *tortureRig
	pki   *platform.PKI
	began time.Time

	proxy        *netfault.Proxy
	outer, inner lines // before the proxy, and behind it

	store  platform.Store
	path   string // of a store on the disk; empty: it is in memory
	server *platform.Server
	faults *platform.Faults

	kiosk   *netKiosk
	kioskMu sync.RWMutex // producers hold it while they put
	retried atomic.Int64

	mu       sync.Mutex // of what follows
	promised map[string]checkin.ID
	reports  map[string]checkin.ID
	producer int // counts them: makes UUIDs
}

// cycle is a story: faults, records and restarts for some minutes to hours, then
// a good network, and everything must be where it belongs.
func (w *netWay) cycle(r *tortureRig) error {
	s := &netStory{netWay: *w, r: r, pki: r.kit.pki, began: time.Now(), promised: map[string]checkin.ID{}, reports: map[string]checkin.ID{}}
	if err := s.open(); err != nil {
		return err
	}
	for range 3 + r.few(9) {
		if err := s.step(); err != nil {
			return errors.Join(err, s.close(), s.store.Close())
		}
	}
	if err := s.drain(); err != nil {
		r.score.bad(&r.score.lost, "%v", err)
	}
	end := s.kiosk.queue.Stats()
	err := errors.Join(s.close(), s.judge(end), s.store.Close())
	time.Sleep(time.Minute) // who still waits in vain gives up
	r.score.retried += int(s.retried.Load())
	return err
}

// open builds it all, with a good network.
func (s *netStory) open() error {
	s.store, s.faults = platform.NewMemory(), &platform.Faults{}
	if s.r.luck.IntN(2) == 0 {
		s.path = filepath.Join(s.r.dir, "platform.db")
	}
	if s.keyless {
		s.store, s.path = &keyless{Store: s.store}, ""
	}
	s.server = &platform.Server{TLS: s.pki.ServerTLS(), Listen: s.inner.listen}
	if err := s.startPlatform(); err != nil {
		return err
	}
	var err error
	if s.proxy, err = netfault.Over(netfault.Ends{Listen: s.outer.listen, Dial: s.inner.dial}); err != nil {
		s.server.Down()
		return err
	}
	return s.openKiosk()
}

// close ends it all. The store is left: it is still asked.
func (s *netStory) close() error {
	err := errors.Join(s.closeKiosk(), s.proxy.Close())
	s.server.Down()
	return err
}

// startPlatform begins the platform's process, on the store that it had before.
func (s *netStory) startPlatform() error {
	if s.path != "" {
		store, err := platform.OpenStore("bolt:" + s.path)
		if err != nil {
			return err
		}
		s.store = store
	}
	p := platform.New(platform.Opts{Key: s.pki.Statement, KeyID: s.pki.KeyID, Now: time.Now, Store: s.store})
	s.server.Handler = platform.NewAdmission(platform.AdmissionOpts{}).Wrap(s.faults.Wrap(p.Handler()))
	return s.server.Up()
}

func (s *netStory) restartPlatform() error {
	s.server.Down()
	if s.path != "" {
		if err := s.store.Close(); err != nil {
			return err
		}
	}
	s.rest(30 * time.Second)
	return s.startPlatform()
}

// netKiosk is one life of the kiosk's process: what of it has to do with records,
// wired as agent/cmd/kiosk does.
type netKiosk struct {
	queue            *queue.Queue
	events           *eventlog.Log
	client, reporter *backend.Client
	stop             context.CancelFunc
	loops            sync.WaitGroup
}

func (s *netStory) openKiosk() error {
	c := &clock.Clock{
		Wall: time.Now, Boot: func() time.Duration { return time.Since(s.began) }, BootID: "torture", Trusted: true,
	}
	k := &netKiosk{}
	q, err := queue.Open(queue.Opts{
		Dir: s.r.dir, Device: tortureKiosk, Recipient: s.r.kit.recipient, Recipients: []string{reportsBox},
		Reserve: 64 << 10, Now: c.Stamp,
		Log: func(events ...checkin.Event) error { return k.events.Append(events...) },
	})
	if err != nil {
		return err
	}
	k.queue = q
	if k.events, err = eventlog.Open(eventlog.Opts{Dir: s.eventDir(), Now: c.Stamp}); err != nil {
		return errors.Join(err, q.Close())
	}
	for _, client := range []**backend.Client{&k.client, &k.reporter} {
		if *client, err = backend.New(s.clientOpts(c)); err != nil {
			return errors.Join(err, q.Close(), k.events.Close())
		}
	}
	s.run(k)
	s.kiosk = k
	return nil
}

func (s *netStory) eventDir() string { return filepath.Join(s.r.dir, eventlog.Folder) }

func (s *netStory) clientOpts(c *clock.Clock) backend.Opts {
	return backend.Opts{
		URL: "https://localhost", TLS: s.pki.ClientTLS(), Kiosk: tortureKiosk, Version: "torture", Clock: c,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.outer.dial(ctx) },
	}
}

// beat is how often a kiosk tells the platform how it is.
const beat = 15 * time.Second

// run starts what delivers, and what tells the platform how the kiosk is.
func (s *netStory) run(k *netKiosk) {
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	k.loops.Go(func() { _ = k.queue.Drain(ctx, s.sender(k.client.Deliver)) })
	report := func(ctx context.Context, _ checkin.Traffic, r []checkin.Record) ([]checkin.Ack, error) {
		return k.reporter.Report(ctx, reportsBox, r)
	}
	k.loops.Go(func() { _ = k.queue.DrainReports(ctx, reportsBox, s.sender(report)) })
	k.loops.Go(func() {
		for tick := time.NewTicker(beat); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			if k.client.Heartbeat(ctx, api.Heartbeat{Alarms: []string{}, Devices: map[string]bool{}}) == nil {
				k.queue.Heard()
			}
		}
	})
}

// sender counts what fails on its way; the believing one takes that for an
// answer.
func (s *netStory) sender(send queue.Sender) queue.Sender {
	return func(ctx context.Context, t checkin.Traffic, records []checkin.Record) ([]checkin.Ack, error) {
		acks, err := send(ctx, t, records)
		if err == nil {
			return acks, nil
		}
		s.retried.Add(1)
		if !s.believing {
			return nil, err
		}
		for i := range records {
			acks = append(acks, checkin.Ack{ID: records[i].Event.ID, Status: checkin.Stored})
		}
		return acks, nil
	}
}

func (s *netStory) closeKiosk() error {
	s.kioskMu.Lock()
	defer s.kioskMu.Unlock()
	if s.kiosk == nil {
		return nil
	}
	k := s.kiosk
	s.kiosk = nil
	k.stop()
	k.loops.Wait()
	err := errors.Join(k.queue.Close(), k.events.Close())
	k.client.Close()
	k.reporter.Close()
	return err
}

func (s *netStory) restartKiosk() error {
	if err := s.closeKiosk(); err != nil {
		return err
	}
	s.kioskMu.Lock()
	defer s.kioskMu.Unlock()
	return s.openKiosk()
}

// drain waits with a good network until the queue is empty.
func (s *netStory) drain() error {
	if err := errors.Join(s.faults.Set(platform.Fault{Kind: "up"}), s.proxy.Set(netfault.Fault{})); err != nil {
		return err
	}
	for range 4 * 3600 {
		q := s.kiosk.queue.Stats()
		if q.Depth+q.Reports[reportsBox].Waiting == 0 {
			return nil
		}
		time.Sleep(time.Second)
	}
	q := s.kiosk.queue.Stats()
	return fmt.Errorf("%d records and %d reports still wait after four hours of a good network: %s", q.Depth, q.Reports[reportsBox].Waiting, q.LastError)
}
