package storage

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"seedbed/internal/statefile"
)

// removingSuffix marks the resume record of files that are being deleted. The mark is the checksum of
// that record.
const removingSuffix = ".removing"

// IsRemoving reports whether a kill interrupted RemoveFiles. Then Open and a check must not come
// before the next RemoveFiles: where files share pieces, those that are left could not be verified
// without those that are gone, and the resume record would drop them.
func IsRemoving(o Options) bool {
	if o.Record == "" {
		return false
	}
	open := o.OpenDisk
	if open == nil {
		open = func(dir string, create bool) (Disk, error) { return openDisk(dir, create, o.Handles) }
	}
	state, err := open(filepath.Dir(o.Record), true)
	if err != nil {
		return false
	}
	f, err := state.Open(filepath.Base(o.Record)+removingSuffix, statefile.NonBlock, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	var mark [sha256.Size]byte
	if n, _ := f.ReadAt(mark[:], 0); n < len(mark) {
		return false
	}
	s := &Storage{layout: newLayout(o.Info), o: o, state: state}
	rec, err := s.readRecord("")
	return err == nil && rec != nil && rec.seal() == mark
}

// RemoveFiles deletes the files of a closed torrent: those that are ours according to the
// resume record and unchanged since, and then empty folders. Missing files are not an error.
// The torrent should have been checked before, unless IsRemoving is true.
func RemoveFiles(o Options) error {
	o.ReadOnly = true
	s, err := Open(o)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Kind == Vanished {
			return nil
		}
		return err
	}
	defer o.Handles.dropAll(s)
	rec, err := s.loadRecord("")
	if rec == nil || err != nil {
		return nil // no file is known to be ours
	}
	open := o.OpenDisk
	if open == nil {
		open = func(dir string, create bool) (Disk, error) { return openDisk(dir, create, o.Handles) }
	}
	d, err := open(s.dir, true)
	if err != nil {
		return wrap("open", s.dir, err)
	}
	if s.info.IsMulti() { // without the mark, only another kill would matter, so a full disk prevents nothing
		mark := rec.seal()
		if writeWhole(s.state, filepath.Base(o.Record)+removingSuffix, mark[:], true) == nil {
			_ = s.state.SyncDir(".")
		}
	}
	var files []movedFile
	var first error
	for i := range s.info.Files {
		f := &s.info.Files[i]
		switch {
		case f.Folder:
			files = append(files, movedFile{name: s.final(i), kind: fs.ModeDir})
			continue
		case f.Symlink != nil && o.Symlinks:
		case !f.IsRegular() || rec.files[i].place == absent:
			continue
		}
		name := s.final(i)
		if rec.files[i].place == inPart {
			name = s.part(i)
		}
		files = append(files, movedFile{name: name})
		fi, err := d.Lstat(name)
		switch {
		case err != nil:
			continue
		case f.Symlink != nil && fi.Mode()&fs.ModeSymlink == 0, f.Symlink == nil && !fi.Mode().IsRegular():
			continue
		case rec.files[i].place == inFinal && (fi.Size() != rec.files[i].size || fi.ModTime().UnixNano() != rec.files[i].mtime):
			continue // another program changed it
		}
		if err := d.Remove(name); err != nil && kindOf(err) != Vanished {
			first = firstOf(first, wrap("remove", filepath.Join(s.dir, name), err))
		}
	}
	removeFolders(d, files)
	_ = d.SyncDir(".") // files that come back after a power cut are removed again, as the record says
	return first
}

// foldersOf returns the parent folders of the files, deepest first.
func foldersOf(files []movedFile) (dirs []string) {
	seen := map[string]bool{}
	for _, f := range files {
		dir := filepath.Dir(f.name)
		if f.kind == fs.ModeDir {
			dir = f.name
		}
		for ; dir != "." && !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			dirs = append(dirs, dir)
		}
	}
	slices.SortFunc(dirs, func(a, b string) int {
		sep := string(filepath.Separator)
		return strings.Count(b, sep) - strings.Count(a, sep)
	})
	return dirs
}

// removeFolders removes the parent folders of the files that are empty.
func removeFolders(d Disk, files []movedFile) {
	for _, dir := range foldersOf(files) {
		_ = d.Remove(dir) // fails if it is not empty
	}
	d.Refresh() // drop handles of removed folders
}
