//go:build !(linux || darwin || freebsd)

package daemon

import "errors"

// spaceOf reports that the space cannot be measured.
func spaceOf(string) (Space, error) { return Space{}, errors.ErrUnsupported }
