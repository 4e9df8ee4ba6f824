package node

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
)

// versions is the folder of somebody who follows a publication:
//
//	DIR/current                  a symbolic link to the newest version that is whole
//	DIR/versions/7-1f0e9d3c/NAME that version: its number, and how its infohash begins
//
// A version is whole, its files read-only, before current leads to it, and then
// does not change any more: who resolves current once reads one version to the end.
// Files that two versions have in common are one file with two names.
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
	if fi, err := root.Lstat(currentName); err == nil && fi.Mode()&fs.ModeSymlink == 0 {
		root.Close()
		return nil, &Fault{Kind: FaultExists, Err: fmt.Errorf("%s is there and is no link to a version", filepath.Join(abs, currentName)),
			hint: "follow into another folder with --dir"}
	}
	return &versions{abs, root}, nil
}

func (v *versions) close() { v.root.Close() }

// name is the folder of a version, below dir.
func versionName(seq int64, infohash string) string {
	return path.Join(versionsDir, fmt.Sprintf("%d-%s", seq, infohash[:8]))
}

// path is where a version's folder is on this machine.
func (v *versions) path(name string) string { return filepath.Join(v.dir, filepath.FromSlash(name)) }

// current is the version that current leads to, or "".
func (v *versions) current() string {
	to, err := v.root.Readlink(currentName)
	if err != nil {
		return ""
	}
	return filepath.ToSlash(to)
}

// switchTo makes current lead to a version, in one step.
func (v *versions) switchTo(name string) error {
	if v.current() == name {
		return nil
	}
	const fresh = ".current.new"
	_ = v.root.Remove(fresh) // of a run that was killed in between
	if err := v.root.Symlink(filepath.FromSlash(name), fresh); err != nil {
		if runtime.GOOS == "windows" {
			return &Fault{Kind: FaultPermission, Err: fmt.Errorf("current cannot be made a symbolic link: %w", err), hint: "turn on Windows' developer mode, which allows them"}
		}
		return err
	}
	if err := v.root.Rename(fresh, currentName); err != nil {
		return err
	}
	return statefile.SyncDir(v.dir)
}

// list is the versions that are there, the newest first.
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

// versionSeq is the number in a folder's name; 0 if it is no version's.
func versionSeq(base string) int64 {
	num, hash, ok := strings.Cut(base, "-")
	n, err := strconv.ParseInt(num, 10, 64)
	if !ok || err != nil || n < 1 || len(hash) != 8 {
		return 0
	}
	return n
}

// prune removes all versions but one and the newest keep others.
func (v *versions) prune(keep int, but string) error {
	var errs []error
	for _, name := range v.list() {
		if name == but {
			continue
		}
		if keep > 0 {
			keep--
			continue
		}
		errs = append(errs, v.root.RemoveAll(name))
	}
	return errors.Join(errs...)
}

// seal makes the files of a whole version last, and read-only: a file that several
// versions share must not be changed through one of them.
func (v *versions) seal(name string, info *metainfo.Info) error {
	for i := range info.Files {
		f := &info.Files[i]
		if !f.IsRegular() {
			continue
		}
		file, err := v.root.Open(path.Join(name, filePath(info, f)))
		if err != nil {
			return err
		}
		fi, err := file.Stat()
		if err == nil && fi.Mode().Perm()&0o222 != 0 { // one that is read-only was sealed before
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

// filePath is where a file of a torrent lies below its download folder, with
// slashes.
func filePath(info *metainfo.Info, f *metainfo.File) string {
	if !info.IsMulti() {
		return path.Join(f.Path...)
	}
	return path.Join(info.Name, path.Join(f.Path...))
}
