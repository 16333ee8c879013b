package verify_test

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/statuslist"
	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/agent/trust/feed"
	"github.com/digital-sentinel/sentinel/agent/verify"
)

// held is a feed that holds one view, or none.
type held struct{ view *trust.View }

func (h held) View(look func(trust.View) error) error {
	if h.view == nil {
		return trust.ErrNoTable
	}
	return look(*h.view)
}

func TestCards(t *testing.T) {
	asOf := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	key := statuslist.Key{1, 2, 3}
	fp := func(number, name string) uint64 {
		return key.Fingerprint(statuslist.NewHandle("resident-id", number, name))
	}
	sampled := asOf.Add(-20 * time.Hour)
	table, _, err := statuslist.Build(statuslist.Head{Epoch: 1, AsOf: asOf}, maps.All(map[uint64]statuslist.Value{
		fp("1", "甲"): statuslist.NewValue(statuslist.Green, sampled, asOf),
		fp("2", "乙"): statuslist.NewValue(statuslist.Green, sampled, asOf),
		fp("3", "丙"): statuslist.NewValue(statuslist.Yellow, time.Time{}, asOf),
	}))
	if err != nil {
		t.Fatal(err)
	}
	open, err := statuslist.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	later := asOf.Add(time.Hour)
	list, err := statuslist.EncodeDeny(statuslist.Head{Epoch: 1, AsOf: later}, maps.All(map[uint64]statuslist.Value{
		fp("2", "乙"): statuslist.NewValue(statuslist.Red, time.Time{}, later),
		fp("4", "丁"): statuslist.NewValue(statuslist.Red, time.Time{}, later),
	}))
	if err != nil {
		t.Fatal(err)
	}
	deny, err := statuslist.OpenDeny(list)
	if err != nil {
		t.Fatal(err)
	}
	bucket := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) // 13:00, rounded down to four hours
	for _, tt := range []struct {
		name string
		cred checkin.Credential
		want *checkin.Status
	}{
		{"green, and a test that looks no fresher than it is", checkin.Credential{Kind: checkin.ResidentID, Value: "1", Name: "甲"},
			&checkin.Status{Colour: checkin.Green, NAT: checkin.Negative, Sampled: bucket, Reported: bucket, AsOf: asOf}},
		{"got worse since", checkin.Credential{Kind: checkin.ResidentID, Value: "2", Name: "乙"},
			&checkin.Status{Colour: checkin.Red, NAT: checkin.NoTest, AsOf: later}},
		{"on the deny list alone", checkin.Credential{Kind: checkin.ResidentID, Value: "4", Name: "丁"},
			&checkin.Status{Colour: checkin.Red, NAT: checkin.NoTest, AsOf: later}},
		{"yellow without a test", checkin.Credential{Kind: checkin.ResidentID, Value: "3", Name: "丙"},
			&checkin.Status{Colour: checkin.Yellow, NAT: checkin.NoTest, AsOf: asOf}},
		{"a stranger is not known", checkin.Credential{Kind: checkin.ResidentID, Value: "9", Name: "甲"}, nil},
		{"the number of one and the name of another", checkin.Credential{Kind: checkin.ResidentID, Value: "1", Name: "乙"}, nil},
		{"the number on another kind of card", checkin.Credential{Kind: checkin.ForeignerCard, Value: "1", Name: "甲"}, nil},
		{"a code is not in the table", checkin.Credential{Kind: checkin.PersonalCode, Value: "1", Name: "甲"}, nil},
	} {
		use := trust.Full
		c := verify.Cards{
			Card: held{&trust.View{Header: &feed.Header{Epoch: 1, AsOf: asOf.Unix()}, Table: open}},
			Deny: held{&trust.View{Header: &feed.Header{Epoch: 1, AsOf: later.Unix()}, Deny: deny}},
			Key:  func(epoch uint64) (statuslist.Key, bool) { return key, epoch == 1 },
			Use:  func() trust.Use { return use },
		}
		got, ok := c.Lookup(tt.cred)
		if ok != (tt.want != nil) {
			t.Errorf("%s: known %v", tt.name, ok)
			continue
		}
		if ok {
			tt.want.Known, tt.want.Mode, tt.want.Antigen, tt.want.Host = true, checkin.ModeCached, checkin.NoTest, checkin.HostNone
			if diff := cmp.Diff(*tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
		// Where only a bad status may be believed, the others have no time.
		use = trust.BadOnly
		if got, _ := c.Lookup(tt.cred); !got.AsOf.IsZero() {
			t.Errorf("%s: told with a time, %v", tt.name, got.AsOf)
		}
		use = trust.Nothing
		if _, ok := c.Lookup(tt.cred); ok {
			t.Errorf("%s: known although nothing may be used", tt.name)
		}
		use = trust.Full
		c.Key = func(uint64) (statuslist.Key, bool) { return statuslist.Key{}, false }
		if _, ok := c.Lookup(tt.cred); ok {
			t.Errorf("%s: known without the key", tt.name)
		}
		c.Card, c.Deny = held{}, held{}
		if _, ok := c.Lookup(tt.cred); ok {
			t.Errorf("%s: known without tables", tt.name)
		}
	}
}
