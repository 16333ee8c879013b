package host

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/warthog618/go-gpiocdev"
	"periph.io/x/conn/v3/gpio"

	"github.com/digital-sentinel/sentinel/hal"
)

// The kernel's lines go through go-gpiocdev and not through periph's gpioioctl
// (host v3.8.5), which opens every chip at start, gives an output no first
// level, turns an output that is read into an input, and takes a WaitForEdge of
// 0 and of -1 the wrong way round.

// debounce is what the kernel is asked to swallow on an input: contact bounce
// would overrun its queue of 16 events. Drivers debounce for their own needs.
const debounce = time.Millisecond

// consumer is what gpioinfo shows as the line's user.
const consumer = "sentinel"

// chipLine is a line of the kernel's.
type chipLine struct{ *gpiocdev.Line }

func claimOut(a Address, initial gpio.Level, activeLow bool) (outLine, int, error) {
	line, err := request(a, activeLow, gpiocdev.AsOutput(bit(initial)))
	if err != nil {
		return nil, -1, err
	}
	return chipLine{line}, line.Offset(), nil
}

func claimIn(a Address, activeLow bool, pull gpio.Pull, p *inPin) (inLine, int, error) {
	opts := []gpiocdev.LineReqOption{
		gpiocdev.AsInput, gpiocdev.WithBothEdges,
		gpiocdev.WithEventHandler(func(e gpiocdev.LineEvent) {
			p.changed(e.Type == gpiocdev.LineEventRisingEdge)
		}),
	}
	switch pull {
	case gpio.Float:
		opts = append(opts, gpiocdev.WithBiasDisabled)
	case gpio.PullDown:
		opts = append(opts, gpiocdev.WithPullDown)
	case gpio.PullUp:
		opts = append(opts, gpiocdev.WithPullUp)
	}
	line, err := request(a, activeLow, append(opts, gpiocdev.WithDebounce(debounce))...)
	if _, old := errors.AsType[gpiocdev.ErrUapiIncompatibility](err); old || errors.Is(err, syscall.EINVAL) {
		line, err = request(a, activeLow, opts...) // kernels before 5.10 do not debounce
	}
	if err != nil {
		return nil, -1, err
	}
	l := chipLine{line}
	level, _, err := l.read()
	if err != nil {
		_ = line.Close()
		return nil, -1, opening(a, err)
	}
	p.changed(level)
	return l, line.Offset(), nil
}

func (l chipLine) out(v gpio.Level) error { return l.SetValue(bit(v)) }

func (l chipLine) read() (gpio.Level, bool, error) {
	v, err := l.Value()
	return v != 0, true, err
}

// Close gives the line up. Closing twice is no error.
func (l chipLine) Close() error {
	if err := l.Line.Close(); !errors.Is(err, gpiocdev.ErrClosed) {
		return err
	}
	return nil
}

//

// request claims the line that a means.
func request(a Address, activeLow bool, opts ...gpiocdev.LineReqOption) (*gpiocdev.Line, error) {
	chip, err := findChip(a)
	if err != nil {
		return nil, err
	}
	defer chip.Close()
	offset, err := findLine(a, chip)
	if err != nil {
		return nil, err
	}
	opts = append(opts, gpiocdev.WithConsumer(consumer))
	if activeLow {
		opts = append(opts, gpiocdev.AsActiveLow)
	}
	line, err := chip.RequestLine(offset, opts...)
	if errors.Is(err, syscall.EBUSY) {
		err = errors.New("another program has it")
		if info, ierr := chip.LineInfo(offset); ierr == nil && info.Consumer != "" {
			err = fmt.Errorf("it is in use by %q", tidy(info.Consumer))
		}
	}
	if err != nil {
		return nil, opening(a, err)
	}
	return line, nil
}

// findChip opens the chip by name or by label: the number may change from boot
// to boot, the label does not.
func findChip(a Address) (*gpiocdev.Chip, error) {
	var found *gpiocdev.Chip
	var names []string
	var refused error
	for _, name := range gpiocdev.Chips() {
		c, err := gpiocdev.NewChip(name)
		if err != nil {
			names = append(names, name)
			if errors.Is(err, os.ErrPermission) {
				refused = opening(Address{Kind: Path, Path: "/dev/" + name}, err)
			}
			continue
		}
		names = append(names, fmt.Sprintf("%s (%s)", name, tidy(c.Label)))
		switch {
		case name != a.Chip && c.Label != a.Chip:
			_ = c.Close()
		case found != nil:
			_, _ = c.Close(), found.Close()
			return nil, fmt.Errorf("host: %q is the label of %s and of %s: write the name", a.Chip, found.Name, name)
		default:
			found = c
		}
	}
	switch {
	case found != nil:
		return found, nil
	case refused != nil:
		return nil, refused
	}
	return nil, hal.Gone(fmt.Errorf("host: no GPIO chip %q here; there are %s", a.Chip, listed(names)))
}

// findLine gives the offset of the line. Names are the board's and need not be
// unique: two of a name are an error, since the wrong one may open a gate.
func findLine(a Address, chip *gpiocdev.Chip) (int, error) {
	if n, err := strconv.ParseUint(a.Line, 10, 16); err == nil {
		if int(n) >= chip.Lines() {
			return 0, fmt.Errorf("host: %s has the lines 0 to %d, not %d", chip.Name, chip.Lines()-1, n)
		}
		return int(n), nil
	}
	offset, names := -1, []string{}
	for o := range chip.Lines() {
		info, err := chip.LineInfo(o)
		if err != nil || info.Name == "" {
			continue
		}
		if info.Name == a.Line && offset >= 0 {
			return 0, fmt.Errorf("host: %s has two lines %q, %d and %d: write the number", chip.Name, a.Line, offset, o)
		}
		if info.Name == a.Line {
			offset = o
		}
		if len(names) < 64 {
			names = append(names, tidy(info.Name))
		}
	}
	if offset < 0 {
		return 0, fmt.Errorf("host: %s has no line %q; it has %s", chip.Name, a.Line, strings.TrimSpace(listed(names)))
	}
	return offset, nil
}

func bit(l gpio.Level) int {
	if l {
		return 1
	}
	return 0
}
