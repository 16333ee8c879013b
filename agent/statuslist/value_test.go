package statuslist_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/statuslist"
)

func TestASampleIsRoundedDown(t *testing.T) {
	asOf := noon.Add(90 * time.Minute)
	for _, tt := range []struct {
		what string
		age  time.Duration // before asOf
		want time.Duration // before noon; below zero is none
	}{
		{"just now", 0, 0},
		{"at the beginning of the bucket", 90 * time.Minute, 0},
		{"a second before the bucket", 90*time.Minute + time.Second, step},
		{"48 hours", 48 * time.Hour, 48 * time.Hour},
		{"the oldest that is told", 90*time.Minute + 30*step, 30 * step},
		{"a second older", 90*time.Minute + 30*step + time.Second, -1},
		{"a month", 30 * 24 * time.Hour, -1},
		{"later in the same bucket", -2 * time.Hour, 0},
		{"tomorrow", -24 * time.Hour, -1},
	} {
		v := statuslist.NewValue(statuslist.Green, asOf.Add(-tt.age), asOf)
		got, ok := v.Sampled(asOf)
		if ok != (tt.want >= 0) || ok && !got.Equal(noon.Add(-tt.want)) {
			t.Errorf("%s: sampled at %v, %v, want %v before noon", tt.what, got, ok, tt.want)
		}
	}
	if got, ok := statuslist.NewValue(statuslist.Red, time.Time{}, asOf).Sampled(asOf); ok {
		t.Errorf("no test at all: sampled at %v", got)
	}
}

func TestAStateIsReadAsItWasPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		colour := statuslist.Colour(rapid.Uint8Range(0, 3).Draw(t, "colour"))
		asOf := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "as-of"), 0)
		sampled := asOf.Add(-time.Duration(rapid.Int64Range(-2e5, 6e5).Draw(t, "age")) * time.Second)
		v := statuslist.NewValue(colour, sampled, asOf)
		if v > 127 || v.Colour() != colour {
			t.Fatalf("%s becomes %s in %d", colour, v.Colour(), v)
		}
		got, ok := v.Sampled(asOf)
		late := asOf.Sub(got)
		if ok && (got.After(sampled) || sampled.Sub(got) >= step || late < 0 || late >= 31*step) {
			t.Fatalf("sampled at %v is told as %v as of %v", sampled, got, asOf)
		}
		if age := asOf.Sub(sampled); !ok && age >= 0 && age <= 30*step {
			t.Fatalf("a sample of %v ago is lost", age)
		}
	})
}

func TestWorse(t *testing.T) {
	state := func(c statuslist.Colour, age time.Duration) statuslist.Value {
		return statuslist.NewValue(c, noon.Add(-age), noon)
	}
	const never = 1000 * time.Hour
	for _, tt := range []struct {
		what       string
		a, b, want statuslist.Value
	}{
		{"red and green", state(statuslist.Red, 0), state(statuslist.Green, 0), state(statuslist.Red, 0)},
		{"yellow and red", state(statuslist.Yellow, 0), state(statuslist.Red, 0), state(statuslist.Red, 0)},
		{"none and green", state(statuslist.None, 0), state(statuslist.Green, 0), state(statuslist.None, 0)},
		{"none and yellow", state(statuslist.None, 0), state(statuslist.Yellow, 0), state(statuslist.Yellow, 0)},
		{"an older sample", state(statuslist.Green, 8*time.Hour), state(statuslist.Green, 4*time.Hour), state(statuslist.Green, 8*time.Hour)},
		{"no sample", state(statuslist.Green, never), state(statuslist.Green, 120*time.Hour), state(statuslist.Green, never)},
		{"the red of one, the sample of the other", state(statuslist.Red, 0), state(statuslist.Green, never), state(statuslist.Red, never)},
	} {
		if got := statuslist.Worse(tt.a, tt.b, noon); got != tt.want {
			t.Errorf("%s: %07b, want %07b", tt.what, got, tt.want)
		}
		if got := statuslist.Worse(tt.b, tt.a, noon); got != tt.want {
			t.Errorf("%s, the other way round: %07b, want %07b", tt.what, got, tt.want)
		}
	}
}

func TestAValueOfAnotherTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := statuslist.Value(rapid.Uint8Range(0, 127).Draw(t, "value"))
		moved := noon.Add(time.Duration(rapid.Int64Range(-600_000, 600_000).Draw(t, "moved")) * time.Second)
		got := v.Moved(noon, moved)
		before, had := v.Sampled(noon)
		after, has := got.Sampled(moved)
		told := had && !before.After(moved) && moved.Truncate(step).Sub(before) < 31*step
		if got.Colour() != v.Colour() || has != told || has && !after.Equal(before) {
			t.Fatalf("%s, %v, %v becomes %s, %v, %v", v.Colour(), before, had, got.Colour(), after, has)
		}
	})
}

func TestColoursHaveTheirIds(t *testing.T) {
	for c, want := range map[statuslist.Colour]string{
		statuslist.None: "none", statuslist.Green: "green", statuslist.Yellow: "yellow", statuslist.Red: "red", 9: "colour 9",
	} {
		if got := c.String(); got != want {
			t.Errorf("colour %d is %q, want %q", uint8(c), got, want)
		}
	}
}
