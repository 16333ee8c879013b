package kiosk

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/durable"
	"github.com/digital-sentinel/sentinel/agent/policy"
	"github.com/digital-sentinel/sentinel/configs"
)

// LoadPolicy reads and checks a policy file.
func LoadPolicy(path string) (*checkin.Policy, error) {
	p, _, err := readPolicy(path)
	return p, err
}

// acceptedPolicy is the last policy that was good, in the state folder.
const acceptedPolicy = "policy-accepted.yaml"

// keptPolicy reads the configured policy and keeps a copy of it. If it is
// refused, the last good one stays in force and refused says why: a slip in a
// file must not close an entrance at the next restart. Without a last good
// one there is no kiosk.
func keptPolicy(c *configs.Config, log *slog.Logger) (p *checkin.Policy, refused, err error) {
	kept := filepath.Join(c.State, acceptedPolicy)
	p, data, err := readPolicy(c.Policy)
	if err == nil {
		keep(kept, data, log)
		return p, nil, nil
	}
	old, _, kerr := readPolicy(kept)
	if kerr != nil {
		return nil, nil, err
	}
	log.Error("the policy file is refused; the last good one stays in force",
		"policy", old.ID, "policy_version", old.Version, "err", err)
	return old, err, nil
}

//

func readPolicy(path string) (*checkin.Policy, []byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("policy: %w", err)
	}
	p, err := policy.Parse(data, path)
	return p, data, err
}

// keep writes data to path if it is not there already. Without it the kiosk
// runs all the same.
func keep(path string, data []byte, log *slog.Logger) {
	if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, data) {
		return
	}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = durable.WriteFile(path, data, 0o600)
	}
	if err != nil {
		log.Warn("keeping a copy of the policy", "err", err)
	}
}
