package credential_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
)

func TestAge(t *testing.T) {
	at := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 12, 0, 0, 0, china) }
	for _, tt := range []struct {
		name, birth string
		today       time.Time
		want        checkin.AgeGroup
	}{
		{"born today", "20261124", today, checkin.Minor},
		{"17 years and 364 days", "20081125", today, checkin.Minor},
		{"18 today", "20081124", today, checkin.Adult},
		{"18 since yesterday", "20081123", today, checkin.Adult},
		{"18 next month", "20081224", today, checkin.Minor},
		{"18 last month", "20081031", today, checkin.Adult},
		{"59 years and 364 days", "19661125", today, checkin.Adult},
		{"60 today", "19661124", today, checkin.Elder},
		{"60 since yesterday", "19661123", today, checkin.Elder},
		{"126 years", "19000101", today, checkin.Elder},
		{"60 in 1960", "19000101", at(1960, 1, 1), checkin.Elder},
		{"59 in 1959", "19000101", at(1959, 12, 31), checkin.Adult},
		{"18 in 2199", "21811231", at(2199, 12, 31), checkin.Adult},
		{"17 in 2199", "21820101", at(2199, 12, 31), checkin.Minor},

		{"born on 29 February, 18 in a year without it, the day before", "20080229", at(2026, 2, 28), checkin.Minor},
		{"born on 29 February, 18 in a year without it, the day", "20080229", at(2026, 3, 1), checkin.Adult},
		{"born on 29 February, 60 in a year with it, the day before", "19680229", at(2028, 2, 28), checkin.Adult},
		{"born on 29 February, 60 in a year with it, the day", "19680229", at(2028, 2, 29), checkin.Elder},
		{"born on 29 February, 60 in 2100, which has none, the day before", "20400229", at(2100, 2, 28), checkin.Adult},
		{"born on 29 February, 60 in 2100, which has none, the day", "20400229", at(2100, 3, 1), checkin.Elder},

		{"the last second before the birthday in China", "20081125", time.Date(2026, 11, 24, 15, 59, 59, 0, time.UTC), checkin.Minor},
		{"the first second of it in China, in UTC the day before", "20081125", time.Date(2026, 11, 24, 16, 0, 0, 0, time.UTC), checkin.Adult},
		{"the clock unknown", "19000101", time.Time{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := credential.FromCard(card(' ', number(tt.birth), ""), tt.today)
			if got.Age != tt.want || got.Fault != "" {
				t.Errorf("got %q with fault %q, want %q", got.Age, got.Fault, tt.want)
			}
		})
	}
}

// TestAgeByLayout: where the birth date is found, and where no age is told.
func TestAgeByLayout(t *testing.T) {
	expired := card(' ', "11010519491231002X", "2")
	expired.ValidTo = "20200101"
	for _, tt := range []struct {
		name string
		card credential.Card
		want checkin.AgeGroup
	}{
		{"a number of 15 digits", credential.Card{Type: ' ', Number: "110105491231002", ValidTo: "长期"}, checkin.Elder},
		{"a number of 15 digits, born in 1880", credential.Card{Type: ' ', Number: "440524800101997", ValidTo: "长期"}, checkin.Elder},
		{"no birth date on the card", credential.Card{Type: ' ', Number: "11010519491231002X", ValidTo: "长期"}, checkin.Elder},
		{"a permit", card('J', "810000199408230021", "2"), checkin.Adult},
		{"a foreigner, new layout", card('Y', "932682198501010017", "1"), checkin.Adult},
		{"a foreigner, old layout", oldCard("PAK310080010103", "19800101"), checkin.Adult},
		{"a foreigner, old layout, no birth date: 1910 or 2010", oldCard(oldNumber("PAK3100100101"), ""), ""},
		{"the same, born in 2010", oldCard(oldNumber("PAK3100100101"), "20100101"), checkin.Minor},
		{"the same, born in 1910", oldCard(oldNumber("PAK3100100101"), "19100101"), checkin.Elder},
		{"a card past its day", expired, checkin.Elder},
		{"a wrong number", card(' ', "110105194912310021", "2"), ""},
		{"a man's card on a woman's number", card(' ', "11010519491231002X", "1"), ""},
		{"a layout nobody knows", card('Z', "11010519491231002X", "2"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := credential.FromCard(tt.card, today); got.Age != tt.want {
				t.Errorf("got %q with fault %q, want %q", got.Age, got.Fault, tt.want)
			}
		})
	}
}

// oldNumber ends a number of layout I: order 0, and the digit that makes 7, 3
// and 1 times the values end in the digit itself.
func oldNumber(head string) string {
	head += "0"
	sum := 0
	for i, r := range head {
		v := int(r - '0')
		if r >= 'A' {
			v = int(r) - 55
		}
		sum += v * []int{7, 3, 1}[i%3]
	}
	return head + string(rune('0'+sum%10))
}

// TestNobodyGrowsYounger: from day to day the group stays or goes up, and it
// changes on the birthday that Go's calendar names.
func TestNobodyGrowsYounger(t *testing.T) {
	rank := map[checkin.AgeGroup]int{checkin.Minor: 1, checkin.Adult: 2, checkin.Elder: 3}
	rapid.Check(t, func(t *rapid.T) {
		born := time.Date(1900, 1, 1, 0, 0, 0, 0, china).AddDate(0, 0, rapid.IntRange(0, 80_000).Draw(t, "birth"))
		c := card(' ', number(born.Format("20060102")), "")
		years := rapid.SampledFrom([]int{18, 60}).Draw(t, "years")
		// AddDate makes 1 March of a 29 February that is not there.
		birthday := born.AddDate(years, 0, 0)
		before := credential.FromCard(c, birthday.Add(-time.Second)).Age
		on := credential.FromCard(c, birthday).Age
		if rank[before] == 0 || rank[on] != rank[before]+1 {
			t.Fatalf("born on %s: %s the second before the %dth birthday, %s on it", born.Format(time.DateOnly), before, years, on)
		}
		later := birthday.AddDate(0, 0, rapid.IntRange(0, 20_000).Draw(t, "later"))
		if age := credential.FromCard(c, later).Age; rank[age] < rank[on] {
			t.Fatalf("born on %s: %s on %s", born.Format(time.DateOnly), age, later)
		}
	})
}
