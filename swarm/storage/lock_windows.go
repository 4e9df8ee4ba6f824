package storage

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// lockOffset is the offset of the locked byte. On Windows a lock prevents all other handles,
// including those of this process, from reading and writing the locked bytes. So the locked
// byte is far beyond the end of any file, which Windows allows.
const lockOffset = 1 << 62

func lockRange() *windows.Overlapped { return &windows.Overlapped{OffsetHigh: lockOffset >> 32} }

// lockedFile is an open file with a lock. os.Root opens files in such a way that other
// programs may rename and delete them.
type lockedFile struct{ *os.File }

// Close releases the lock and closes the file. Without UnlockFileEx, Windows releases the
// lock some time after the handle is closed.
func (f lockedFile) Close() error {
	_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, lockRange())
	return f.File.Close()
}

func (d rootDisk) TryLock(name string) (c io.Closer, err error) {
	err = d.withDir(name, false, func(r *os.Root, name string) error {
		f, err := r.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
		switch err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, lockRange()); {
		case err == nil:
			c = lockedFile{f}
			return nil
		case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
			return errors.Join(errBusy, f.Close())
		default: // a file system without locks
			return f.Close()
		}
	})
	if errors.Is(err, errBusy) {
		err = errBusy
	}
	return c, err
}
