package app

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/exit"
)

// checkState returns an error if the state directory is not a folder. It need not exist.
func checkState(state string) error {
	if isNoFolder(state) {
		return exit.Fail(exit.Usage, "give a folder with --state", fmt.Errorf("the state directory %s is not a folder", state))
	}
	return nil
}

// checkDir returns an error if --dir is not a folder. It need not exist.
func checkDir(fs *pflag.FlagSet) error {
	if dir := fs.Lookup("dir"); dir != nil && isNoFolder(dir.Value.String()) {
		return exit.Fail(exit.Usage, "give a folder with --dir", fmt.Errorf("%s is not a folder", dir.Value))
	}
	return nil
}

// isNoFolder reports whether something that is not a folder exists at path or above it.
func isNoFolder(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && !fi.IsDir() || errors.Is(err, syscall.ENOTDIR)
}

// CheckData returns an error if the folder of existing data, --dir, does not exist.
func (f *Flags) CheckData() error {
	if _, err := os.Stat(f.Dir); errors.Is(err, os.ErrNotExist) {
		return exit.Fail(exit.NotFound, "give the folder that holds the data with --dir", fmt.Errorf("the folder %s does not exist", f.Dir))
	}
	return nil
}
