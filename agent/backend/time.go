package backend

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/digital-sentinel/sentinel/agent/backend/api"
	"github.com/digital-sentinel/sentinel/agent/signed"
)

// Time asks the platform what time it is, and tells the clock. A kiosk that has
// just started knows nothing of the kind before somebody is asked about.
func (c *Client) Time(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	asked := time.Now()
	raw, err := c.post(ctx, call{path: "/v1/time", accept: api.COSE, limit: signed.MaxSize}, api.TimeRequest{Kiosk: c.o.Kiosk, Nonce: nonce})
	if err != nil {
		return err
	}
	now, err := signed.OpenTime(c.o.Keys, raw, nonce, c.o.Kiosk)
	if err != nil {
		return fmt.Errorf("the platform's time: %w", err)
	}
	c.answered(now, time.Since(asked))
	return nil
}

// answered tells the clock what the platform has answered to our own nonce.
func (c *Client) answered(now time.Time, took time.Duration) {
	if c.o.Clock.Answered(now, took) && c.o.Recovered != nil {
		c.o.Recovered()
	}
}
