package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent"
	"github.com/digital-sentinel/sentinel/agent/queue"
	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/drivers"
	"github.com/digital-sentinel/sentinel/hal"
)

// errNoAgent is a control socket that nobody answers on.
var errNoAgent = errors.New("no sentinel is running here")

// ask makes one request on the control socket and decodes the answer into to.
func ask[T any](ctx context.Context, config *configs.Config, method, path string, to *T) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", config.Control)
			// Only these two mean that nobody is there. A socket that may not be
			// opened has an agent behind it, which has the devices.
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
				return nil, fmt.Errorf("%w (%v)", errNoAgent, err)
			}
			return conn, err
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://sentinel"+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return fmt.Errorf("asking the kiosk: %w", wrapped.Err)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var refusal struct{ Error string }
		if json.NewDecoder(resp.Body).Decode(&refusal) != nil || refusal.Error == "" {
			return fmt.Errorf("the control socket answers %s", resp.Status)
		}
		return errors.New(refusal.Error)
	}
	return json.NewDecoder(resp.Body).Decode(to)
}

func (c *command) status() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "how the running kiosk is",
		Long: `status asks the running kiosk how it is. Without a running kiosk it reads what
the state folder tells. Exit code 0: it runs and serves; 1: it does not.`,
		Example: "  sentinel status\n  sentinel status --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			var s agent.Status
			err = ask(cmd.Context(), config, http.MethodGet, "/v1/status", &s)
			switch {
			case errors.Is(err, errNoAgent):
				return c.stoppedStatus(config, asJSON)
			case err != nil:
				return err
			case asJSON:
				err = printJSON(c, s)
			default:
				c.printStatus(&s)
			}
			if err == nil && !serves(&s) {
				return errFailed
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// serves reports whether a visitor can be served.
func serves(s *agent.Status) bool {
	return s.Screen != "out-of-service" && s.Screen != "starting" && !s.Halted && s.QueueErr == ""
}

func (c *command) printStatus(s *agent.Status) {
	c.printf("%s lane %s (%s), %s since %s\n", s.Device, s.Lane, s.Direction, s.Version, s.Started.Format(time.DateTime))
	link := "the platform answers"
	if !s.Online {
		link = "the platform does not answer"
	}
	c.printf("screen %s; %s; policy %s version %s\n", string(s.Screen), link, s.Policy, strconv.Itoa(s.PolicyVer))
	for _, d := range s.Devices {
		what := d.Is
		if d.Err != "" {
			what = d.Err
		}
		c.printf("  %-12s %-8s %s\n", d.Name, string(d.State), what)
	}
	c.printQueue(&s.Queue)
	c.printCache(s.Cache)
	var alarms []string
	for name := range s.Alarms {
		alarms = append(alarms, name)
	}
	slices.Sort(alarms)
	if len(alarms) > 0 {
		c.printf("alarms: %s\n", strings.Join(alarms, ", "))
	}
	if s.Fire {
		c.printf("fire: the lane stands open; after the fire: sentinel fire reset\n")
	}
	if !s.ClockOK {
		c.printf("the clock is not believable: set it (chrony or timesyncd)\n")
	}
}

func (c *command) printQueue(q *queue.Stats) {
	c.printf("queue: %s waiting, %s delivered, %s refused for good\n", strconv.Itoa(q.Depth), strconv.Itoa(q.Delivered), strconv.Itoa(q.Dead))
	if q.Depth > 0 {
		c.printf("  %s %% full: %s of %s records, %s of %s bytes; the oldest has waited %s\n", strconv.Itoa(q.Level),
			strconv.Itoa(q.Depth), strconv.Itoa(q.Max), strconv.FormatInt(q.Waiting, 10), strconv.FormatInt(q.MaxBytes, 10), q.Oldest.Round(time.Second).String())
	}
	for _, note := range []struct {
		n    int
		text string
	}{
		{q.Expired, "identities were removed because nobody took them in time; their events stay"},
		{q.Foreign, "files are of a newer program: their records wait until it runs again"},
		{q.Renumbered, "records got another identity, because theirs were in use: this state folder was restored or copied"},
		{q.Damaged, "files were damaged and set aside; what could be read was saved"},
	} {
		if note.n > 0 {
			c.printf("  %s %s\n", strconv.Itoa(note.n), note.text)
		}
	}
	if q.DiskFull {
		c.printf("  the disk is full: nothing new is taken; free some room on it\n")
	}
	if q.LastError != "" {
		c.printf("  last: %s; next try %s\n", q.LastError, q.NextTry.Format(time.TimeOnly))
	}
	for _, name := range slices.Sorted(maps.Keys(q.Reports)) {
		c.printOutbox(name, q.Reports[name])
	}
}

// printCache tells what a link that is down would leave.
func (c *command) printCache(k *agent.CacheStatus) {
	switch {
	case k == nil:
		c.printf("signed cache: none\n")
		return
	case !k.Whole || k.AsOf.IsZero():
		c.printf("signed cache: nothing to look people up in yet; statuses %s\n", k.Use)
		return
	}
	c.printf("signed cache: %s people as of %s; statuses %s", strconv.Itoa(k.People), k.AsOf.Format(time.DateTime), k.Use)
	for _, note := range []struct {
		is   bool
		text string
	}{{k.Stale, "stale"}, {!k.Key, "without the epoch's key: nobody is looked up by card"}, {!k.Codes, "signed codes cannot be judged"}} {
		if note.is {
			c.printf("; %s", note.text)
		}
	}
	c.printf("\n")
}

func (c *command) printOutbox(name string, o queue.Outbox) {
	c.printf("reports to %s: %s waiting, %s delivered, %s refused for good\n",
		name, strconv.Itoa(o.Waiting), strconv.Itoa(o.Delivered), strconv.Itoa(o.Dead))
	if o.Former {
		c.printf("  %s is no recipient any more: what waits is kept until it is named again\n", name)
	}
	if o.Missed > 0 {
		c.printf("  %s were not filed: the outbox was full\n", strconv.Itoa(o.Missed))
	}
	if o.LastError != "" {
		c.printf("  last: %s; next try %s\n", o.LastError, o.NextTry.Format(time.TimeOnly))
	}
}

// stoppedStatus tells what the state folder tells.
func (c *command) stoppedStatus(config *configs.Config, asJSON bool) error {
	stats, err := queue.Read(config.State)
	stats.MarkFormer(config.Recipients())
	if asJSON {
		if jerr := printJSON(c, map[string]queue.Stats{"queue": stats}); jerr != nil {
			return jerr
		}
		return errFailed
	}
	c.printf("%s: no sentinel is running here (start it: sentinel run --config %s)\n", config.Device, c.config)
	if err != nil {
		c.printf("queue: %s\n", err.Error())
		return errFailed
	}
	c.printQueue(&stats)
	return errFailed
}

func (c *command) halt() *cobra.Command {
	return &cobra.Command{
		Use:   "halt",
		Short: "put the gate to rest",
		Long: `halt puts the gate to rest. A running kiosk is asked to, and keeps its lane
closed until it is restarted; without one the gate is driven from here (the
unit file does so after every stop and crash).`,
		Example: "  sentinel halt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			var ok struct{ OK bool }
			err = ask(cmd.Context(), config, http.MethodPost, "/v1/halt", &ok)
			if errors.Is(err, errNoAgent) {
				return c.haltHere(cmd.Context(), config)
			}
			if err == nil {
				c.printf("the gate is at rest; the lane stays closed until the kiosk is restarted\n")
			}
			return err
		},
	}
}

// haltHere opens the gate's driver, which puts it to rest, and halts it.
func (c *command) haltHere(ctx context.Context, config *configs.Config) error {
	for i := range config.Devices {
		d := &config.Devices[i]
		if d.Role() != "gate" {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		o, err := drivers.Open(ctx, d, config.Gate.Rest, drivers.HostWires(config.Insecure))
		if err != nil {
			return err
		}
		err = errors.Join(o.Dev.Halt(), o.Close())
		if err == nil {
			c.printf("%s is at rest (%s)\n", d.Name, config.Gate.Rest)
		}
		return err
	}
	c.printf("this kiosk has no gate\n")
	return nil
}

func (c *command) fire() *cobra.Command {
	fire := &cobra.Command{Use: "fire", Short: "the fire loop", Example: "  sentinel fire reset", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	fire.AddCommand(&cobra.Command{
		Use:     "reset",
		Short:   "say that the fire is over: the lane is commanded again",
		Example: "  sentinel fire reset",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.load()
			if err != nil {
				return err
			}
			var ok struct{ OK bool }
			if err := ask(cmd.Context(), config, http.MethodPost, "/v1/fire/reset", &ok); err != nil {
				return err
			}
			c.printf("the fire is reset; the lane serves again\n")
			return nil
		},
	})
	return fire
}

// selfTimed reports whether the gate's own board ends a release.
func selfTimed(o *drivers.Opened) bool {
	s, ok := o.Dev.(hal.SelfTimed)
	return ok && s.SelfTimed()
}
