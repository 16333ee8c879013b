package syn6288

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// serve runs s on a line and gives the host's end.
func serve(t *testing.T, s *Speaker) net.Conn {
	return transcript.Serve(t.Context(), t, s.Serve)
}

func TestTranscripts(t *testing.T) {
	cs, err := transcript.Load("../../drivers/syn6288/testdata/syn6288.transcript")
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) < 13 {
		t.Fatalf("%d conversations, want at least 13", len(cs))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { converse(t, c) })
		})
	}
}

func converse(t *testing.T, c transcript.Conversation) {
	var mu sync.Mutex
	var begun, spoken []string
	note := func(list *[]string) func(string) {
		return func(text string) {
			mu.Lock()
			defer mu.Unlock()
			*list = append(*list, text)
		}
	}
	o := RealTiming()
	o.XFS = strings.HasPrefix(c.Name, "XFS")
	o.OnSpeak, o.OnDone = note(&begun), note(&spoken)
	s := New(o)
	transcript.Host(t, c, serve(t, s), func(event string) error { return happen(s, event) })
	synctest.Wait()
	var wantBegun, wantSpoken []string
	for _, step := range c.Steps {
		if text, ok := strings.CutPrefix(step.Event, "cut "); ok {
			wantBegun = append(wantBegun, text)
		}
		if text, ok := strings.CutPrefix(step.Event, "spoken "); ok {
			wantBegun, wantSpoken = append(wantBegun, text), append(wantSpoken, text)
		}
	}
	if diff := cmp.Diff(wantBegun, begun); diff != "" {
		t.Errorf("begun to speak (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantSpoken, spoken); diff != "" {
		t.Errorf("spoken to the end (-want +got):\n%s", diff)
	}
	if c.Name == "volume 11" && s.Volume() != 11 {
		t.Errorf("volume %d, want 11", s.Volume())
	}
}

func happen(s *Speaker, event string) error {
	var n int
	switch verb, _, _ := strings.Cut(event, " "); verb {
	case "say", "spoken", "cut", "halt":
	case "bare":
		s.opts.BareStatus = true
	case "power":
		s.PowerCycle()
	case "later":
		time.Sleep(10 * time.Second)
	case "reject":
		_, err := fmt.Sscanf(event, "reject %d", &n)
		s.Reject(n)
		return err
	case "lose":
		_, err := fmt.Sscanf(event, "lose %d", &n)
		s.Faults.Order(fault.Silence, n)
		return err
	default:
		return fmt.Errorf("%q is no event", event)
	}
	return nil
}

// exchange sends b and gives what comes back within a second.
func exchange(t *testing.T, host net.Conn, b []byte) []byte {
	t.Helper()
	if _, err := host.Write(b); err != nil {
		t.Fatal(err)
	}
	_ = host.SetReadDeadline(time.Now().Add(time.Second))
	got, _ := io.ReadAll(host)
	return got
}

func TestAnswersWithoutDelays(t *testing.T) {
	tests := []struct {
		what string
		in   []byte
		want []byte
	}{
		{"speak", []byte{0xFD, 0, 9, 1, 1, 0xC7, 0xEB, 0xCD, 0xA8, 0xD0, 0xD0, 0xBD}, []byte{accepted, idle}},
		{"speak BIG5", []byte{0xFD, 0, 0x0B, 1, 2, 0xA6, 0x74, 0xAD, 0xB5, 0xA4, 0xD1, 0xA4, 0x55, 0xBB}, []byte{accepted, idle}},
		{"speak Unicode", []byte{0xFD, 0, 0x0B, 1, 3, 0x5B, 0x87, 0x97, 0xF3, 0x59, 0x29, 0x4E, 0x0B, 0x79}, []byte{accepted, idle}},
		{"volume alone", []byte{0xFD, 0, 8, 1, 1, 0x5B, 0x76, 0x31, 0x31, 0x5D, 0x85}, []byte{accepted, idle}},
		{"wrong XOR", []byte{0xFD, 0, 9, 1, 1, 0xC7, 0xEB, 0xCD, 0xA8, 0xD0, 0xD0, 0xBC}, []byte{rejected}},
		{"unknown command", []byte{0xFD, 0, 2, 0x55, 0xFD ^ 2 ^ 0x55}, []byte{rejected}},
		{"no text", []byte{0xFD, 0, 3, 1, 1, 0xFD ^ 3}, []byte{rejected}},
		{"half a character", []byte{0xFD, 0, 4, 1, 1, 0xC7, 0xFD ^ 4 ^ 0xC7}, []byte{rejected}},
		{"too long", []byte{0xFD, 0, 204}, []byte{rejected}},
		{"status", []byte{0xFD, 0, 2, 0x21, 0xDE}, []byte{accepted, idle}},
		{"stop", []byte{0xFD, 0, 2, 2, 0xFD}, []byte{accepted}},
		{"pause", []byte{0xFD, 0, 2, 3, 0xFC}, []byte{accepted}},
		{"resume", []byte{0xFD, 0, 2, 4, 0xFB}, []byte{accepted}},
		{"sleep", []byte{0xFD, 0, 2, 0x88, 0x77}, []byte{accepted}},
		{"38400 baud", []byte{0xFD, 0, 3, 0x31, 2, 0xCD}, []byte{accepted}},
		{"noise", []byte{1, 2, 3}, nil},
		{"noise before a status", []byte{1, 2, 0xFD, 0, 2, 0x21, 0xDE}, []byte{accepted, idle}},
		{"a frame behind half a frame", []byte{0xFD, 0, 9, 1, 1, 0xC7, 0xEB, 0xFD, 0, 2, 0x21, 0xDE}, []byte{rejected, accepted, idle}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := exchange(t, serve(t, New(Opts{})), tt.in); !slices.Equal(got, tt.want) {
					t.Errorf("got % X, want % X", got, tt.want)
				}
			})
		})
	}
}

func TestSpeakingTakesItsTimeAndIsForgottenByAPowerCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(RealTiming())
		host := serve(t, s)
		say := []byte{0xFD, 0, 14, 1, 1, '[', 'v', '1', '6', ']', 0xC7, 0xEB, 0xCD, 0xA8, 0xD0, 0xD0}
		var x byte
		for _, b := range say {
			x ^= b
		}
		if got := exchange(t, host, append(say, x)); !slices.Equal(got, []byte{accepted, idle}) {
			t.Errorf("got % X within 1s, want 41 4F after 750ms", got)
		}
		if got := exchange(t, host, append(say, x)[:17]); !slices.Equal(got, []byte{accepted, idle}) {
			t.Errorf("got % X, want 41 4F", got)
		}
		_, _ = host.Write(append(say, x))
		time.Sleep(500 * time.Millisecond)
		if text, ok := s.Speaking(); !ok || text != "请通行" || s.Volume() != 16 {
			t.Errorf("speaks %q, %v, at volume %d, want 请通行 at 16", text, ok, s.Volume())
		}
		s.PowerCycle()
		if text, ok := s.Speaking(); ok || s.Volume() != 10 {
			t.Errorf("speaks %q at volume %d after a power cycle, want silence and 10", text, s.Volume())
		}
		_ = host.SetReadDeadline(time.Now().Add(time.Minute))
		if got, _ := io.ReadAll(host); !slices.Equal(got, []byte{accepted, ready}) {
			t.Errorf("got % X, want 41 4A and no 4F", got)
		}
	})
}

func TestServeAgainAfterAReplug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spoken := make(chan string, 8)
		s := New(Opts{PerRune: time.Second, OnDone: func(text string) { spoken <- text }})
		for range 2 {
			host, far := net.Pipe()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Serve(ctx, far) }()
			_, _ = host.Write([]byte{0xFD, 0, 9, 1, 1, 0xC7, 0xEB, 0xCD, 0xA8, 0xD0, 0xD0, 0xBD})
			time.Sleep(time.Second) // the host never reads: its 41 blocks
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Serve() = %v, want nil", err)
			}
			time.Sleep(10 * time.Second)
		}
		for range 2 {
			if got := <-spoken; got != "请通行" {
				t.Errorf("spoken %q, want 请通行", got)
			}
		}
		host, far := net.Pipe()
		_ = host.Close()
		if err := s.Serve(t.Context(), far); !errors.Is(err, io.EOF) {
			t.Errorf("Serve() = %v on a dead line, want io.EOF", err)
		}
	})
}

func TestTags(t *testing.T) {
	tests := []struct {
		in, text string
		volume   int
	}{
		{"请通行", "请通行", -1},
		{"[v11]请通行", "请通行", 11},
		{"[v0]请[t3]通[d][2]行", "请通行", 0},
		{"[v99]", "", 16},
		{"[小明]", "[小明]", -1},
		{"[v1", "[v1", -1},
		{"[[v2]]", "[]", 2},
	}
	for _, tt := range tests {
		if text, volume := strip(tt.in); text != tt.text || volume != tt.volume {
			t.Errorf("strip(%q) = %q, %d, want %q, %d", tt.in, text, volume, tt.text, tt.volume)
		}
	}
}

func FuzzParser(f *testing.F) {
	cs, err := transcript.Load("../../drivers/syn6288/testdata/syn6288.transcript")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cs {
		for _, s := range c.Steps {
			if s.Kind == '>' {
				f.Add(s.Bytes, 3, false)
				f.Add(s.Bytes, 1, true)
			}
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int, xfs bool) {
		cut = min(max(cut, 0), len(in))
		whole, pieces := parser{xfs: xfs}, parser{xfs: xfs}
		want := drain(t, &whole, in)
		got := append(drain(t, &pieces, in[:cut]), drain(t, &pieces, in[cut:])...)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(frame{})); diff != "" {
			t.Errorf("cut at %d (-whole +pieces):\n%s", cut, diff)
		}
		for _, f := range want {
			if f.ok && f.cmd == cmdSpeak {
				_, _, _ = decode(f.data)
			}
		}
		if most := 3 + whole.most(); len(whole.rest) >= most {
			t.Errorf("%d bytes kept, want less than %d", len(whole.rest), most)
		}
	})
}

func drain(t *testing.T, p *parser, in []byte) []frame {
	p.push(in)
	var fs []frame
	for {
		f, found := p.next()
		if !found {
			return fs
		}
		if f.ok && len(f.data) > p.most() {
			t.Errorf("a frame of %d bytes", len(f.data))
		}
		fs = append(fs, f)
	}
}
