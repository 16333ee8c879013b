// Package configs is what the operator of a kiosk writes: one YAML file, read
// strictly. The comments of Config's fields are the manual; a key that is not
// there is an error. Check reports everything that is wrong at once, each with
// its line.
package configs

import (
	"fmt"
	"time"
)

// Config is one kiosk: one lane in one direction. Secrets are never in it,
// only the paths of the files that hold them. Relative paths count from the
// folder of the configuration file.
type Config struct {
	// Device is this kiosk's id, as it stands in its client certificate and in
	// every record. Letters, digits and dashes, at most 64. Required.
	Device string `yaml:"device"`

	// Lane names the lane this kiosk guards, for people: "north-1". Default "1".
	Lane string `yaml:"lane"`

	// Direction is "in" or "out". Default in.
	Direction string `yaml:"direction"`

	// Profile is the form of the device: turnstile, floor, wall, desk or
	// handheld. It sets defaults and nothing else: for turnstile, floor and
	// wall a release of 3s; for desk and handheld, which have no gate, that a
	// verdict stays 3s on the screen instead of 4s. Required.
	Profile string `yaml:"profile"`

	// Venue is the place. A kiosk works for one venue only; statements of the
	// platform for another one are refused.
	Venue Venue `yaml:"venue"`

	// Policy is the path of the policy file that decides. Required; if it is
	// missing, the error names the shipped one that the class begins with.
	Policy string `yaml:"policy"`

	// State is the folder for the record queue and other things that outlive a
	// restart. It must be on a disk that keeps its word (no tmpfs), and belong
	// to one kiosk only. Required.
	State string `yaml:"state"`

	// Platform is where statuses come from and records go.
	Platform Platform `yaml:"platform"`

	// Trust is the signed cache, by which the kiosk goes on when the platform does
	// not answer.
	Trust Trust `yaml:"trust"`

	// Records says how records are sealed and bounded.
	Records Records `yaml:"records"`

	// Reports are those to whom refusals are reported, at most 8, if the rule that
	// refused says report. Each has an outbox of its own on this kiosk, beside the
	// check-ins, until he has acknowledged. One that is taken out of this list
	// keeps his outbox, and status says so. Default: nobody.
	Reports []Report `yaml:"reports"`

	// Devices are the parts of the kiosk. Any of them may be missing; several
	// scanners are read together, the first to read wins.
	Devices []Device `yaml:"devices"`

	// Gate says how the gate behaves. Required when a gate is among Devices.
	Gate Gate `yaml:"gate"`

	// Timing is how long the phases of a visit take.
	Timing Timing `yaml:"timing"`

	// Screen is the visitor's page.
	Screen Screen `yaml:"screen"`

	// Control is the path of the control socket, which the commands status,
	// halt and fire reset talk to. Default: control.sock in the state folder.
	Control string `yaml:"control"`

	// Codes are the beginnings by which presented codes are told apart. The
	// real ones are not public; the defaults are the reference platform's.
	Codes Codes `yaml:"codes"`

	// Clock is empty for the machine's clock. "unix:PATH" lets a test bench move
	// the clock, and needs bench: true. A kiosk in service never sets it.
	Clock string `yaml:"clock"`

	// ClockTrusted says that this board's own clock is good by itself: a battery
	// keeps it, or the machine synchronises it with a source the operator trusts.
	// Without it the kiosk knows the time from the platform's signed answers, and
	// after a restart of the board lets nobody in offline until it has one.
	// Default false.
	ClockTrusted bool `yaml:"clock_trusted"`

	// Bench marks a configuration of the simulated bench. It permits what would
	// be a hole in service, and check says so.
	Bench bool `yaml:"bench"`

	// Insecure permits serial and I²C wires over TCP to other machines. Whoever
	// is on that network can then forge a card. Default false.
	Insecure bool `yaml:"insecure"`
}

// Venue is the place.
type Venue struct {
	// ID is the venue's id at the platform. Required.
	ID string `yaml:"id"`
	// Name stands on the screen, in Chinese.
	Name string `yaml:"name"`
	// NameEn stands beside it, in English.
	NameEn string `yaml:"name_en"`
	// Address stands on the screen, so that a moved device is seen.
	Address string `yaml:"address"`
	// WaitAt is where those wait who are not let in, as it stands after "请在":
	// 大厅左侧等候区. May be left out.
	WaitAt string `yaml:"wait_at"`
	// WaitAtEn is the same in English, as it stands after "at": the left side of
	// the lobby.
	WaitAtEn string `yaml:"wait_at_en"`
	// Appeal says where somebody can object who was not let in; it stands on the
	// screen beside the number of his visit. Default: 随申办“我要申诉”.
	Appeal string `yaml:"appeal"`
	// AppealEn is the same in English. Default: “我要申诉” in the 随申办 app.
	AppealEn string `yaml:"appeal_en"`
	// Class is one of the 17 classes of the notice: housing, lodging, transport,
	// medical, catering, culture, finance, commerce, education, care,
	// construction, religion, logistics, office, government, utilities, other.
	// Rules of a policy may apply to some of them only. Required.
	Class string `yaml:"class"`
	// CreditCode is the unified social credit code of the venue's owner, as on
	// his licence: 18 characters, capitals (GB 32100). A venue is not registered
	// under a wrong one, so its check is looked at here; nothing else uses it.
	CreditCode string `yaml:"credit_code"`
}

// Platform is where statuses come from and records go.
type Platform struct {
	// URLs are the platform's addresses, https only. The second is asked when the
	// first has failed or is slow; more are not used. Required.
	URLs []string `yaml:"urls"`
	// CA is the path of the certificate authority of the platform (PEM).
	// Required; the machine's own list of authorities is not used.
	CA string `yaml:"ca"`
	// Certificate and Key are the paths of this kiosk's client certificate and
	// its key (PEM). The key must be readable by the agent only. Required.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	// StatementKeys are the paths of the public keys that sign status statements
	// (PEM); the key's id is the file's name without ".pem". Required.
	StatementKeys []string `yaml:"statement_keys"`
}

// Trust is the signed cache: policies, issuers of codes and the statuses of this
// venue's people as signed files, from the platform or any file server.
type Trust struct {
	// Root is the path of the root metadata (TUF) that was given at installation.
	// Everything in the cache is verified from it. Left out: there is no cache,
	// and offline everything is for a person.
	Root string `yaml:"root"`
	// URL is where the files are: below tuf/ and feed/. Default: the platform's
	// first address.
	URL string `yaml:"url"`
	// Shard is the name of the people whose statuses are fetched. Default: the
	// venue's id.
	Shard string `yaml:"shard"`
	// Refresh is how often new files are looked for. Default 5m.
	Refresh Duration `yaml:"refresh"`
}

// Records says how records are sealed and bounded.
type Records struct {
	// Recipient is the path of the authority's age public key; every identity
	// is encrypted to it at once, and this kiosk cannot read it back. Required.
	Recipient string `yaml:"recipient"`
	// Max is how many undelivered records are kept; then nobody is let in
	// without a person. Default 200000.
	Max int `yaml:"max"`
	// MaxBytes is how large they may be together, 1MB to 2GB; a visit with its
	// sealed identity is about 1.3 kB. Default 256MB.
	MaxBytes Size `yaml:"max_bytes"`
	// IdentityLife is how long an identity that nobody takes is kept, 24h to 744h
	// (31 days); then it is removed and counted, and its event stays. Default 336h
	// (14 days).
	IdentityLife Duration `yaml:"identity_life"`
}

// Report is one recipient of refusals.
type Report struct {
	// Name is what the recipient is called at the platform: cdc, venue-trade.
	// Letters, digits and dashes, at most 64. Required.
	Name string `yaml:"name"`
	// URL is an https address of his own that holds to the platform's contract,
	// with a certificate of platform.ca. Default: the platform's first.
	URL string `yaml:"url"`
}

// Gate says how the gate behaves.
type Gate struct {
	// Rest is where the gate stands when nobody commands it: locked or open. The
	// fire rules of the place decide, so there is no default. Required with a
	// gate.
	Rest string `yaml:"rest"`
	// Release is how long the gate stays unlocked for one visitor, 500ms to 30s.
	// Default 3s.
	Release Duration `yaml:"release"`
	// Settle is how long after a body the gate is locked again: long enough for
	// the arm, short enough for a tailgater to be seen. Default 400ms.
	Settle Duration `yaml:"settle"`
}

// Timing is how long the phases of a visit take.
type Timing struct {
	// Window is how long after the credential a temperature is waited for.
	// Default 4s.
	Window Duration `yaml:"temperature_window"`
	// Closer is when the visitor is asked to come closer. Default 1s.
	Closer Duration `yaml:"closer_after"`
	// Repeat is how long the same credential counts as the same visit. Default
	// 2s.
	Repeat Duration `yaml:"repeat_window"`
	// Show is how long a verdict stays on the screen. Default 4s.
	Show Duration `yaml:"show"`
	// Call is how long a visitor waits for a guard who is not at the lane (guard:
	// remote or none in the policy) before the call counts as unanswered, is
	// recorded, and raises an alarm. Default 30s.
	Call Duration `yaml:"call"`
	// HostWait is how long the kiosk asks the platform for the host's answer
	// before the visitor has to present himself again. Default 1m.
	HostWait Duration `yaml:"host_wait"`
	// WarmUp is how long after its start a thermometer is not believed: a sensor
	// that comes in from the cold drifts for minutes. Until then nobody is
	// "normal" by it, and the policy says what that means. Default 0s.
	WarmUp Duration `yaml:"warm_up"`
}

// Screen is the visitor's page.
type Screen struct {
	// Listen is the loopback address of the page. A busy port moves to a free
	// one, and the address is logged. "off" means no page. Default
	// 127.0.0.1:8088.
	Listen string `yaml:"listen"`
}

// Codes are beginnings of codes, by kind: web addresses, or at least three
// other characters. What follows one, up to "?", "&", "#" or a blank, is the
// token; a * may stand for it, as in https://app.example/open?code=*. The same
// token from another app is the same code: it goes to the platform behind the
// first beginning of the list, so put the platform's own form first. An empty
// list takes the default; no beginning may be the start of another kind's.
type Codes struct {
	// Personal are the beginnings of personal codes (随申码). Any other web
	// address counts as one too, because the platform alone can tell. Default
	// https://code.sentinel.example/p/.
	Personal []string `yaml:"personal"`
	// Relative are those of relatives' codes (亲属随申码). Default
	// https://code.sentinel.example/r/.
	Relative []string `yaml:"relative"`
	// Venue are those of venue codes (场所码), which visitors scan and kiosks
	// do not. Default https://code.sentinel.example/v/.
	Venue []string `yaml:"venue"`
	// Paper are those of paper codes (离线码). Default
	// https://code.sentinel.example/o/.
	Paper []string `yaml:"paper"`
	// Issuers are the beginnings of other provinces' personal codes, each list
	// under a name in small letters: jiangsu, zhejiang, anhui. Whose codes count
	// as our own is the policy's to say, by the same names; codes of the others
	// go to a guard. Default none: a code of theirs is then one more web
	// address, which the platform may know or not.
	Issuers map[string][]string `yaml:"issuers"`
}

// Device is one part of the kiosk. Which keys belong to which driver stands
// beside each; a key of another driver is an error.
type Device struct {
	// Name is unique: scanner, scanner-2, idreader. Default: the role's name.
	Name string `yaml:"name"`
	// Driver is gm65, linescan, sdt, mlx90614, syn6288, xfs5152, relay or lcus.
	// Required.
	Driver string `yaml:"driver"`
	// Address is the wire. Serial drivers: a path in /dev, VID:PID or
	// VID:PID:serial (found again wherever it is plugged in), unix:PATH, or
	// tcp:HOST:PORT. mlx90614: i2c:NAME or unix:PATH. relay: gpio:CHIP/LINE or
	// unix:PATH#LINE of the line that unlocks. Required.
	Address string `yaml:"address"`
	// Passage (relay) is the line that the passage sensor pulls; none if empty.
	Passage string `yaml:"passage"`
	// Fire (relay) is the line of the fire loop, closed while all is well; none
	// if empty.
	Fire string `yaml:"fire"`
	// ActiveLow (relay) is true if a low level unlocks. Default false.
	ActiveLow bool `yaml:"active_low"`
	// Channel (lcus) is the relay on the board, 1 to 8. Default 1.
	Channel int `yaml:"channel"`
	// Baud (gm65, linescan, sdt, syn6288, xfs5152) is the line's speed. Default:
	// the module's factory speed; sdt and gm65 try the others too.
	Baud int `yaml:"baud"`
	// Mode (gm65) is continuous, command or induction. Default continuous.
	Mode string `yaml:"mode"`
	// Gap (gm65, linescan) is the silence that ends a code without a line end.
	// Default 60ms.
	Gap Duration `yaml:"gap"`
	// Samples (mlx90614) is how many readings make one value, 1 to 20.
	Samples int `yaml:"samples"`
	// Emissivity (mlx90614) is written to the sensor if it differs; 0 leaves the
	// sensor as it is. Skin is commonly taken as 0.98.
	Emissivity float64 `yaml:"emissivity"`
	// Volume (syn6288, xfs5152) is 1 to 16 (syn6288) or 1 to 10 (xfs5152); 0
	// leaves the module's own.
	Volume int `yaml:"volume"`
}

// Size is a number of bytes, as in 256MB.
type Size int64

// String writes s as it is read.
func (s Size) String() string { return fmt.Sprintf("%dMB", int64(s)>>20) }

// Duration is a time.Duration that is written with its unit: 500ms, 3s, 48h.
type Duration time.Duration

// String writes d as it is read.
func (d Duration) String() string { return time.Duration(d).String() }

// Roles of devices, by driver; the first device of a role takes its name.
var roles = map[string]string{
	"gm65": "scanner", "linescan": "scanner", "sdt": "idreader", "mlx90614": "thermometer",
	"syn6288": "speaker", "xfs5152": "speaker", "relay": "gate", "lcus": "gate",
}

// Role is what the device is for: scanner, idreader, thermometer, speaker or
// gate.
func (d *Device) Role() string { return roles[d.Driver] }

// HasGate reports whether a gate is among the devices.
func (c *Config) HasGate() bool {
	for i := range c.Devices {
		if c.Devices[i].Role() == "gate" {
			return true
		}
	}
	return false
}
