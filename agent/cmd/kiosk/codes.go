package kiosk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/digital-sentinel/sentinel/agent/credential"
	"github.com/digital-sentinel/sentinel/agent/trust"
	"github.com/digital-sentinel/sentinel/configs"
)

// StoredCodes is what signed codes are judged by, as the signed cache of c has it
// on the disk. It works on a copy: a kiosk may be running on the original.
func StoredCodes(c *configs.Config) (*credential.Codes, error) {
	if c.Trust.Root == "" {
		return nil, errors.New("no signed cache is configured (trust.root)")
	}
	root, err := os.ReadFile(c.Trust.Root)
	if err != nil {
		return nil, fmt.Errorf("trust.root: %w", err)
	}
	dir, err := os.MkdirTemp("", "sentinel-trust-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := copyStore(filepath.Join(c.State, trustFolder), dir); err != nil {
		return nil, fmt.Errorf("reading the signed cache: %w", err)
	}
	store, err := trust.Open(dir, trust.Options{Root: root, Roles: trustRoles})
	if err != nil {
		return nil, fmt.Errorf("trust.root: %s: %w", c.Trust.Root, err)
	}
	codes := &credential.Codes{Venue: c.Venue.ID}
	if err := readCodes(store, codes); err != nil {
		return nil, fmt.Errorf("the signed cache has no issuers of codes: %w", err)
	}
	return codes, nil
}

// copyStore copies the files of a store; the tables of feeds are not needed.
func copyStore(from, to string) error {
	for _, folder := range []string{".", "roots", "targets"} {
		entries, err := os.ReadDir(filepath.Join(from, folder))
		if folder != "." && errors.Is(err, fs.ErrNotExist) {
			continue // made with the first file that belongs there
		}
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(to, folder), 0o700); err != nil {
			return err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() {
				continue
			}
			data, err := os.ReadFile(filepath.Join(from, folder, e.Name()))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(to, folder, e.Name()), data, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
