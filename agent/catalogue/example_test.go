package catalogue_test

import (
	"fmt"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
)

func ExampleGet() {
	e, _ := catalogue.Get("venue-code")
	fmt.Println(e.Headline.Zh(), "/", e.Headline.En())
	fmt.Println(e.Text.En())
	// Output:
	// 请换个码 / Wrong code
	// This is the venue's code. Show your own health code or ID card instead.
}
