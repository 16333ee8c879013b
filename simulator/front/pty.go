package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// PTY is a serial wire over a pseudo-terminal, with a link of a fixed name to
// it: the number of a pseudo-terminal changes at every Plug. What was learnt
// about them (libraries.md of the fact sheets, tried):
//
//   - A fresh one is cooked: it would turn CR into LF and echo what a device
//     says before the agent opens it. Hence raw first, link afterwards.
//   - The agent's library takes the port for itself (TIOCEXCL), and the mark
//     outlives an agent that is killed, as long as the master is open: an
//     ordinary user cannot open the port again, root can and never notices.
//     Hence a slave descriptor of our own, through which the mark is taken off.
//     It is done before the bench starts an agent (ClearExclusive) and five
//     times a second, for an agent may be started again by somebody else: a
//     unit, or a developer by hand. The mark of a live agent is lost with it;
//     on a bench that protects nothing.
//   - Without a slave descriptor the master reads EIO, and a reader spins. Ours
//     keeps that from happening.
//   - A number is used again at once. Hence the link goes first in Unplug.
//   - A master that is written to and never read hangs. Hence deadlines.
type PTY struct {
	link     string
	patience time.Duration

	plug
	life *life
}

// life is one pseudo-terminal, from Plug to Unplug.
type life struct {
	*line
	master, slave *os.File
	served        bool
	over          chan struct{}
	once          sync.Once
	clearing      sync.WaitGroup
}

// NewPTY plugs in a pseudo-terminal whose link is dir/name. A link of that name
// which a former bench has left there is replaced.
func NewPTY(dir, name string) (*PTY, error) {
	link, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	p := &PTY{link: link, patience: patience}
	return p, p.Plug()
}

// Addr implements Port: the path of the link.
func (p *PTY) Addr() string { return p.link }

// Plug implements Port.
func (p *PTY) Plug() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in {
		return nil
	}
	l, err := newLife(p.patience)
	if err != nil {
		return fmt.Errorf("pty %s: %w", filepath.Base(p.link), err)
	}
	if err := p.point(l.slave.Name()); err != nil {
		l.end()
		return err
	}
	p.life = l
	p.set(true)
	return nil
}

// Unplug implements Port.
func (p *PTY) Unplug() {
	p.mu.Lock()
	l := p.life
	if p.in {
		_ = os.Remove(p.link)
		p.life = nil
		p.set(false)
	}
	p.mu.Unlock()
	if l != nil {
		l.end()
	}
}

// ClearExclusive makes the port fit for the next agent, after one that was
// killed: the mark is taken off, and what lies in the queues of both directions
// is thrown away. Call it before each start of an agent.
func (p *PTY) ClearExclusive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil {
		return nil
	}
	return errors.Join(p.life.clear(), control(p.life.slave, func(fd int) error {
		return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIOFLUSH)
	}))
}

// Serve implements Port. A device that stops while the line lives is an error.
func (p *PTY) Serve(ctx context.Context, serve func(context.Context, io.ReadWriteCloser) error) error {
	defer p.Unplug()
	defer atEnd(ctx, p.Unplug)()
	for {
		l := p.await(ctx)
		if l == nil {
			return nil
		}
		err := serve(ctx, l)
		if !l.ended() && ctx.Err() == nil {
			return fmt.Errorf("the device on %s stopped: %w", filepath.Base(p.link), err)
		}
		p.retire(l)
	}
}

//

// await gives the next life, nil when ctx has ended.
func (p *PTY) await(ctx context.Context) *life {
	for ctx.Err() == nil {
		p.mu.Lock()
		l, changed := p.life, p.next()
		if l != nil && !l.served {
			l.served = true
			p.mu.Unlock()
			return l
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

// retire pulls out a life that its device has closed.
func (p *PTY) retire(l *life) {
	p.mu.Lock()
	same := p.life == l
	p.mu.Unlock()
	if same {
		p.Unplug()
	}
}

// point makes the link. Only a link is replaced: a file of that name is
// somebody's.
func (p *PTY) point(to string) error {
	if fi, err := os.Lstat(p.link); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		_ = os.Remove(p.link)
	}
	return os.Symlink(to, p.link)
}

func newLife(patience time.Duration) (*life, error) {
	// Non-blocking from the start, so that Go's poller takes it and deadlines
	// work; SyscallConn, for Fd would make it blocking.
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	number := 0
	err = control(m, func(fd int) error {
		if err := raw(fd); err != nil {
			return err
		}
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		_ = m.Close()
		return nil, err
	}
	s, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		_ = m.Close()
		return nil, err
	}
	l := &life{line: newLine(m, patience), master: m, slave: s, over: make(chan struct{})}
	l.clearing.Go(l.keepClear)
	return l, nil
}

// Close implements io.Closer for the device, which closes its line when its
// context ends.
func (l *life) Close() error {
	l.end()
	return nil
}

// end kills the line. The master goes first: the host's end is dead with it.
func (l *life) end() {
	l.once.Do(func() {
		close(l.over)
		_ = l.master.Close()
		l.clearing.Wait()
		_ = l.slave.Close()
	})
}

func (l *life) ended() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// keepClear takes the mark of a killed agent off.
func (l *life) keepClear() {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			_ = l.clear() // fails only at the end of the life
		case <-l.over:
			return
		}
	}
}

func (l *life) clear() error {
	return control(l.slave, func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0) })
}

// raw is cfmakeraw(3). On a master it sets the slave's line.
func raw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB
	t.Cflag |= unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// control calls f with f's descriptor and leaves it non-blocking.
func control(file *os.File, f func(fd int) error) error {
	c, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := c.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

var _ Port = &PTY{}
