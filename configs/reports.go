package configs

import (
	"fmt"
	"net/url"
	"strconv"
)

// maxReports is the most recipients: each costs a copy of every refusal.
const maxReports = 8

// Recipients are the names of those to whom refusals are reported.
func (c *Config) Recipients() []string {
	var names []string
	for _, r := range c.Reports {
		names = append(names, r.Name)
	}
	return names
}

//

func (k *checker) reports(list []Report) {
	if len(list) > maxReports {
		k.wrong("reports", "there are %s recipients; at most %s have an outbox", strconv.Itoa(len(list)), strconv.Itoa(maxReports))
	}
	seen := map[string]bool{}
	for i, r := range list {
		path := fmt.Sprintf("reports[%d]", i)
		switch {
		case !id.MatchString(r.Name):
			k.wrong(path+".name", "%s is no name of a recipient: letters, digits and dashes, 1 to 64 of them", strconv.Quote(r.Name))
		case seen[r.Name]:
			k.wrong(path+".name", "a second recipient has the name %s", strconv.Quote(r.Name))
		}
		seen[r.Name] = true
		if r.URL != "" {
			k.https(path+".url", r.URL)
		}
	}
}

// https refuses what a kiosk with a certificate cannot or must not ask.
func (k *checker) https(path, s string) {
	u, err := url.Parse(s)
	switch {
	case err == nil && u.User != nil:
		k.wrong(path, "a name or password in an address is refused: the kiosk shows its certificate")
	case err != nil || u.Scheme != "https" || u.Host == "":
		k.wrong(path, "%s is no https address", strconv.Quote(s))
	}
}
