package lcus

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/drivers/transcript"
	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// serve runs b on a line and gives the host's end.
func serve(t *testing.T, b *Board) net.Conn {
	return transcript.Serve(t.Context(), t, b.Serve)
}

func TestTranscripts(t *testing.T) {
	cs, err := transcript.Load("../../drivers/lcus/testdata/lcus.transcript")
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) < 5 {
		t.Fatalf("%d conversations, want at least 5", len(cs))
	}
	for _, c := range cs {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var happened []string
				b := New(Opts{OnRelay: func(ch int, on bool) {
					happened = append(happened, fmt.Sprintf("relay %d %s", ch, map[bool]string{true: "on", false: "off"}[on]))
				}})
				transcript.Host(t, c, serve(t, b), func(string) error { return nil })
				synctest.Wait()
				var want []string
				for _, s := range c.Steps {
					if len(s.Event) > 6 && s.Event[:6] == "relay " {
						want = append(want, s.Event)
					}
				}
				if diff := cmp.Diff(want, happened); diff != "" {
					t.Errorf("relays (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestOnlyGoodFramesSwitch(t *testing.T) {
	tests := []struct {
		what string
		in   []byte
		want []command
	}{
		{"one frame", []byte{0xA0, 1, 1, 0xA2}, []command{{1, true}}},
		{"wrong sum", []byte{0xA0, 1, 1, 0xA3}, nil},
		{"channel 0", []byte{0xA0, 0, 1, 0xA1}, nil},
		{"channel 9", []byte{0xA0, 9, 1, 0xAA}, nil},
		{"state 2", []byte{0xA0, 1, 2, 0xA3}, nil},
		{"half a frame", []byte{0xA0, 1, 1}, nil},
		{"a frame behind half a frame", []byte{0xA0, 1, 0xA0, 8, 1, 0xA9}, []command{{8, true}}},
		{"a frame behind a start too many", []byte{0xA0, 0xA0, 1, 0, 0xA1}, []command{{1, false}}},
		{"two frames in noise", []byte{7, 0xA0, 1, 1, 0xA2, 0xFF, 0xA0, 1, 0, 0xA1, 0xA0}, []command{{1, true}, {1, false}}},
	}
	for _, tt := range tests {
		var p parser
		if got := p.push(tt.in); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, got, tt.want)
		}
	}
}

func TestPowerCycleDropsTheRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off []int
		b := New(Opts{OnRelay: func(ch int, on bool) {
			if !on {
				off = append(off, ch)
			}
		}})
		host := serve(t, b)
		_, _ = host.Write([]byte{0xA0, 2, 1, 0xA3, 0xA0, 7, 1, 0xA8})
		synctest.Wait()
		if !b.On(2) || !b.On(7) || b.On(1) || b.On(0) || b.On(9) {
			t.Error("want relays 2 and 7 on, and no other")
		}
		b.PowerCycle()
		if want := []int{2, 7}; !slices.Equal(off, want) {
			t.Errorf("relays %v fell off, want %v", off, want)
		}
	})
}

func TestAFaultLosesAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Opts{Channels: 1})
		b.Faults.Order(fault.Checksum, 1)
		host := serve(t, b)
		for _, want := range []bool{false, true} {
			_, _ = host.Write([]byte{0xA0, 1, 1, 0xA2, 0xA0, 2, 1, 0xA3})
			synctest.Wait()
			if b.On(1) != want {
				t.Errorf("relay 1 on = %v, want %v", b.On(1), want)
			}
		}
		if b.On(2) {
			t.Error("a board with one relay switched the second")
		}
	})
}

func TestServeEndsWithItsContextAndMayBeCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Opts{})
		for range 2 {
			host, far := net.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			go func() { _, _ = host.Write([]byte{0xA0, 1, 1, 0xA2}) }()
			if err := b.Serve(ctx, far); err != nil {
				t.Errorf("Serve() = %v, want nil", err)
			}
			cancel()
			if _, err := far.Write([]byte{0}); err == nil {
				t.Error("the line is still open")
			}
			if !b.On(1) {
				t.Error("the relay fell off with the line")
			}
		}
		host, far := net.Pipe()
		_ = host.Close()
		if err := b.Serve(t.Context(), far); err == nil {
			t.Error("Serve() = nil on a dead line, want its error")
		}
	})
}

func FuzzParser(f *testing.F) {
	cs, err := transcript.Load("../../drivers/lcus/testdata/lcus.transcript")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cs {
		for _, s := range c.Steps {
			f.Add(s.Bytes, 1)
		}
	}
	f.Add([]byte{0xA0, 0xA0, 0xA0, 1, 1, 0xA2}, 3)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var whole, pieces parser
		want := whole.push(in)
		cut = min(max(cut, 0), len(in))
		got := append(pieces.push(in[:cut]), pieces.push(in[cut:])...)
		if !slices.Equal(got, want) {
			t.Errorf("cut at %d: %v, want %v", cut, got, want)
		}
		if len(whole.rest) > 3 {
			t.Errorf("%d bytes kept, want at most 3", len(whole.rest))
		}
		at := 0 // every command stands in the stream, in this order
		for _, c := range want {
			frame := []byte{0xA0, byte(c.channel), 0, 0xA0 + byte(c.channel)}
			if c.on {
				frame[2]++
				frame[3]++
			}
			i := bytes.Index(in[at:], frame)
			if i < 0 {
				t.Fatalf("%v was never sent", c)
			}
			at += i + 4
		}
	})
}
