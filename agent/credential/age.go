package credential

import (
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// The years from which on a person is no minor, and an elder.
const (
	grown = 18
	old   = 60
)

// ageGroup gives the group of somebody born on birth, YYYYMMDD, at today; none
// if either is unknown.
//
// A year is full at the start of the birthday, in China, as in daily life and
// at every counter that hands out an elder's card. Penal law counts from the day
// after (Supreme People's Court, 2006, on cases of minors, article 2); that
// would turn away somebody on the day on which he is 60. Who was born on 29
// February is a year older on 1 March of the years without it: on 28 February
// the year is not over.
func ageGroup(birth string, today time.Time) checkin.AgeGroup {
	born, ok := date(birth)
	if !ok || today.IsZero() {
		return ""
	}
	day := dayOf(today)
	years := day.Year() - born.Year()
	if day.Month() < born.Month() || day.Month() == born.Month() && day.Day() < born.Day() {
		years--
	}
	switch {
	case years < grown:
		return checkin.Minor
	case years < old:
		return checkin.Adult
	}
	return checkin.Elder
}
