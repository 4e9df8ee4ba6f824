package settings

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"seedbed/internal/blocklist"
	"seedbed/internal/userfile"
)

// A BlocklistError reports a blocklist that cannot be used.
type BlocklistError struct {
	Path string
	Line bool // a line of it cannot be parsed
	Err  error
}

func (e *BlocklistError) Error() string { return fmt.Sprintf("blocklist %s: %v", e.Path, e.Err) }
func (e *BlocklistError) Unwrap() error { return e.Err }

// Hint returns advice for the user.
func (e *BlocklistError) Hint() string {
	if e.Line {
		return "fix the line, or leave the list out"
	}
	return "give the path of a blocklist"
}

// errEmptyPipe reports a pipe without any address. The command that should write the list
// has probably failed, and to run without the list would be unsafe.
var errEmptyPipe = errors.New("the pipe gave no addresses; did the command that writes them fail?")

// readBlocklists reads the files at paths into one list. Without paths it returns nil.
func readBlocklists(ctx context.Context, paths []string, pipes userfile.Pipes) (*blocklist.List, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	list := new(blocklist.List)
	for _, path := range paths {
		pipe := userfile.IsPipe(path)
		added, err := userfile.Parse(ctx, path, pipes, func(in io.Reader) (int, error) {
			before := list.Len() // after an error, the list is not used
			err := list.Read(in)
			return list.Len() - before, err
		})
		var stopped *userfile.StoppedError
		var kind *userfile.KindError
		var p *fs.PathError
		switch {
		case errors.As(err, &stopped):
			return nil, err
		case errors.As(err, &kind):
			return nil, &BlocklistError{Path: path, Err: errors.New(kind.Reason())}
		case errors.As(err, &p):
			return nil, &BlocklistError{Path: path, Err: p.Err}
		case err != nil:
			return nil, &BlocklistError{Path: path, Line: true, Err: err}
		case pipe && added == 0:
			return nil, &BlocklistError{Path: path, Err: errEmptyPipe}
		}
	}
	return list, nil
}
