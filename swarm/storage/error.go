package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Kind says what went wrong with a file, as far as a caller does something
// else about it.
type Kind uint8

const (
	IO          Kind = iota + 1 // the disk, or the file system, failed
	Full                        // no space, or no quota
	Permission                  // not allowed
	Vanished                    // a file or folder that was there is gone
	Truncated                   // a file is shorter than it was
	Changed                     // a file was written to by somebody else
	Exists                      // a file that is not part of the torrent is in the way
	TooManyOpen                 // no descriptor to be had
)

var (
	// ErrExists is what an Error of the kind Exists wraps.
	ErrExists = errors.New("a file that is not part of this torrent is there already")
	// ErrLinked is wrapped too if what is in the way is a symbolic link. The data may
	// be complete behind it, which an Open with ReadOnly tells.
	ErrLinked = errors.New("a symbolic link is in the way")
)

var (
	errGone       = errors.New("was deleted or moved")
	errChanged    = errors.New("was changed by another program")
	errShort      = errors.New("is shorter than it was")
	errLinked     = errors.New("it has a second name")
	errReadOnly   = errors.New("the torrent is opened for reading only")
	errNotRegular = errors.New("is not a regular file")
	errClosed     = errors.New("the torrent is closed")
)

// Error is a file operation that failed.
type Error struct {
	Op   string // "read", "write", "rename", ...
	Path string
	Err  error
	Kind Kind
	// Of Vanished, Truncated and Changed: the pieces [First, End) lost part of
	// their bytes.
	First, End int
}

func (e *Error) Error() string {
	switch e.Err.(type) {
	case *tooLongError, *linkError:
		return fmt.Sprintf("%s %v", e.Path, e.Err)
	}
	switch e.Err {
	case errGone, errChanged, errShort, errNotRegular:
		return fmt.Sprintf("%s %v", e.Path, e.Err)
	}
	if e.Kind == Exists {
		return fmt.Sprintf("%s: %v", e.Path, ErrExists)
	}
	return fmt.Sprintf("cannot %s %s: %v", e.Op, e.Path, Reason(e.Err))
}

func (e *Error) Unwrap() error { return e.Err }

// A tooLongError says that a file has bytes behind those of the torrent.
type tooLongError struct{ over, size int64 }

func (e *tooLongError) Error() string {
	if e.over == 1 {
		return "is 1 byte longer than the torrent says"
	}
	return fmt.Sprintf("is %d bytes longer than the torrent says", e.over)
}

func (e *tooLongError) Unwrap() error { return ErrExists }

// A linkError says that data would have to be written through a symbolic link.
type linkError struct {
	target string
	// dir is the folder that holds the torrent's folder or file behind the link, under
	// its own name, or "".
	dir string
}

func (e *linkError) Error() string {
	return fmt.Sprintf("is a symbolic link to %s, and nothing is written through a link", e.target)
}

func (e *linkError) Unwrap() []error { return []error{ErrExists, ErrLinked} }

func (e *linkError) hint() string {
	if e.dir != "" {
		return "name the folder it leads to: --dir " + e.dir
	}
	return "complete data behind links can be shared with seedbed seed; to download, remove the link or choose another folder with --dir"
}

// Hint is what to do about it.
func (e *Error) Hint() string {
	if e.Err == errNotRegular || errors.Is(e.Err, syscall.EISDIR) {
		return "move it away, then try again"
	}
	switch e.Kind {
	case Full:
		return "make room there; nothing written is lost, and it goes on by itself"
	case Permission:
		return "allow it for this user, or choose another folder with --dir"
	case Vanished:
		return "put it back and it goes on by itself, or run the same command again to fetch it anew"
	case Changed:
		return "it is checked again, and what is wrong is fetched again"
	case Truncated:
		return "what is missing is fetched again"
	case Exists:
		switch err := e.Err.(type) {
		case *linkError:
			return err.hint()
		case *tooLongError:
			return fmt.Sprintf("cut it to %d bytes if what is behind them is no use, move it away, or replace it with --overwrite", err.size)
		}
		return "move it away, choose another folder with --dir, or replace it with --overwrite"
	case TooManyOpen:
		return "raise the limit of open files (ulimit -n)"
	default:
		return "look at the disk's health and the system's log"
	}
}

// Reason is an error without the operation and the path that package os adds to it, which
// an Error says itself.
func Reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Wrap is the Error of an operation that failed with err; an err that is an Error
// already is returned as it is.
func Wrap(op, path string, err error) *Error { return wrap(op, path, err) }

func wrap(op, path string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Op: op, Path: path, Err: err, Kind: kindOf(err)}
}

// escapes reports whether os.Root refused a symbolic link that leads outside,
// which it has no exported error for.
func escapes(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Err.Error() == "path escapes from parent"
}

func kindOf(err error) Kind {
	var n syscall.Errno
	switch {
	case errors.Is(err, ErrExists), errors.Is(err, fs.ErrExist), escapes(err):
		return Exists
	case errors.Is(err, errGone), errors.Is(err, fs.ErrNotExist):
		return Vanished
	case errors.Is(err, errShort):
		return Truncated
	case errors.Is(err, errChanged):
		return Changed
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errReadOnly):
		return Permission
	case errors.As(err, &n):
		return kindOfErrno(n)
	}
	return IO
}
