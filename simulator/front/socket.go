package front

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// socket is a unix socket that can be pulled out with all its connections.
// Without a path it is a plug and nothing more, for the fronts in memory.
type socket struct {
	path string

	plug
	ln    net.Listener
	conns map[net.Conn]bool
}

// maxConns bounds the connections at one time.
const maxConns = 64

// Addr is what the agent's configuration calls the wire.
func (s *socket) Addr() string { return "unix:" + s.path }

// Plug plugs the device in. It is not an error if it is.
func (s *socket) Plug() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in {
		return nil
	}
	if s.path != "" {
		// A bench that was killed leaves its socket behind. Only a socket is
		// replaced: a file of that name is somebody's.
		if fi, err := os.Lstat(s.path); err == nil && fi.Mode()&fs.ModeSocket != 0 {
			_ = os.Remove(s.path)
		}
		ln, err := net.Listen("unix", s.path)
		if err != nil {
			return err
		}
		s.ln = ln
	}
	s.conns = map[net.Conn]bool{}
	s.set(true)
	return nil
}

// Unplug pulls the device out: every connection is dead at once.
func (s *socket) Unplug() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.in {
		return
	}
	if s.ln != nil {
		_ = s.ln.Close() // removes the file too
		s.ln = nil
	}
	for c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
	s.set(false)
}

//

// serve hands every connection to each, until ctx ends; then it pulls the
// device out. each must see that drop is called when the connection is over.
func (s *socket) serve(ctx context.Context, each func(net.Conn)) error {
	defer s.Unplug()
	defer atEnd(ctx, s.Unplug)()
	for ctx.Err() == nil {
		s.mu.Lock()
		ln, changed := s.ln, s.next()
		s.mu.Unlock()
		if ln == nil {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		c, err := ln.Accept()
		switch {
		case err == nil && s.keep(ln, c):
			each(c)
		case err == nil:
			_ = c.Close()
		case !s.current(ln):
		default: // out of descriptors, say
			return fmt.Errorf("serving %s: %w", filepath.Base(s.path), err)
		}
	}
	return nil
}

// keep remembers a connection, unless the device was pulled out meanwhile or
// has too many.
func (s *socket) keep(ln net.Listener, c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln != ln || len(s.conns) >= maxConns {
		return false
	}
	s.conns[c] = true
	return true
}

func (s *socket) current(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ln == ln
}

// drop closes a connection and forgets it.
func (s *socket) drop(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// plugged reports whether the device is there.
func (s *socket) plugged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in
}

// SerialSocket is a serial wire over a unix socket. A line belongs to one host
// at a time: a second one connects, and waits until the first has hung up.
type SerialSocket struct {
	socket
	patience time.Duration
}

// NewSerialSocket plugs in a device at the socket path.
func NewSerialSocket(path string) (*SerialSocket, error) {
	s := &SerialSocket{socket: socket{path: path}, patience: patience}
	return s, s.Plug()
}

// Serve implements Port.
func (s *SerialSocket) Serve(ctx context.Context, serve func(context.Context, io.ReadWriteCloser) error) error {
	return s.serve(ctx, func(c net.Conn) {
		defer s.drop(c)
		_ = serve(ctx, newLine(c, s.patience)) // a host that hangs up is no error
	})
}

// MemorySerial is a serial wire in memory.
type MemorySerial struct {
	name string

	plug
	far     map[net.Conn]bool
	dialled chan net.Conn
}

// NewMemorySerial plugs in a device; name is for messages.
func NewMemorySerial(name string) *MemorySerial {
	m := &MemorySerial{name: name, dialled: make(chan net.Conn, maxConns)}
	_ = m.Plug() // cannot fail
	return m
}

// Addr implements Port. No configuration understands it: use Dial.
func (m *MemorySerial) Addr() string { return "memory:" + m.name }

// Plug implements Port.
func (m *MemorySerial) Plug() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.in {
		m.far = map[net.Conn]bool{}
		m.set(true)
	}
	return nil
}

// Unplug implements Port.
func (m *MemorySerial) Unplug() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.far {
		_ = c.Close()
	}
	m.far = nil
	m.set(false)
}

// Dial gives the host's end of a new line, or ErrUnplugged.
func (m *MemorySerial) Dial() (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.in {
		return nil, fmt.Errorf("%s: %w", m.name, ErrUnplugged)
	}
	host, far := net.Pipe()
	select {
	case m.dialled <- far:
		m.far[far] = true
		return host, nil
	default:
		return nil, fmt.Errorf("%s: nobody serves it", m.name)
	}
}

// Serve implements Port.
func (m *MemorySerial) Serve(ctx context.Context, serve func(context.Context, io.ReadWriteCloser) error) error {
	defer m.Unplug()
	defer atEnd(ctx, m.Unplug)()
	for {
		select {
		case c := <-m.dialled:
			_ = serve(ctx, newLine(c, patience)) // a host that hangs up is no error
			m.drop(c)
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *MemorySerial) drop(c net.Conn) {
	_ = c.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.far, c)
}

var (
	_ Port = &SerialSocket{}
	_ Port = &MemorySerial{}
)
