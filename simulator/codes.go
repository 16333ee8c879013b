package simulator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// code is the text that is held up.
func (p *player) code(s *Step) (string, error) {
	platform := p.bench.platform
	switch s.Words[0] {
	case "venue":
		return platform.VenueCode("bench-venue"), nil
	case "text":
		n, err := strconv.Atoi(s.word(1))
		if err != nil || n < 1 || n > 1<<20 {
			return "", fmt.Errorf("a text has a length of 1 to a million")
		}
		return strings.Repeat("0123456789", n/10+1)[:n], nil
	case "signed", "bearer", "pass":
		return p.signedCode(s)
	case "person", "relative", "paper":
		if _, ok := platform.Person(s.word(1)); !ok {
			return "", fmt.Errorf("there is no person %q", s.word(1))
		}
	default:
		return s.Words[0], nil
	}
	switch s.Words[0] {
	case "relative":
		return platform.RelativeCode(s.word(1)), nil
	case "paper":
		if s.Named["signed"] == "yes" {
			return p.signedCode(s)
		}
		return platform.PaperCode(s.word(1)), nil
	}
	return shownBy(platform.Code(s.word(1)), s.Named["issuer"], s.Named["app"])
}

// shownBy is a personal code as another province's or another maker's app
// shows it.
func shownBy(code, issuer, app string) (string, error) {
	token := code[strings.LastIndex(code, "/")+1:]
	switch {
	case issuer != "" && app != "":
		return "", fmt.Errorf("a code is of an issuer or in another app, not both")
	case app == "other":
		return "https://app.sentinel.example/open?code=" + token + "&from=wallet", nil
	case app != "":
		return "", fmt.Errorf("the other app is called other, not %q", app)
	case issuer != "" && !slices.Contains(benchIssuers, issuer):
		return "", fmt.Errorf("%q issues no codes here; there are %s", issuer, strings.Join(benchIssuers, ", "))
	case issuer != "":
		return "https://code." + issuer + ".example/p/" + token, nil
	}
	return code, nil
}

// benchIssuers are the other provinces whose codes the bench's kiosk can tell.
var benchIssuers = []string{"jiangsu", "zhejiang", "anhui", "elsewhere"}
