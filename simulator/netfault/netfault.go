// Package netfault is a TCP proxy in this process that behaves like a bad
// network. What is wrong with it can be changed at any time, and holds at once
// for connections that are open already.
//
// Over gives it other ends than TCP's: connections in memory, so that the
// time-outs of both ends pass in virtual time.
//
// The server's name and its TLS are left alone: the proxy sees bytes.
package netfault

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Fault is what is wrong with the network. The zero value is a good one.
type Fault struct {
	Kind    Kind
	Latency time.Duration // in each direction
	Rate    int64         // bytes a second and direction; 0 is no limit
}

// Kind is a way of being broken.
type Kind int

// The kinds. A connection that a fault has damaged stays damaged: what was
// swallowed is not delivered when the network is good again.
const (
	Up        Kind = iota
	Down           // connections are refused and open ones closed
	Reset          // connections are accepted and reset, and open ones reset
	Blackhole      // connections are accepted, and what is sent is swallowed both ways
	HalfOpen       // what the client sends arrives, nothing comes back, nobody is told
	LostReply      // the request arrives; at the first byte of its reply the connection is reset
)

// Stats counts what happened.
type Stats struct {
	Connections    int   // accepted
	Sent, Received int64 // bytes passed on to the server, and back
	Swallowed      int64
	Cut            int // connections reset or closed by a fault
}

// Proxy passes connections on to one server.
type Proxy struct {
	address string
	ends    Ends

	mu       sync.Mutex
	fault    Fault
	listener net.Listener
	open     map[*pair]bool
	stats    Stats
	runs     sync.WaitGroup
}

// Ends is what a proxy stands between.
type Ends struct {
	// Listen opens where clients come; again after every Down.
	Listen func() (net.Listener, error)
	// Dial connects to the server.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Listen starts a proxy to target, "host:port", on a free port of loopback.
func Listen(target string) (*Proxy, error) {
	p := &Proxy{address: "127.0.0.1:0", open: map[*pair]bool{}}
	p.ends = Ends{
		Listen: func() (net.Listener, error) { return net.Listen("tcp", p.address) },
		Dial:   func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", target) },
	}
	return p.begin()
}

// Over starts a proxy between other ends than TCP's. A reset of those is a close.
func Over(e Ends) (*Proxy, error) {
	return (&Proxy{ends: e, open: map[*pair]bool{}}).begin()
}

// Addr is where clients connect; it stays the same over Down and Up.
func (p *Proxy) Addr() string { return p.address }

// Set changes what is wrong, for open connections too.
func (p *Proxy) Set(f Fault) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	switch {
	case f.Kind == Down && p.listener != nil:
		_ = p.listener.Close()
		p.listener = nil
	case f.Kind != Down && p.listener == nil:
		if err := p.listen(); err != nil {
			return err
		}
	}
	if f.Kind == Down || f.Kind == Reset {
		p.cutAll(f.Kind == Reset)
	}
	return nil
}

// Stats tells what happened.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Close ends the proxy and every connection through it, and waits for them.
func (p *Proxy) Close() error {
	err := p.Set(Fault{Kind: Down})
	p.runs.Wait()
	return err
}

//

func (p *Proxy) begin() (*Proxy, error) {
	if err := p.listen(); err != nil {
		return nil, err
	}
	p.address = p.listener.Addr().String()
	return p, nil
}

// listen opens the address. The caller holds p.mu, or is alone.
func (p *Proxy) listen() error {
	l, err := p.ends.Listen()
	if err != nil {
		return fmt.Errorf("opening the proxy: %w", err)
	}
	p.listener = l
	p.runs.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.runs.Go(func() { p.serve(client) })
		}
	})
	return nil
}

// pair is one connection through the proxy. The server's half is missing while
// a black hole is all there is.
type pair struct {
	ctx    context.Context
	cancel context.CancelFunc
	client net.Conn
	server net.Conn
}

// end closes both halves; by a reset, if it is to hurt.
func (c *pair) end(reset bool) {
	for _, half := range []net.Conn{c.client, c.server} {
		if t, ok := half.(*net.TCPConn); ok && reset {
			_ = t.SetLinger(0)
		}
		if half != nil {
			_ = half.Close()
		}
	}
	c.cancel()
}

// cutAll ends what is open. The caller holds p.mu.
func (p *Proxy) cutAll(reset bool) {
	for c := range p.open {
		c.end(reset)
		p.stats.Cut++
	}
	clear(p.open)
}

func (p *Proxy) serve(client net.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &pair{ctx: ctx, cancel: cancel, client: client}
	if !p.admit(c) {
		return
	}
	defer p.leave(c)
	if c.server == nil {
		p.swallow(client)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(c, client, c.server, true) })
	both.Go(func() { p.pump(c, c.server, client, false) })
	both.Wait()
}

// admit connects c to the server, as the fault of the moment allows.
func (p *Proxy) admit(c *pair) bool {
	p.mu.Lock()
	kind := p.fault.Kind
	p.mu.Unlock()
	if kind != Blackhole && kind != Down && kind != Reset {
		ctx, cancel := context.WithTimeout(c.ctx, dialLimit)
		server, err := p.ends.Dial(ctx)
		cancel()
		if err != nil {
			c.end(true)
			return false
		}
		c.server = server
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Connections++
	if k := p.fault.Kind; k == Down || k == Reset {
		p.stats.Cut++
		c.end(true)
		return false
	}
	p.open[c] = true
	return true
}

// dialLimit is how long the server is called.
const dialLimit = 10 * time.Second

func (p *Proxy) leave(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	c.end(false)
}

// cut ends one connection by a fault.
func (p *Proxy) cut(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[c] {
		delete(p.open, c)
		p.stats.Cut++
	}
	c.end(true)
}

// swallow reads and tells nobody.
func (p *Proxy) swallow(from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		p.stats.Swallowed += int64(n)
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// pump carries bytes one way until either end closes. An end of one direction
// is passed on, so that a reply still comes after a request's last byte.
func (p *Proxy) pump(c *pair, from, to net.Conn, up bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.pass(c, to, buf[:n], up) {
			p.swallow(from)
			return
		}
		if err != nil {
			break
		}
	}
	if t, ok := to.(*net.TCPConn); ok && t.CloseWrite() == nil {
		return
	}
	c.end(false)
}

// pass sends b on, late and slowly if so ordered. It reports false when the
// direction is dead from here on.
func (p *Proxy) pass(c *pair, to net.Conn, b []byte, up bool) bool {
	p.mu.Lock()
	f := p.fault
	p.mu.Unlock()
	wait := f.Latency
	if f.Rate > 0 {
		wait += time.Duration(int64(len(b)) * int64(time.Second) / f.Rate)
	}
	if !pause(c.ctx, wait) {
		return false
	}
	p.mu.Lock()
	f = p.fault // what is wrong now, not before the wait
	p.mu.Unlock()
	switch {
	case f.Kind == LostReply && !up:
		p.cut(c)
		return false
	case f.Kind == Blackhole || f.Kind == HalfOpen && !up:
		p.count(&p.stats.Swallowed, len(b))
		return false
	}
	n, err := to.Write(b)
	if up {
		p.count(&p.stats.Sent, n)
	} else {
		p.count(&p.stats.Received, n)
	}
	if err != nil {
		c.end(true) // nobody is there any more: the other end is told
	}
	return err == nil
}

func (p *Proxy) count(to *int64, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*to += int64(n)
}

// pause waits for d, or reports that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
