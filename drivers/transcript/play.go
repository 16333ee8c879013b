package transcript

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// TB is what a player needs of testing.TB; it keeps package testing out of
// this package.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Cleanup(func())
}

// stuck is how long a player waits for the other side before it calls the
// conversation broken. Under testing/synctest it costs nothing.
const stuck = 30 * time.Second

// atOnce is how soon after the last step a device's further bytes are its
// answer to it and not a thing of its own.
const atOnce = 20 * time.Millisecond

// errBus is a transcript of a bus, played on a line.
var errBus = errors.New("an i2c step cannot be played on a line of bytes")

// Device plays the device's side of c and returns the line a driver is given.
// The test fails at the first byte that differs from what the host is to send,
// and at its end if steps are left over. After the last step the device stays
// silent.
func Device(t TB, c Conversation) net.Conn {
	t.Helper()
	host, dev := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- playDevice(dev, c) }()
	t.Cleanup(func() {
		_ = host.Close()
		if err := <-done; err != nil {
			t.Errorf("transcript %q: %v", c.Name, err)
		}
		_ = dev.Close()
	})
	return host
}

func playDevice(dev net.Conn, c Conversation) error {
	for _, s := range c.Steps {
		switch s.Kind {
		case '>':
			if err := expect(dev, s.Bytes); err != nil {
				return fmt.Errorf("line %d: %w", s.Line, err)
			}
		case '<':
			_ = dev.SetWriteDeadline(time.Now().Add(stuck))
			if _, err := dev.Write(s.Bytes); err != nil {
				return fmt.Errorf("line %d: the driver does not read % X: %w", s.Line, s.Bytes, err)
			}
		case '~':
			time.Sleep(s.Pause)
		case 'i':
			return fmt.Errorf("line %d: %w", s.Line, errBus)
		}
	}
	_ = dev.SetReadDeadline(time.Time{})
	extra, _ := io.ReadAll(dev)
	if len(extra) > 0 {
		return fmt.Errorf("the driver sent % X after the last step", extra)
	}
	return nil
}

// Serve lets a simulated device serve one end of a line, until the test ends,
// and returns the host's end. It fails nothing by itself: a device that ends is
// seen by who reads from it.
func Serve(ctx context.Context, t TB, serve func(context.Context, io.ReadWriteCloser) error) net.Conn {
	host, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- serve(ctx, far) }()
	t.Cleanup(func() { _ = host.Close(); <-done })
	return host
}

// Host plays the host's side of c against far, the line of a simulated device:
// it sends every '>' and requires every '<' byte for byte. An event line calls
// event with its text; it makes happen what the line says, and Host fails the
// test if it returns an error. A device that says more at once than the file
// does fails too. Host closes far at the end.
func Host(t TB, c Conversation, far net.Conn, event func(string) error) {
	t.Helper()
	defer far.Close()
	for _, s := range c.Steps {
		if err := playHost(far, s, event); err != nil {
			t.Errorf("transcript %q line %d: %v", c.Name, s.Line, err)
			return
		}
	}
	_ = far.SetReadDeadline(time.Now().Add(atOnce))
	if extra, _ := io.ReadAll(far); len(extra) > 0 {
		t.Errorf("transcript %q: the device sent % X after the last step", c.Name, extra)
	}
}

func playHost(far net.Conn, s Step, event func(string) error) error {
	switch s.Kind {
	case '>':
		_ = far.SetWriteDeadline(time.Now().Add(stuck))
		_, err := far.Write(s.Bytes)
		return err
	case '<':
		return expect(far, s.Bytes)
	case '!':
		if event == nil {
			return fmt.Errorf("event %q and nobody to make it happen", s.Event)
		}
		return event(s.Event)
	case 'i':
		return errBus
	}
	return nil
}

// expect reads exactly len(want) bytes and compares them.
func expect(c net.Conn, want []byte) error {
	got := make([]byte, len(want))
	_ = c.SetReadDeadline(time.Now().Add(stuck))
	n, err := io.ReadFull(c, got)
	if !bytes.Equal(got[:n], want[:n]) || err != nil {
		return fmt.Errorf("got % X, want % X (%v)", got[:n], want, err)
	}
	return nil
}
