package making

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/node"
	"seedbed/swarm/create"
)

// Make makes a torrent of the file or folder at path and shows the progress. It leaves out
// the files in own.
func Make(ctx context.Context, a *app.App, path string, o node.ShareOptions, own Own) (*create.Made, error) {
	progress := report.NewHashBar(a.Output(), filepath.Base(filepath.Clean(path)))
	defer progress.Close()
	o.Progress = progress.Set
	o.Omit = own.Has
	made, err := node.Make(ctx, path, o)
	if errors.Is(err, context.Canceled) {
		return nil, exit.Fail(exit.Unfinished, "", fmt.Errorf("stopped while hashing %s", path))
	}
	return made, err
}

// Own are files and folders that a command itself writes. A torrent never contains
// them, even if they are in the folder that is shared.
type Own []fs.FileInfo

// OwnFiles returns the files that a writes: its output, if that is a file, and the state
// directory.
func OwnFiles(a *app.App, state string) (own Own) {
	for _, f := range []*os.File{a.Stdout.File, a.Stderr.File} {
		if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() {
			own = append(own, fi)
		}
	}
	return own.And(state)
}

// And adds the file or folder at path, if it exists.
func (o Own) And(path string) Own {
	if fi, err := os.Lstat(path); err == nil {
		return append(o[:len(o):len(o)], fi)
	}
	return o
}

// Has reports whether fi is one of the files.
func (o Own) Has(fi fs.FileInfo) bool {
	return slices.ContainsFunc(o, func(own fs.FileInfo) bool { return os.SameFile(own, fi) })
}
