// Package policies holds the shipped policies as files in the program, for the
// bench and for whoever wants to begin from one.
//
// Six of them are for a kind of place each (ForClass). Those whose name begins
// with shanghai- are the rules of a day in 2022, for replaying a crowd.
package policies

import (
	"embed"
	"io/fs"
	"strings"
)

// Files are the shipped policies, ID.yaml each.
//
//go:embed *.yaml
var Files embed.FS

// Names lists the ids of the shipped policies.
func Names() []string {
	var names []string
	entries, err := fs.ReadDir(Files, ".")
	if err != nil {
		return nil // an embedded folder that lists is part of the build
	}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// ForClass names the policy that a venue of a class begins with; empty if there
// is no such class. The notice asks for a code and a test in places with
// explicit requirements, and for a code in housing; workplaces have known people
// and expected guests. The visitor policy is nobody's default: it is for a time
// without health checks.
func ForClass(class string) string {
	switch class {
	case "housing":
		return "residential"
	case "transport":
		return "transport"
	case "medical":
		return "hospital"
	case "construction", "logistics", "office", "government", "utilities":
		return "office"
	case "lodging", "catering", "culture", "finance", "commerce", "education",
		"care", "religion", "other":
		return "public-place"
	}
	return ""
}
