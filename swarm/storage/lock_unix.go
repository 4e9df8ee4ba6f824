//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package storage

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

func (d rootDisk) TryLock(name string) (c io.Closer, err error) {
	err = d.withDir(name, false, func(r *os.Root, name string) error {
		f, err := r.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			c = f
			return nil
		case errors.Is(err, unix.EWOULDBLOCK):
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
