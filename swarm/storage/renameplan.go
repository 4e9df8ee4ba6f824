package storage

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
)

// A nameMove is one rename on the disk.
type nameMove struct{ from, to string }

// renamePlan is what a rename does to the files.
type renamePlan struct {
	before, after layout
	places        []place // of the files when it was made
	moves         []nameMove
}

// plan determines which renames the disk needs. It returns an error of kind Exists if another
// file has one of the new names.
func (s *Storage) plan(d Disk, p *renamePlan, from, to string) error {
	s.places.RLock()
	defer s.places.RUnlock()
	if s.closed {
		return wrap("rename", s.dir, errClosed)
	}
	p.places, p.moves = s.placesNow(), nil
	_, err := d.Lstat(to)
	isFree := kindOf(err) == Vanished
	ours := map[string]bool{} // files that move
	for i := range s.info.Files {
		f, old, name := &s.info.Files[i], p.before.final(i), p.after.final(i)
		if f.Pad || f.Folder || old == name {
			continue
		}
		var m nameMove
		switch {
		case f.Symlink != nil:
			if !s.isLinkOf(d, &p.before, i, old) {
				continue
			}
			m = nameMove{old, name}
		case s.files[i].place == inPart:
			m = nameMove{p.before.part(i), p.after.part(i)}
		case s.files[i].place == inFinal && s.isOurs(i):
			_, old = s.where(i)
			m = nameMove{old, name}
		}
		for _, at := range slices.Compact([]string{m.to, name}) {
			if at == "" || isFree {
				continue
			}
			if err := s.checkTaken(d, m.from, at); err != nil {
				return err
			}
		}
		if m.from != "" {
			p.moves = append(p.moves, m)
			ours[m.from] = true
		}
	}
	if len(p.moves) > 0 && isFree && s.isWhole(d, p, from, to, ours) {
		p.moves = []nameMove{{filepath.Clean(from), filepath.Clean(to)}}
	}
	return nil
}

// checkFolding returns an error if the file system does not distinguish a new name from that of
// another file.
func (s *Storage) checkFolding(d Disk, before, after layout) error {
	fold := func(l *layout, i int) string { return metainfo.FoldName(l.final(i)) }
	stays := map[string]bool{}
	for i := range s.info.Files {
		if !s.info.Files[i].Pad && before.final(i) == after.final(i) {
			stays[fold(&after, i)] = true
		}
	}
	for i := range s.info.Files {
		if s.info.Files[i].Pad || before.final(i) == after.final(i) || !stays[fold(&after, i)] {
			continue
		}
		plain := "." + s.info.Hash.String()[:16] + ".probe"
		probe := &Storage{layout: before, disk: d}
		if probe.canMake(plain+"é", plain+"E\u0301") || probe.canMake(plain+"x", strings.ToUpper(plain+"x")) {
			return &NameError{filepath.ToSlash(after.final(i)), ErrExists}
		}
		return nil
	}
	return nil
}

// isOurs reports whether a file under its final name belongs to the torrent.
func (s *Storage) isOurs(i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.files[i].candidate || s.hasPieces(i, s.synced, s.written)
}

// hasPieces reports whether one of the sets has a piece of a file.
func (s *Storage) hasPieces(i int, sets ...bitset.Set) bool {
	first, end := s.info.PiecesOf(i)
	return slices.ContainsFunc(sets, func(set bitset.Set) bool { return touches(set, first, end) })
}

// placesNow returns the places of the files. The caller holds places.
func (s *Storage) placesNow() []place {
	now := make([]place, len(s.info.Files))
	for i := range now {
		now[i] = s.files[i].place
	}
	return now
}

// checkTaken returns an error if something has a new name, other than the file that gets it.
func (s *Storage) checkTaken(d Disk, from, to string) error {
	there, err := d.Lstat(to)
	if err != nil {
		if kindOf(err) == Vanished {
			return nil
		}
		return wrap("rename", filepath.Join(s.dir, to), err)
	}
	if from != "" && metainfo.FoldName(from) == metainfo.FoldName(to) {
		if here, err := d.Lstat(from); err == nil && d.Same(here, there) {
			return nil // the file system does not distinguish them
		}
	}
	return wrap("rename", filepath.Join(s.dir, to), ErrExists)
}

// isWhole reports whether a folder can be renamed as a whole: everything in it is ours.
func (s *Storage) isWhole(d Disk, p *renamePlan, from, to string, ours map[string]bool) bool {
	if _, inside := below(filepath.ToSlash(to), filepath.ToSlash(from)); inside {
		return false
	}
	fi, err := d.Lstat(from)
	switch {
	case err != nil || ours[from]:
		return false
	case fi.Mode()&fs.ModeSymlink != 0: // all of them are behind the link
		return true
	case !fi.IsDir():
		return false
	}
	folders := map[string]bool{}
	for name := range ours {
		for dir := filepath.Dir(name); dir != "." && !folders[dir]; dir = filepath.Dir(dir) {
			folders[dir] = true
		}
	}
	for i := range s.info.Files {
		if s.info.Files[i].Folder {
			folders[p.before.final(i)] = true
		}
	}
	var contains func(dir string) bool
	contains = func(dir string) bool {
		names, err := d.Names(dir)
		if err != nil {
			return false
		}
		for _, n := range names {
			if name := filepath.Join(dir, n); !ours[name] && !(folders[name] && contains(name)) {
				return false
			}
		}
		return true
	}
	return contains(from)
}

// renamedFiles returns the old and the new names of the files that were renamed.
func (p *renamePlan) renamedFiles() (old, now []movedFile) {
	for i := range p.before.info.Files {
		f := &p.before.info.Files[i]
		if f.Pad || p.before.final(i) == p.after.final(i) {
			continue
		}
		kind := fs.FileMode(0)
		if f.Folder {
			kind = fs.ModeDir
		}
		old, now = append(old, movedFile{name: p.before.final(i), kind: kind}), append(now, movedFile{name: p.after.final(i), kind: kind})
	}
	return old, now
}
