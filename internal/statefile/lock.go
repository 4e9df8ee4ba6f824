package statefile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"
)

// ErrLocked reports that another process holds a lock.
var ErrLocked = errors.New("another process holds the lock")

// A Lock is a locked file. Release does not delete the file: otherwise two processes could
// hold locks on two files with the same name.
type Lock struct{ f *flock.Flock }

// TryLock creates the lock file at path if it does not exist and takes its lock. It
// never waits: if another process holds the lock, the error is ErrLocked.
func TryLock(path string) (*Lock, error) {
	flag := os.O_CREATE | os.O_RDONLY | NonBlock
	switch runtime.GOOS {
	case "aix", "solaris", "illumos": // they lock only files that are open for writing
		flag = os.O_CREATE | os.O_RDWR | NonBlock
	}
	l := &Lock{flock.New(path, flock.SetFlag(flag))}
	if err := l.Retake(); err != nil {
		return nil, err
	}
	return l, nil
}

// Retake takes the lock again after Release. The error is ErrLocked if another process has it.
func (l *Lock) Retake() error {
	ok, err := l.f.TryLock()
	if err != nil {
		if st, serr := os.Stat(l.f.Path()); serr == nil && !st.Mode().IsRegular() {
			err = &NotRegularError{l.f.Path(), st.Mode()}
		}
		return err
	}
	if st, err := l.f.Stat(); err == nil && !st.Mode().IsRegular() { // such as a named pipe
		return errors.Join(&NotRegularError{l.f.Path(), st.Mode()}, l.f.Close())
	}
	if !ok {
		return ErrLocked
	}
	return nil
}

// Release lets other processes take the lock, and closes the file.
func (l *Lock) Release() error { return l.f.Unlock() }

// LockFolder creates a folder and its parents if they do not exist, and takes the lock of the
// file "lock" in it.
func LockFolder(path string) (*Lock, error) {
	if err := MkdirAll(path); err != nil {
		return nil, err
	}
	return TryLock(filepath.Join(path, "lock"))
}

// MkdirAll creates a private folder and its parents.
func MkdirAll(path string) error { return os.MkdirAll(path, 0o700) }
