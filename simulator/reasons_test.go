package simulator_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
	"github.com/digital-sentinel/sentinel/agent/checkin"
)

// TestReasonsPage keeps docs/reasons.md what the catalogue says: whoever prints
// it for the guards' desk has the words that visitors see and hear.
func TestReasonsPage(t *testing.T) {
	const page = "../docs/reasons.md"
	now := reasonsPage(t)
	if *update {
		if err := os.WriteFile(page, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(old) != now {
		t.Fatal("docs/reasons.md is out of date: go test ./simulator -run ReasonsPage -update")
	}
}

// reasonsPage writes the page: a row for each reason, in the order of checkin.
func reasonsPage(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# Reasons

Every verdict has one reason. This is what the visitor sees (the big word, then a sentence) and hears, from
` + "`agent/catalogue`" + `; the English beside what is spoken is its caption on the screen. The words tell a bystander nothing about
anybody's health, so that several reasons look alike on the screen: the guard's console and the record name the id.

Made by ` + "`go test ./simulator -run ReasonsPage -update`" + `; do not edit.

| id | seen, zh | seen, en | heard, zh | caption, en |
|---|---|---|---|---|
`)
	for _, id := range checkin.Reasons() {
		e, ok := catalogue.Get(string(id))
		if !ok {
			t.Fatalf("%s is not in the catalogue", id)
		}
		fmt.Fprintf(&b, "| `%s` | **%s** %s | **%s** %s | %s | %s |\n", id,
			cell(e.Headline.Zh()), cell(e.Text.Zh()), cell(e.Headline.En()), cell(e.Text.En()), cell(e.Spoken), cell(e.Caption))
	}
	return b.String()
}

// cell keeps a text within its cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}
