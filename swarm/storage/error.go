package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Kind classifies a file error by what a caller should do about it.
type Kind uint8

const (
	IO          Kind = iota + 1 // the disk, or the file system, failed
	Full                        // no space, or quota exceeded
	Permission                  // not allowed
	Vanished                    // a file or folder no longer exists
	Truncated                   // a file is shorter than before
	Changed                     // another program wrote to the file
	Exists                      // a file that does not belong to the torrent has the name
	TooManyOpen                 // out of file descriptors
	Busy                        // another process writes the file
)

var (
	// ErrExists is wrapped by an Error of kind Exists.
	ErrExists = errors.New("a file that is not part of this torrent already exists")
	// ErrLinked is also wrapped if the existing file is a symbolic link. The data behind
	// it may be complete; Open with ReadOnly can check that.
	ErrLinked = errors.New("a symbolic link is in the way")
)

var (
	errGone       = errors.New("was deleted or moved")
	errChanged    = errors.New("was changed by another program")
	errShort      = errors.New("is shorter than before")
	errLinked     = errors.New("it has another name (hard link)")
	errReadOnly   = errors.New("the torrent is opened read-only")
	errNotRegular = errors.New("is not a regular file")
	errClosed     = errors.New("the torrent is closed")
)

// Error is a failed file operation.
type Error struct {
	Op   string // "read", "write", "rename", ...
	Path string
	Err  error
	Kind Kind
	// Of Vanished, Truncated and Changed: some bytes of the pieces [First, End) were
	// lost.
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

// tooLongError means that a file has bytes after those of the torrent.
type tooLongError struct{ over, size int64 }

func (e *tooLongError) Error() string {
	if e.over == 1 {
		return "is 1 byte longer than the torrent says"
	}
	return fmt.Sprintf("is %d bytes longer than the torrent says", e.over)
}

func (e *tooLongError) Unwrap() error { return ErrExists }

// linkError means that data would have to be written through a symbolic link.
type linkError struct {
	target string
	// dir is the folder behind the link that contains the torrent's folder or file under
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

// Hint returns advice for the user.
func (e *Error) Hint() string {
	if e.Err == errNotRegular || errors.Is(e.Err, syscall.EISDIR) {
		return "move it away, then try again"
	}
	switch e.Kind {
	case Full:
		return "free some space; nothing written is lost, and the torrent resumes by itself"
	case Permission:
		return "give this user permission, or choose another folder with --dir"
	case Vanished:
		return "put it back and the torrent resumes by itself, or run the same command again to download it again"
	case Changed:
		return "it is re-checked, and damaged pieces are downloaded again"
	case Truncated:
		return "missing pieces are downloaded again"
	case Exists:
		switch err := e.Err.(type) {
		case *linkError:
			return err.hint()
		case *tooLongError:
			return fmt.Sprintf("truncate it to %d bytes if the rest is not needed, move it away, or replace it with --overwrite", err.size)
		}
		return "move it away, choose another folder with --dir, or replace it with --overwrite"
	case Busy:
		return "wait until it is done, stop it, or choose another folder with --dir"
	case TooManyOpen:
		return "raise the limit on open files (ulimit -n)"
	default:
		return "check the disk's health and the system log"
	}
}

// Reason returns an error without the operation and path that package os adds to it; an
// Error contains these itself.
func Reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Wrap returns the Error of an operation that failed with err. If err already is an
// Error, it is returned unchanged.
func Wrap(op, path string, err error) *Error { return wrap(op, path, err) }

func wrap(op, path string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Op: op, Path: path, Err: err, Kind: kindOf(err)}
}

// escapes reports whether os.Root rejected a symbolic link that leads outside, for which
// it has no exported error.
func escapes(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Err.Error() == "path escapes from parent"
}

func kindOf(err error) Kind {
	var n syscall.Errno
	switch {
	case errors.Is(err, errBusy):
		return Busy
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
