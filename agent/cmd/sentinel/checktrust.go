package main

import (
	"os"

	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/configs"
)

// checkTrust tells whether there is a signed cache to go on with, and whether
// its root can be used.
func checkTrust(config *configs.Config) finding {
	if config.Trust.Root == "" {
		return finding{levelWarn, "cache", "no signed cache is configured: offline everybody is for a person", "put the root metadata that the platform gave at installation under trust.root"}
	}
	root, err := os.ReadFile(config.Trust.Root)
	if err == nil {
		err = checkRoot(root)
	}
	if err != nil {
		return finding{levelFail, "cache", "trust.root: " + err.Error(), "put the root metadata there that the platform gave at installation"}
	}
	return finding{levelOK, "cache", "the root can be used; files come from " + config.Trust.URL, ""}
}

// checkRoot opens a store that nobody keeps.
func checkRoot(root []byte) error {
	dir, err := os.MkdirTemp("", "sentinel-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	_, err = trust.Open(dir, trust.Options{Root: root})
	return err
}
