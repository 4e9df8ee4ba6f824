package exit

import (
	"errors"
	"fmt"
	"io/fs"
)

// PathError returns err with the path in front and without the name of the system call.
func PathError(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", path, pe.Err)
	}
	return err
}
