package gateway

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
)

// reuse links the files of a version that an earlier one has, by their merkle roots (BEP 52), into the
// folder of the new version, so that they are not fetched again. Only files that were fetched as a whole have
// their final name. The node hashes them before it uses them. What cannot be linked is fetched.
func (c *copies) reuse(ih id.ID, info *metainfo.Info, before *held) error {
	if before == nil || !before.isOwn || before.torrent.InfoHash() == ih {
		return nil
	}
	old := before.torrent.Info()
	if old == nil || !old.HasV2() || !info.HasV2() {
		return nil
	}
	files := map[metainfo.Root]int{}
	for i := range old.Files {
		if f := &old.Files[i]; f.IsRegular() && f.Length > 0 {
			files[f.Root] = i
		}
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	made := ""
	for i := range info.Files {
		f := &info.Files[i]
		k, ok := files[f.Root]
		if !ok || !f.IsRegular() || f.Length == 0 {
			continue
		}
		from, to := path.Join(before.torrent.InfoHash().String(), old.PathOf(k)), path.Join(ih.String(), info.PathOf(i))
		if fi, err := root.Lstat(from); err != nil || !fi.Mode().IsRegular() || fi.Size() != f.Length {
			continue
		}
		if dir := path.Dir(to); dir != made {
			if err := root.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			made = dir
		}
		if err := root.Link(from, to); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil // this file system has no hard links
		}
	}
	return nil
}
