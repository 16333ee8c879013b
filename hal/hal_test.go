package hal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/hal"
)

// card is a synthetic person; every field of it is a secret.
func card() hal.Card {
	c := hal.Card{
		Type: hal.Resident, Name: "王小明", EnglishName: "WANG XIAOMING", Sex: "SEX", Ethnic: "ETHNIC",
		Birth: "19491231", Address: "示范路一号", Number: "11010519491231002X", Issuer: "示范分局",
		ValidFrom: "20200101", ValidTo: "20400101", PassNumber: "H12345678", IssueCount: "COUNT",
		Nationality: "NATION", OldNumber: "OLD-NUMBER", CardVersion: "VERSION", Authority: "AUTHORITY",
	}
	copy(c.Raw[:], "RAW-RECORD")
	return c
}

// printed is v in every way in which a log could come to print it.
func printed(t *testing.T, v any) map[string]string {
	t.Helper()
	ways := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
		ways[verb] = fmt.Sprintf(verb, v)
	}
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"a log of text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"a log of JSON": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("read", "what", v)
		ways[name] = b.String()
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	ways["JSON"] = string(b)
	return ways
}

// TestNothingThatWasReadIsPrinted: whatever somebody writes into a log line,
// by itself, in a list, in a struct or behind a pointer, nobody is named.
func TestNothingThatWasReadIsPrinted(t *testing.T) {
	type held struct {
		Code hal.Code
		Card hal.Card
	}
	code, c := hal.Code{Data: []byte("11010519491231002X")}, card()
	secrets := []string{string(code.Data), "MTEwMTA1MTk0OTEyMzEwMDJY"} // base64, as JSON has bytes
	secrets = append(secrets,
		c.Name, c.EnglishName, c.Sex, c.Ethnic, c.Birth, c.Address, c.Number, c.Issuer, c.ValidFrom, c.ValidTo,
		c.PassNumber, c.IssueCount, c.Nationality, c.OldNumber, c.CardVersion, c.Authority, "RAW-RECORD",
		"82 65 87 45 82 69 67 79 82 68") // the same in a list of numbers
	for name, v := range map[string]any{
		"a code": code, "a pointer to a code": &code, "codes": []hal.Code{code},
		"a card": c, "a pointer to a card": &c, "cards": map[string]hal.Card{"one": c}, "both": held{code, c},
	} {
		for way, text := range printed(t, v) {
			for _, secret := range secrets {
				if strings.Contains(text, secret) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", secret)) {
					t.Errorf("%s as %s names %q: %s", name, way, secret, text)
				}
			}
			if text == "" {
				t.Errorf("%s as %s is empty, want a word for the log", name, way)
			}
		}
	}
}

func TestWhatALogIsTold(t *testing.T) {
	for _, tt := range []struct {
		what fmt.Stringer
		want string
	}{
		{hal.Code{Data: []byte("HALTEST-1")}, "code(9 bytes)"},
		{hal.Code{}, "code(0 bytes)"},
		{hal.Code{Truncated: true}, "code(too long)"},
		{card(), "card(resident)"},
		{hal.Card{Type: hal.HKMOTWPermit}, "card(J)"},
		{hal.Card{Type: hal.ForeignOld}, "card(I)"},
		{hal.Card{Type: hal.ForeignNew}, "card(Y)"},
		{hal.Card{}, "card(unknown (not resident, J, I or Y))"},
		{hal.CardType('Z'), "unknown (not resident, J, I or Y)"},
	} {
		if got := tt.what.String(); got != tt.want {
			t.Errorf("String() = %q, want %q", got, tt.want)
		}
	}
}

// TestCardErrors tell why, with the reader's own code for support.
func TestCardErrors(t *testing.T) {
	for _, tt := range []struct {
		reason hal.CardReason
		status byte
		want   string
	}{
		{hal.CardPulled, 0x41, "card taken away too early (status 41)"},
		{hal.CardUnrecognised, 0x00, "card type not recognised (status 00)"},
		{hal.CardUnreadable, 0x0A, "card could not be read (status 0A)"},
		{hal.CardRejected, 0xFF, "card failed authentication (status FF)"},
	} {
		err := fmt.Errorf("sdt: %w", &hal.CardError{Reason: tt.reason, Status: tt.status})
		var got *hal.CardError
		if !errors.As(err, &got) || got.Error() != tt.want {
			t.Errorf("%v, want %q", err, tt.want)
		}
		if errors.Is(err, hal.ErrGone) {
			t.Errorf("%v: a bad card is no loss of the reader", err)
		}
	}
}

func TestGone(t *testing.T) {
	unplugged := errors.New("input/output error")
	if err := hal.Gone(nil); err != nil {
		t.Errorf("Gone(nil) = %v, want nil", err)
	}
	gone := hal.Gone(unplugged)
	if !errors.Is(gone, hal.ErrGone) || !errors.Is(gone, unplugged) || gone.Error() != "device gone: input/output error" {
		t.Errorf("Gone() = %v, want hal.ErrGone and its cause", gone)
	}
	if again := hal.Gone(fmt.Errorf("lcus: %w", gone)); again.Error() != "lcus: device gone: input/output error" {
		t.Errorf("Gone() of what is gone = %v, want it as it was", again)
	}
}
