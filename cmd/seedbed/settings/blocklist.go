package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"seedbed/internal/blocklist"
)

// A BlocklistError reports a blocklist that cannot be used.
type BlocklistError struct {
	Path string
	Line bool // a line of it cannot be parsed
	Err  error
}

func (e *BlocklistError) Error() string { return fmt.Sprintf("blocklist %s: %v", e.Path, e.Err) }
func (e *BlocklistError) Unwrap() error { return e.Err }

// Hint returns advice.
func (e *BlocklistError) Hint() string {
	if e.Line {
		return "fix the line, or leave the list out"
	}
	return "give the path of a blocklist"
}

// readBlocklists reads the files at paths into one list. Without paths it returns nil.
func readBlocklists(paths []string) (*blocklist.List, error) {
	var list *blocklist.List
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			var p *fs.PathError
			if errors.As(err, &p) {
				err = p.Err
			}
			return nil, &BlocklistError{Path: path, Err: err}
		}
		if list == nil {
			list = new(blocklist.List)
		}
		err = list.Read(f)
		f.Close()
		if err != nil {
			return nil, &BlocklistError{Path: path, Line: true, Err: err}
		}
	}
	return list, nil
}
