package storage

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// sync writes the content and what is needed to find it, but not the times.
func (f osFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (f osFile) NextData(off int64) (int64, error) {
	at, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // nothing but a hole up to the end
		fi, err := f.File.Stat()
		if err != nil {
			return 0, err
		}
		return max(fi.Size(), off), nil
	case err != nil: // a file system that does not know its holes
		return off, nil
	}
	return at, nil
}

func (f osFile) WillRead(off, n int64) {
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_WILLNEED) // a hint
}

func setSparse(*os.File) {}

func syncDirectory(f *os.File) error {
	// Some network file systems cannot; then there is nothing to be done.
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}
