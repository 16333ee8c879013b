package mlx90614

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/simulator/fault"
)

func TestTranscripts(t *testing.T) {
	cs, err := transcript.Load("../../drivers/mlx90614/testdata/mlx90614.transcript")
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) < 8 {
		t.Fatalf("%d conversations, want at least 8", len(cs))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Opts{})
				lost := false
				for _, step := range c.Steps {
					switch step.Kind {
					case '!':
						lost = step.Event == "nack"
						happen(t, s, step)
					case '~':
						time.Sleep(step.Pause)
					case 'i':
						transact(t, s, step, lost)
						lost = false
					}
				}
			})
		})
	}
}

func transact(t *testing.T, s *Sensor, step transcript.Step, lost bool) {
	t.Helper()
	got := make([]byte, len(step.Read))
	if lost {
		got = make([]byte, 3) // the host asks for a word it will not get
	}
	err := s.Tx(step.Addr, step.Bytes, got)
	if lost != errors.Is(err, ErrNACK) || (err != nil && !lost) {
		t.Errorf("line %d: error %v, want lost = %v", step.Line, err, lost)
	}
	if !lost && !bytes.Equal(got, step.Read) {
		t.Errorf("line %d: got % X, want % X", step.Line, got, step.Read)
	}
}

func happen(t *testing.T, s *Sensor, step transcript.Step) {
	t.Helper()
	var raw uint16
	switch step.Event {
	case "checksum":
		s.Faults.Order(fault.Checksum, 1)
		return
	case "nack":
		s.Faults.Order(fault.Silence, 1)
		return
	case "flag":
		s.Flag(1)
		return
	case "slow cells":
		s.opts.Cell = 30 * time.Millisecond
		return
	}
	if _, err := fmt.Sscanf(step.Event, "object %X", &raw); err == nil {
		s.SetObject(celsius(raw))
	} else if _, err := fmt.Sscanf(step.Event, "ambient %X", &raw); err == nil {
		s.SetAmbient(celsius(raw))
	} else if _, err := fmt.Sscanf(step.Event, "emissivity %X", &raw); err == nil {
		s.cells[cellEmissivity] = raw
	} else {
		t.Errorf("line %d: %q is no event", step.Line, step.Event)
	}
}

func celsius(raw uint16) physic.Temperature {
	return physic.Temperature(raw) * 20 * physic.MilliKelvin
}

func TestWritesThatChangeNothing(t *testing.T) {
	tests := []struct {
		what string
		w    []byte
	}{
		{"wrong check byte", []byte{0x24, 0x00, 0x00, 0x29}},
		{"no check byte", []byte{0x24, 0x00, 0x00}},
		{"a calibration cell", []byte{0x30, 0x00, 0x00, pec(0xB4, 0x30, 0, 0)}},
		{"a RAM register", []byte{0x07, 0x00, 0x00, pec(0xB4, 0x07, 0, 0)}},
	}
	for _, tt := range tests {
		s := New(Opts{})
		if err := s.Tx(0x5A, tt.w, nil); err != nil {
			t.Errorf("%s: Tx() = %v", tt.what, err)
		}
		if s.Writes() != 0 || s.Emissivity() != 1 {
			t.Errorf("%s: %d writes, emissivity %v, want none and 1", tt.what, s.Writes(), s.Emissivity())
		}
	}
}

func TestWritesWearTheCellAndNeedErasing(t *testing.T) {
	s := New(Opts{})
	write := func(v uint16) {
		lo, hi := byte(v), byte(v>>8)
		if err := s.Tx(0x5A, []byte{0x24, lo, hi, pec(0xB4, 0x24, lo, hi)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	write(0xF000)
	write(0x0FFF) // without erasing: the ones stay
	if got := s.Emissivity(); got != 1 || s.Writes() != 3 {
		t.Errorf("emissivity %v after %d writes, want 1 after 3", got, s.Writes())
	}
}

func TestABusyChipIgnoresWritesAndReadsZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(RealTiming())
		erase := []byte{0x2E, 0x00, 0x00, pec(0xB4, 0x2E, 0, 0)}
		_ = s.Tx(0x5A, erase, nil)
		_ = s.Tx(0x5A, []byte{0x24, 0x00, 0x00, 0x28}, nil)
		var r [3]byte
		_ = s.Tx(0x5A, []byte{0x24}, r[:])
		if r != [3]byte{0, 0, 0xF2} || s.Writes() != 1 {
			t.Errorf("read % X after %d writes, want 00 00 F2 after 1", r, s.Writes())
		}
		time.Sleep(5 * time.Millisecond)
		_ = s.Tx(0x5A, []byte{0x24}, r[:])
		if r != [3]byte{0xFF, 0xFF, 0xD6} {
			t.Errorf("read % X when idle again, want FF FF D6", r)
		}
	})
}

func TestNotAcknowledged(t *testing.T) {
	s := New(Opts{})
	var r [3]byte
	tests := []struct {
		what string
		addr uint16
		w, r []byte
	}{
		{"another address", 0x5B, []byte{7}, r[:]},
		{"an unknown command", 0x5A, []byte{0x80}, r[:]},
		{"nothing written", 0x5A, nil, r[:]},
		{"a long command", 0x5A, []byte{7, 7}, r[:]},
	}
	for _, tt := range tests {
		if err := s.Tx(tt.addr, tt.w, tt.r); !errors.Is(err, ErrNACK) {
			t.Errorf("%s: Tx() = %v, want ErrNACK", tt.what, err)
		}
	}
	s.Unplug()
	if err := s.Tx(0x5A, []byte{7}, r[:]); !errors.Is(err, ErrNACK) {
		t.Errorf("unplugged: Tx() = %v, want ErrNACK", err)
	}
	s.Plug()
	if err := s.Tx(0x00, []byte{7}, r[:]); err != nil {
		t.Errorf("plugged in again, at address 00: Tx() = %v", err)
	}
}

func TestTemperatureIsRoundedAndBounded(t *testing.T) {
	for _, tt := range []struct {
		t    physic.Temperature
		want uint16
	}{
		{physic.ZeroCelsius + 37300*physic.MilliKelvin, 0x3CA2},
		{physic.ZeroCelsius + 37301*physic.MilliKelvin, 0x3CA3},
		{physic.ZeroCelsius + 2000*physic.Kelvin, 0x7FFF},
		{-physic.Kelvin, 0},
	} {
		if got := steps(tt.t); got != tt.want {
			t.Errorf("steps(%v) = %04X, want %04X", tt.t, got, tt.want)
		}
	}
}

func FuzzTx(f *testing.F) {
	f.Add(uint16(0x5A), []byte{0x24, 0x00, 0x00, 0x28}, 0)
	f.Add(uint16(0x5A), []byte{0x07}, 3)
	f.Add(uint16(0), []byte{0xF0}, 9)
	f.Fuzz(func(t *testing.T, addr uint16, w []byte, n int) {
		s := New(Opts{})
		r := make([]byte, min(max(n, 0), 64))
		err := s.Tx(addr, w, r)
		if err != nil && !errors.Is(err, ErrNACK) {
			t.Errorf("Tx() = %v, want nil or ErrNACK", err)
		}
		if s.Writes() > 0 && (len(w) != 4 || len(r) > 0) {
			t.Errorf("% X with %d bytes to read wrote a cell", w, len(r))
		}
	})
}
