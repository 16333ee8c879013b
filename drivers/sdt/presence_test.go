package sdt

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/hal"
)

// atDesk runs a check in virtual time with a driver at a desk.
func atDesk(t *testing.T, check func(t *testing.T, d *Dev, r *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		host, r := newDesk()
		defer r.end()
		d, err := New(t.Context(), host, Opts{})
		if err != nil {
			t.Fatal(err)
		}
		check(t, d, r)
	})
}

// watch asks for cards as an agent does, for so long, and counts cards and
// cards that were not read.
func watch(t *testing.T, d *Dev, length time.Duration) (read, unread int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	for {
		_, err := d.ReadCard(ctx)
		var bad *hal.CardError
		switch {
		case err == nil:
			read++
		case errors.As(err, &bad):
			unread++
		case errors.Is(err, context.DeadlineExceeded):
			return read, unread
		default:
			t.Fatalf("ReadCard() = %v after %d cards", err, read)
		}
	}
}

// Readers differ in whether they find a card that stays; none tells that it
// left (fact sheet, sections 0 and 7). Each row is what befalls a card, second
// by second, and how often it is handed up.
func TestWhenACardIsANewOne(t *testing.T) {
	same, other := recordAnswer(t, "resident"), recordAnswer(t, "J")
	says := func(command uint16, said []byte) func(*desk) {
		return func(r *desk) { r.says = map[uint16][]byte{command: said} }
	}
	clear := func(r *desk) { r.says = nil }
	lay := func(card []byte) func(*desk) { return func(r *desk) { r.card = card } }
	type turn struct {
		then   func(*desk)
		length time.Duration
	}
	tests := []struct {
		what  string
		turns []turn
		want  int
	}{
		{"it stays for a minute", []turn{{lay(same), time.Minute}}, 1},
		{"it is lost for half a second, again and again", []turn{
			{lay(same), time.Second}, {lay(nil), 500 * time.Millisecond}, {lay(same), time.Second},
			{lay(nil), 500 * time.Millisecond}, {lay(same), time.Second},
		}, 1},
		{"it is lifted for two seconds", []turn{{lay(same), time.Second}, {lay(nil), 2 * time.Second}, {lay(same), time.Second}}, 2},
		{"another comes at once", []turn{{lay(same), time.Second}, {lay(other), time.Second}}, 2},
		{"another comes, and the first again", []turn{{lay(same), time.Second}, {lay(other), time.Second}, {lay(same), time.Second}}, 3},
		{"the reader hears nothing right for two seconds", []turn{
			{lay(same), time.Second}, {says(cmdFind, answer(samSum)), 2 * time.Second}, {clear, time.Second},
		}, 1},
		{"its checksum is wrong for two seconds", []turn{
			{lay(same), time.Second}, {says(cmdFind, spoilt(answer(Found, 0, 0, 0, 0))), 2 * time.Second}, {clear, time.Second},
		}, 1},
		{"it could not be read again for a while", []turn{
			{lay(same), time.Second}, {says(cmdReadText, answer(Done)), 5 * time.Second}, {clear, 4 * time.Second},
		}, 1},
		{"it could not be read again for so long that it may be another visit", []turn{
			{lay(same), time.Second}, {says(cmdReadText, answer(Done)), 12 * time.Second}, {clear, 4 * time.Second},
		}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *Dev, r *desk) {
				got := 0
				for _, turn := range tt.turns {
					r.set(func() { turn.then(r) })
					read, unread := watch(t, d, turn.length)
					got += read
					if unread != 0 {
						t.Errorf("%d times not read", unread)
					}
				}
				if got != tt.want {
					t.Errorf("handed up %d times, want %d", got, tt.want)
				}
			})
		})
	}
}

// spoilt is a frame with a wrong check byte.
func spoilt(frame []byte) []byte {
	frame[len(frame)-1] ^= 0x55
	return frame
}

func TestABadCardIsToldEveryTwoSecondsAndNotHammered(t *testing.T) {
	whole := recordAnswer(t, "resident")
	atDesk(t, func(t *testing.T, d *Dev, r *desk) {
		r.lay(whole)
		r.set(func() { r.says = map[uint16][]byte{cmdReadText: answer(cardRead)} })
		if read, unread := watch(t, d, 10*time.Second); read != 0 || unread < 4 || unread > 5 {
			t.Errorf("%d cards, %d times not read in 10s, want none and 4 or 5", read, unread)
		}
		if n := r.count(cmdReadText); n > 5 {
			t.Errorf("it was read %d times in 10s, want at most 5", n)
		}
	})
}

func TestABadCardLaidAgainIsReadAtOnce(t *testing.T) {
	whole := recordAnswer(t, "resident")
	atDesk(t, func(t *testing.T, d *Dev, r *desk) {
		r.lay(whole)
		r.set(func() { r.says = map[uint16][]byte{cmdSelect: answer(NotChosen)} })
		if _, unread := watch(t, d, 100*time.Millisecond); unread != 1 {
			t.Errorf("%d times told, want 1", unread)
		}
		r.lay(nil)
		watch(t, d, 500*time.Millisecond)
		r.lay(whole)
		r.set(func() { r.says = nil })
		if read, _ := watch(t, d, 500*time.Millisecond); read != 1 {
			t.Errorf("%d cards within half a second, want 1", read)
		}
	})
}

// The reasons that the agent tells apart; the others are the reader's or the
// line's affair, and the sequence begins again.
func TestReasons(t *testing.T) {
	whole := recordAnswer(t, "resident")
	tests := []struct {
		status Status
		want   hal.CardReason
	}{
		{NotChosen, hal.CardPulled},
		{NoCard, hal.CardPulled},
		{cardRead, hal.CardUnreadable},
		{cardRandom, hal.CardUnreadable},
		{cardType, hal.CardUnrecognised},
		{cardAuth, hal.CardRejected},
		{samAuth, hal.CardRejected},
		{infoCheck, hal.CardRejected},
		{0x21, ""},
		{0x24, ""},
		{0x3F, ""},
		{0x91, ""},
	}
	for _, tt := range tests {
		for _, step := range []uint16{cmdSelect, cmdReadText} {
			atDesk(t, func(t *testing.T, d *Dev, r *desk) {
				r.lay(whole)
				r.set(func() { r.says = map[uint16][]byte{step: answer(tt.status)} })
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := d.ReadCard(ctx)
				var bad *hal.CardError
				switch {
				case tt.want == "" && !errors.Is(err, context.DeadlineExceeded):
					t.Errorf("%v at %04X: %v, want another try", tt.status, step, err)
				case tt.want != "" && (!errors.As(err, &bad) || bad.Reason != tt.want || bad.Status != byte(tt.status)):
					t.Errorf("%v at %04X: %v, want %s", tt.status, step, err, tt.want)
				}
			})
		}
	}
}
