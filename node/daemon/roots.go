package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"seedbed/internal/await"
	"seedbed/internal/userfile"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// roots are the folders in which clients may place and move data. Without this limit, a client that
// may add torrents could write anywhere.
type roots []string

// openRoots returns roots of absolute paths without symbolic links. A folder that does not
// exist yet is allowed too.
func openRoots(dirs []string) (r roots, err error) {
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		if abs, err = resolve(abs); err != nil {
			return nil, err
		}
		r = append(r, abs)
	}
	return r, nil
}

// resolve follows the symbolic links in the part of path that exists.
func resolve(path string) (string, error) {
	real, err := evalSymlinks(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path, nil
	}
	if real, err = resolve(parent); err != nil {
		return "", err
	}
	return filepath.Join(real, filepath.Base(path)), nil
}

// allowed returns the folders in which clients may place and move data.
func (d *Daemon) allowed() roots { return d.control.now.Load().roots }

// maxPath limits the path of a folder in bytes, as Linux does. Paths are resolved name by name.
const maxPath = 4096

// checkPath returns an error if a client cannot mean a folder by a path.
func checkPath(dir string) error {
	switch {
	case len(dir) > maxPath:
		return usage(fmt.Errorf("the path of a folder has %d bytes", len(dir)), fmt.Sprintf("at most %d are allowed", maxPath))
	case !filepath.IsAbs(dir):
		return usage(fmt.Errorf("%s is not an absolute path", dir), "the daemon has a working directory of its own")
	}
	return nil
}

// check returns dir as an absolute path without symbolic links, or an error if it is outside
// of the roots. The error says nothing about what is there.
func (r roots) check(dir string) (string, error) {
	if err := checkPath(dir); err != nil {
		return "", err
	}
	real, err := resolve(filepath.Clean(dir))
	switch {
	case err == nil && r.contain(real):
		return real, nil
	case err != nil && r.contain(nearest(filepath.Clean(dir))):
		return "", usage(fmt.Errorf("%s cannot be used: %w", dir, err), "")
	}
	return "", usage(fmt.Errorf("%s is outside of the folders that this daemon may use", dir), "start the daemon with --allow-path "+dir)
}

// checkFolder checks a folder as roots.check does, but waits for the disk only until ctx ends.
func (d *Daemon) checkFolder(ctx context.Context, dir string) (string, error) {
	return await.Result(ctx, func() (string, error) { return d.allowed().check(dir) })
}

// evalSymlinks is a variable for tests.
var evalSymlinks = filepath.EvalSymlinks

// nearest returns the folder above path that can be resolved.
func nearest(path string) string {
	for {
		path = filepath.Dir(path)
		if real, err := evalSymlinks(path); err == nil || path == filepath.Dir(path) {
			return real
		}
	}
}

// contain reports whether a path without symbolic links is in one of the roots.
func (r roots) contain(real string) bool {
	for _, root := range r {
		if rel, err := filepath.Rel(root, real); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// checkChanged checks a folder that a client has set, unless it is unchanged or "".
func (r roots) checkChanged(dir *string, old string) (err error) {
	if *dir != old && *dir != "" {
		*dir, err = r.check(*dir)
	}
	return err
}

func usage(err error, hint string) error { return node.NewFault(node.FaultUsage, err, hint) }

// ReadTorrent reads the .torrent file at path, which must be in an allowed folder.
func (d *Daemon) ReadTorrent(ctx context.Context, path string) ([]byte, error) {
	return await.Result(ctx, func() ([]byte, error) { // even the resolution of links waits for the disk
		path, err := d.allowed().check(path)
		if err != nil {
			return nil, err
		}
		b, err := userfile.Read(ctx, path, userfile.RefusePipes, metainfo.MaxTorrent)
		if err != nil {
			err = usage(err, "give a .torrent file in an allowed folder")
		}
		return b, err
	})
}
