package signed_test

import (
	"crypto"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/signed"
)

// TestCodesAreReadAsWritten: every kind by every algorithm.
func TestCodesAreReadAsWritten(t *testing.T) {
	edKey, _ := ed(t)
	esKey, _ := es(t)
	for kind := signed.Paper; kind <= signed.Pass; kind++ {
		for _, issuer := range []crypto.Signer{edKey, esKey} {
			for _, device := range []crypto.Signer{edKey, esKey} {
				t.Run(fmt.Sprintf("%v by %T and %T", kind, issuer, device), func(t *testing.T) {
					if kind != signed.Phone {
						device = nil
					}
					want := claimed(kind, nil)
					if device != nil {
						want.Device = device.Public()
					}
					c, err := signed.ParseCode(made(t, kind, issuer, device))
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, &c.Claims); diff != "" {
						t.Errorf("claims (-want +got):\n%s", diff)
					}
					if shown := c.Shown; (shown == issued+30) != (device != nil) {
						t.Errorf("Shown = %d", shown)
					}
					if err := c.Verify(issuer.Public()); err != nil || c.KeyID != "k1" {
						t.Errorf("Verify() = %v, key %q", err, c.KeyID)
					}
					stranger, _ := ed(t)
					if err := c.Verify(stranger.Public()); !errors.Is(err, signed.ErrSignature) {
						t.Errorf("Verify() with a stranger's key = %v, want ErrSignature", err)
					}
				})
			}
		}
	}
}

// TestWhatIsNotWritten: an issuer's mistake shows at the issuer's, not at a gate.
func TestWhatIsNotWritten(t *testing.T) {
	key, _ := ed(t)
	paper := map[string]func(c *signed.Claims){
		"no kind":             func(c *signed.Claims) { c.Kind = 0 },
		"health on paper":     func(c *signed.Claims) { c.Status = signed.StatusByte(1) },
		"too long":            func(c *signed.Claims) { c.Expires += 181 * day },
		"a phone on paper":    func(c *signed.Claims) { c.Device = key.Public() },
		"no issuer":           func(c *signed.Claims) { c.Issuer = "" },
		"a short id":          func(c *signed.Claims) { c.ID = c.ID[:7] },
		"half a number":       func(c *signed.Claims) { c.Tail = "02X" },
		"a name that escapes": func(c *signed.Claims) { c.Name = "\x1b[2J" },
	}
	pass := map[string]func(c *signed.Claims){
		"a place in the list for a visitor": func(c *signed.Claims) { c.Index = new(uint32) },
		"half a visitor's number":           func(c *signed.Claims) { c.Tail = "2X" },
		"a visitor's health":                func(c *signed.Claims) { c.Status = 1 },
		"a host on two lines":               func(c *signed.Claims) { c.Host = "h\n1" },
		"over before it begins":             func(c *signed.Claims) { c.Expires = c.NotBefore },
	}
	for kind, all := range map[signed.Kind]map[string]func(c *signed.Claims){signed.Paper: paper, signed.Pass: pass} {
		for name, spoil := range all {
			c := claimed(kind, nil)
			spoil(c)
			if text, err := signed.SignCode(key, "k1", c); err == nil {
				t.Errorf("%s: SignCode() = %q, want an error", name, text)
			}
		}
	}
	if text, err := signed.SignCode(key, "", claimed(signed.Paper, nil)); err == nil {
		t.Errorf("no key id: SignCode() = %q, want an error", text)
	}
}

// TestBombs: whatever the size, nothing is read that is longer than a code.
func TestBombs(t *testing.T) {
	for name, text := range map[string]string{
		"30 MB":                        signed.Prefix + strings.Repeat("A", 30<<20),
		"a character longer than most": signed.Prefix + strings.Repeat("0", signed.MaxCode-len(signed.Prefix)+1),
		"30 MB of something else":      strings.Repeat("A", 30<<20),
	} {
		if n := testing.AllocsPerRun(10, func() {
			if _, err := signed.ParseCode(text); !errors.Is(err, signed.ErrCode) || !strings.Contains(err.Error(), "4096") {
				t.Errorf("%s: ParseCode() = %v, want ErrCode for its length", name, err)
			}
		}); n > 10 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestKinds(t *testing.T) {
	for k := signed.Paper; k <= signed.Pass; k++ {
		if got, err := signed.ParseKind(k.String()); err != nil || got != k {
			t.Errorf("ParseKind(%q) = %v, %v", k, got, err)
		}
	}
	for _, word := range []string{"", "Paper", "P"} {
		if k, err := signed.ParseKind(word); err == nil {
			t.Errorf("ParseKind(%q) = %v, want an error", word, k)
		}
	}
	if s := signed.Kind(9).String(); s != "" {
		t.Errorf("kind 9 is called %q", s)
	}
}

// TestClaimsHidePeople: a log shows the kind of a code and nothing else.
func TestClaimsHidePeople(t *testing.T) {
	c := claimed(signed.Bearer, nil)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, *c); got != "code(bearer)" {
			t.Errorf("%s prints %q", format, got)
		}
	}
}

// TestOneBitIsEnough: a code in which anything is changed does not verify.
func TestOneBitIsEnough(t *testing.T) {
	issuer, _ := ed(t)
	device, _ := es(t)
	text := made(t, signed.Phone, issuer, device)
	raw, err := signed.DecodeBase45(text[len(signed.Prefix):])
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		bad := append([]byte(nil), raw...)
		bad[rapid.IntRange(0, len(bad)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		c, err := signed.ParseCode(signed.Prefix + signed.EncodeBase45(bad))
		if err == nil {
			err = c.Verify(issuer.Public())
		}
		if err == nil {
			t.Error("it verifies")
		}
	})
}

// FuzzParseCode: nothing that was not signed verifies, and what can be read has
// one spelling.
func FuzzParseCode(f *testing.F) {
	issuer, _ := ed(f)
	device, _ := es(f)
	good := map[string]bool{}
	for kind := signed.Paper; kind <= signed.Pass; kind++ {
		var phone crypto.Signer
		if kind == signed.Phone {
			phone = device
		}
		text := made(f, kind, issuer, phone)
		raw, err := signed.DecodeBase45(text[len(signed.Prefix):])
		if err != nil {
			f.Fatal(err)
		}
		good[text] = true
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text := signed.Prefix + signed.EncodeBase45(raw)
		c, err := signed.ParseCode(text)
		if err != nil {
			if !errors.Is(err, signed.ErrCode) {
				t.Errorf("ParseCode() = %v, want ErrCode", err)
			}
			return
		}
		if c.Verify(issuer.Public()) == nil && !good[text] {
			t.Errorf("something that was not signed was believed: %+v", c.Claims)
		}
		if c.Claims.Kind == signed.Phone {
			return
		}
		again, err := signed.SignCode(issuer, c.KeyID, &c.Claims)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		second, err := signed.ParseCode(again)
		if err != nil || !cmp.Equal(c.Claims, second.Claims) {
			t.Errorf("written again it is %+v, %v", second, err)
		}
	})
}

// FuzzClaims fuzzes what stands inside a good envelope: an issuer gone mad.
func FuzzClaims(f *testing.F) {
	issuer, _ := ed(f)
	for kind := signed.Paper; kind <= signed.Pass; kind++ {
		c := claimed(kind, issuer.Public())
		text, err := signed.SignCode(issuer, "k1", c)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := signed.DecodeBase45(text[len(signed.Prefix):])
		if err != nil {
			f.Fatal(err)
		}
		payload, err := signed.OpenPayload(signed.Keys{"k1": issuer.Public()}, raw)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		raw, err := signed.SignPayload(issuer, "k1", payload)
		if err != nil {
			return
		}
		code := signed.Prefix + signed.EncodeBase45(raw)
		c, err := signed.ParseCode(code)
		if err != nil { // a phone code must be wrapped
			shown, err := signed.Show(issuer, code, issued)
			if err != nil {
				t.Fatal(err)
			}
			if c, err = signed.ParseCode(shown); err != nil {
				return
			}
		}
		if s := &c.Claims; s.Expires <= s.Issued || len(s.ID) < 8 || s.Kind == signed.Paper && (s.Status != 0 || s.Sampled != 0) {
			t.Errorf("believed %#v", *s)
		}
		if again, err := signed.SignCode(issuer, "k1", &c.Claims); err != nil || again != code { // Ed25519 is deterministic
			t.Errorf("one code, two spellings: %v", err)
		}
	})
}
