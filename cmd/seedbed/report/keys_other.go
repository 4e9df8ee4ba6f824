//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd

package report

import "errors"

// readKeys returns an error: single keys are not read on this system.
func readKeys(int) (restore func(), err error) { return nil, errors.ErrUnsupported }
