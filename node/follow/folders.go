package follow

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// versions is the download folder of a follower:
//
//	DIR/current                  a symbolic link to the newest complete version
//	DIR/versions/7-1f0e9d3c/NAME that version; the folder has its number and the start of its infohash
//
// When current is made to point to a version, the version is complete and its files are
// read-only. It does not change afterwards. So a program that resolves current once reads a
// single version. A file that is the same in two versions is one file with two hard links.
type versions struct {
	dir  string // absolute
	root *os.Root
}

const (
	versionsDir = "versions"
	currentName = "current"
)

func openVersions(dir string) (*versions, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(abs, versionsDir), 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, err
	}
	v := &versions{abs, root}
	if err := v.checkCurrent("follow into another folder with --dir"); err != nil {
		root.Close()
		return nil, err
	}
	return v, nil
}

func (v *versions) close() { v.root.Close() }

// checkCurrent returns an error with the given hint if current exists and is not a symbolic
// link.
func (v *versions) checkCurrent(hint string) error {
	if fi, err := v.root.Lstat(currentName); err == nil && fi.Mode()&fs.ModeSymlink == 0 {
		return node.NewFault(node.FaultExists, fmt.Errorf("%s exists and is not a link to a version", filepath.Join(v.dir, currentName)), hint)
	}
	return nil
}

// versionName returns the folder of a version, relative to dir.
func versionName(seq int64, infohash string) string {
	return path.Join(versionsDir, fmt.Sprintf("%d-%s", seq, infohash[:8]))
}

// path returns the path of a version's folder on this machine.
func (v *versions) path(name string) string { return filepath.Join(v.dir, filepath.FromSlash(name)) }

// current returns the version that current points to, or "".
func (v *versions) current() string {
	to, err := v.root.Readlink(currentName)
	if err != nil {
		return ""
	}
	return filepath.ToSlash(to)
}

// switchTo makes current point to a version, atomically.
func (v *versions) switchTo(name string) error {
	if v.current() == name {
		return nil
	}
	if err := v.checkCurrent("move it away; seedbed then switches to the new version"); err != nil {
		return err
	}
	const fresh = ".current.new"
	_ = v.root.Remove(fresh) // a killed process may have left it
	if err := v.root.Symlink(filepath.FromSlash(name), fresh); err != nil {
		if runtime.GOOS == "windows" {
			return node.NewFault(node.FaultPermission, fmt.Errorf("the symbolic link current cannot be created: %w", err), "turn on the developer mode of Windows, which allows it")
		}
		return err
	}
	if err := v.root.Rename(fresh, currentName); err != nil {
		return err
	}
	return statefile.SyncDir(v.dir)
}

// list returns the versions on disk, newest first.
func (v *versions) list() (names []string) {
	d, err := v.root.Open(versionsDir)
	if err != nil {
		return nil
	}
	defer d.Close()
	found, _ := d.Readdirnames(-1)
	for _, n := range found {
		if versionSeq(n) > 0 {
			names = append(names, path.Join(versionsDir, n))
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Compare(versionSeq(path.Base(b)), versionSeq(path.Base(a)))
	})
	return names
}

// versionSeq returns the version number in the name of a folder, or 0 if it is not the
// folder of a version.
func versionSeq(base string) int64 {
	num, hash, ok := strings.Cut(base, "-")
	n, err := strconv.ParseInt(num, 10, 64)
	if !ok || err != nil || n < 1 || len(hash) != 8 {
		return 0
	}
	return n
}

// deleteExcept deletes all versions except those in kept.
func (v *versions) deleteExcept(kept []string) error {
	var errs []error
	for _, name := range v.list() {
		if !slices.Contains(kept, name) {
			errs = append(errs, v.root.RemoveAll(name))
		}
	}
	return errors.Join(errs...)
}

// seal syncs the files of a complete version and makes them read-only, because a file that
// several versions share must not be changed through one of them.
func (v *versions) seal(name string, info *metainfo.Info) error {
	for i := range info.Files {
		f := &info.Files[i]
		if !f.IsRegular() {
			continue
		}
		file, err := v.root.Open(path.Join(name, info.PathOf(i)))
		if err != nil {
			return err
		}
		fi, err := file.Stat()
		if err == nil && fi.Mode().Perm()&0o222 != 0 { // otherwise the file is sealed already
			if err = file.Sync(); err == nil {
				err = file.Chmod(fi.Mode().Perm() &^ 0o222)
			}
		}
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}
