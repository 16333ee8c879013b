package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// remoteLine is one line at the far end of a unix socket, in the protocol of
// the package comment.
type remoteLine struct {
	activeLow bool
	conn      net.Conn
	in        *bufio.Reader

	mu  sync.Mutex // one exchange at a time
	err error      // why the line is lost

	ours atomic.Bool // we give it up: its end is no loss
	pump sync.WaitGroup
}

func newRemoteLine(c net.Conn, activeLow bool) *remoteLine {
	return &remoteLine{activeLow: activeLow, conn: c, in: bufio.NewReaderSize(c, maxLine)}
}

func dialOut(a Address, initial gpio.Level, activeLow bool) (outLine, error) {
	l, err := dialLine(a, activeLow)
	if err != nil {
		return nil, err
	}
	if err := l.order("out " + a.Line + " " + l.digit(initial)); err != nil {
		_ = l.Close()
		return nil, opening(a, err)
	}
	return l, nil
}

func dialIn(a Address, activeLow bool, pull gpio.Pull, p *inPin) (inLine, int, error) {
	l, err := dialLine(a, activeLow)
	if err != nil {
		return nil, -1, err
	}
	if err := l.listen(a.Line, pull, p); err != nil {
		return nil, -1, opening(a, err)
	}
	return l, -1, nil
}

func dialLine(a Address, activeLow bool) (*remoteLine, error) {
	c, err := dial(context.Background(), a, false)
	if err != nil {
		return nil, err
	}
	return newRemoteLine(c, activeLow), nil
}

// out sets the line. It takes at most a second.
func (l *remoteLine) out(v gpio.Level) error { return l.order("set " + l.digit(v)) }

// read leaves it to the pin to remember the level last told.
func (l *remoteLine) read() (gpio.Level, bool, error) { return gpio.Low, false, nil }

// Close gives the line up; its level stays. After it no more levels are told,
// so that a pin which goes on with a new claim hears nothing of the old one.
func (l *remoteLine) Close() error {
	l.ours.Store(true)
	err := l.conn.Close() // wakes an exchange, which holds the lock
	l.pump.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = errClosed
	}
	return err
}

//

// errClosed is a line that we gave up ourselves.
var errClosed = fmt.Errorf("line given up: %w", os.ErrClosed)

// order sends one line and waits for its ok. Whatever else comes loses the
// line: a gate whose commands may be one step behind must not be commanded.
func (l *remoteLine) order(text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	if l.err = l.exchange(text); l.err != nil {
		_ = l.conn.Close()
	}
	return l.err
}

func (l *remoteLine) exchange(text string) error {
	if err := l.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return err
	}
	if _, err := l.conn.Write([]byte(text + "\n")); err != nil {
		return err
	}
	answer, err := readLine(l.in)
	if err != nil {
		return err
	}
	if reason, ok := strings.CutPrefix(answer, "error "); ok {
		return errors.New("the far end says: " + tidy(reason))
	}
	if answer != "ok" {
		return fmt.Errorf("answer of %d characters is not in the protocol", len(answer))
	}
	return nil
}

// listen claims the line as an input, takes its first level and goes on to
// take the others. After an error the line is closed.
func (l *remoteLine) listen(name string, pull gpio.Pull, p *inPin) error {
	if int(pull) >= len(pullNames) {
		return errors.Join(fmt.Errorf("pull %v is not in the protocol", pull), l.Close())
	}
	err := l.order("in " + name + " " + pullNames[pull])
	if err == nil {
		err = l.level(p) // within the second of the order
	}
	if err == nil {
		err = l.conn.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = l.Close()
		return err
	}
	l.pump.Go(func() { l.follow(p) })
	return nil
}

// follow hands on the levels until the line is closed or lost.
func (l *remoteLine) follow(p *inPin) {
	for {
		err := l.level(p)
		if err == nil {
			continue
		}
		if !l.ours.Load() {
			p.lose(err)
			_ = l.conn.Close()
		}
		return
	}
}

// level reads one event.
func (l *remoteLine) level(p *inPin) error {
	text, err := readLine(l.in)
	if err != nil {
		return err
	}
	v, err := parseLevel(text)
	if err != nil {
		return err
	}
	p.changed(gpio.Level(v != l.activeLow))
	return nil
}

// parseLevel reads the text of an event.
func parseLevel(text string) (high bool, err error) {
	switch text {
	case "level 0":
		return false, nil
	case "level 1":
		return true, nil
	}
	return false, fmt.Errorf("event of %d characters is not in the protocol", len(text))
}

// digit is the electrical level of a logical one.
func (l *remoteLine) digit(v gpio.Level) string {
	if bool(v) != l.activeLow {
		return "1"
	}
	return "0"
}

// readLine reads one line of the protocol, without its LF.
func readLine(r *bufio.Reader) (string, error) {
	b, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("a line is longer than %d bytes", maxLine)
	}
	if err != nil {
		return "", err // also of a line that was cut off
	}
	return string(b[:len(b)-1]), nil
}

// maxLine bounds a line, with its LF.
const maxLine = 128

// pullNames are the words for periph's pulls, in their order.
var pullNames = [...]string{gpio.PullNoChange: "keep", gpio.Float: "float", gpio.PullDown: "down", gpio.PullUp: "up"}
