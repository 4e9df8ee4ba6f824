//go:build !(linux || darwin || freebsd)

package freespace

import "errors"

// Of reports that the space cannot be measured.
func Of(string) (free, total int64, err error) { return 0, 0, errors.ErrUnsupported }
