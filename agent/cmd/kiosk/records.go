package kiosk

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/eventlog"
	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/configs"
)

// openRecords opens the queue, which takes the lock of the state folder, and
// beside it the log that its events go to when they are delivered.
func (k *Kiosk) openRecords(c *configs.Config, recipient string) (err error) {
	k.queue, err = queue.Open(queue.Opts{
		Dir: c.State, Device: c.Device, Recipient: recipient, Recipients: c.Recipients(),
		Max: c.Records.Max, MaxBytes: int64(c.Records.MaxBytes),
		IdentityLife: time.Duration(c.Records.IdentityLife),
		Now:          k.env.Clock.Stamp, Check: k.env.CheckQueue,
		Log: func(events ...checkin.Event) error { return k.events.Append(events...) },
	})
	if err != nil {
		return err
	}
	k.events, err = eventlog.Open(eventlog.Opts{
		Dir: filepath.Join(c.State, eventlog.Folder), Now: k.env.Clock.Stamp,
	})
	if err != nil {
		return errors.Join(err, k.queue.Close())
	}
	if s := k.queue.Stats(); s.Damaged > 0 {
		k.env.Log.Warn("files of the queue were damaged and have been salvaged", "files", s.Damaged, "records", s.Salvaged)
	}
	return nil
}

func (k *Kiosk) closeRecords() error {
	return errors.Join(k.queue.Close(), k.events.Close())
}
