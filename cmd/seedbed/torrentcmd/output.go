package torrentcmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/making"
	"seedbed/internal/userfile"
)

// An output is a file that a command will write. It is opened before the work begins, so
// that a file that cannot be written is reported at once. It gets its name only when it is
// complete.
type output struct {
	path      string
	overwrite bool
	temp      *os.File // beside path; nil if path is written directly
}

// openOutput prepares to write path. It replaces an existing file only with overwrite. It
// writes directly to a device or a pipe.
func openOutput(path string, overwrite bool) (*output, error) {
	o := &output{path: path, overwrite: overwrite}
	fi, err := os.Stat(path)
	switch {
	case err == nil && fi.IsDir():
		return nil, exit.Fail(exit.Usage, "give the path of a file with -o", fmt.Errorf("%s is a folder", path))
	case err == nil && !fi.Mode().IsRegular():
		return o, nil
	case err == nil && !overwrite:
		return nil, o.exists()
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, exit.Fail(exit.CodeOf(err), "choose another with -o", exit.PathError(path, err))
	}
	o.temp, err = os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		err = fmt.Errorf("%s cannot be written: %w", path, userfile.Reason(err))
		return nil, exit.Fail(exit.CodeOf(err), "choose another with -o", err)
	}
	return o, nil
}

func (o *output) exists() error {
	return exit.Fail(exit.Exists, "use --overwrite to replace it", fmt.Errorf("%s already exists", o.path))
}

// own adds the files of o to the files that the command itself writes.
func (o *output) own(own making.Own) making.Own {
	if o.temp != nil {
		own = own.And(o.temp.Name())
	}
	return own.And(o.path)
}

// write writes b and renames the file to its final name.
func (o *output) write(ctx context.Context, b []byte) error {
	if o.temp == nil {
		return o.failed(userfile.Write(ctx, o.path, b))
	}
	_, err := o.temp.Write(b)
	if err = errors.Join(err, o.temp.Chmod(0o644), o.temp.Close()); err != nil {
		return o.failed(err)
	}
	if !o.overwrite {
		if _, err := os.Lstat(o.path); err == nil {
			return o.exists()
		}
	}
	return o.failed(os.Rename(o.temp.Name(), o.path))
}

func (o *output) failed(err error) error {
	var stopped *userfile.StoppedError
	if err == nil || errors.As(err, &stopped) {
		return err
	}
	return exit.Fail(exit.CodeOf(err), "choose another with -o", fmt.Errorf("%s cannot be written: %w", o.path, userfile.Reason(err)))
}

// close removes an incomplete file.
func (o *output) close() {
	if o.temp != nil {
		o.temp.Close()
		_ = os.Remove(o.temp.Name()) // does not exist if write has renamed it
	}
}
