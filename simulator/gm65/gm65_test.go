package gm65

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// serve runs m on a line and gives the host's end.
func serve(t *testing.T, m *Module) net.Conn {
	host := transcript.Serve(t.Context(), t, m.Serve)
	synctest.Wait() // it knows its line
	return host
}

func TestTranscripts(t *testing.T) {
	cs, err := transcript.Load("../../drivers/gm65/testdata/gm65.transcript")
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) < 13 {
		t.Fatalf("%d conversations, want at least 13", len(cs))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := New(Opts{})
				host := serve(t, m)
				transcript.Host(t, c, host, func(event string) error { return happen(t, m, event) })
			})
		})
	}
}

// happen makes happen what an event line says.
func happen(t *testing.T, m *Module, event string) error {
	verb, arg, _ := strings.Cut(event, " ")
	switch verb {
	case "scan": // what is asked of the driver
		return nil
	case "show":
		code, err := strconv.Unquote(arg)
		if err != nil {
			return err
		}
		go func() {
			if err := m.Show([]byte(code)); err != nil {
				t.Errorf("Show() = %v", err)
			}
		}()
		synctest.Wait()
		return nil
	case "zone":
		var zone uint16
		var value byte
		if _, err := fmt.Sscanf(arg, "%X %X", &zone, &value); err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.zones[zone] = value
		return nil
	}
	faults := map[string]fault.Kind{"lose": fault.Silence, "split": fault.Split, "spoil": fault.Checksum}
	n, err := strconv.Atoi(arg)
	if faults[verb] == fault.None || err != nil {
		return fmt.Errorf("%q is no event", event)
	}
	m.Faults.Order(faults[verb], n)
	return nil
}

// hear returns what the module has sent within d.
func hear(t *testing.T, host net.Conn, d time.Duration) string {
	t.Helper()
	var all []byte
	buf := make([]byte, 1024)
	_ = host.SetReadDeadline(time.Now().Add(d))
	for {
		n, err := host.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			return string(all)
		}
	}
}

// ask sends b and returns what the module answers within 10 ms.
func ask(t *testing.T, host net.Conn, b ...byte) string {
	t.Helper()
	if _, err := host.Write(b); err != nil {
		t.Fatal(err)
	}
	return hear(t, host, 10*time.Millisecond)
}

// framed is a reply with its CRC.
func framed(kind byte, data ...byte) string {
	f := append([]byte{2, 0, kind, byte(len(data))}, data...)
	sum := crc(f[2:])
	return string(append(f, byte(sum>>8), byte(sum)))
}

// The commands are the vectors of the fact sheet, 2.1.
func TestCommands(t *testing.T) {
	all := make([]byte, 256)
	copy(all, []byte{0xD4, 0, 0, 1})
	all[0x0D], all[0x13], all[0x2A], all[0x2B], all[0xE1], all[0xE2] = 0, 0x85, 0x39, 1, 0x64, 0x87
	tests := []struct {
		what string
		in   []byte
		want string
	}{
		{"software version", []byte{0x7E, 0, 7, 1, 0, 0xE2, 1, 0x77, 0x91}, framed(0, 0x87)},
		{"two registers", []byte{0x7E, 0, 7, 1, 0, 0x2A, 2, 0xD8, 0x0F}, framed(0, 0x39, 0x01)},
		{"256 registers", []byte{0x7E, 0, 7, 1, 0, 0, 0, 0xAB, 0xCD}, framed(0, all...)},
		{"two registers written", []byte{0x7E, 0, 8, 2, 0, 0x2A, 0x39, 1, 0xA7, 0xEA}, framed(0, 0)},
		{"save to flash", []byte{0x7E, 0, 9, 1, 0, 0, 0, 0xDE, 0xC8}, "\x02\x00\x00\x01\x00\x33\x31"},
		{"a checksum that is skipped", []byte{0x7E, 0, 8, 1, 0, 2, 1, 0xAB, 0xCD}, "\x02\x00\x00\x01\x00\x33\x31"},
		{"a wrong checksum", []byte{0x7E, 0, 8, 1, 0, 2, 1, 0x02, 0xDB}, "\x02\x00\x01\x01\x00\x04\x01"},
		{"an unknown command", []byte{0x7E, 0, 0x55, 1, 0, 0, 0, 0xAB, 0xCD}, "\x02\x00\x03\x01\x00\x6A\x61"},
		{"a write of nothing", []byte{0x7E, 0, 8, 0, 0, 0, 0xAB, 0xCD}, "\x02\x00\x03\x01\x00\x6A\x61"},
		{"noise and a command", []byte{0xFF, 0x7E, 1, 0x7E, 0, 7, 1, 0, 0xE2, 1, 0x77, 0x91}, framed(0, 0x87)},
		{"half a command", []byte{0x7E, 0, 7, 1, 0}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := serve(t, New(Opts{}))
				if got := ask(t, host, tt.in...); got != tt.want {
					t.Errorf("answers % X, want % X", got, tt.want)
				}
			})
		})
	}
}

func TestSettingsAreToldAndForgottenWithThePower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		m := New(Opts{OnSetting: func(zone uint16, v byte) { told = append(told, fmt.Sprintf("%04X=%02X", zone, v)) }})
		host := serve(t, m)
		ask(t, host, 0x7E, 0, 8, 1, 0, 0, 0xD6, 0xDF, 0x22)
		ask(t, host, 0x7E, 0, 8, 1, 0, 2, 1, 0x02, 0xDA)
		ask(t, host, 0x7E, 0, 8, 1, 0, 3, 0, 0x21, 0xCB) // a wrong checksum writes nothing
		if got, want := strings.Join(told, " "), "0000=D6 0002=01"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		if m.Zone(0) != 0xD6 || m.Zone(2) != 0 || m.Zone(3) != 1 {
			t.Errorf("zones %02X %02X %02X, want D6, 00 (a trigger clears itself), 01", m.Zone(0), m.Zone(2), m.Zone(3))
		}
		m.PowerCycle()
		if m.Zone(0) != 0xD4 {
			t.Errorf("zone 0000 = %02X after a power cycle, want D4", m.Zone(0))
		}
	})
}

// Setting by barcode is why a kiosk must switch it off.
func TestAPrintedCodeMayReconfigureTheModule(t *testing.T) {
	for name, allowed := range map[string]byte{"as shipped": 1, "switched off": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := New(Opts{})
				host := serve(t, m)
				ask(t, host, 0x7E, 0, 8, 1, 0, 0, 0xD6, 0xAB, 0xCD)
				ask(t, host, 0x7E, 0, 8, 1, 0, 3, allowed, 0xAB, 0xCD)
				go func() { _ = m.Show([]byte(settingCode)) }()
				got, zone := hear(t, host, time.Second), m.Zone(0)
				if allowed == 1 && (got != "" || zone != 0xD4) {
					t.Errorf("sent %q, zone 0000 = %02X, want nothing and manual mode", got, zone)
				}
				if allowed == 0 && (got != settingCode+"\r" || zone != 0xD6) {
					t.Errorf("sent %q, zone 0000 = %02X, want the text and continuous mode", got, zone)
				}
			})
		})
	}
}

func TestModes(t *testing.T) {
	for name, tt := range map[string]struct {
		mode byte
		want string
	}{
		"manual":     {0xD4, ""},
		"command":    {0xD5, ""},
		"continuous": {0xD6, "HS-1\r"},
		"induction":  {0xD7, "HS-1\r"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := New(Opts{})
				host := serve(t, m)
				ask(t, host, 0x7E, 0, 8, 1, 0, 0, tt.mode, 0xAB, 0xCD)
				go func() { _ = m.Show([]byte("HS-1")) }()
				if got := hear(t, host, 10*time.Second); got != tt.want {
					t.Errorf("sent %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestATriggerLooksForFiveSecondsAndOneCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Opts{})
		host := serve(t, m)
		ask(t, host, 0x7E, 0, 8, 1, 0, 0, 0xD5, 0xAB, 0xCD)
		show := func(code string) string {
			go func() { _ = m.Show([]byte(code)) }()
			return hear(t, host, 300*time.Millisecond)
		}
		for i, tt := range []struct {
			after time.Duration
			want  string
		}{{4 * time.Second, "0\r"}, {6 * time.Second, ""}} {
			ask(t, host, 0x7E, 0, 8, 1, 0, 2, 1, 0xAB, 0xCD)
			time.Sleep(tt.after)
			if got := show(strconv.Itoa(i)); got != tt.want {
				t.Errorf("a code shown %v after the trigger: sent %q, want %q", tt.after, got, tt.want)
			}
			if got := show("another"); got != "" {
				t.Errorf("a second code for one trigger: sent %q, want nothing", got)
			}
			m.mu.Lock()
			m.waiting = nil // nobody holds it up any more
			m.mu.Unlock()
		}
	})
}

func TestTheSameCodeIsSentAgainOnlyAfterItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Opts{})
		host := serve(t, m)
		ask(t, host, 0x7E, 0, 8, 1, 0, 0, 0xD6, 0xAB, 0xCD)
		show := func(code string) string {
			go func() { _ = m.Show([]byte(code)) }()
			return hear(t, host, 300*time.Millisecond)
		}
		// The factory's delay, 85, is half a second.
		for i, want := range []string{"HS-1\r", "", "HS-1\r"} {
			if got := show("HS-1"); got != want {
				t.Errorf("showing %d: sent %q, want %q", i+1, got, want)
			}
		}
		if got := show("HS-2"); got != "HS-2\r" {
			t.Errorf("another code: sent %q, want it at once", got)
		}
		ask(t, host, 0x7E, 0, 8, 1, 0, 0x13, 0x05, 0xAB, 0xCD) // b7 off
		if got := show("HS-2"); got != "HS-2\r" {
			t.Errorf("without a delay: sent %q, want it again", got)
		}
	})
}

func TestDecodingTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(RealTiming())
		start := time.Now()
		if err := m.Show([]byte("HS-1")); err != nil { // nobody listens yet
			t.Errorf("Show() = %v without a line, want nil", err)
		}
		if got := time.Since(start); got != 100*time.Millisecond {
			t.Errorf("took %v, want 100ms", got)
		}
	})
}

func TestServeEndsWithItsContextAndMayBeCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Opts{})
		for range 2 {
			host, far := net.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			go func() { _, _ = host.Write([]byte{0x7E, 0, 8, 1, 0, 0, 0xD6, 0xAB, 0xCD}); hear(t, host, time.Minute) }()
			if err := m.Serve(ctx, far); err != nil {
				t.Errorf("Serve() = %v, want nil", err)
			}
			cancel()
			if _, err := far.Write([]byte{0}); err == nil {
				t.Error("the line is still open")
			}
			if m.Zone(0) != 0xD6 {
				t.Error("a setting was forgotten with the line")
			}
		}
		host, far := net.Pipe()
		_ = host.Close()
		if err := m.Serve(t.Context(), far); err == nil {
			t.Error("Serve() = nil on a dead line, want its error")
		}
	})
}

// commands takes in apart, cut after n bytes, and prints what there is.
func commands(in []byte, cut int) (all []string, left int) {
	cut = min(max(cut, 0), len(in))
	var buf []byte
	for _, piece := range [][]byte{in[:cut], in[cut:]} {
		buf = append(bytes.Clone(buf), piece...)
		for {
			c, rest, ok := nextCommand(buf)
			buf = rest
			if !ok {
				break
			}
			all = append(all, fmt.Sprintf("%02X %04X % X %v", c.kind, c.zone, c.data, c.good))
		}
	}
	return all, len(buf)
}

func FuzzCommands(f *testing.F) {
	cs, err := transcript.Load("../../drivers/gm65/testdata/gm65.transcript")
	if err != nil {
		f.Fatal(err)
	}
	for i, c := range cs {
		var in []byte
		for _, s := range c.Steps {
			if s.Kind == '>' {
				in = append(in, s.Bytes...)
			}
		}
		f.Add(in, 5*i)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		want, left := commands(in, 0)
		if got, _ := commands(in, cut); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("cut at %d: %q, want %q", cut, got, want)
		}
		if left > 8+255 {
			t.Errorf("%d bytes kept, want fewer than a command has", left)
		}
		if most := len(in) / 8; len(want) > most {
			t.Errorf("%d commands in %d bytes", len(want), len(in))
		}
	})
}
