package simulator

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
	"github.com/digital-sentinel/sentinel/simulator/fault"
	"github.com/digital-sentinel/sentinel/simulator/front"
	"github.com/digital-sentinel/sentinel/simulator/gm65"
	"github.com/digital-sentinel/sentinel/simulator/lcus"
	"github.com/digital-sentinel/sentinel/simulator/linescan"
	"github.com/digital-sentinel/sentinel/simulator/mlx90614"
	"github.com/digital-sentinel/sentinel/simulator/relay"
	"github.com/digital-sentinel/sentinel/simulator/sdt"
	"github.com/digital-sentinel/sentinel/simulator/syn6288"
)

// kits are the drivers that each profile's bench has.
var kits = map[string][]string{
	"turnstile": {"gm65", "sdt", "mlx90614", "syn6288", "relay"},
	"floor":     {"linescan", "sdt", "mlx90614", "xfs5152", "lcus"},
	"wall":      {"gm65", "syn6288", "relay"},
	"desk":      {"linescan", "sdt", "syn6288"},
	"handheld":  {"gm65", "mlx90614"},
}

// device is one far end, attached.
type device struct {
	name    string
	driver  string
	config  []string // lines of the kiosk's configuration
	plug    func() error
	unplug  func()
	serve   func(ctx context.Context) error
	power   func() // what a power cut does to it
	clear   func() error
	faults  *fault.Plan
	plugged atomic.Bool
}

// farEnds are the verbs of the people in front of the kiosk.
type farEnds struct {
	show    func(code []byte) error
	reader  *sdt.Reader
	thermo  *mlx90614.Sensor
	gate    *relay.Gate // with passage sensor and fire loop
	board   *lcus.Board // or a bare relay board
	lifting func()      // ends the card that lies there

	mu      sync.Mutex
	pending int // bodies that walk at the next release
	walkers sync.WaitGroup
}

// serialTwin is the far end of a serial line.
type serialTwin interface {
	Serve(ctx context.Context, line io.ReadWriteCloser) error
	PowerCycle()
}

// assemble builds the far ends of the profile: the one table of drivers on
// this side.
func (b *Bench) assemble() error {
	kit, ok := kits[b.o.Profile]
	if !ok {
		return fmt.Errorf("%q is no profile; there are turnstile, floor, wall, desk, handheld", b.o.Profile)
	}
	for _, driver := range kit {
		if err := b.add(driver); err != nil {
			return fmt.Errorf("attaching %s: %w", driver, err)
		}
	}
	return nil
}

func (b *Bench) add(driver string) error {
	switch driver {
	case "gm65":
		o := gm65.Opts{}
		if b.o.Real {
			o = gm65.RealTiming()
		}
		twin := gm65.New(o)
		b.far.show = twin.Show
		var more []string
		if b.o.Profile == "handheld" {
			more = []string{"mode: command"}
		}
		return b.addSerial("scanner", driver, twin, &twin.Faults, more...)
	case "linescan":
		o := linescan.Opts{}
		if b.o.Real {
			o = linescan.RealTiming()
		}
		twin := linescan.New(o)
		b.far.show = twin.Show
		return b.addSerial("scanner", driver, twin, &twin.Faults)
	case "sdt":
		o := sdt.Opts{}
		if b.o.Real {
			o = sdt.RealTiming()
		}
		b.far.reader = sdt.New(o)
		return b.addSerial("idreader", driver, b.far.reader, &b.far.reader.Faults, "baud: 115200")
	case "syn6288", "xfs5152":
		o := syn6288.Opts{XFS: driver == "xfs5152", OnSpeak: b.heard}
		if b.o.Real {
			o.PerRune = syn6288.RealTiming().PerRune
		}
		twin := syn6288.New(o)
		return b.addSerial("speaker", driver, twin, &twin.Faults)
	case "lcus":
		b.far.board = lcus.New(lcus.Opts{OnRelay: func(_ int, on bool) { b.commanded(on) }})
		return b.addSerial("gate", driver, b.far.board, &b.far.board.Faults)
	case "mlx90614":
		return b.addThermometer()
	case "relay":
		return b.addGate()
	}
	return fmt.Errorf("there is no far end %q", driver)
}

// addSerial attaches a far end that speaks on a serial line.
func (b *Bench) addSerial(name, driver string, twin serialTwin, faults *fault.Plan, more ...string) error {
	var port front.Port
	clear := func() error { return nil }
	if b.o.Front == Memory {
		m := front.NewMemorySerial(name)
		b.wires.serial[m.Addr()] = m
		port = m
	} else {
		p, err := front.NewPTY(b.dir, name)
		if err != nil {
			return err
		}
		port, clear = p, p.ClearExclusive
	}
	b.attach(&device{
		name: name, driver: driver, faults: faults, power: twin.PowerCycle, clear: clear,
		config: append([]string{"address: " + port.Addr()}, more...),
		plug:   port.Plug, unplug: port.Unplug,
		serve: func(ctx context.Context) error { return port.Serve(ctx, twin.Serve) },
	})
	return nil
}

func (b *Bench) addThermometer() error {
	o := mlx90614.Opts{}
	samples := "samples: 1"
	if b.o.Real {
		o, samples = mlx90614.RealTiming(), "samples: 5"
	}
	b.far.thermo = mlx90614.New(o)
	bus, err := front.NewI2C(b.socket("i2c"), b.far.thermo)
	if err != nil {
		return err
	}
	address := bus.Addr()
	if b.o.Front == Memory {
		address = "memory:i2c"
		b.wires.buses[address] = bus
	}
	b.attach(&device{
		name: "thermometer", driver: "mlx90614", faults: &b.far.thermo.Faults, power: b.far.thermo.PowerCycle,
		clear:  func() error { return nil },
		config: []string{"address: " + address, samples},
		plug:   bus.Plug, unplug: bus.Unplug, serve: b.socketServer(bus.Serve),
	})
	return b.forehead(36.5, 22)
}

// addGate attaches a turnstile: the line that unlocks it, its passage sensor
// and its fire loop.
func (b *Bench) addGate() error {
	var board *front.GPIO
	input := func(name string) func(gpio.Level) {
		return func(l gpio.Level) { _ = board.SetInput(name, l) }
	}
	o := relay.Opts{OnPassage: input("passage"), OnFire: input("fire"), OnChange: func(open bool) {
		if open {
			b.far.walkPending()
		}
	}}
	if b.o.Real {
		o.PullIn, o.Body = relay.RealTiming().PullIn, relay.RealTiming().Body
	}
	b.far.gate = relay.New(o)
	last := gpio.Low
	var mu sync.Mutex
	board, err := front.NewGPIO(b.socket("gpio"), front.GPIOOpts{
		Names: []string{"unlock", "passage", "fire"},
		OnOutput: func(_ string, l gpio.Level) {
			mu.Lock()
			changed := l != last
			last = l
			mu.Unlock()
			b.far.gate.Drive(l)
			if changed {
				b.commanded(l == gpio.High)
			}
		},
	})
	if err != nil {
		return err
	}
	_ = board.SetInput("passage", b.far.gate.PassageLevel())
	_ = board.SetInput("fire", b.far.gate.FireLevel())
	address := board.LineAddr
	if b.o.Front == Memory {
		address = func(line string) string { return "memory:gpio#" + line }
		b.wires.board = board
	}
	b.attach(&device{
		name: "gate", driver: "relay", faults: &fault.Plan{}, power: func() {
			b.far.gate.Drive(gpio.Low) // the relay drops without power
		},
		clear: func() error { return nil },
		config: []string{
			"address: " + address("unlock"), "passage: " + address("passage"), "fire: " + address("fire"),
		},
		plug: board.Plug, unplug: board.Unplug, serve: b.socketServer(board.Serve),
	})
	return nil
}

func (b *Bench) attach(d *device) {
	d.plugged.Store(true)
	b.devices = append(b.devices, d)
}

// socket is the path of a far end's socket; empty in memory.
func (b *Bench) socket(name string) string {
	if b.o.Front == Memory {
		return ""
	}
	return filepath.Join(b.dir, name+".sock")
}

// socketServer serves a socket, or in memory waits, for there is none.
func (b *Bench) socketServer(serve func(context.Context) error) func(context.Context) error {
	if b.o.Front != Memory {
		return serve
	}
	return func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}
}

// heard notes what the voice module says.
func (b *Bench) heard(text string) {
	id, ok := catalogue.BySpoken(text)
	if !ok {
		id = "unknown"
	}
	b.seen.mu.Lock()
	b.seen.last.spoken = text
	b.seen.mu.Unlock()
	b.facts.add(Fact{Kind: "spoken", Name: id, Text: text})
}

// commanded notes what the gate's line is told.
func (b *Bench) commanded(unlock bool) {
	state := "locked"
	if unlock {
		state = "unlocked"
	}
	b.facts.add(Fact{Kind: "gate", State: state})
}

// gateOpen reports whether a body could walk through.
func (f *farEnds) gateOpen() bool {
	switch {
	case f.gate != nil:
		return f.gate.Open()
	case f.board != nil:
		return f.board.On(1)
	}
	return false
}

// walk lets n bodies go through the present release, or else the next.
func (f *farEnds) walk(n int) {
	if f.gate == nil {
		return // there is no sensor that could see them
	}
	f.mu.Lock()
	f.pending = n
	f.mu.Unlock()
	if f.gate.Open() {
		f.walkPending()
	}
}

func (f *farEnds) walkPending() {
	f.mu.Lock()
	n := f.pending
	f.pending = 0
	f.mu.Unlock()
	if n == 0 {
		return
	}
	f.walkers.Go(func() {
		for range n {
			f.gate.Walk()
		}
	})
}

// lay puts a card on the reader. Unless it is stuck, it is lifted half a second
// after it was read, or after five seconds.
func (f *farEnds) lay(c sdt.Card, pull sdt.Stage, stuck bool) error {
	f.liftAll()
	if err := f.reader.LayUntil(c, pull); err != nil {
		return err
	}
	if stuck {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	f.lifting = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		defer f.reader.Lift()
		limit := time.Now().Add(5 * time.Second)
		for !f.reader.WasRead() && time.Now().Before(limit) {
			if sleep(ctx, 50*time.Millisecond) != nil {
				return
			}
		}
		_ = sleep(ctx, 500*time.Millisecond)
	}()
	return nil
}

// liftAll takes away what lies on the reader, and waits for who walks.
func (f *farEnds) liftAll() {
	if f.lifting != nil {
		f.lifting()
		f.lifting = nil
	}
	if f.reader != nil {
		f.reader.Lift()
	}
	f.walkers.Wait()
}

// yaml is the device's entry in the kiosk's configuration.
func (d *device) yaml() string {
	lines := append([]string{"- driver: " + d.driver}, d.config...)
	return "  " + strings.Join(lines, "\n    ") + "\n"
}
