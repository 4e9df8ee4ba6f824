package storage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// makeIncomplete renames a file from its final name to the name for incomplete files. A file
// with another hard link is copied, so that the other name keeps its contents. The caller
// holds places for writing.
func (s *Storage) makeIncomplete(i int, d Disk, from, to string, perm os.FileMode) error {
	f, err := d.Open(from, os.O_RDONLY, 0)
	if err != nil {
		return s.lost("open", i, 0, err)
	}
	now, err := versionOf(f)
	if e := f.Close(); err == nil {
		err = e
	}
	switch {
	case err != nil:
		return wrap("read", s.path(i), err)
	case now.links <= 1:
		if err := d.Rename(from, to); err != nil {
			return s.lost("rename", i, 0, err)
		}
		return nil
	}
	if err := s.copyFresh(i, d, from, to, perm); err != nil {
		return wrap("copy", filepath.Join(s.dir, from), err)
	}
	if err := d.Remove(from); err != nil {
		return s.lost("remove", i, 0, err)
	}
	return nil
}

// copyFresh creates to as a new file with the content of from, without its holes. Data
// that was synced before is then only written. The caller holds places for writing.
func (s *Storage) copyFresh(i int, d Disk, from, to string, perm os.FileMode) (err error) {
	src, err := d.Open(from, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	before, err := versionOf(src)
	if err != nil {
		return err
	}
	name := filepath.Join(filepath.Dir(to), "."+s.info.Hash.String()+".copy")
	dst, err := d.Open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	err = copySparse(dst, src, min(before.size, s.info.Files[i].Length))
	if err == nil {
		err = dst.Truncate(s.info.Files[i].Length)
	}
	after, e := versionOf(src)
	if err == nil {
		err = e
	}
	fi, e := dst.Stat()
	if err == nil {
		err = e
	}
	if e := dst.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = d.Rename(name, to)
	}
	if err != nil {
		return errors.Join(err, d.Remove(name))
	}
	s.note(i, fi)
	if after.mtime != before.mtime || after.size != before.size {
		s.distrust(i)
	}
	s.handles.drop(handleKey{owner: s, file: i})
	s.mu.Lock()
	for _, p := range s.piecesIn(i) {
		s.moved.Add(p)
		if s.synced.Remove(p) {
			s.written.Add(p)
			s.changed = true
		}
	}
	s.mu.Unlock()
	s.markDirty(i)
	return nil
}

// copySparse copies the first size bytes of a file, without its holes.
func copySparse(dst, src File, size int64) error {
	buf := make([]byte, writeSize)
	for at := int64(0); at < size; {
		data, err := src.NextData(at)
		if err != nil {
			return err
		}
		if at = data; at >= size {
			break
		}
		n, err := src.ReadAt(buf[:min(writeSize, size-at)], at)
		if n == 0 {
			if errors.Is(err, io.EOF) {
				break
			}
			return err
		}
		if _, err := dst.WriteAt(buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// linkOnTheWay returns an error if a symbolic link on the path of a name leads out of the
// download folder or takes the file's name, and nil otherwise.
func (s *Storage) linkOnTheWay(name string) error {
	way := ""
	for _, c := range strings.Split(filepath.ToSlash(name), "/") {
		way = filepath.Join(way, c)
		fi, err := s.disk.Lstat(way)
		if err != nil || fi.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		if _, err := s.disk.Stat(way); !escapes(err) && way != name {
			continue
		}
		path := filepath.Join(s.dir, way)
		link := &linkError{target: "an unknown place"}
		if link.target, err = s.disk.Readlink(way); err == nil && way == s.info.Name {
			target := link.target
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(path), target)
			}
			if filepath.Base(target) == s.info.Name {
				link.dir = filepath.Dir(target)
			}
		}
		return &Error{Op: "write", Path: path, Err: link, Kind: Exists}
	}
	return nil
}
