package configs_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/digital-sentinel/sentinel/configs"
)

func TestTheExamplesAreGood(t *testing.T) {
	for _, name := range []string{"turnstile", "floor", "wall", "desk", "handheld"} {
		c, err := configs.Load(name + ".yaml")
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if c.Profile != name {
			t.Errorf("%s.yaml has the profile %s", name, c.Profile)
		}
		if _, err := os.Stat(c.Policy); err != nil {
			t.Errorf("%s.yaml names a policy that is not there: %v", name, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	c, err := configs.Load("turnstile.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range c.Devices {
		names = append(names, c.Devices[i].Name+"="+c.Devices[i].Role())
	}
	want := "scanner=scanner idreader=idreader thermometer=thermometer speaker=speaker gate=gate"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("devices are %s, want %s", got, want)
	}
	if got := c.Control; got != "/var/lib/sentinel/1/control.sock" {
		t.Errorf("control = %s, want it in the state folder", got)
	}
	if got := c.Timing.Window.String(); got != "4s" {
		t.Errorf("window = %s, want 4s", got)
	}
}

// good is the smallest configuration that passes.
const good = `device: k-1
profile: desk
venue: {id: v-1, class: office}
policy: p.yaml
state: s
platform:
  urls: [https://platform.example]
  ca: ca.pem
  certificate: k.pem
  key: k.key
  statement_keys: [s.pem]
records: {recipient: a.age}
`

func TestEveryProblemIsTold(t *testing.T) {
	if _, problems := configs.Parse([]byte(good), "good.yaml"); len(problems) > 0 {
		t.Fatalf("the smallest configuration has problems: %v", problems)
	}
	for _, tt := range []struct {
		name, data string
		want       []string
	}{
		{"misspelt keys, wrong numbers and a missing unit, at once", strings.Replace(good, "device: k-1", "devise: k-1", 1) + `
gate:
  relase: 3s
timing:
  show: 4
devices:
  - driver: gm65
    adress: /dev/ttyS1
    baud: 1234
`, []string{
			`1: "devise" is no key here; did you mean "device"?`,
			`1: device: "" is no id: letters, digits and dashes, 1 to 64 of them`,
			`15: "relase" is no key here; did you mean "release"?`,
			`17: "4" is no duration; write it with its unit, like 500ms, 3s or 48h`,
			`19: devices[0].address: is required: the wire this device is on (sentinel devices lists what is plugged in)`,
			`20: "adress" is no key here; did you mean "address"?`,
			`21: devices[0].baud: must be one of 9600, 19200, 38400, 57600, 115200`,
		}},
		{"a gate without its resting position", good + `
devices:
  - {driver: relay, address: gpio:gpiochip0/17}
`, []string{`1: gate.rest: is required with a gate: locked or open, as the fire rules of the place demand`}},
		{"no policy", strings.Replace(good, "policy: p.yaml\n", "", 1), []string{
			`1: policy: is required: the path of a policy file; a venue of class office begins with configs/policies/office.yaml`}},
		{"no policy and no class", strings.NewReplacer("policy: p.yaml\n", "", "office", "bar").Replace(good), []string{
			`1: policy: is required: the path of a policy file; those in configs/policies are a beginning`,
			`3: venue.class: "bar" is none of housing, lodging, transport, medical, catering, culture, finance, commerce, education, care, construction, religion, logistics, office, government, utilities, other`}},
		{"two gates", good + `
gate: {rest: locked}
devices:
  - {driver: relay, address: gpio:gpiochip0/17}
  - {driver: lcus, address: /dev/ttyUSB0}
`, []string{`16: devices: there are 2 gates; one kiosk guards one lane with one gate: run a second kiosk for the second lane`}},
		{"a key of another driver", good + `
devices:
  - driver: sdt
    address: /dev/ttyS0
    emissivity: 0.98
`, []string{`17: devices[0].emissivity: the driver sdt has no such key; mlx90614 has`}},
		{"a wire on another machine", good + `
devices:
  - {driver: sdt, address: "tcp:10.0.0.1:4000"}
`, []string{`15: devices[0].address: a wire over TCP is allowed on this machine only (127.0.0.1); insecure: true permits others`}},
		{"a screen for everybody", good + "screen: {listen: 0.0.0.0:80}\n",
			[]string{`13: screen.listen: "0.0.0.0:80" is no loopback address; write 127.0.0.1:8088, or "off"`}},
		{"a clock that somebody else moves", good + "clock: unix:/tmp/clock\n",
			[]string{`13: clock: a clock that a bench moves is "unix:PATH" and needs bench: true; leave it out in service`}},
		{"a bomb of aliases", good + "lane: &a x\ndirection: *a\n", []string{"13: anchors (&) and aliases (*) are not allowed here"}},
		{"no YAML", "device: [", []string{"did not find expected node content"}},
		{"nothing", "", []string{"there is no configuration in it"}},
		{"two documents", good + "---\ndevice: other\n", []string{"there is a second document"}},
		{"a key twice", good + "device: k-2\n", []string{`13: "device" stands here a second time`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := configs.Parse([]byte(tt.data), "x.yaml")
			var got []string
			for _, p := range problems {
				got = append(got, strings.TrimPrefix(strings.SplitN(p.String(), "\n", 2)[0], "x.yaml:"))
			}
			if len(tt.want) == 1 && len(got) == 1 && strings.Contains(got[0], tt.want[0]) {
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPathsCountFromTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.yaml")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := configs.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(path), "p.yaml"); c.Policy != want {
		t.Errorf("policy = %s, want %s", c.Policy, want)
	}
}

// TestEveryKeyIsDocumented: the comments of the fields are the manual.
func TestEveryKeyIsDocumented(t *testing.T) {
	src, err := os.ReadFile("configs.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(src), "\n")
	keys := 0
	for i, l := range lines {
		if !strings.Contains(l, "`yaml:\"") {
			continue
		}
		keys++
		before := strings.TrimSpace(lines[i-1])
		if !strings.HasPrefix(before, "//") && !strings.Contains(before, "`yaml:\"") {
			t.Errorf("configs.go:%d: no paragraph above %s", i+1, strings.TrimSpace(l))
		}
	}
	if n := reflect.TypeFor[configs.Config]().NumField(); keys < n {
		t.Errorf("%d keys found, want at least %d", keys, n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	for _, name := range []string{"turnstile", "floor"} {
		data, err := os.ReadFile(name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("codes: {personal: ['https://a/*', ''], issuers: {a: [HTTP], 'b[-1]%d': ['https://a/']}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := configs.Parse(data, "fuzz.yaml")
		if c == nil && len(problems) == 0 {
			t.Error("neither a configuration nor a problem")
		}
		for _, p := range problems {
			if p.What == "" {
				t.Error("a problem that says nothing")
			}
		}
	})
}
