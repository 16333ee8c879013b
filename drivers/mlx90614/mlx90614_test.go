package mlx90614

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/haltest"
)

var errNACK = errors.New("remote I/O error")

// player is a bus that plays a conversation.
type player struct {
	t     *testing.T
	steps []transcript.Step
	times []time.Time // of every transaction
}

func play(t *testing.T, name string) *player {
	t.Helper()
	cs, err := transcript.Load("testdata/mlx90614.transcript")
	if err != nil {
		t.Fatal(err)
	}
	c, err := transcript.Find(cs, name)
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, steps: c.Steps}
	t.Cleanup(func() {
		p.next() // events at the end
		if len(p.steps) > 0 {
			t.Errorf("%d steps left over", len(p.steps))
		}
	})
	return p
}

// next skips to the next transaction and tells whether it is to be lost.
func (p *player) next() (lost bool) {
	for len(p.steps) > 0 && p.steps[0].Kind != 'i' {
		lost = lost || p.steps[0].Event == "nack"
		p.steps = p.steps[1:]
	}
	return lost
}

func (p *player) Tx(addr uint16, w, r []byte) error {
	lost := p.next()
	if len(p.steps) == 0 {
		p.t.Errorf("transaction %02X > % X after the last step", addr, w)
		return errNACK
	}
	s := p.steps[0]
	p.steps = p.steps[1:]
	p.times = append(p.times, time.Now())
	if addr != s.Addr || !bytes.Equal(w, s.Bytes) {
		p.t.Errorf("line %d: got %02X > % X, want %02X > % X", s.Line, addr, w, s.Addr, s.Bytes)
	}
	if lost {
		return errNACK
	}
	if len(r) != len(s.Read) {
		p.t.Errorf("line %d: reads %d bytes, want %d", s.Line, len(r), len(s.Read))
	}
	copy(r, s.Read)
	return nil
}

func (p *player) SetSpeed(physic.Frequency) error { return errors.New("not the driver's business") }
func (p *player) String() string                  { return "transcript" }

func TestTranscripts(t *testing.T) {
	const ambient, object = 28_270, 28_010 // m°C
	tests := []struct {
		name     string
		opts     Opts
		noNew    string // part of New's error
		noRead   string // part of Measure's error
		object   int64
		skipRead bool
	}{
		{name: "measures", object: object},
		{name: "a bad check byte is read once more", object: 35_890},
		{name: "two bad check bytes are an error", noRead: "check byte"},
		{name: "a flagged object is an error", noRead: "error flag"},
		{name: "one answer lost on the bus", object: object},
		{name: "sets the emissivity", opts: Opts{Emissivity: 0.98}, skipRead: true},
		{name: "leaves an emissivity that is right", opts: Opts{Emissivity: 0.98}, skipRead: true},
		{name: "waits while the cell is being written", opts: Opts{Emissivity: 0.98}, skipRead: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := play(t, tt.name)
				tt.opts.Samples = 1
				d, err := New(t.Context(), p, tt.opts)
				if err != nil {
					t.Fatalf("New() = %v", err)
				}
				if tt.skipRead {
					return
				}
				got, err := d.Measure(t.Context())
				if tt.noRead != "" {
					if err == nil || !strings.Contains(err.Error(), tt.noRead) || errors.Is(err, hal.ErrGone) {
						t.Errorf("Measure() = %v, %v, want an error with %q", got, err, tt.noRead)
					}
					if got != (hal.Reading{}) {
						t.Errorf("Measure() gave %v beside its error", got)
					}
					return
				}
				want := hal.Reading{
					Object:  physic.ZeroCelsius + physic.Temperature(tt.object)*physic.MilliKelvin,
					Ambient: physic.ZeroCelsius + ambient*physic.MilliKelvin,
				}
				if err != nil || got != want {
					t.Errorf("Measure() = %v, %v, want %v", got, err, want)
				}
			})
		})
	}
}

func TestErasedAndWrittenCellsAreGivenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, "sets the emissivity")
		if _, err := New(t.Context(), p, Opts{Emissivity: 0.98}); err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{2, 4} {
			if d := p.times[i].Sub(p.times[i-1]); d < 20*time.Millisecond {
				t.Errorf("transaction %d came %v after the cell's, want at least 20ms", i, d)
			}
		}
	})
}

// The vectors of the fact sheet, 3.1.
func TestPEC(t *testing.T) {
	tests := []struct {
		what  string
		bytes []byte
		want  byte
	}{
		{"read object 3AD2", []byte{0xB4, 0x07, 0xB5, 0xD2, 0x3A}, 0x30},
		{"read ambient 3ADF", []byte{0xB4, 0x06, 0xB5, 0xDF, 0x3A}, 0xCF},
		{"erase emissivity", []byte{0xB4, 0x24, 0x00, 0x00}, 0x28},
		{"erase address, to all", []byte{0x00, 0x2E, 0x00, 0x00}, 0x6F},
		{"sleep", []byte{0xB4, 0xFF}, 0xE8},
		{"write 22", []byte{0xB4, 0x22, 0x07, 0xC8}, 0x48},
		{"write address 5A", []byte{0xB4, 0x2E, 0x5A, 0x00}, 0x21},
		{"read object 3C5C", []byte{0xB4, 0x07, 0xB5, 0x5C, 0x3C}, 0x42},
	}
	for _, tt := range tests {
		if got := pec(tt.bytes...); got != tt.want {
			t.Errorf("%s: pec(% X) = %02X, want %02X", tt.what, tt.bytes, got, tt.want)
		}
	}
}

func TestTemperature(t *testing.T) {
	tests := []struct {
		raw  uint16
		want int64 // m°C
	}{
		// 37.30 and 36.50 °C lie between two steps; these are the steps below.
		{0x3AD2, 28_010}, {0x3CA2, 37_290}, {0x3C7A, 36_490}, {0x27AD, -70_010}, {0x7FFF, 382_190},
	}
	for _, tt := range tests {
		want := physic.ZeroCelsius + physic.Temperature(tt.want)*physic.MilliKelvin
		if got := temperature(tt.raw); got != want {
			t.Errorf("temperature(%04X) = %d, want %d", tt.raw, got, want)
		}
		if err := plausible(ramObject1, tt.raw); err != nil {
			t.Errorf("plausible(%04X) = %v", tt.raw, err)
		}
	}
}

func TestImplausible(t *testing.T) {
	tests := []struct {
		what string
		cmd  byte
		raw  uint16
	}{
		{"object below its range", ramObject1, 0x27AC},
		{"object flagged", ramObject1, 0x8000},
		{"object flagged, else plausible", ramObject1, 0xBAD2},
		{"a bus that floats high", ramObject1, 0xFFFF},
		{"a bus held low", ramObject1, 0},
		{"ambient colder than the chip works", ramAmbient, 0x2D88},
		{"ambient hotter than the chip works", ramAmbient, 0x4DC5},
		{"ambient flagged", ramAmbient, 0xBADF},
	}
	for _, tt := range tests {
		if err := plausible(tt.cmd, tt.raw); err == nil {
			t.Errorf("%s: plausible(%02X, %04X) = nil, want an error", tt.what, tt.cmd, tt.raw)
		}
	}
}

func TestEmissivityCell(t *testing.T) {
	for e, want := range map[float64]uint16{0.98: 0xFAE0, 1: 0xFFFF, 0.1: 0x199A} {
		if got := emissivityCell(e); got != want {
			t.Errorf("emissivityCell(%v) = %04X, want %04X", e, got, want)
		}
	}
}

func TestOptsAreChecked(t *testing.T) {
	for name, o := range map[string]Opts{
		"too many samples":     {Samples: 26},
		"fewer than none":      {Samples: -1},
		"emissivity above one": {Emissivity: 1.01},
		"emissivity too small": {Emissivity: 0.05},
		"address too big":      {Addr: 0x80},
		"interval too long":    {Interval: 2 * time.Second},
	} {
		if _, err := New(t.Context(), &chip{}, o); err == nil {
			t.Errorf("%s: New() = nil, want an error", name)
		}
	}
}

// chip answers reads from a map, counts writes, and can be taken away.
type chip struct {
	mu     sync.Mutex
	object []uint16 // readings in turn, the last for ever
	cell   uint16
	writes int
	gone   error
}

func (c *chip) Tx(addr uint16, w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone != nil {
		return c.gone
	}
	if len(r) == 0 {
		c.writes++
		return nil
	}
	v := uint16(0x3ADF)
	switch w[0] {
	case readFlags:
		v = 0x10
	case eepromEmissivity:
		v = c.cell
	case ramObject1:
		v = c.object[0]
		if len(c.object) > 1 {
			c.object = c.object[1:]
		}
	}
	a := byte(addr << 1)
	copy(r, []byte{byte(v), byte(v >> 8), pec(a, w[0], a|1, byte(v), byte(v>>8))})
	return nil
}

func (c *chip) SetSpeed(physic.Frequency) error { return nil }
func (c *chip) String() string                  { return "i2c-1" }

func (c *chip) unplug(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = err
}

// face is raw 33.01 °C.
const face = 0x3BCC

func TestContract(t *testing.T) {
	haltest.TestThermometer(t, func(t *testing.T) haltest.Rig {
		c := &chip{cell: 0xFFFF, object: []uint16{face}}
		d, err := New(t.Context(), c, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		return haltest.Rig{Dev: d, Unplug: func() { c.unplug(errNACK) }, Close: func() {}}
	})
}

func TestMedianLeavesOutWildValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chip{cell: 0xFFFF, object: []uint16{face, 0x27AD, face + 1, 0x7FFF, face + 2}}
		d, err := New(t.Context(), c, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		got, err := d.Measure(t.Context())
		if want := temperature(face + 1); err != nil || got.Object != want {
			t.Errorf("Measure() = %v, %v, want %v", got.Object, err, want)
		}
		if got, want := time.Since(start), 100*time.Millisecond; got != want {
			t.Errorf("took %v, want %v", got, want)
		}
	})
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		v    []uint16
		want uint16
	}{{[]uint16{7}, 7}, {[]uint16{9, 1}, 1}, {[]uint16{3, 9, 1}, 3}} {
		if got := median(slices.Clone(tt.v)); got != tt.want {
			t.Errorf("median(%v) = %d, want %d", tt.v, got, tt.want)
		}
	}
}

func TestABusThatIsGoneIsPassedUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chip{cell: 0xFFFF, object: []uint16{face}}
		d, err := New(t.Context(), c, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		cause := errors.New("connection reset")
		c.unplug(fmt.Errorf("remote bus: %w", hal.Gone(cause)))
		start := time.Now()
		_, err = d.Measure(t.Context())
		if !errors.Is(err, hal.ErrGone) || !errors.Is(err, cause) {
			t.Errorf("Measure() = %v, want hal.ErrGone and its cause", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("tried for %v, want one try", d)
		}
	})
}

func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chip{cell: 0xFFFF, object: []uint16{face}}
		d, err := New(t.Context(), c, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Probe(t.Context()); err != nil {
			t.Errorf("Probe() = %v, want nil", err)
		}
		c.unplug(errNACK)
		if err := d.Probe(t.Context()); !errors.Is(err, hal.ErrGone) {
			t.Errorf("Probe() = %v when unplugged, want hal.ErrGone", err)
		}
	})
}

func TestAnErasedCellIsRefused(t *testing.T) {
	c := &chip{cell: 0, object: []uint16{face}}
	if _, err := New(t.Context(), c, Opts{}); err == nil || c.writes != 0 {
		t.Errorf("New() = %v with %d writes, want an error and no write", err, c.writes)
	}
}

func TestACellThatDoesNotKeepItsValueIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chip{cell: 0xFFFF, object: []uint16{face}} // takes writes and forgets them
		if _, err := New(t.Context(), c, Opts{Emissivity: 0.95}); err == nil || c.writes != 2 {
			t.Errorf("New() = %v with %d writes, want an error after 2", err, c.writes)
		}
	})
}

func TestHaltEndsAMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chip{cell: 0xFFFF, object: []uint16{face}}
		d, err := New(t.Context(), c, Opts{Samples: 25, Interval: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(1500*time.Millisecond, func() { _ = d.Halt() })
		start := time.Now()
		if _, err = d.Measure(t.Context()); err == nil || errors.Is(err, hal.ErrGone) {
			t.Errorf("Measure() = %v, want an error that is not gone", err)
		}
		if got, want := time.Since(start), 1500*time.Millisecond; got != want {
			t.Errorf("ended after %v, want %v", got, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if _, err = d.Measure(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Measure() = %v after Halt, want it to run into its deadline", err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(byte(0x5A), byte(0x07), []byte{0xD2, 0x3A, 0x30})
	f.Add(byte(0x5A), byte(0x06), []byte{0xDF, 0x3A, 0xCF})
	f.Add(byte(0x5A), byte(0x07), []byte{0xD2, 0xBA, 0xB9})
	f.Fuzz(func(t *testing.T, addr, cmd byte, data []byte) {
		var b [3]byte
		copy(b[:], data)
		addr &= 0x7F
		v, ok := decode(uint16(addr), cmd, b)
		if !ok {
			return
		}
		// A CRC over a message and its own check byte is zero.
		if rest := pec(addr<<1, cmd, addr<<1|1, b[0], b[1], b[2]); rest != 0 {
			t.Errorf("accepted % X, whose remainder is %02X", b, rest)
		}
		if plausible(cmd, v) == nil && v&0x8000 != 0 {
			t.Errorf("%04X is flagged and passed", v)
		}
		for bit := range 24 { // CRC-8 finds every single flipped bit
			c := b
			c[bit/8] ^= 1 << (bit % 8)
			if _, ok := decode(uint16(addr), cmd, c); ok {
				t.Errorf("accepted % X with bit %d flipped", b, bit)
			}
		}
	})
}
