package sdt

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/hal"
	"github.com/digital-sentinel/sentinel/hal/haltest"
	"github.com/digital-sentinel/sentinel/hal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func load(t testing.TB) []transcript.Conversation {
	t.Helper()
	cs, err := transcript.Load("testdata/sdt.transcript")
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

func TestTranscripts(t *testing.T) {
	cs := load(t)
	if len(cs) < 27 {
		t.Errorf("%d conversations, want at least 27", len(cs))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var line wire.Line = transcript.Device(t, c)
				speeds := &speeds{Line: line}
				if strings.Contains(c.Name, "baud") {
					line = speeds
				}
				d, err := New(t.Context(), line, Opts{})
				if asks(c) == "finds nobody" {
					if !errors.Is(err, hal.ErrGone) {
						t.Errorf("New() = %v, want hal.ErrGone", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got, want := d.String(), "sdt{05.01-20200229-0012345678-0305419896}"; got != want {
					t.Errorf("String() = %s, want %s", got, want)
				}
				if want := []int{115200, 9600}; line == wire.Line(speeds) && !slices.Equal(speeds.tried, want) {
					t.Errorf("speeds %v were tried, want %v", speeds.tried, want)
				}
				for _, s := range c.Steps {
					if ask, ok := strings.CutPrefix(s.Event, "driver "); ok {
						do(t, d, ask)
					}
				}
			})
		})
	}
}

// asks gives the first thing that a conversation asks of the driver.
func asks(c transcript.Conversation) string {
	for _, s := range c.Steps {
		if ask, ok := strings.CutPrefix(s.Event, "driver "); ok {
			return ask
		}
	}
	return ""
}

// do asks the driver for a card, and wants the result that an event names.
func do(t *testing.T, d *Dev, ask string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if pause, ok := strings.CutPrefix(ask, "sees nothing for "); ok {
		length, err := time.ParseDuration(pause)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		if card, err := d.ReadCard(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, %v, want context.DeadlineExceeded", ask, card, err)
		}
		return
	}
	card, err := d.ReadCard(ctx)
	if kind, ok := strings.CutPrefix(ask, "reads "); ok {
		want, known := cards[kind]
		card.Raw = [256]byte{} // see TestRaw
		if diff := cmp.Diff(want, card); !known || err != nil || diff != "" {
			t.Errorf("%s: error %v, card (-want +got):\n%s", ask, err, diff)
		}
		return
	}
	if reason, ok := strings.CutPrefix(ask, "reports "); ok {
		var unread *hal.CardError
		if !errors.As(err, &unread) || string(unread.Reason) != reason || errors.Is(err, hal.ErrGone) {
			t.Errorf("%s: %v, %v", ask, card, err)
		}
		return
	}
	if ask != "finds the reader gone" || !errors.Is(err, hal.ErrGone) {
		t.Errorf("%s: %v, %v", ask, card, err)
	}
}

// cards are those of the transcript, as decoded.
var cards = map[string]hal.Card{
	"resident": {
		Type: hal.Resident, Name: "张三", Sex: "1", Ethnic: "01", Birth: "19491231",
		Address: "北京市朝阳区测试路1号", Number: "11010519491231002X",
		Issuer: "北京市公安局朝阳分局", ValidFrom: "20200101", ValidTo: "长期",
	},
	"J": {
		Type: hal.HKMOTWPermit, Name: "测试人", Sex: "2", Birth: "19940823",
		Address: "广东省深圳市测试路2号", Number: "810000199408230021", Issuer: "深圳市公安局",
		ValidFrom: "20200101", ValidTo: "20250101", PassNumber: "H12345678", IssueCount: "01",
	},
	"I": {
		Type: hal.ForeignOld, Name: "测试", EnglishName: "SAMPLE, TEST", Sex: "1", Birth: "19810803",
		Number: "CAN110081080310", Nationality: "CAN", ValidFrom: "20180101", ValidTo: "20280101",
		CardVersion: "01", Authority: "1100",
	},
	"Y": {
		Type: hal.ForeignNew, Name: "测试", EnglishName: "MARGARETHE ALEXANDRA WILHELMINA OF SAMPLETOWN",
		Sex: "1", IssueCount: "00", Birth: "19850101", Number: "932682198501010017", Nationality: "682",
		ValidFrom: "20240101", ValidTo: "20340101", OldNumber: "007",
	},
	"unknown": {Type: hal.UnknownCard},
}

// speeds is a line that can change its speed, and remembers.
type speeds struct {
	wire.Line
	tried []int
	deny  error
}

func (s *speeds) SetBaud(baud int) error {
	s.tried = append(s.tried, baud)
	return s.deny
}

func TestContract(t *testing.T) {
	whole := recordAnswer(t, "resident")
	haltest.TestCardReader(t, func(t *testing.T) haltest.Rig {
		host, r := newDesk()
		d, err := New(t.Context(), host, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		return haltest.Rig{
			Dev:    d,
			Unplug: r.unplug,
			Present: func() {
				r.lay(whole)
				r.after(3*time.Second, func() { r.lay(nil) })
			},
			Close: func() { _ = host.Close(); r.end() },
		}
	})
}

func TestOptsAreChecked(t *testing.T) {
	for name, o := range map[string]Opts{
		"a speed below zero":        {Baud: -1},
		"a poll in the time before": {Poll: -1},
	} {
		if _, err := New(t.Context(), nil, o); err == nil || errors.Is(err, hal.ErrGone) {
			t.Errorf("%s: New() = %v, want an error that is not gone", name, err)
		}
	}
}

func TestSpeeds(t *testing.T) {
	denied := errors.New("no such speed")
	tests := []struct {
		what  string
		opts  Opts
		can   bool
		deny  error
		want  []int
		error string
	}{
		{"all are tried if none is given", Opts{}, true, nil, []int{115200, 9600, 57600, 38400, 19200}, "[115200 9600 57600 38400 19200] baud"},
		{"the given one alone is tried", Opts{Baud: 38400}, true, nil, []int{38400}, "[38400] baud"},
		{"a line with one speed is tried as it is", Opts{}, false, nil, nil, "the line's own speed"},
		{"a line that can not be set is not set", Opts{Baud: 9600}, false, nil, nil, "[9600] baud"},
		{"a speed that is denied ends it", Opts{}, true, denied, []int{115200}, "setting 115200 baud"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, r := newDesk()
				defer r.end()
				r.set(func() { r.mute = true })
				line := &speeds{Line: host, deny: tt.deny}
				var w wire.Line = line
				if !tt.can {
					w = host
				}
				start := time.Now()
				_, err := New(t.Context(), w, tt.opts)
				if !errors.Is(err, hal.ErrGone) || !strings.Contains(err.Error(), tt.error) {
					t.Errorf("New() = %v, want hal.ErrGone with %q", err, tt.error)
				}
				if !slices.Equal(line.tried, tt.want) {
					t.Errorf("speeds %v were tried, want %v", line.tried, tt.want)
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("it took %v, want at most 10s", took)
				}
			})
		})
	}
}

func TestAReaderWithoutANumberIsAnError(t *testing.T) {
	for name, status := range map[string]Status{
		"not authorised":   noLicence,
		"self-test failed": selfTest,
		"unknown command":  0x21,
	} {
		synctest.Test(t, func(t *testing.T) {
			host, r := newDesk()
			defer r.end()
			r.set(func() { r.says = map[uint16][]byte{cmdSAMID: answer(status)} })
			if _, err := New(t.Context(), host, Opts{}); err == nil || !strings.Contains(err.Error(), status.String()) {
				t.Errorf("%s: New() = %v, want an error with %q", name, err, status)
			}
		})
	}
}

func TestNewEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, r := newDesk()
		defer r.end()
		r.set(func() { r.mute = true })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := New(ctx, host, Opts{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("New() = %v, want context.DeadlineExceeded", err)
		}
	})
}

func BenchmarkReadCard(b *testing.B) {
	line := &instant{answers: map[uint16][]byte{
		cmdSAMID: answer(Done, samID...), cmdFind: answer(Found, 0, 0, 0, 0), cmdSelect: answer(Done, 0, 0, 0, 0, 0, 0, 0, 0),
	}}
	whole := [][]byte{recordAnswer(b, "resident"), recordAnswer(b, "J")} // by turns: none is handed up twice
	d, err := New(b.Context(), line, Opts{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		line.answers[cmdReadText] = whole[i%2]
		if _, err := d.ReadCard(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleNew() {
	line, reader := net.Pipe() // a serial line in earnest
	defer reader.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	d, err := New(ctx, line, Opts{Baud: 115200})
	if err != nil {
		return
	}
	defer d.Halt()
	_, _ = d.ReadCard(ctx)
}
