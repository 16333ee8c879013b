package credential_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
)

var (
	china = time.FixedZone("UTC+8", 8*60*60)
	today = time.Date(2026, 11, 24, 9, 30, 0, 0, china)
)

// The numbers are the vectors of the hardware facts, section 1.11; no person
// has them.
func TestFromCard(t *testing.T) {
	for _, tt := range []struct {
		name  string
		card  credential.Card
		kind  checkin.Kind
		fault checkin.Reason
	}{
		{"the standard's sample", card(' ', "11010519491231002X", "2"), checkin.ResidentID, ""},
		{"born in 1880", card(' ', "440524188001010014", "1"), checkin.ResidentID, ""},
		{"check X, male", card(' ', "53010219200508011X", "1"), checkin.ResidentID, ""},
		{"permit, Macao", card('J', number("82000019500101"), "2"), checkin.HKMOTWPermit, ""},
		{"small x", card(' ', "11010519491231002x", "2"), checkin.ResidentID, ""},
		{"sex not stated", card(' ', "11010519491231002X", "9"), checkin.ResidentID, ""},
		{"sex left empty", card(' ', "11010519491231002X", ""), checkin.ResidentID, ""},
		{"permit, Hong Kong", card('J', "810000199408230021", "2"), checkin.HKMOTWPermit, ""},
		{"permit, Taiwan", card('J', "830000199201300022", "2"), checkin.HKMOTWPermit, ""},
		{"foreigner, new layout, male", card('Y', "932682198501010017", "1"), checkin.ForeignerCard, ""},
		{"foreigner, new layout, female", card('Y', "911124198108030024", "2"), checkin.ForeignerCard, ""},
		{"foreigner, old layout", oldCard("CAN110081080310", "19810803"), checkin.ForeignerCard, ""},
		{"foreigner, old layout, born in 1980", oldCard("PAK310080010103", "19800101"), checkin.ForeignerCard, ""},
		{"foreigner, old layout, born in 2080", oldCard("PAK310080010103", "20800101"), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"foreigner, old layout, no birth date beside it", oldCard("PAK310080010103", ""), checkin.ForeignerCard, ""},

		{"the fact sheet's cross-check record, male on a female number", card(' ', "11010519491231002X", "1"), checkin.ResidentID, checkin.CredentialInvalid},
		{"female on a male number", card(' ', "440524188001010014", "2"), checkin.ResidentID, checkin.CredentialInvalid},
		{"wrong check digit", card(' ', "110105194912310021", "2"), checkin.ResidentID, checkin.CredentialInvalid},
		{"two digits changed places", card(' ', "11010519491213002X", "2"), checkin.ResidentID, checkin.CredentialInvalid},
		{"too short", card(' ', "1101051949123100", "2"), checkin.ResidentID, checkin.CredentialInvalid},
		{"too long", card(' ', "11010519491231002X0", "2"), checkin.ResidentID, checkin.CredentialInvalid},
		{"empty", card(' ', "", ""), checkin.ResidentID, checkin.CredentialInvalid},
		{"X before the end", card(' ', "1101051949123100X2", "2"), checkin.ResidentID, checkin.CredentialInvalid},
		{"X too many", card(' ', "1101051949X231002X", "2"), checkin.ResidentID, checkin.CredentialInvalid},
		{"full-width digits, which no chip has", card(' ', "１１０１０５", "2"), checkin.ResidentID, checkin.CredentialInvalid},
		{"a letter that becomes a capital I", card('I', "CAN1100810803ı0", ""), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"permit, wrong check", card('J', "810000199408230022", "2"), checkin.HKMOTWPermit, checkin.CredentialInvalid},
		{"permit, man's number and female", card('J', "830000199201300022", "1"), checkin.HKMOTWPermit, checkin.CredentialInvalid},
		{"permit of no such place", card('J', number("84000019940823"), "2"), checkin.HKMOTWPermit, checkin.CredentialInvalid},
		{"permit of a district of Hong Kong", card('J', number("81000119940823"), "2"), checkin.HKMOTWPermit, checkin.CredentialInvalid},
		{"permit with 15 digits", card('J', "810000940823002", ""), checkin.HKMOTWPermit, checkin.CredentialInvalid},
		{"foreigner, new layout, wrong check", card('Y', "932682198501010018", "1"), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"foreigner, new layout, other sex", card('Y', "932682198501010017", "2"), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"foreigner, new layout, no such day", card('Y', number("93268219850231"), "2"), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"foreigner, old layout, no such day", oldCard("CAN110081023117", ""), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"foreigner, old layout, another birth date", oldCard("CAN110081080310", "19810804"), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"foreigner, old layout, too short", oldCard("CAN11008108031", ""), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"a resident's number on a permit", card('J', "11010519491231002X", "2"), checkin.HKMOTWPermit, checkin.CredentialInvalid},
		{"a resident's number on a foreigner's card", card('Y', "11010519491231002X", "2"), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"old layout, wrong check", oldCard("CAN110081080311", "19810803"), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"old layout, digits for a country", oldCard("123110081080310", "19810803"), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"old layout, 18 digits", oldCard("932682198501010017", "19850101"), checkin.ForeignerCard, checkin.CredentialInvalid},
		{"a layout nobody knows", card('Z', "11010519491231002X", "2"), checkin.UnknownText, ""},
		{"a record nobody knows", card(0, "11010519491231002X", "2"), checkin.UnknownText, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := credential.FromCard(tt.card, today)
			if got.Kind != tt.kind || got.Fault != tt.fault {
				t.Errorf("got %s with fault %q, want %s with %q", got.Kind, got.Fault, tt.kind, tt.fault)
			}
			if tt.fault == "" && tt.kind != checkin.UnknownText && got.Value != strings.ToUpper(tt.card.Number) {
				t.Errorf("got number %q, want %q", got.Value, strings.ToUpper(tt.card.Number))
			}
		})
	}
}

// card gives a card whose birth date is that of its number.
func card(layout byte, number, sex string) credential.Card {
	c := credential.Card{Type: layout, Number: number, Name: "张三", ValidTo: "长期", Sex: sex}
	if len(number) == 18 {
		c.Birth = number[6:14]
	}
	return c
}

func oldCard(number, birth string) credential.Card {
	return credential.Card{Type: 'I', Number: number, Name: "TEST", ValidTo: "20300101", Birth: birth, Sex: "1"}
}

func TestBirth(t *testing.T) {
	for _, tt := range []struct {
		name, number, birth string
		fault               checkin.Reason
	}{
		{"the number's", "11010519491231002X", "19491231", ""},
		{"another", "11010519491231002X", "19491230", checkin.CredentialInvalid},
		{"left empty", "11010519491231002X", "        ", ""},
		{"today", number("20261124"), "20261124", ""},
		{"tomorrow", number("20261125"), "20261125", checkin.CredentialInvalid},
		{"the first day of 1900", number("19000101"), "19000101", ""},
		{"the last day of 1899", number("18991231"), "18991231", ""},
		{"29 February of a leap year", number("20000229"), "20000229", ""},
		{"29 February of no leap year", number("19000229"), "19000229", checkin.CredentialInvalid},
		{"the 13th month", number("19901301"), "19901301", checkin.CredentialInvalid},
		{"the Qing", number("17990101"), "17990101", checkin.CredentialInvalid},
		{"the year before the earliest", number("18491231"), "18491231", checkin.CredentialInvalid},
		{"a year to come", number("21991231"), "21991231", checkin.CredentialInvalid},
		{"the day 0", number("19900100"), "19900100", checkin.CredentialInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := card(' ', tt.number, "")
			c.Birth = tt.birth
			if got := credential.FromCard(c, today); got.Fault != tt.fault {
				t.Errorf("got fault %q, want %q", got.Fault, tt.fault)
			}
		})
	}
}

// number makes one of 18 for a birth date, or for an area and a birth date,
// with a check digit worked out another way than the code does: the one that
// makes the whole sum 1 mod 11.
func number(birth string) string {
	if len(birth) == 8 {
		birth = "110105" + birth
	}
	head := birth + "002"
	for _, check := range "0123456789X" {
		sum := 0
		for _, r := range head + string(check) {
			v := int(r - '0')
			if r == 'X' {
				v = 10
			}
			sum = sum*2 + v
		}
		if sum%11 == 1 {
			return head + string(check)
		}
	}
	return ""
}

func TestValidTo(t *testing.T) {
	for _, tt := range []struct {
		name, validTo string
		today         time.Time
		fault         checkin.Reason
	}{
		{"without end", "长期", today, ""},
		{"without end, padded", "长期      ", today, ""},
		{"years to go", "20400101", today, ""},
		{"the last day of 2199", "21991231", today, ""},
		{"the last day of 2199, on it", "21991231", time.Date(2199, 12, 31, 23, 59, 59, 0, china), ""},
		{"the last day of 2199, the day after", "21991231", time.Date(2200, 1, 1, 0, 0, 0, 0, china), checkin.CredentialExpired},
		{"a year of five digits", "219991231", today, checkin.CredentialInvalid},
		{"29 February of a leap year", "20280229", today, ""},
		{"29 February of no leap year", "21000229", today, checkin.CredentialInvalid},
		{"without end, cut off", "长", today, checkin.CredentialInvalid},
		{"without end, in GBK", "\xb3\xa4\xc6\xda", today, checkin.CredentialInvalid},
		{"without end, clock unknown", "长期", time.Time{}, ""},
		{"the last day", "20261124", today, ""},
		{"the last second of it in China", "20261124", time.Date(2026, 11, 24, 23, 59, 59, 0, china), ""},
		{"the same second told in UTC", "20261124", time.Date(2026, 11, 24, 15, 59, 59, 0, time.UTC), ""},
		{"a second later", "20261124", time.Date(2026, 11, 24, 16, 0, 0, 0, time.UTC), checkin.CredentialExpired},
		{"the day before", "20261123", today, checkin.CredentialExpired},
		{"clock unknown", "20100101", time.Time{}, ""},
		{"no date", "2026", today, checkin.CredentialInvalid},
		{"no such day", "20260231", today, checkin.CredentialInvalid},
		{"no such day, clock unknown", "20260231", time.Time{}, checkin.CredentialInvalid},
		{"nothing", "", today, checkin.CredentialInvalid},
		{"dots", "2026.1.1", today, checkin.CredentialInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := card(' ', "11010519491231002X", "2")
			c.ValidTo = tt.validTo
			if got := credential.FromCard(c, tt.today); got.Fault != tt.fault {
				t.Errorf("got fault %q, want %q", got.Fault, tt.fault)
			}
		})
	}
}

func TestOldNumber(t *testing.T) {
	for _, tt := range []struct {
		name, old, sex, want string
		fault                checkin.Reason
	}{
		{"of 1949", "110105491231002", "2", "11010519491231002X", ""},
		{"of 1949, male", "110105491231002", "1", "11010519491231002X", checkin.CredentialInvalid},
		{"of a man born before 1900", "440524800101997", "1", "440524188001019975", ""},
		{"the highest order of this century", "440524800101995", "1", "440524198001019958", ""},
		{"of no such day", "110105490231002", "", "110105194902310026", checkin.CredentialInvalid},
		{"with an X", "11010549123100X", "", "11010549123100X", checkin.CredentialInvalid},
		{"of 14 digits", "11010549123100", "", "11010549123100", checkin.CredentialInvalid},
		{"of 16 digits", "1101054912310021", "", "1101054912310021", checkin.CredentialInvalid},
	} {
		c := credential.Card{Type: ' ', Number: tt.old, ValidTo: "长期", Sex: tt.sex}
		got := credential.FromCard(c, today)
		if got.Value != tt.want || got.Fault != tt.fault {
			t.Errorf("%s: got %q with fault %q, want %q with %q", tt.name, got.Value, got.Fault, tt.want, tt.fault)
		}
	}
	// One person, one key.
	old := credential.FromCard(credential.Card{Type: ' ', Number: "110105491231002", ValidTo: "长期"}, today)
	full := credential.FromCard(card(' ', "11010519491231002X", "2"), today)
	if old.Key() != full.Key() {
		t.Error("the old and the new number have two keys")
	}
}

func TestPadding(t *testing.T) {
	c := card(' ', "11010519491231002x", "2 ")
	c.Number, c.Name = c.Number+"\x00\x00", "张三  "
	got := credential.FromCard(c, today)
	if got.Value != "11010519491231002X" || got.Name != "张三" || got.Fault != "" {
		t.Errorf("got %q, %q, fault %q", got.Value, got.Name, got.Fault)
	}
}

// Every number with a right check passes; change one digit of it and none
// does.
func TestOneDigitWrong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 40000).Draw(t, "day"))
		good := number(day.Format("20060102"))
		if got := credential.FromCard(credential.Card{Type: ' ', Number: good, ValidTo: "长期"}, today); got.Fault != "" {
			t.Fatalf("%s has fault %s", good, got.Fault)
		}
		i := rapid.IntRange(0, 16).Draw(t, "place")
		digit := rapid.SampledFrom(strings.Split("0123456789", "")).Draw(t, "digit")
		if digit == good[i:i+1] {
			return
		}
		bad := good[:i] + digit + good[i+1:]
		if got := credential.FromCard(credential.Card{Type: ' ', Number: bad, ValidTo: "长期"}, today); got.Fault != checkin.CredentialInvalid {
			t.Fatalf("%s, changed from %s, has fault %q", bad, good, got.Fault)
		}
	})
}
