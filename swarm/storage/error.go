package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"seedbed/internal/statefile"
	"seedbed/internal/userfile"
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
	// ErrNotLocal is returned for data that has to be fetched from elsewhere first.
	ErrNotLocal = errors.New("the data has to be fetched first")
	// ErrAway is returned for data that has to be fetched first from where nobody answers at the moment.
	ErrAway = errors.New("the data cannot be reached at the moment")
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
	case *tooLongError, *linkError, *wrongKindError:
		return fmt.Sprintf("%s %v", e.Path, e.Err)
	}
	switch e.Err {
	case errGone, errChanged, errShort, errNotRegular:
		return fmt.Sprintf("%s %v", e.Path, e.Err)
	}
	if e.Kind == Exists {
		return fmt.Sprintf("%s: %v", e.Path, ErrExists)
	}
	return fmt.Sprintf("cannot %s %s: %v", e.Op, e.Path, userfile.Reason(e.Err))
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

// wrongKindError means that what has a name of the torrent is of another type: a folder where
// the torrent has a file, or a file where it has a folder.
type wrongKindError struct {
	name   string // relative to the download folder
	mode   fs.FileMode
	folder bool // the torrent has a folder of this name
}

func (e *wrongKindError) Error() string {
	want := "a file"
	if e.folder {
		want = "a folder"
	}
	return fmt.Sprintf("is %s, but in the torrent it is %s", statefile.Kind(e.mode), want)
}

func (e *wrongKindError) Unwrap() error { return ErrExists }

// inTheWay returns what has the name of a file, or of a folder above it, but is of another
// type; or nil.
func (s *Storage) inTheWay(name string) *wrongKindError {
	for at := range prefixes(name) {
		fi, err := s.disk.Stat(at)
		if err != nil || at == name && fi.Mode().IsRegular() {
			return nil
		}
		if at == name || !fi.IsDir() {
			return &wrongKindError{at, fi.Mode(), at != name}
		}
	}
	return nil
}

// prefixes yields the folders above name, from the top, and then name.
func prefixes(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range len(name) {
			if os.IsPathSeparator(name[i]) && !yield(name[:i]) {
				return
			}
		}
		yield(name)
	}
}

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
	if errors.Is(e.Err, syscall.EFBIG) {
		return "the limit on the size of files (ulimit -f) or the file system allows no larger file"
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
		case *wrongKindError:
			return "move it away, or choose another folder with --dir"
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

// wrapNil is like wrap, but returns nil if err is nil.
func wrapNil(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return wrap(op, path, err)
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
