// Package policies holds the shipped policies as files in the program, for the
// bench and for whoever wants to begin from one.
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
