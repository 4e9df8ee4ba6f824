package making

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/userfile"
)

// CheckSource returns an error if the path to share does not exist.
func CheckSource(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return NoSource(path, err)
	}
	return nil
}

// NoSource returns the error for a path to share that cannot be examined.
func NoSource(path string, err error) error {
	_, broken := os.Lstat(path)
	switch reason := userfile.Reason(err); {
	case broken == nil && errors.Is(reason, fs.ErrNotExist):
		return exit.Fail(exit.NotFound, "give the path of a file or a folder", fmt.Errorf("%s is a symbolic link to nothing", path))
	case errors.Is(reason, fs.ErrNotExist), errors.Is(reason, syscall.ENOTDIR):
		return exit.Fail(exit.NotFound, "give the path of a file or a folder", fmt.Errorf("%s does not exist", path))
	case errors.Is(reason, fs.ErrPermission):
		return exit.Fail(exit.Open, "allow this user to read it", fmt.Errorf("%s cannot be read: %w", path, reason))
	}
	return exit.Fail(exit.CodeOf(err), "", exit.PathError(path, err))
}
