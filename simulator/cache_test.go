package simulator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/cmd/kiosk"
	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// What a kiosk has stored of the signed cache is enough to judge a code by
// (sentinel verify), beside the running agent.
func TestTheStoredCacheJudgesCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)))
		b, err := New(Opts{Front: Memory})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		b.platform.SetPerson(backend.Person{Ref: "wang", Name: "王小明", Number: "11010519491231002X", Colour: checkin.Green})
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		config, err := configs.Load(b.configPath())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kiosk.StoredCodes(config); err == nil {
			t.Error("there are issuers before anything was published")
		}
		if err := b.publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		codes, err := kiosk.StoredCodes(config)
		if err != nil {
			t.Fatal(err)
		}
		text, err := b.publisher.IssuePaper("wang")
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if r := codes.Open(text, credential.Interval{Lo: now, Hi: now}); !r.Valid {
			t.Errorf("a good paper code: %s %s", r.Reason, r.Detail)
		}
		if err := b.publisher.Revoke(text); err != nil {
			t.Fatal(err)
		}
		if err := b.publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if codes, err = kiosk.StoredCodes(config); err != nil {
			t.Fatal(err)
		}
		if r := codes.Open(text, credential.Interval{Lo: now, Hi: now}); r.Reason != checkin.CredentialRevoked {
			t.Errorf("a code that was withdrawn: %s %s", r.Reason, r.Detail)
		}
	})
}
