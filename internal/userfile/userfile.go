// Package userfile reads and writes the files that a user names on the command line or in
// the environment: settings, blocklists, .torrent files and keys.
//
// Such a file is a regular file, or a pipe with another program at its other end. A shell
// makes a pipe of <(command), and /dev/stdin often is one. Nobody can know how long the other
// program takes, so every function waits for it, and returns when its context ends. A folder
// or a socket gives a *KindError at once. The size of the content is limited by the caller.
//
// A program names some files itself, or reads them again while it runs. A pipe in their place
// would block it, or is empty the second time, so RefusePipes makes it a *KindError as well.
//
// Package statefile is for the files that the program itself writes.
package userfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"seedbed/internal/await"
	"seedbed/internal/statefile"
)

// Pipes says what happens to a file that is a pipe.
type Pipes bool

const (
	AllowPipes  Pipes = true
	RefusePipes Pipes = false
)

// A KindError reports a file that is of a wrong type, such as a folder.
type KindError struct {
	Path string
	Mode fs.FileMode
}

func (e *KindError) Error() string { return e.Path + " " + e.Reason() }

// Reason describes the error without the path: "is a folder, not a file".
func (e *KindError) Reason() string { return "is " + statefile.Kind(e.Mode) + ", not a file" }

// A StoppedError reports that the context ended before a file was read or written.
type StoppedError struct {
	Path string
	Err  error // of the context
}

func (e *StoppedError) Error() string { return "stopped while waiting for " + e.Path }
func (e *StoppedError) Unwrap() error { return e.Err }

// IsPipe reports whether the file at path is a pipe.
func IsPipe(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode()&fs.ModeNamedPipe != 0
}

// Parse opens the file at path and returns what parse makes of its content. Parse reads on a
// goroutine of its own, which goes on after ctx has ended, until the file gives an error or
// ends: parse must not change what others use.
func Parse[T any](ctx context.Context, path string, pipes Pipes, parse func(io.Reader) (T, error)) (T, error) {
	var none T
	st, err := os.Stat(path)
	if err != nil {
		return none, err
	}
	if m := st.Mode(); m.IsDir() || m&fs.ModeSocket != 0 || m&fs.ModeNamedPipe != 0 && pipes == RefusePipes {
		return none, &KindError{path, m}
	}
	return interruptible(ctx, path, func() (T, error) {
		f, err := os.Open(path)
		if err != nil {
			return none, err
		}
		defer f.Close()
		return parse(f)
	})
}

// ParseOpen is Parse for a file that is open, such as stdin. Its name is used in errors.
func ParseOpen[T any](ctx context.Context, in io.Reader, name string, parse func(io.Reader) (T, error)) (T, error) {
	return interruptible(ctx, name, func() (T, error) { return parse(in) })
}

// Read returns the content of the file at path, at most limit bytes.
func Read(ctx context.Context, path string, pipes Pipes, limit int64) ([]byte, error) {
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Size() <= limit {
		// The usual case, and the fast one.
		b, err := interruptible(ctx, path, func() ([]byte, error) { return statefile.ReadMax(path, limit) })
		var stopped *StoppedError
		if err == nil || errors.As(err, &stopped) {
			return b, err
		}
	}
	return Parse(ctx, path, pipes, All(path, limit))
}

// ErrTooLarge reports content that is larger than a limit.
var ErrTooLarge = errors.New("is too large")

// All returns a function for Parse or ParseOpen that returns the content, at most limit bytes.
func All(name string, limit int64) func(io.Reader) ([]byte, error) {
	return func(in io.Reader) ([]byte, error) {
		b, err := io.ReadAll(io.LimitReader(in, limit+1))
		if err == nil && int64(len(b)) > limit {
			err = fmt.Errorf("%s %w: more than %d bytes", name, ErrTooLarge, limit)
		}
		return b, err
	}
}

// Write writes b to an existing device or pipe.
func Write(ctx context.Context, path string, b []byte) error {
	_, err := interruptible(ctx, path, func() (struct{}, error) {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return struct{}{}, err
		}
		_, err = f.Write(b)
		return struct{}{}, errors.Join(err, f.Close())
	})
	return err
}

// interruptible returns the result of f, or a *StoppedError when ctx ends first: no signal interrupts
// the opening of a pipe.
func interruptible[T any](ctx context.Context, path string, f func() (T, error)) (T, error) {
	v, err := await.Result(ctx, f)
	if err != nil && errors.Is(err, ctx.Err()) {
		err = &StoppedError{path, err}
	}
	return v, err
}

// Reason returns err without the system call and the path that package os adds to it.
func Reason(err error) error {
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
