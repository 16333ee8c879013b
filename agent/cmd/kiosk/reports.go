package kiosk

import (
	"context"
	"fmt"

	"github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/configs"
)

// reporters makes a client for each recipient of reports. Each has a
// connection of his own, also to the same address: one that hangs in the middle
// of a batch must not stand in the way of a question about a visitor.
func reporters(c *configs.Config, env Env) (map[string]*backend.Client, error) {
	clients := map[string]*backend.Client{}
	for _, r := range c.Reports {
		to := *c
		if r.URL != "" {
			to.Platform.URLs = []string{r.URL}
		}
		client, err := Client(&to, env)
		if err != nil {
			return nil, fmt.Errorf("reports: %s: %w", r.Name, err)
		}
		clients[r.Name] = client
	}
	return clients, nil
}

// reportLoops deliver what is in the outboxes, one loop a recipient.
func (k *Kiosk) reportLoops() map[string]func(context.Context) error {
	loops := map[string]func(context.Context) error{}
	for recipient, client := range k.reports {
		send := func(ctx context.Context, _ checkin.Traffic, records []checkin.Record) ([]checkin.Ack, error) {
			return client.Report(ctx, recipient, records)
		}
		loops[recipient] = func(ctx context.Context) error { return k.queue.DrainReports(ctx, recipient, send) }
	}
	return loops
}
