package crowd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// far is the platform, and what is seen of the crowd at its door.
type far struct {
	pki    *backend.PKI
	store  backend.Store
	server *backend.Server
	url    string

	handshakes, resumed atomic.Int64
	bytes               atomic.Int64 // of the bodies of the calls that were worked on
	gone                atomic.Int64 // of these, those whose kiosk had hung up before the answer
	goneFor             atomic.Int64 // nanoseconds that they had been worked on
}

func newFar(ctx context.Context, o Opts, dir string) (*far, error) {
	f := &far{}
	var err error
	if f.pki, err = backend.NewPKI("crowd", time.Now()); err != nil {
		return nil, err
	}
	if f.store, err = openStore(ctx, o.Store, dir); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the platform's address: %w", err), f.store.Close())
	}
	f.url = "https://" + l.Addr().String()
	platform := backend.New(backend.Opts{Key: f.pki.Statement, KeyID: f.pki.KeyID, Now: time.Now, Store: f.store})
	handler := f.watch(platform.Handler())
	if !o.NoAdmission {
		handler = backend.NewAdmission(backend.AdmissionOpts{}).Wrap(handler)
	}
	config := f.pki.ServerTLS()
	config.VerifyConnection = f.shaken
	f.server = &backend.Server{
		Handler: handler, TLS: config,
		Listen: func() (net.Listener, error) { return l, nil },
	}
	return f, nil
}

// openStore opens an empty store: who was there before could not be told from
// this crowd.
func openStore(ctx context.Context, spec, dir string) (backend.Store, error) {
	if spec == "bolt" {
		spec = "bolt:" + filepath.Join(dir, "platform.db")
	}
	store, err := backend.OpenStore(spec)
	if err != nil {
		return nil, err
	}
	held, err := store.Count(ctx, backend.Checkins)
	if err == nil && held.Records > 0 {
		err = fmt.Errorf("the store %s holds %d records already: name a file that is not there yet", spec, held.Records)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

func (f *far) close() error {
	f.server.Down()
	return f.store.Close()
}

// shaken counts a handshake.
func (f *far) shaken(s tls.ConnectionState) error {
	f.handshakes.Add(1)
	if s.DidResume {
		f.resumed.Add(1)
	}
	return nil
}

// watch counts what is worked on, and what of it for nobody.
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
func (f *far) again(ctx context.Context) (int, error) {
	held, err := f.store.Count(ctx, backend.Checkins)
	return held.Again, err
}

// records gives every record that the store holds.
func (f *far) records(ctx context.Context, yield func(checkin.Record) error) error {
	return f.store.Records(ctx, backend.Checkins, yield)
}
