package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves a handler over mutual TLS, and can be taken down and brought
// up again: down refuses connections and cuts the ones that are open.
type Server struct {
	Handler http.Handler
	TLS     *tls.Config
	// Listen opens the listener, again after every Up.
	Listen func() (net.Listener, error)

	mu     sync.Mutex
	server *http.Server
	ended  chan struct{}
}

// Up begins to serve. It is no error if it serves already.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return nil
	}
	l, err := s.Listen()
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: s.Handler, TLSConfig: s.TLS.Clone(),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // aborted on order, most of them
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ServeTLS(l, "", "")
	}()
	s.server, s.ended = server, ended
	return nil
}

// Down stops serving and cuts every connection.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return
	}
	_ = s.server.Close()
	<-s.ended
	s.server = nil
}

// MemoryListener is a listener without a network: Dial gives the other end of
// what Accept returns.
type MemoryListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewMemoryListener makes an open MemoryListener.
func NewMemoryListener() *MemoryListener {
	return &MemoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for a Dial.
func (l *MemoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Dial connects; a closed listener refuses.
func (l *MemoryListener) Dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close refuses every later Dial.
func (l *MemoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr names the listener.
func (l *MemoryListener) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }

var _ net.Listener = (*MemoryListener)(nil)
