//go:build linux

package simulator_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	platform "github.com/digital-sentinel/sentinel/simulator/backend"
)

// lines are connections in memory from one place to another that may be opened
// again and again.
type lines struct {
	at atomic.Pointer[platform.MemoryListener]
}

// listen opens the place anew.
func (l *lines) listen() (net.Listener, error) {
	m := platform.NewMemoryListener()
	l.at.Store(m)
	return lineListener{m}, nil
}

func (l *lines) dial(ctx context.Context) (net.Conn, error) {
	c, err := l.at.Load().Dial(ctx)
	if err != nil {
		return nil, err
	}
	return newLine(c), nil
}

type lineListener struct{ *platform.MemoryListener }

func (l lineListener) Accept() (net.Conn, error) {
	c, err := l.MemoryListener.Accept()
	if err != nil {
		return nil, err
	}
	return newLine(c), nil
}

// line is one end of a connection that takes what is written at once, as a
// socket with a buffer does. A bare net.Pipe holds its writer until the other end
// reads; net/http writes under a mutex, and whoever waits for a mutex stops
// virtual time.
type line struct {
	net.Conn
	out    chan []byte
	closed chan struct{}
	once   sync.Once
}

// lineBuffer is more chunks than are ever on their way.
const lineBuffer = 1 << 14

func newLine(c net.Conn) *line {
	l := &line{Conn: c, out: make(chan []byte, lineBuffer), closed: make(chan struct{})}
	go l.carry()
	return l
}

func (l *line) Write(b []byte) (int, error) {
	select {
	case <-l.closed:
		return 0, net.ErrClosed
	default:
	}
	select {
	case <-l.closed:
		return 0, net.ErrClosed
	case l.out <- bytes.Clone(b):
		return len(b), nil
	}
}

// Close lets what was written arrive first, if somebody reads it soon.
func (l *line) Close() error {
	l.once.Do(func() {
		close(l.closed)
		_ = l.Conn.SetReadDeadline(time.Unix(1, 0))
		_ = l.Conn.SetWriteDeadline(time.Now().Add(time.Second))
	})
	return nil
}

// Writing never waits: only reading has a deadline.
func (l *line) SetDeadline(t time.Time) error      { return l.SetReadDeadline(t) }
func (l *line) SetWriteDeadline(_ time.Time) error { return nil }

func (l *line) SetReadDeadline(t time.Time) error {
	select {
	case <-l.closed:
		return net.ErrClosed
	default:
		return l.Conn.SetReadDeadline(t)
	}
}

func (l *line) carry() {
	defer l.Conn.Close()
	defer l.Close()
	for {
		var b []byte
		select {
		case b = <-l.out:
		default:
			select {
			case b = <-l.out:
			case <-l.closed:
				return
			}
		}
		if _, err := l.Conn.Write(b); err != nil {
			return
		}
	}
}
