package trust_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digital-sentinel/sentinel/agent/trust"
)

// client is a store in a folder, opened afresh for each step as a command does.
type client struct {
	t    testing.TB
	r    *repo
	dir  string
	o    trust.Options
	into string
}

func newClient(t testing.TB, r *repo) *client {
	t.Helper()
	return &client{t: t, r: r, dir: t.TempDir(), into: t.TempDir(), o: trust.Options{Root: r.published["root"][0]}}
}

func (c *client) open() *trust.Store {
	c.t.Helper()
	s, err := trust.OpenCareless(c.dir, c.o)
	if err != nil {
		c.t.Fatalf("Open: %v", err)
	}
	return s
}

func (c *client) refresh() error { return c.refreshAt(now) }

func (c *client) refreshAt(at time.Time) error {
	c.r.asked = nil
	_, err := c.open().Refresh(context.Background(), c.r.sources(), at)
	return err
}

// ok and fails are the two ends of a refresh.
func (c *client) ok(what string) {
	c.t.Helper()
	if err := c.refresh(); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

func (c *client) fails(what string) error {
	c.t.Helper()
	err := c.refresh()
	if err == nil {
		c.t.Fatalf("%s: the refresh succeeded", what)
	}
	return err
}

func (c *client) download(name string) error {
	c.r.asked, c.r.loaded = nil, nil
	return c.open().Download(context.Background(), c.r.sources(), now, name, c.into)
}

// roles tells "role version" of what is trusted, sorted.
func (c *client) roles() string {
	versions := c.open().Versions()
	var list []string
	for _, role := range slices.Sorted(maps.Keys(versions)) {
		list = append(list, fmt.Sprintf("%s %d", role, versions[role]))
	}
	return strings.Join(list, ", ")
}

func (c *client) want(roles string) {
	c.t.Helper()
	if got := c.roles(); got != roles {
		c.t.Errorf("trusted: %s; want %s", got, roles)
	}
}

func (c *client) version(role string) int64 { return c.open().Versions()[role] }
