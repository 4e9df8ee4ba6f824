package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
		return nil, fail(exitUsage, "give the path of a file with -o", fmt.Errorf("%s is a folder", path))
	case err == nil && !fi.Mode().IsRegular():
		return o, nil
	case err == nil && !overwrite:
		return nil, o.exists()
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fail(codeOf(err), "choose another with -o", describePathError(path, err))
	}
	o.temp, err = os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		err = fmt.Errorf("%s cannot be written: %w", path, reasonOf(err))
		return nil, fail(codeOf(err), "choose another with -o", err)
	}
	return o, nil
}

func (o *output) exists() error {
	return fail(exitExists, "use --overwrite to replace it", fmt.Errorf("%s already exists", o.path))
}

// own adds the files of o to the files that the command itself writes.
func (o *output) own(own ownFiles) ownFiles {
	if o.temp != nil {
		own = own.and(o.temp.Name())
	}
	return own.and(o.path)
}

// write writes b and renames the file to its final name.
func (o *output) write(b []byte) error {
	if o.temp == nil {
		return o.failed(os.WriteFile(o.path, b, 0o644))
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
	if err == nil {
		return nil
	}
	return fail(codeOf(err), "choose another with -o", fmt.Errorf("%s cannot be written: %w", o.path, reasonOf(err)))
}

// close removes an incomplete file.
func (o *output) close() {
	if o.temp != nil {
		o.temp.Close()
		_ = os.Remove(o.temp.Name()) // does not exist if write has renamed it
	}
}

// reasonOf strips the system call and the path that package os adds to err.
func reasonOf(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}
