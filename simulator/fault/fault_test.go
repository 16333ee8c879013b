package fault_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/simulator/fault"
)

// piece is one write on the wire, and when it came.
type piece struct {
	After time.Duration
	Bytes []byte
}

// sent sends frame under the fault and returns what came on the wire.
func sent(t *testing.T, k fault.Kind, frame []byte) (pieces []piece) {
	t.Helper()
	var p fault.Plan
	if k != fault.None {
		p.Order(k, 1)
	}
	start := time.Now()
	err := p.Send(frame, func(b []byte) error {
		pieces = append(pieces, piece{time.Since(start), slices.Clone(b)})
		return nil
	})
	if err != nil {
		t.Errorf("Send() = %v", err)
	}
	return pieces
}

func TestSend(t *testing.T) {
	frame := []byte{0xA0, 0x01, 0x01, 0xA2}
	for _, tt := range []struct {
		kind fault.Kind
		want []piece
	}{
		{fault.None, []piece{{0, frame}}},
		{fault.Silence, nil},
		{fault.Short, []piece{{0, []byte{0xA0, 0x01}}}},
		{fault.Checksum, []piece{{0, []byte{0xA0, 0x01, 0x01, 0xF7}}}},
		{fault.Noise, []piece{{0, []byte{0xFF, 0xAA, 0xAA, 0x00, 0x7E, 0xA0, 0x01, 0x01, 0xA2}}}},
		{fault.Slow, []piece{{2 * time.Second, frame}}},
		{fault.Split, []piece{{0, []byte{0xA0, 0x01}}, {20 * time.Millisecond, []byte{0x01, 0xA2}}}},
	} {
		t.Run("fault "+string(tt.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				given := slices.Clone(frame)
				if diff := cmp.Diff(tt.want, sent(t, tt.kind, given)); diff != "" {
					t.Errorf("on the wire (-want +got):\n%s", diff)
				}
				if !bytes.Equal(given, frame) {
					t.Errorf("the caller's frame is now % X", given)
				}
			})
		})
	}
}

// TestFramesOfAnyLength: a device may answer with one byte, or none.
func TestFramesOfAnyLength(t *testing.T) {
	for name := range kinds(t) {
		for length := range 4 {
			synctest.Test(t, func(t *testing.T) { sent(t, fault.Kind(name), make([]byte, length)) })
		}
	}
}

// TestALineThatIsCut: the error of the wire is handed up, and ends the answer.
func TestALineThatIsCut(t *testing.T) {
	cut := errors.New("closed")
	for name := range kinds(t) {
		synctest.Test(t, func(t *testing.T) {
			var p fault.Plan
			p.Order(fault.Kind(name), 1)
			writes := 0
			err := p.Send([]byte("frame"), func([]byte) error { writes++; return cut })
			if silent := name == string(fault.Silence); silent && err != nil || !silent && (!errors.Is(err, cut) || writes != 1) {
				t.Errorf("%s: Send() = %v after %d writes", name, err, writes)
			}
		})
	}
}

// TestOrdersAreTakenInTheirOrder, each once.
func TestOrdersAreTakenInTheirOrder(t *testing.T) {
	var p fault.Plan
	p.Order(fault.Short, 2)
	p.Order(fault.Noise, 1)
	p.Order(fault.Slow, 0)
	p.Order(fault.Slow, -1)
	var got []fault.Kind
	for range 5 {
		got = append(got, p.Take())
	}
	want := []fault.Kind{fault.Short, fault.Short, fault.Noise, fault.None, fault.None}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
}

// TestAnOrderIsBounded: a scenario that asks for a milliard gets a thousand.
func TestAnOrderIsBounded(t *testing.T) {
	var p fault.Plan
	p.Order(fault.Silence, 1_000_000_000)
	n := 0
	for p.Take() != fault.None {
		n++
	}
	if n != 1000 {
		t.Errorf("%d answers are spoilt, want 1000", n)
	}
}

// TestAtTheSameTime: the far end takes while the scenario orders.
func TestAtTheSameTime(t *testing.T) {
	var p fault.Plan
	var all sync.WaitGroup
	taken := make(chan int, 4)
	for range 4 {
		all.Go(func() { p.Order(fault.Noise, 100) })
		all.Go(func() {
			n := 0
			for range 100 {
				if p.Take() == fault.Noise {
					n++
				}
			}
			taken <- n
		})
	}
	all.Wait()
	total := 0
	for range 4 {
		total += <-taken
	}
	for p.Take() == fault.Noise {
		total++
	}
	if total != 400 {
		t.Errorf("%d faults were taken, want 400", total)
	}
}

func TestParse(t *testing.T) {
	for name := range kinds(t) {
		if k, err := fault.Parse(name); string(k) != name || err != nil {
			t.Errorf("Parse(%q) = %q, %v", name, k, err)
		}
	}
	for _, name := range []string{"", "None", "SHORT", "shor", "short "} {
		if k, err := fault.Parse(name); err == nil || k != fault.None || !strings.Contains(err.Error(), "the faults are silence, short") {
			t.Errorf("Parse(%q) = %q, %v, want an error that lists the faults", name, k, err)
		}
	}
}

// kinds are the faults by name, as the error of Parse lists them.
func kinds(t *testing.T) map[string]bool {
	t.Helper()
	_, err := fault.Parse("?")
	_, list, _ := strings.Cut(err.Error(), "the faults are ")
	names := map[string]bool{}
	for name := range strings.SplitSeq(list, ", ") {
		names[name] = true
	}
	if len(names) != 6 {
		t.Fatalf("%v, want six faults", err)
	}
	return names
}
