package crowd

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// far is the platform, and what is seen of the crowd at its door.
type far struct {
	pki      *backend.PKI
	platform *backend.Platform
	server   *backend.Server
	url      string

	handshakes, resumed atomic.Int64
	bytes               atomic.Int64 // of the calls' bodies
	gone                atomic.Int64 // calls whose kiosk had hung up before the answer
	goneFor             atomic.Int64 // nanoseconds that they had been worked on
}

func newFar(o Opts, _ string) (*far, error) {
	if o.Store != "memory" {
		return nil, fmt.Errorf("%q is no store; there is memory", o.Store)
	}
	pki, err := backend.NewPKI("crowd", time.Now())
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the platform's address: %w", err)
	}
	f := &far{pki: pki, url: "https://" + l.Addr().String()}
	f.platform = backend.New(backend.Opts{Key: pki.Statement, KeyID: pki.KeyID, Now: time.Now})
	config := pki.ServerTLS()
	config.VerifyConnection = f.shaken
	f.server = &backend.Server{
		Handler: f.watch(f.platform.Handler()), TLS: config,
		Listen: func() (net.Listener, error) { return l, nil },
	}
	return f, nil
}

func (f *far) close() error {
	f.server.Down()
	return nil
}

// shaken counts a handshake.
func (f *far) shaken(s tls.ConnectionState) error {
	f.handshakes.Add(1)
	if s.DidResume {
		f.resumed.Add(1)
	}
	return nil
}

// watch counts what comes in, and what is worked on for nobody.
func (f *far) watch(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		f.bytes.Add(max(0, r.ContentLength))
		h.ServeHTTP(w, r)
		if r.Context().Err() != nil {
			f.gone.Add(1)
			f.goneFor.Add(int64(time.Since(began)))
		}
	})
}

// again is how many records came that were held already.
func (f *far) again(context.Context) (int, error) { return f.platform.Count().Again, nil }

// records gives every record that the store holds.
func (f *far) records(_ context.Context, yield func(checkin.Record) error) error {
	for _, r := range f.platform.Records() {
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}
