package front

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// Serve serves the socket until ctx ends.
func (g *GPIO) Serve(ctx context.Context) error {
	var hosts sync.WaitGroup
	defer hosts.Wait()
	defer g.Unplug()
	return g.serve(ctx, func(c net.Conn) {
		hosts.Go(func() {
			defer g.drop(c)
			g.answer(c)
		})
	})
}

//

// answer serves one host, which has one line, until it hangs up or leaves the
// protocol.
func (g *GPIO) answer(c net.Conn) {
	in := bufio.NewReaderSize(c, maxLine)
	q, err := readClaim(in)
	if err == nil && q.out {
		err = g.output(c, in, q)
	} else if err == nil {
		err = g.input(c, q)
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		_ = say(c, "error "+reason(err)) // at worst nobody hears it
	}
}

// output obeys the owner of an output.
func (g *GPIO) output(c net.Conn, in *bufio.Reader, q request) error {
	o := &owner{out: true}
	if _, err := g.claim(q.name, o, q.level); err != nil {
		return err
	}
	defer g.release(q.name, o)
	for {
		if err := say(c, "ok"); err != nil {
			return err
		}
		text, err := readLine(in)
		if err != nil {
			return err
		}
		l, err := parseSet(text)
		if err != nil {
			return err
		}
		if err := g.drive(q.name, o, l); err != nil {
			return err
		}
	}
}

// input tells the owner of an input every level.
func (g *GPIO) input(c net.Conn, q request) error {
	news := &levels{more: make(chan struct{}, 1)}
	o := &owner{tell: news.add}
	if _, err := g.claim(q.name, o, gpio.Low); err != nil {
		return err
	}
	defer g.release(q.name, o)
	if err := say(c, "ok"); err != nil {
		return err
	}
	// The host has nothing more to say: its next byte, or its end, is the end.
	// This also frees the line at once when an agent is killed.
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = c.Read(make([]byte, 1))
	}()
	defer func() { _ = c.Close(); <-over }()
	for {
		for _, l := range news.take() {
			if err := say(c, "level "+digit(l)); err != nil {
				return err
			}
		}
		select {
		case <-news.more:
		case <-over:
			return io.EOF
		}
	}
}

// levels is a queue of what an input's owner has not been told yet. Like the
// kernel's it is bounded; unlike the kernel's it loses the oldest, so the last
// level told is always the line's.
type levels struct {
	mu     sync.Mutex
	queued []gpio.Level
	more   chan struct{}
}

func (q *levels) add(l gpio.Level) {
	q.mu.Lock()
	q.queued = append(q.queued, l)
	if n := len(q.queued) - 64; n > 0 {
		q.queued = slices.Delete(q.queued, 0, n)
	}
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

func (q *levels) take() []gpio.Level {
	q.mu.Lock()
	defer q.mu.Unlock()
	ls := q.queued
	q.queued = nil
	return ls
}

// request is the first line of a connection.
type request struct {
	out   bool
	name  string
	level gpio.Level // of an output
	pull  string     // of an input; nobody models resistors
}

func readClaim(in *bufio.Reader) (request, error) {
	text, err := readLine(in)
	if err != nil {
		return request{}, err
	}
	return parseClaim(text)
}

// parseClaim reads "out NAME 0|1" or "in NAME keep|float|down|up".
func parseClaim(text string) (request, error) {
	w := strings.Split(text, " ")
	if len(w) != 3 || !lineName(w[1]) {
		return request{}, errors.New("want: out NAME 0|1, or in NAME PULL")
	}
	switch q := (request{out: w[0] == "out", name: w[1]}); {
	case q.out && (w[2] == "0" || w[2] == "1"):
		q.level = w[2] == "1"
		return q, nil
	case w[0] == "in" && slices.Contains([]string{"keep", "float", "down", "up"}, w[2]):
		q.pull = w[2]
		return q, nil
	}
	return request{}, errors.New("want: out NAME 0|1, or in NAME keep|float|down|up")
}

// parseSet reads "set 0|1".
func parseSet(text string) (gpio.Level, error) {
	switch text {
	case "set 0":
		return gpio.Low, nil
	case "set 1":
		return gpio.High, nil
	}
	return gpio.Low, errors.New("want: set 0|1")
}

// readLine reads one line of the protocol, without its LF.
func readLine(r *bufio.Reader) (string, error) {
	b, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("a line is longer than %d bytes", maxLine)
	}
	if err != nil {
		return "", err
	}
	return string(b[:len(b)-1]), nil
}

func say(c net.Conn, text string) error {
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, err := io.WriteString(c, text+"\n")
	return err
}

// reason fits an error into one line.
func reason(err error) string {
	s := strings.ReplaceAll(err.Error(), "\n", " ")
	return s[:min(len(s), maxLine-len("error \n"))]
}

func digit(l gpio.Level) string {
	if l {
		return "1"
	}
	return "0"
}

// maxLine bounds a line, with its LF.
const maxLine = 128
