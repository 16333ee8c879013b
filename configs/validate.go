package configs

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/digital-sentinel/sentinel/configs/policies"
)

// The values that a key may have.
var (
	profiles = []string{"turnstile", "floor", "wall", "desk", "handheld"}
	classes  = []string{
		"housing", "lodging", "transport", "medical", "catering", "culture", "finance",
		"commerce", "education", "care", "construction", "religion", "logistics", "office",
		"government", "utilities", "other",
	}
	modes = []string{"continuous", "command", "induction"}
	bauds = []string{"9600", "19200", "38400", "57600", "115200"}
	id    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`)
)

// own lists the keys that only some drivers have.
var own = map[string][]string{
	"passage": {"relay"}, "fire": {"relay"}, "active_low": {"relay"}, "channel": {"lcus"},
	"baud": {"gm65", "linescan", "sdt", "syn6288", "xfs5152"}, "mode": {"gm65"},
	"gap": {"gm65", "linescan"}, "samples": {"mlx90614"}, "emissivity": {"mlx90614"},
	"volume": {"syn6288", "xfs5152"},
}

// defaults fills in what was left out. It does not touch what is required.
func (c *Config) defaults() {
	set(&c.Lane, "1")
	set(&c.Direction, "in")
	set(&c.Venue.Appeal, "随申办“我要申诉”")
	set(&c.Venue.AppealEn, "“我要申诉” in the 随申办 app")
	set(&c.Records.Max, 200_000)
	set(&c.Records.MaxBytes, Size(256<<20))
	set(&c.Records.IdentityLife, Duration(14*24*time.Hour))
	set(&c.Gate.Release, Duration(3*time.Second))
	set(&c.Gate.Settle, Duration(400*time.Millisecond))
	set(&c.Timing.Window, Duration(4*time.Second))
	set(&c.Timing.Closer, Duration(time.Second))
	set(&c.Timing.Repeat, Duration(2*time.Second))
	set(&c.Timing.Call, Duration(30*time.Second))
	set(&c.Trust.Refresh, Duration(5*time.Minute))
	set(&c.Trust.Shard, c.Venue.ID)
	if len(c.Platform.URLs) > 0 {
		set(&c.Trust.URL, c.Platform.URLs[0])
	}
	set(&c.Timing.HostWait, Duration(time.Minute))
	show := 4 * time.Second
	if c.Profile == "desk" || c.Profile == "handheld" {
		show = 3 * time.Second
	}
	set(&c.Timing.Show, Duration(show))
	set(&c.Screen.Listen, "127.0.0.1:8088")
	if c.State != "" {
		set(&c.Control, filepath.Join(c.State, "control.sock"))
	}
	used := map[string]int{}
	for i := range c.Devices {
		d := &c.Devices[i]
		role := d.Role()
		if role == "" {
			continue // no driver that we know: that is told already
		}
		used[role]++
		name := role
		if used[role] > 1 {
			name += "-" + strconv.Itoa(used[role])
		}
		set(&d.Name, name)
		if d.Driver == "lcus" {
			set(&d.Channel, 1)
		}
	}
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// resolve makes relative paths count from dir.
func (c *Config) resolve(dir string) {
	paths := []*string{
		&c.Policy, &c.State, &c.Control, &c.Platform.CA, &c.Platform.Certificate,
		&c.Platform.Key, &c.Records.Recipient, &c.Trust.Root,
	}
	for i := range c.Platform.StatementKeys {
		paths = append(paths, &c.Platform.StatementKeys[i])
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// validate checks what the types cannot.
func (k *checker) validate(c *Config) {
	for path, value := range map[string]string{
		"device": c.Device, "venue.id": c.Venue.ID,
	} {
		if !id.MatchString(value) {
			k.wrong(path, "%s is no id: letters, digits and dashes, 1 to 64 of them", strconv.Quote(value))
		}
	}
	for path, value := range map[string]string{
		"state": c.State, "platform.ca": c.Platform.CA, "platform.certificate": c.Platform.Certificate,
		"platform.key": c.Platform.Key, "records.recipient": c.Records.Recipient,
	} {
		if value == "" {
			k.wrong(path, "is required: the path of a file or folder")
		}
	}
	k.policy(c)
	k.oneOf("profile", c.Profile, profiles)
	k.oneOf("venue.class", c.Venue.Class, classes)
	if code := c.Venue.CreditCode; code != "" {
		if err := CreditCode(code); err != nil {
			k.wrong("venue.credit_code", "%s %s", strconv.Quote(code), err.Error())
		}
	}
	k.oneOf("direction", c.Direction, []string{"in", "out"})
	k.platform(&c.Platform)
	k.trust(&c.Trust)
	k.reports(c.Reports)
	k.timing(c)
	if len(c.Control) > 100 {
		k.wrong("control", "the path of a socket is at most 100 bytes long, or the kernel refuses it")
	}
	k.screen(c.Screen.Listen)
	k.records(&c.Records)
	if c.Clock != "" && (!c.Bench || !strings.HasPrefix(c.Clock, "unix:")) {
		k.wrong("clock", `a clock that a bench moves is "unix:PATH" and needs bench: true; leave it out in service`)
	}
	k.devices(c)
	k.codes(&c.Codes)
}

// policy wants the path of a policy file and names the one such a venue begins
// with, but takes none by itself: who may come in is for the operator to say.
func (k *checker) records(r *Records) {
	if r.Max < 100 || r.Max > 5_000_000 {
		k.wrong("records.max", "must be 100 to 5000000")
	}
	if r.MaxBytes < 1<<20 || r.MaxBytes > 2<<30 {
		k.wrong("records.max_bytes", "must be 1MB to 2GB")
	}
	if life := time.Duration(r.IdentityLife); life < 24*time.Hour || life > 31*24*time.Hour {
		k.wrong("records.identity_life", "must be 24h to 744h: nobody's identity is kept for more than 31 days")
	}
}

func (k *checker) policy(c *Config) {
	if c.Policy != "" {
		return
	}
	if begin := policies.ForClass(c.Venue.Class); begin != "" {
		k.wrong("policy", "is required: the path of a policy file; a venue of class %s begins with configs/policies/%s.yaml", c.Venue.Class, begin)
		return
	}
	k.wrong("policy", "is required: the path of a policy file; those in configs/policies are a beginning")
}

func (k *checker) oneOf(path, value string, known []string) {
	switch {
	case value == "":
		k.wrong(path, "is required: one of %s", strings.Join(known, ", "))
	case !slices.Contains(known, value):
		k.wrong(path, "%s is none of %s", strconv.Quote(value), strings.Join(known, ", "))
	}
}

func (k *checker) platform(p *Platform) {
	if len(p.URLs) == 0 {
		k.wrong("platform.urls", "is required: at least one https address")
	}
	for i, s := range p.URLs {
		k.https(fmt.Sprintf("platform.urls[%d]", i), s)
	}
	if len(p.StatementKeys) == 0 {
		k.wrong("platform.statement_keys", "is required: without a key no statement can be believed")
	}
}

func (k *checker) trust(t *Trust) {
	if t.Root == "" {
		return
	}
	k.https("trust.url", t.URL)
	if !id.MatchString(t.Shard) {
		k.wrong("trust.shard", "%s is no id: letters, digits and dashes, 1 to 64 of them", strconv.Quote(t.Shard))
	}
}

func (k *checker) timing(c *Config) {
	for _, t := range []struct {
		path     string
		value    Duration
		min, max time.Duration
	}{
		{"gate.release", c.Gate.Release, 500 * time.Millisecond, 30 * time.Second},
		{"gate.settle", c.Gate.Settle, 50 * time.Millisecond, 3 * time.Second},
		{"timing.temperature_window", c.Timing.Window, 500 * time.Millisecond, 30 * time.Second},
		{"timing.closer_after", c.Timing.Closer, 100 * time.Millisecond, 30 * time.Second},
		{"timing.repeat_window", c.Timing.Repeat, 500 * time.Millisecond, time.Minute},
		{"trust.refresh", c.Trust.Refresh, 10 * time.Second, 24 * time.Hour},
		{"timing.call", c.Timing.Call, time.Second, 10 * time.Minute},
		{"timing.host_wait", c.Timing.HostWait, 2 * time.Second, 10 * time.Minute},
		{"timing.warm_up", c.Timing.WarmUp, 0, time.Hour},
		{"timing.show", c.Timing.Show, time.Second, 30 * time.Second},
	} {
		if d := time.Duration(t.value); d < t.min || d > t.max {
			k.wrong(t.path, "%s is out of %s to %s", d.String(), t.min.String(), t.max.String())
		}
	}
}

// screen allows only this machine's own addresses.
func (k *checker) screen(listen string) {
	if listen == "off" {
		return
	}
	host, port, err := net.SplitHostPort(listen)
	n, perr := strconv.Atoi(port)
	ip, ierr := netip.ParseAddr(host)
	if err != nil || perr != nil || n < 0 || n > 65535 || (host != "localhost" && (ierr != nil || !ip.IsLoopback())) {
		k.wrong("screen.listen", `%s is no loopback address; write 127.0.0.1:8088, or "off"`, strconv.Quote(listen))
	}
}

func (k *checker) devices(c *Config) {
	seen := map[string]bool{}
	gates := 0
	for i := range c.Devices {
		d := &c.Devices[i]
		path := fmt.Sprintf("devices[%d]", i)
		k.device(path, d, c.Insecure)
		if d.Name != "" && seen[d.Name] {
			k.wrong(path+".name", "a second device has the name %s", strconv.Quote(d.Name))
		}
		seen[d.Name] = true
		if d.Role() == "gate" {
			gates++
		}
	}
	if gates > 1 {
		k.wrong("devices", "there are %s gates; one kiosk guards one lane with one gate: run a second kiosk for the second lane", strconv.Itoa(gates))
	}
	rests := []string{"locked", "open"}
	switch {
	case c.Gate.Rest != "" && !slices.Contains(rests, c.Gate.Rest):
		k.oneOf("gate.rest", c.Gate.Rest, rests)
	case c.Gate.Rest == "" && gates > 0:
		k.wrong("gate.rest", "is required with a gate: locked or open, as the fire rules of the place demand")
	}
}

func (k *checker) device(path string, d *Device, insecure bool) {
	known := make([]string, 0, len(roles))
	for name := range roles {
		known = append(known, name)
	}
	slices.Sort(known)
	k.oneOf(path+".driver", d.Driver, known)
	if d.Name != "" && !id.MatchString(d.Name) {
		k.wrong(path+".name", "%s is no name: letters, digits and dashes", strconv.Quote(d.Name))
	}
	if d.Address == "" {
		k.wrong(path+".address", "is required: the wire this device is on (sentinel devices lists what is plugged in)")
	}
	node := k.node(path)
	for key, drivers := range own {
		if roles[d.Driver] != "" && node != nil && child(node, key) != nil && !slices.Contains(drivers, d.Driver) {
			k.wrong(path+"."+key, "the driver %s has no such key; %s has", d.Driver, strings.Join(drivers, ", "))
		}
	}
	for _, b := range []struct {
		key      string
		bad      bool
		expected string
	}{
		{"baud", d.Baud != 0 && !slices.Contains(bauds, strconv.Itoa(d.Baud)), "one of " + strings.Join(bauds, ", ")},
		{"mode", d.Mode != "" && !slices.Contains(modes, d.Mode), "one of " + strings.Join(modes, ", ")},
		{"channel", d.Channel < 0 || d.Channel > 8, "1 to 8"},
		{"samples", d.Samples < 0 || d.Samples > 20, "1 to 20"},
		{"emissivity", d.Emissivity != 0 && !(d.Emissivity >= 0.1 && d.Emissivity <= 1), "0.1 to 1"},
		{"volume", d.Volume < 0 || d.Volume > 16 || d.Driver == "xfs5152" && d.Volume > 10, "1 to 16 (syn6288), 1 to 10 (xfs5152)"},
		{"gap", d.Gap != 0 && (d.Gap < Duration(5*time.Millisecond) || d.Gap > Duration(time.Second)), "5ms to 1s"},
	} {
		if b.bad {
			k.wrong(path+"."+b.key, "must be %s", b.expected)
		}
	}
	if rest, ok := strings.CutPrefix(d.Address, "tcp:"); ok && !insecure {
		host, _, err := net.SplitHostPort(rest)
		ip, ierr := netip.ParseAddr(host)
		if err != nil || (host != "localhost" && (ierr != nil || !ip.IsLoopback())) {
			k.wrong(path+".address", "a wire over TCP is allowed on this machine only (127.0.0.1); insecure: true permits others")
		}
	}
}
