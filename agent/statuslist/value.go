package statuslist

import (
	"fmt"
	"time"
)

// Colour is what the authority says of a person. None is not green.
type Colour uint8

const (
	None Colour = iota
	Green
	Yellow
	Red
)

// String returns the colour's id in the catalogue.
func (c Colour) String() string {
	if c > Red {
		return fmt.Sprintf("colour %d", uint8(c))
	}
	return [...]string{"none", "green", "yellow", "red"}[c]
}

// Value is a person's state in seven bits: the colour in bits 6 and 5, and in
// bits 4 to 0 the four-hour bucket of Unix time in which the last negative
// sample was taken, modulo 31; 31 is no such sample, or one too old. Which of
// the possible buckets is meant follows from the as-of of the table: the one of
// the 31 that end with the as-of's own.
type Value uint8

const (
	bucket  = 4 * 60 * 60 // seconds
	buckets = 31          // that can be told apart: 124 hours
	noNAT   = 31
	values  = 128
)

// NewValue packs a state. A zero sampled is no negative test. A sample that is
// older than the buckets reach, or later than the as-of's bucket, which cannot
// be, is none either.
func NewValue(c Colour, sampled, asOf time.Time) Value {
	v := Value(c&3) << 5
	age := bucketOf(asOf) - bucketOf(sampled)
	if sampled.IsZero() || age < 0 || age >= buckets {
		return v | noNAT
	}
	return v | Value(residue(bucketOf(sampled)))
}

// Colour returns the colour.
func (v Value) Colour() Colour { return Colour(v >> 5 & 3) }

// Sampled returns the beginning of the bucket in which the last negative sample
// was taken, so that a test never looks fresher than it is; false if there is
// none. asOf is that of the table.
func (v Value) Sampled(asOf time.Time) (time.Time, bool) {
	age, ok := v.age(asOf)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix((bucketOf(asOf)-age)*bucket, 0).UTC(), true
}

// Moved returns a value of a table of one as-of as a table of another would say
// it. A sample that the other cannot tell is none from then on: without this an
// old one would come round again as a fresh one. Values of different as-of are
// never to be compared or combined before.
func (v Value) Moved(from, to time.Time) Value {
	sampled, ok := v.Sampled(from)
	if !ok {
		return v
	}
	return NewValue(v.Colour(), sampled, to)
}

// Worse returns a state that is no better than either: the worse colour (red,
// yellow, none, green in this order) with the older sample. It is what two
// people of one fingerprint get, in whatever order they come. Both are of asOf.
func Worse(a, b Value, asOf time.Time) Value {
	colour := a.Colour()
	if badness[b.Colour()] > badness[colour] {
		colour = b.Colour()
	}
	nat := a
	ageA, okA := a.age(asOf)
	if ageB, okB := b.age(asOf); okA && (!okB || ageB > ageA) {
		nat = b
	}
	return Value(colour)<<5 | nat&noNAT
}

var badness = [...]int{None: 1, Green: 0, Yellow: 2, Red: 3}

//

// age returns how many buckets before the as-of's own the sample was taken.
func (v Value) age(asOf time.Time) (int64, bool) {
	nat := int64(v & noNAT)
	if nat == noNAT {
		return 0, false
	}
	return residue(bucketOf(asOf) - nat), true
}

// aging returns what each value becomes when the as-of moves on.
func aging(before, after time.Time) *[values]Value {
	var to [values]Value
	for v := range Value(values) {
		to[v] = v.Moved(before, after)
	}
	return &to
}

func bucketOf(t time.Time) int64 {
	s := t.Unix()
	b := s / bucket
	if s%bucket < 0 {
		b--
	}
	return b
}

func residue(b int64) int64 { return (b%buckets + buckets) % buckets }
