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
		{"X in the middle", card(' ', "1101051949X231002X", "2"), checkin.ResidentID, checkin.CredentialInvalid},
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
			if tt.fault == "" && tt.kind != checkin.UnknownText && got.Value != tt.card.Number {
				t.Errorf("got number %q, want %q", got.Value, tt.card.Number)
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
		{"29 February of a leap year", number("20000229"), "20000229", ""},
		{"29 February of no leap year", number("19000229"), "19000229", checkin.CredentialInvalid},
		{"the 13th month", number("19901301"), "19901301", checkin.CredentialInvalid},
		{"the Qing", number("17990101"), "17990101", checkin.CredentialInvalid},
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

// number makes one of 18 for a birth date, with a check digit worked out
// another way than the code does: the one that makes the whole sum 1 mod 11.
func number(birth string) string {
	head := "110105" + birth + "002"
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
	for _, tt := range []struct{ name, old, want string }{
		{"of 1949", "110105491231002", "11010519491231002X"},
		{"of a man born before 1900", "440524800101997", "440524188001019974"},
	} {
		c := credential.Card{Type: ' ', Number: tt.old, ValidTo: "长期"}
		got := credential.FromCard(c, today)
		if got.Value[:17] != tt.want[:17] || got.Fault != "" {
			t.Errorf("%s: got %q with fault %q, want %q", tt.name, got.Value, got.Fault, tt.want)
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

func FuzzFromCard(f *testing.F) {
	f.Add(byte(' '), "11010519491231002X", "张三", "长期", "19491231", "2")
	f.Add(byte('J'), "810000199408230021", "", "20300101", "", "")
	f.Add(byte('I'), "CAN110081080310", "A", "20300101", "19810803", "1")
	f.Add(byte('Y'), "932682198501010017", "", "", "\xff", "9")
	f.Add(byte(0), "ıııııııııı", "\x00", "00000000", "0", "男")
	f.Fuzz(func(t *testing.T, layout byte, number, name, validTo, birth, sex string) {
		c := credential.Card{Type: layout, Number: number, Name: name, ValidTo: validTo, Birth: birth, Sex: sex}
		got := credential.FromCard(c, today)
		if len(got.Value) > 18 || strings.ContainsAny(got.Value, "\x00 \r\n") {
			t.Errorf("number %q came through", got.Value)
		}
		switch got.Fault {
		case "":
			if got.Kind != checkin.UnknownText && len(got.Value) != 18 && len(got.Value) != 15 {
				t.Errorf("%q passed", got.Value)
			}
		case checkin.CredentialInvalid, checkin.CredentialExpired:
		default:
			t.Errorf("fault %q", got.Fault)
		}
	})
}
