package policy_test

import (
	"fmt"

	"github.com/digital-sentinel/sentinel/agent/policy"
)

func ExampleParse() {
	p, err := policy.Parse([]byte(`
id: staff-door
version: 1
title: {zh: 员工通道, en: Staff door}
temperature: advisory
guard: none
rules:
- {id: green, when: {colours: [green]}, max-age: 8h, outcome: granted, reason: ok}
examples:
- {name: green, colour: green, expect: granted}
- {name: red, colour: red, expect: manual}
`), "staff-door.yaml")
	fmt.Println(p.ID, len(p.Rules), p.Worst(), err)

	_, err = policy.Parse([]byte(`
id: open-door
version: 1
title: {zh: 敞开, en: Open door}
temperature: advisory
guard: none
rules:
- {id: all, when: {colour: [red]}, outcome: granted, reason: ok}
`), "open-door.yaml")
	fmt.Println(err)
	// Output:
	// staff-door 1 8h0m0s <nil>
	// open-door.yaml:8: there is no key "colour" here; is it "colours"?
	// open-door.yaml:8: rule all: grants without max-age: say how old the status may be
	// open-door.yaml:8: rule all: grants without proof: it needs colours: [green], or hosts: [yes], or credentials: [visitor-pass], or staff: [identity], or unchecked: yes
}
