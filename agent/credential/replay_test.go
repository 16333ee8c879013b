package credential_test

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

func TestMemory(t *testing.T) {
	codes := trusted(issuerKey.Public())
	another := func(c *signed.Claims) { c.ID = []byte("code-002") }
	for _, tt := range []struct {
		name          string
		first, second string
		after         time.Duration
		want          checkin.Reason
	}{
		{"a phone code held up again", shown(t, noon, nil), shown(t, noon, nil), time.Minute, checkin.CredentialReplayed},
		{"the phone's next code", shown(t, noon, nil), shown(t, noon.Add(30*time.Second), nil), time.Minute, checkin.OK},
		{"another person's", shown(t, noon, nil), shown(t, noon, another), time.Minute, checkin.OK},
		{"a pass used again", coded(t, signed.Pass, nil), coded(t, signed.Pass, nil), 7 * time.Hour, checkin.CredentialReplayed},
		{"another pass", coded(t, signed.Pass, nil), coded(t, signed.Pass, another), time.Minute, checkin.OK},
		{"a bearer code again", coded(t, signed.Bearer, nil), coded(t, signed.Bearer, nil), time.Minute, checkin.OK},
		{"paper again", coded(t, signed.Paper, nil), coded(t, signed.Paper, nil), time.Minute, checkin.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m credential.Memory
			first := codes.Open(tt.first, exactly(noon))
			if m.Seen(&first); !m.Use(&first, noon) {
				t.Fatalf("the first is %s (%s)", first.Reason, first.Detail)
			}
			at := noon.Add(tt.after)
			second := codes.Open(tt.second, exactly(at))
			if m.Seen(&second); second.Reason != tt.want || second.Valid != (tt.want == checkin.OK) {
				t.Errorf("the second is %s, want %s", second.Reason, tt.want)
			}
			if m.Use(&second, at) != (tt.want == checkin.OK) {
				t.Error("Use says otherwise")
			}
			if tt.want != checkin.OK && (second.Status.Known || second.Credential.Fault != tt.want) {
				t.Errorf("a replay still has the status %v and the fault %q", second.Status.Known, second.Credential.Fault)
			}
		})
	}
}

// TestWhatIsNotValidIsNotRemembered: nobody fills the memory with rubbish, or
// burns a pass before it begins.
func TestWhatIsNotValidIsNotRemembered(t *testing.T) {
	codes := trusted(issuerKey.Public())
	var m credential.Memory
	for _, code := range []string{"DS1:RUBBISH", shown(t, noon.Add(-time.Hour), nil), coded(t, signed.Pass, func(c *signed.Claims) { c.NotBefore = noon.Unix() + 1 })} {
		if r := codes.Open(code, exactly(noon)); m.Use(&r, noon) {
			t.Errorf("Use() of what is %s = true", r.Reason)
		}
	}
	if m.Len() != 0 {
		t.Errorf("%d are remembered", m.Len())
	}
}

// TestAFullMemory: nothing is forgotten before its time, and what cannot be
// remembered does not count.
func TestAFullMemory(t *testing.T) {
	codes := trusted(issuerKey.Public())
	var m credential.Memory
	r := codes.Open(coded(t, signed.Pass, nil), exactly(noon))
	for i := range credential.MaxSeen { // signing so many is slow; their ids are what counts
		r.Claims.ID = binary.BigEndian.AppendUint64(nil, uint64(i))
		again := r
		if !m.Use(&again, noon) {
			t.Fatalf("pass %d is %s", i, again.Reason)
		}
	}
	r.Claims.ID = []byte("one-more")
	last := r
	if m.Use(&last, noon) || last.Reason != checkin.CredentialReplayed {
		t.Errorf("one more than fit is %s", last.Reason)
	}
	// When their window is over there is room again.
	over := noon.Add(8*time.Hour + time.Second)
	last = r
	if !m.Use(&last, over) || m.Len() != 1 {
		t.Errorf("after their end %d are remembered, and a new one is %s", m.Len(), last.Reason)
	}
}

// TestMemoryOverARestart: a pass counts once, power cut or not.
func TestMemoryOverARestart(t *testing.T) {
	codes := trusted(issuerKey.Public())
	var before, after credential.Memory
	r := codes.Open(coded(t, signed.Pass, nil), exactly(noon))
	before.Use(&r, noon)
	kept, err := before.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := after.UnmarshalBinary(kept); err != nil {
		t.Fatal(err)
	}
	again := codes.Open(coded(t, signed.Pass, nil), exactly(noon))
	if after.Seen(&again); again.Reason != checkin.CredentialReplayed {
		t.Errorf("after a restart the pass is %s", again.Reason)
	}
	for name, data := range map[string][]byte{"cut off": kept[:len(kept)-1], "too large": make([]byte, 24*(credential.MaxSeen+1))} {
		if err := new(credential.Memory).UnmarshalBinary(data); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
}

// TestOnlyOnce: in whatever order codes are shown, each is used once.
func TestOnlyOnce(t *testing.T) {
	codes := trusted(issuerKey.Public())
	var all []credential.Result
	for i := range 4 {
		all = append(all, codes.Open(shown(t, noon.Add(time.Duration(i)*30*time.Second), nil), exactly(noon)))
		all = append(all, codes.Open(coded(t, signed.Pass, func(c *signed.Claims) { c.ID[0] = byte(i) }), exactly(noon)))
	}
	rapid.Check(t, func(t *rapid.T) {
		var m credential.Memory
		used := map[int]bool{}
		lo := noon
		for range rapid.IntRange(1, 40).Draw(t, "codes") {
			i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
			lo = lo.Add(time.Duration(rapid.IntRange(-3600, 60).Draw(t, "later")) * time.Second) // a clock that is taken back
			r := all[i]
			if got := m.Use(&r, lo); got == used[i] {
				t.Fatalf("code %d: Use() = %v, used before: %v", i, got, used[i])
			}
			used[i] = true
		}
	})
}
