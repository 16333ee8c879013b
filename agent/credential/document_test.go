package credential_test

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
)

func TestFromDocument(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kind   checkin.Kind
		number string
		want   string // empty: credential-invalid
		age    checkin.AgeGroup
	}{
		{"an ID card", checkin.ResidentID, "11010519491231002X", "11010519491231002X", checkin.Elder},
		{"an ID card, small x", checkin.ResidentID, "11010519491231002x", "11010519491231002X", checkin.Elder},
		{"an ID card, in groups", checkin.ResidentID, " 110105 1949-12-31 002X ", "11010519491231002X", checkin.Elder},
		{"an ID card, in full width", checkin.ResidentID, "１１０１０５１９４９１２３１００２ｘ", "11010519491231002X", checkin.Elder},
		{"an ID card, dashes of all lengths", checkin.ResidentID, "110105–19491231—002－X\u3000", "11010519491231002X", checkin.Elder},
		{"an old ID card", checkin.ResidentID, "110105491231002", "11010519491231002X", checkin.Elder},
		{"a child's", checkin.ResidentID, number("20150601"), number("20150601"), checkin.Minor},
		{"a permit", checkin.HKMOTWPermit, "810000199408230021", "810000199408230021", checkin.Adult},
		{"a foreigner's card", checkin.ForeignerCard, "932682198501010017", "932682198501010017", checkin.Adult},
		{"a foreigner's old card", checkin.ForeignerCard, "can 1100-810803-10", "CAN110081080310", ""},
		{"a passport", checkin.Passport, "e12345678", "E12345678", ""},
		{"a passport in parts", checkin.Passport, "AB 123-456", "AB123456", ""},
		{"the shortest paper", checkin.OtherPaper, "a-1-b", "A1B", ""},
		{"the longest paper", checkin.OtherPaper, strings.Repeat("7", 20), strings.Repeat("7", 20), ""},
		{"a travel permit", checkin.OtherPaper, "H12345678 01", "H1234567801", ""},

		{"an ID card with a slip of a finger", checkin.ResidentID, "11010519491231003X", "", ""},
		{"an ID card of tomorrow", checkin.ResidentID, number("20261125"), "", ""},
		{"an ID card of no such day", checkin.ResidentID, number("19000229"), "", ""},
		{"an ID card without a number", checkin.ResidentID, "", "", ""},
		{"a passport's number for an ID card", checkin.ResidentID, "E12345678", "", ""},
		{"an ID card for a permit", checkin.HKMOTWPermit, "11010519491231002X", "", ""},
		{"an ID card for a foreigner's", checkin.ForeignerCard, "11010519491231002X", "", ""},
		{"a foreigner's with a slip", checkin.ForeignerCard, "932682198501010016", "", ""},
		{"a foreigner's old one with a slip", checkin.ForeignerCard, "CAN110081080311", "", ""},
		{"a paper too short", checkin.OtherPaper, "A-1", "", ""},
		{"a paper too long", checkin.OtherPaper, strings.Repeat("7", 21), "", ""},
		{"a megabyte", checkin.OtherPaper, strings.Repeat("7", 1<<20), "", ""},
		{"a sign in it", checkin.Passport, "E123/456", "", ""},
		{"Chinese in it", checkin.OtherPaper, "沪123456", "", ""},
		{"a line end in it", checkin.Passport, "E123\n456", "", ""},
		{"a NUL in it", checkin.Passport, "E123\x00456", "", ""},
		{"a blank of no width in it", checkin.Passport, "E123\u200b456", "", ""},
		{"broken UTF-8 in it", checkin.Passport, "E123\xff456", "", ""},
		{"a letter like an I", checkin.Passport, "ı123456", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := credential.FromDocument(tt.kind, tt.number, "", today)
			if got.Kind != tt.kind || got.Age != tt.age {
				t.Errorf("got a %s of an %s, want a %s of an %s", got.Kind, got.Age, tt.kind, tt.age)
			}
			if tt.want == "" && got.Fault != checkin.CredentialInvalid {
				t.Errorf("got fault %q, want %q", got.Fault, checkin.CredentialInvalid)
			}
			if tt.want != "" && (got.Value != tt.want || got.Fault != "") {
				t.Errorf("got %q with fault %q, want %q", got.Value, got.Fault, tt.want)
			}
		})
	}
}

// TestNoDocument: what a reader or scanner reads cannot be typed instead.
func TestNoDocument(t *testing.T) {
	for _, kind := range []checkin.Kind{
		checkin.PersonalCode, checkin.RelativeCode, checkin.SignedCode, checkin.VisitorPass, checkin.PaperCode,
		checkin.VenueCode, checkin.UnknownText, "", "driving-licence",
	} {
		got := credential.FromDocument(kind, "11010519491231002X", "张三", today)
		if want := (checkin.Credential{Kind: checkin.UnknownText, Fault: checkin.CredentialInvalid}); got != want {
			t.Errorf("%q: got %s with fault %q", kind, got, got.Fault)
		}
	}
}

// TestTypedIsRead: a number that a guard typed is the credential that the
// reader would have made of the card.
func TestTypedIsRead(t *testing.T) {
	for _, tt := range []struct {
		kind checkin.Kind
		card credential.Card
	}{
		{checkin.ResidentID, card(' ', "11010519491231002X", "2")},
		{checkin.HKMOTWPermit, card('J', "830000199201300022", "2")},
		{checkin.ForeignerCard, card('Y', "911124198108030024", "2")},
	} {
		read, typed := credential.FromCard(tt.card, today), credential.FromDocument(tt.kind, tt.card.Number, "张三", today)
		if read != typed {
			t.Errorf("%s: read %s (%s), typed %s (%s)", tt.kind, read, read.Age, typed, typed.Age)
		}
		if later := credential.FromDocument(tt.kind, tt.card.Number, "张三", time.Time{}); later.Age != "" || later.Key() != read.Key() {
			t.Errorf("%s with the clock unknown: age %q", tt.kind, later.Age)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"of two characters", "张三", "张三"},
		{"with a dot", "阿依古丽·买买提", "阿依古丽·买买提"},
		{"with blanks around", "  JOHN Q. PUBLIC  ", "JOHN Q. PUBLIC"},
		{"of a character that only ID cards have", "\ue863某", "\ue863某"},
		{"of 64 characters", strings.Repeat("张", 64), strings.Repeat("张", 64)},
		{"of 65 characters", strings.Repeat("张", 65), strings.Repeat("张", 64)},
		{"that moves a cursor", "张\x1b[2J三\r\n", "张[2J三"},
		{"with a DEL and a C1 control", "张\x7f\u0085三", "张三"},
		{"that runs backwards", "\u202e张三\u2066", "张三"},
		{"with blanks of no width", "张\u200b\ufeff三", "张三"},
		{"with line separators", "张\u2028\u2029三", "张三"},
		{"of broken UTF-8", "张\xff三", "张三"},
		{"in GBK", gbk(t, "张"), ""},
		{"of nothing else", "\x00\u200b", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := card(' ', "11010519491231002X", "2")
			c.Name = tt.in
			if got := credential.FromCard(c, today); got.Name != tt.want || got.Fault != "" {
				t.Errorf("on a card: got %q with fault %q, want %q", got.Name, got.Fault, tt.want)
			}
			if got := credential.FromDocument(checkin.Passport, "E12345678", tt.in, today); got.Name != tt.want || got.Fault != "" {
				t.Errorf("typed: got %q with fault %q, want %q", got.Name, got.Fault, tt.want)
			}
		})
	}
}

func FuzzFromCard(f *testing.F) {
	f.Add(byte(' '), "11010519491231002X", "张三", "长期", "19491231", "2", false)
	f.Add(byte(' '), "440524800101997", "", "20300101", "", "1", false)
	f.Add(byte('J'), "810000199408230021", "", "20300101", "", "", false)
	f.Add(byte('I'), "CAN110081080310", "A", "20300101", "19810803", "1", true)
	f.Add(byte('Y'), "932682198501010017", "", "", "\xff", "9", false)
	f.Add(byte(0), "ıııııııııı", "\x00", "00000000", "0", "男", true)
	f.Fuzz(func(t *testing.T, layout byte, number, name, validTo, birth, sex string, unset bool) {
		c := credential.Card{Type: layout, Number: number, Name: name, ValidTo: validTo, Birth: birth, Sex: sex}
		now := today
		if unset {
			now = time.Time{}
		}
		got := credential.FromCard(c, now)
		if got.Kind == checkin.UnknownText && got != (checkin.Credential{Kind: checkin.UnknownText}) {
			t.Errorf("of an unknown layout %q is kept", got.Value)
		}
		checkNumber(t, got, unset)
		switch got.Fault {
		case "", checkin.CredentialInvalid:
		case checkin.CredentialExpired:
			if unset {
				t.Error("expired, and nobody knows the day")
			}
		default:
			t.Errorf("fault %q", got.Fault)
		}
	})
}

// checkNumber checks what holds of every document, read or typed.
func checkNumber(t *testing.T, got checkin.Credential, unset bool) {
	t.Helper()
	for _, r := range got.Value {
		if !('0' <= r && r <= '9' || 'A' <= r && r <= 'Z') {
			t.Errorf("number %q came through", got.Value)
		}
	}
	if n := utf8.RuneCountInString(got.Name); n > 64 || !utf8.ValidString(got.Name) || strings.ContainsFunc(got.Name, unicode.IsControl) {
		t.Errorf("name %q came through", got.Name)
	}
	if got.Age != "" && (unset || got.Value == "") {
		t.Errorf("age %s out of nothing", got.Age)
	}
	if got.Fault == checkin.CredentialInvalid {
		return
	}
	long := 20
	switch got.Kind {
	case checkin.UnknownText:
		return
	case checkin.ResidentID, checkin.HKMOTWPermit:
		long = 18
		if len(got.Value) != 18 || (got.Age == "") != unset {
			t.Errorf("%q passed, of an %q", got.Value, got.Age)
		}
	case checkin.ForeignerCard:
		long = 18
		if len(got.Value) != 18 && len(got.Value) != 15 {
			t.Errorf("%q passed", got.Value)
		}
	}
	if len(got.Value) < 3 || len(got.Value) > long {
		t.Errorf("%q passed", got.Value)
	}
}

func FuzzFromDocument(f *testing.F) {
	f.Add("resident-id", "１１０１０５ 19491231-002x", "张三", false)
	f.Add("hkmotw-permit", "810000199408230021", "\u202e", false)
	f.Add("foreigner-card", "can110081080310", "A", true)
	f.Add("foreigner-card", "932682198501010017", "\xff", false)
	f.Add("passport", "e12345678", "", false)
	f.Add("other-paper", "ı-－\u3000", "\x00", true)
	f.Add("venue-code", "1", "2", true)
	f.Fuzz(func(t *testing.T, kind, number, name string, unset bool) {
		now := today
		if unset {
			now = time.Time{}
		}
		got := credential.FromDocument(checkin.Kind(kind), number, name, now)
		checkNumber(t, got, unset)
		if got.Kind == checkin.UnknownText {
			if got != (checkin.Credential{Kind: checkin.UnknownText, Fault: checkin.CredentialInvalid}) {
				t.Errorf("a %q is a %s", kind, got)
			}
			return
		}
		if got.Kind != checkin.Kind(kind) {
			t.Errorf("a %s became a %s", kind, got.Kind)
		}
		// Typed again as it is kept, it is the same.
		if again := credential.FromDocument(got.Kind, got.Value, got.Name, now); got.Fault == "" && again != got {
			t.Errorf("%q became %q, and that %q", number, got.Value, again.Value)
		}
	})
}

func BenchmarkFromCard(b *testing.B) {
	for _, bb := range []struct {
		name string
		card credential.Card
	}{
		{"resident", card(' ', "11010519491231002X", "2")},
		{"permit", card('J', "810000199408230021", "2")},
		{"foreigner, new layout", card('Y', "932682198501010017", "1")},
		{"foreigner, old layout", oldCard("CAN110081080310", "19810803")},
		{"a wrong number", card(' ', "110105194912310021", "2")},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				credential.FromCard(bb.card, today)
			}
		})
	}
}
