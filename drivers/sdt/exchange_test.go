package sdt

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
)

func TestThreeSilencesAreALostReader(t *testing.T) {
	atDesk(t, func(t *testing.T, d *Dev, r *desk) {
		r.set(func() { r.mute = true })
		start := time.Now()
		_, err := d.ReadCard(t.Context())
		if !errors.Is(err, hal.ErrGone) || !strings.Contains(err.Error(), "silent") {
			t.Errorf("ReadCard() = %v, want hal.ErrGone", err)
		}
		if took := time.Since(start); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it took %v, want three limits of a second", took)
		}
		if n := r.count(cmdFind); n != 3 {
			t.Errorf("%d questions, want 3", n)
		}
		if _, err := d.ReadCard(t.Context()); !errors.Is(err, hal.ErrGone) {
			t.Errorf("ReadCard() = %v afterwards, want hal.ErrGone", err)
		}
	})
}

func TestAnAnswerInBetweenKeepsTheReader(t *testing.T) {
	for name, said := range map[string][]byte{
		"no card":                     answer(NoCard),
		"a checksum seen to be wrong": answer(samSum),
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *Dev, r *desk) {
				for range 5 {
					r.set(func() { r.mute = true })
					watch(t, d, 2*time.Second) // two limits, and a poll between
					r.set(func() { r.mute, r.says = false, map[uint16][]byte{cmdFind: said} })
					watch(t, d, time.Second)
				}
			})
		})
	}
}

func TestAReaderThatAlwaysLiesIsNotFlooded(t *testing.T) {
	atDesk(t, func(t *testing.T, d *Dev, r *desk) {
		r.set(func() { r.says = map[uint16][]byte{cmdFind: spoilt(answer(NoCard))} })
		watch(t, d, 3*time.Second)
		if n := r.count(cmdFind); n < 27 || n > 30 {
			t.Errorf("%d questions in 3s, want three every 300 ms", n)
		}
	})
}

// A late answer must not pass for the one that is waited for, nor hide it.
func TestLateAnswers(t *testing.T) {
	whole := recordAnswer(t, "resident")
	chosen := answer(Done, 0, 0, 0, 0, 0, 0, 0, 0)
	tests := []struct {
		what    string
		command uint16
		said    []byte
	}{
		{"of find, in one piece with that of select", cmdSelect, slices.Concat(answer(Found, 0, 0, 0, 0), chosen)},
		{"of select, in one piece with that of find", cmdFind, slices.Concat(chosen, answer(Found, 0, 0, 0, 0))},
		{"of select, in one piece with a record", cmdReadText, slices.Concat(chosen, whole)},
		{"of read, in one piece with that of select", cmdSelect, slices.Concat(whole, chosen)},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *Dev, r *desk) {
				r.lay(whole)
				r.set(func() { r.says = map[uint16][]byte{tt.command: tt.said} })
				if read, unread := watch(t, d, 200*time.Millisecond); read != 1 || unread != 0 {
					t.Errorf("%d cards, %d not read, want 1 and none", read, unread)
				}
			})
		})
	}
}

func TestAnAnswerAfterItsLimitIsThrownAway(t *testing.T) {
	whole := recordAnswer(t, "resident")
	atDesk(t, func(t *testing.T, d *Dev, r *desk) {
		r.lay(whole)
		// The answer to find comes while the driver is between two looks, and
		// says that there is no card.
		r.set(func() { r.says, r.late = map[uint16][]byte{cmdFind: answer(NoCard)}, 1100*time.Millisecond })
		if read, _ := watch(t, d, 1050*time.Millisecond); read != 0 {
			t.Error("a card was read without being found")
		}
		r.set(func() { r.says, r.late = nil, 0 })
		time.Sleep(time.Second)
		if read, _ := watch(t, d, 200*time.Millisecond); read != 1 {
			t.Errorf("%d cards, want 1: the late answer was taken for the new one", read)
		}
	})
}

// The limits of the fact sheet, section 7: a second for find and select, three
// for a read.
func TestLimits(t *testing.T) {
	whole := recordAnswer(t, "resident")
	tests := []struct {
		command uint16
		said    []byte
		limit   time.Duration
	}{
		{cmdFind, answer(Found, 0, 0, 0, 0), time.Second},
		{cmdSelect, answer(Done, 0, 0, 0, 0, 0, 0, 0, 0), time.Second},
		{cmdReadText, whole, 3 * time.Second},
	}
	for _, tt := range tests {
		for _, early := range []time.Duration{50 * time.Millisecond, -50 * time.Millisecond} {
			atDesk(t, func(t *testing.T, d *Dev, r *desk) {
				r.lay(whole)
				r.set(func() { r.says, r.late = map[uint16][]byte{tt.command: tt.said}, tt.limit-early })
				want := 1
				if early < 0 {
					want = 0
				}
				if read, _ := watch(t, d, tt.limit+100*time.Millisecond); read != want {
					t.Errorf("%04X answered after %v: %d cards, want %d", tt.command, tt.limit-early, read, want)
				}
			})
		}
	}
}

func TestAnAnswerThatIsNoneOfTheQuestionIsNotWaitedForTwice(t *testing.T) {
	atDesk(t, func(t *testing.T, d *Dev, r *desk) {
		r.lay(answer(Done, make([]byte, 300)...)) // a record whose lengths are zero
		if read, unread := watch(t, d, 5*time.Second); read != 0 || unread != 0 {
			t.Errorf("%d cards, %d not read, want none", read, unread)
		}
		if n := r.count(cmdReadText); n < 10 {
			t.Errorf("%d tries in 5s, want one at every look", n)
		}
	})
}

func TestAReaderThatWillNeverReadSaysSo(t *testing.T) {
	whole := recordAnswer(t, "resident")
	for _, status := range []Status{selfTest, noLicence} {
		for _, step := range []uint16{cmdFind, cmdSelect, cmdReadText} {
			atDesk(t, func(t *testing.T, d *Dev, r *desk) {
				r.lay(whole)
				r.set(func() { r.says = map[uint16][]byte{step: answer(status)} })
				_, err := d.ReadCard(t.Context())
				if err == nil || errors.Is(err, hal.ErrGone) || !strings.HasPrefix(err.Error(), "sdt: the reader") {
					t.Errorf("%v at %04X: %v, want an error with it that is not gone", status, step, err)
				}
			})
		}
	}
}

func TestALineThatNeverFallsQuietIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, far := net.Pipe()
		var noise sync.WaitGroup
		defer noise.Wait()
		defer host.Close()
		noise.Go(func() {
			for {
				if _, err := far.Write([]byte{0x55}); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
		start := time.Now()
		_, err := New(t.Context(), host, Opts{Baud: 115200})
		if err == nil || !strings.Contains(err.Error(), "quiet") || time.Since(start) > 3*time.Second {
			t.Errorf("New() = %v after %v, want an error of its own within 3s", err, time.Since(start))
		}
	})
}

func TestHaltEndsACallAndTheNextOneWorks(t *testing.T) {
	whole := recordAnswer(t, "resident")
	atDesk(t, func(t *testing.T, d *Dev, r *desk) {
		r.after(time.Second, func() { _ = d.Halt() })
		if _, err := d.ReadCard(t.Context()); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("ReadCard() = %v, want an error of its own", err)
		}
		r.lay(whole)
		if _, err := d.ReadCard(t.Context()); err != nil {
			t.Errorf("ReadCard() = %v after Halt, want a card", err)
		}
	})
}

// What was on the line is somebody's record: nothing of it stays, whichever
// way the call ends.
func TestNothingOfARecordStaysInTheBuffer(t *testing.T) {
	whole := recordAnswer(t, "resident")
	for name, said := range map[string][]byte{
		"read whole":                      whole,
		"read half":                       whole[:700],
		"read with a wrong checksum":      spoilt(bytes.Clone(whole)),
		"read with bytes behind it":       append(bytes.Clone(whole), whole[14:600]...),
		"read behind half of another one": append(bytes.Clone(whole[:600]), whole...),
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *Dev, r *desk) {
				r.lay(said)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, _ = d.ReadCard(ctx)
				if r.count(cmdReadText) == 0 {
					t.Fatal("the card was not read")
				}
				buf := d.parse.buf
				if !bytes.Equal(buf[:cap(buf)], make([]byte, cap(buf))) {
					t.Error("a part of the record is still there")
				}
			})
		})
	}
}

func TestNothingOfARecordStaysInTheAnswer(t *testing.T) {
	whole := recordAnswer(t, "resident")
	d := &Dev{}
	for range 2 { // handed up, and passed over
		data := bytes.Clone(whole[10:])
		if _, _, err := d.handUp(data); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, make([]byte, len(data))) {
			t.Error("the record is still there")
		}
	}
}

// At 9600 baud a record takes 1.35 s and the limits grow by that (fact sheet
// 1.5).
func TestLimitsGrowWithSlowness(t *testing.T) {
	for baud, want := range map[int]time.Duration{
		0: 0, 115200: 0, 230400: 0,
		57600: 224826388 * time.Nanosecond,
		9600:  1348958333 * time.Nanosecond,
	} {
		if got := slowness(baud); got != want {
			t.Errorf("slowness(%d) = %v, want %v", baud, got, want)
		}
	}
	whole := recordAnswer(t, "resident")
	for baud, want := range map[int]int{9600: 1, 115200: 2} {
		synctest.Test(t, func(t *testing.T) {
			host, r := newDesk()
			defer r.end()
			d, err := New(t.Context(), host, Opts{Baud: baud})
			if err != nil {
				t.Fatal(err)
			}
			r.lay(whole)
			r.set(func() { r.says, r.late = map[uint16][]byte{cmdReadText: whole}, 4200*time.Millisecond })
			watch(t, d, 4150*time.Millisecond)
			if n := r.count(cmdReadText); n != want {
				t.Errorf("a record that takes 4.2s at %d baud was asked for %d times, want %d", baud, n, want)
			}
		})
	}
}

// pieces is what stands between two answers of the fuzzer's stream.
const pieces = "\xFE\xFE"

func FuzzAnswers(f *testing.F) {
	for _, c := range load(f) {
		var said [][]byte
		for _, s := range c.Steps {
			switch {
			case s.Kind == '>':
				said = append(said, nil)
			case s.Kind == '<' && len(said) > 0:
				said[len(said)-1] = append(said[len(said)-1], s.Bytes...)
			}
		}
		f.Add(bytes.Join(said[min(1, len(said)):], []byte(pieces)))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		line := &instant{answers: map[uint16][]byte{cmdSAMID: answer(Done, samID...)}}
		d, err := New(t.Context(), line, Opts{Poll: 1})
		if err != nil {
			t.Fatal(err)
		}
		line.next = bytes.Split(said, []byte(pieces))
		line.asked = 0
		most := 4 * (len(line.next) + lostAfter)
		for {
			card, err := d.ReadCard(t.Context())
			var unread *hal.CardError
			switch {
			case err == nil && !bytes.Contains(said, card.Raw[:]):
				t.Fatal("a card that was never sent")
			case errors.Is(err, hal.ErrGone):
				if line.asked > most {
					t.Errorf("%d questions for %d answers", line.asked, len(line.next))
				}
				return
			case err != nil && !errors.As(err, &unread) && !strings.HasPrefix(err.Error(), "sdt: the reader"):
				t.Fatalf("ReadCard() = %v", err)
			}
		}
	})
}
