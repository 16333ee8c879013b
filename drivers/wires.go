package drivers

import (
	"context"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"

	"github.com/digital-sentinel/sentinel/drivers/host"
)

// HostWires opens the wires of this machine. insecure permits serial and I²C
// over TCP to other machines.
func HostWires(insecure bool) Wires { return hostWires{insecure} }

//

type hostWires struct{ insecure bool }

func (h hostWires) Serial(ctx context.Context, address string, baud int) (Line, error) {
	return host.OpenSerial(ctx, address, host.SerialOpts{Baud: baud, Insecure: h.insecure})
}

func (h hostWires) I2C(_ context.Context, address string) (i2c.BusCloser, error) {
	return host.OpenI2C(address, host.I2COpts{Insecure: h.insecure})
}

// Out and In open lines by their electrical level: what is active low is the
// driver's affair.
func (h hostWires) Out(_ context.Context, address string, first gpio.Level) (PinOut, error) {
	return host.OpenOut(address, first, false)
}

func (h hostWires) In(_ context.Context, address string, pull gpio.Pull) (PinIn, error) {
	return host.OpenIn(address, pull, false)
}

var _ Wires = hostWires{}
