//go:build !linux || !(amd64 || arm64)

package flash

import "fmt"

// mount has nothing to serve with: go-fuse needs Linux and 64 bits.
func (f *FS) mount() error {
	return fmt.Errorf("%w: this program is not built for Linux on amd64 or arm64", ErrUnavailable)
}
