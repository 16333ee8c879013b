package configs_test

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/configs"
)

// places are where each struct's keys stand in a file.
var places = []struct {
	of     reflect.Type
	before string // the line above the key, "" at the top
	indent string
}{
	{reflect.TypeFor[configs.Config](), "", ""},
	{reflect.TypeFor[configs.Venue](), "venue:", "  "},
	{reflect.TypeFor[configs.Platform](), "platform:", "  "},
	{reflect.TypeFor[configs.Trust](), "trust:", "  "},
	{reflect.TypeFor[configs.Records](), "records:", "  "},
	{reflect.TypeFor[configs.Report](), "reports:\n  -", "    "},
	{reflect.TypeFor[configs.Gate](), "gate:", "  "},
	{reflect.TypeFor[configs.Timing](), "timing:", "  "},
	{reflect.TypeFor[configs.Screen](), "screen:", "  "},
	{reflect.TypeFor[configs.Codes](), "codes:", "  "},
	{reflect.TypeFor[configs.Device](), "devices:\n  -", "    "},
}

// TestEveryMisspeltKeyIsKnownAgain: one letter left out, doubled or wrong, in
// any key of any struct, is reported at its line with a key of the same struct
// that is one slip away.
func TestEveryMisspeltKeyIsKnownAgain(t *testing.T) {
	for _, p := range places {
		known := keys(p.of)
		for key := range known {
			for _, typo := range typos(key) {
				if known[typo] {
					continue
				}
				data := p.before + "\n" + p.indent + typo + ": x\n"
				_, problems := configs.Parse([]byte(data), "k.yaml")
				line := strings.Count(p.before, "\n") + 2
				if got := suggested(problems, line, typo); !known[got] || !oneSlip(got, typo) {
					t.Errorf("%s: for %q on line %d the file is told of %q, want %q or one as near",
						p.of.Name(), typo, line, got, key)
				}
			}
		}
	}
}

// TestEveryStructIsReached keeps the table above whole: a struct that is added
// to Config and not to it would go unchecked.
func TestEveryStructIsReached(t *testing.T) {
	listed := map[reflect.Type]bool{}
	for _, p := range places {
		listed[p.of] = true
	}
	for _, p := range places {
		for i := range p.of.NumField() {
			f := p.of.Field(i).Type
			if f.Kind() == reflect.Slice {
				f = f.Elem()
			}
			if f.Kind() == reflect.Struct && !listed[f] {
				t.Errorf("%s is no row of places", f.Name())
			}
		}
	}
}

func keys(of reflect.Type) map[string]bool {
	known := map[string]bool{}
	for i := range of.NumField() {
		known[of.Field(i).Tag.Get("yaml")] = true
	}
	return known
}

// typos are the slips of one finger.
func typos(key string) []string {
	var list []string
	for i := range key {
		list = append(list,
			key[:i]+key[i+1:],
			key[:i+1]+key[i:],
			key[:i]+"x"+key[i+1:],
		)
	}
	if len(key) < 3 { // of "id" and "ca" too little is left
		list = list[len(list)-2:]
	}
	return list
}

// oneSlip reports whether a and b differ by one letter: left out, too many, or
// another one.
func oneSlip(a, b string) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 1 && len(b) <= 1
}

// suggested is the key that the problem with typo on that line proposes.
func suggested(problems []configs.Problem, line int, typo string) string {
	for _, p := range problems {
		rest, ok := strings.CutPrefix(p.What, strconv.Quote(typo)+` is no key here; did you mean "`)
		if ok && p.Line == line {
			return strings.TrimSuffix(rest, `"?`)
		}
	}
	return ""
}
