// Package durable makes changes of files that survive a power cut. A rename, a
// new name and a removal are in the folder's own data: they are lost with the
// power unless the folder is synced, too.
package durable

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// WriteFile replaces the file at path whole: written under another name, synced,
// renamed, and the folder synced. At every moment the name holds the old content
// or the new; when it returns nil, the new.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	if err := renameio.WriteFile(path, data, perm); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Remove removes the file at path for good. One that is not there is no error.
func Remove(path string) error {
	err := os.Remove(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes what was renamed, made and removed in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
