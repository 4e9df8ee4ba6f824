package storage

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"seedbed/magnet/metainfo"
)

// Rename renames files while they are read and written:
//
//  1. The record of names lists the names before and after, and each rename that the disk needs.
//  2. While no file is read or written, the files are renamed. Symbolic links and folders follow.
//  3. The folders are synced, and the record of names lists only the new names.
//
// If the process ends in between, the next Open continues. A folder that contains nothing else is
// renamed as a whole. Otherwise its files are renamed one by one, and what belongs to others stays.

// A renaming is a rename in progress.
type renaming struct {
	after chosenNames
	moves []nameMove
}

// Rename renames a file or a folder. Both names are relative to the download folder and have
// slashes. The files stay open for others, and nothing is hashed. If Rename fails, the names are as
// before. The error is a *NameError, or an *Error of kind Exists if another file has the new name.
func (s *Storage) Rename(from, to string) error {
	s.renaming.Lock()
	defer s.renaming.Unlock()
	if err := s.settleNames(); err != nil {
		return err
	}
	before := Names{s.layout}
	after, err := before.Rename(from, to)
	if err != nil || filepath.Clean(from) == filepath.Clean(to) {
		return err
	}
	d, err := s.writableDisk()
	if err != nil {
		return err
	}
	if err := s.checkFolding(d, before.l, after.l); err != nil {
		return err
	}
	p := &renamePlan{before: before.l, after: after.l}
	for done := false; !done; {
		if err := s.plan(d, p, filepath.FromSlash(from), filepath.FromSlash(to)); err != nil {
			return err
		}
		s.unsettled = p
		if err = s.recordNames(p.before.chosen(), &renaming{p.after.chosen(), p.moves}); err == nil {
			done, err = s.perform(d, p)
		}
		if err != nil {
			return firstOf(err, s.settleNames())
		}
	}
	return s.settleNames()
}

// RenameFiles is Rename for a torrent that is not open. Only those files are renamed that are
// ours according to the resume record. It returns ErrUnproven if there is none, but files exist.
func RenameFiles(o Options, from, to string) error {
	isShared := o.ReadOnly
	o.ReadOnly = true
	s, err := Open(o)
	if err != nil {
		return err
	}
	defer o.Handles.dropAll(s)
	rec, err := s.loadRecord("")
	if err != nil {
		rec = nil
	}
	for i := range s.info.Files {
		st := &s.files[i]
		switch {
		case rec != nil && rec.files[i].place != absent:
			if st.place != rec.files[i].place {
				st.place, st.other = rec.files[i].place, ""
			}
			if _, name := s.where(i); !s.exists(name) {
				st.place = absent // it was lost; a check finds that out
			}
		case isShared || st.place == absent:
		case rec == nil && s.info.Files[i].Length > 0:
			return wrap("rename", s.path(i), ErrUnproven)
		case st.place == inFinal && !(rec != nil && s.hasPieces(i, rec.synced, rec.written)):
			st.place = absent // it may not be ours
		}
	}
	return s.Rename(from, to)
}

// ErrUnproven means that it is not known which files belong to a torrent. Open and CheckDoubtful
// find that out.
var ErrUnproven = errors.New("is not proven to belong to the torrent")

// showNames makes Names return the present names.
func (s *Storage) showNames() {
	l := s.layout
	s.shown.Store(&l)
}

// chosen returns the exceptions in the layout.
func (l *layout) chosen() chosenNames { return l.choose(l.final) }

// settleNames completes a rename for which the files have their names. The caller holds renaming.
func (s *Storage) settleNames() error {
	if s.unsettled == nil {
		return nil
	}
	d, err := s.writableDisk()
	if err == nil {
		err = s.finishRename(d, s.unsettled)
	}
	if err != nil {
		return err
	}
	if err := s.recordNames(s.layout.chosen(), nil); err != nil {
		return err
	}
	s.unsettled = nil
	return nil
}

// writableDisk returns the download folder for renaming files.
func (s *Storage) writableDisk() (Disk, error) {
	if !s.o.ReadOnly || s.o.OpenDisk == nil {
		return s.disk, nil
	}
	d, err := s.o.OpenDisk(s.dir, true)
	return d, wrapNil("open", s.dir, err)
}

// isLinkOf reports whether name is the symbolic link i of the torrent, as it is with these names.
func (s *Storage) isLinkOf(d Disk, l *layout, i int, name string) bool {
	target, err := l.linkTarget(i)
	if err != nil || !s.o.Symlinks {
		return false
	}
	there, err := d.Readlink(name)
	return err == nil && there == target
}

// perform renames the files and changes the names. done is false, and nothing has happened, if
// the plan is out of date. After an error the names are those that the files have.
func (s *Storage) perform(d Disk, p *renamePlan) (done bool, err error) {
	s.places.Lock()
	defer s.places.Unlock()
	if s.closed {
		return false, wrap("rename", s.dir, errClosed)
	}
	if !slices.Equal(s.placesNow(), p.places) {
		return false, nil
	}
	s.handles.dropAll(s)
	d.Refresh()
	made := 0
	for _, m := range p.moves {
		if err = s.moveName(d, m); err != nil {
			break
		}
		made++
	}
	names := p.after.chosen()
	if err != nil {
		names = p.before.chosen()
		for _, m := range slices.Backward(p.moves[:made]) {
			if e := s.moveName(d, nameMove{m.to, m.from}); e != nil {
				names = s.namesOnDisk(d, p)
				break
			}
		}
	}
	s.setNames(names)
	s.showNames()
	for i := range s.info.Files {
		if s.files[i].other != "" && p.before.final(i) != s.final(i) {
			s.files[i].other = ""
		}
	}
	s.forgetFolders(d)
	return true, err
}

// moveName renames a file or a folder, unless another one has the new name.
func (s *Storage) moveName(d Disk, m nameMove) error {
	if err := s.checkTaken(d, m.from, m.to); err != nil {
		return err
	}
	if dir := filepath.Dir(m.to); dir != "." {
		if err := d.MkdirAll(dir); err != nil {
			return wrap("make", filepath.Join(s.dir, dir), err)
		}
	}
	if err := d.Rename(m.from, m.to); err != nil {
		return wrap("rename", filepath.Join(s.dir, m.from), err)
	}
	s.stepped()
	return nil
}

// namesOnDisk returns the names that the files have after a rename that was neither completed nor
// undone.
func (s *Storage) namesOnDisk(d Disk, p *renamePlan) chosenNames {
	has := func(l *layout, i int) bool {
		for _, name := range []string{l.final(i), l.part(i)} {
			if _, err := d.Lstat(name); err == nil {
				return true
			}
		}
		return false
	}
	return p.before.choose(func(i int) string {
		if has(&p.before, i) && !has(&p.after, i) {
			return p.before.final(i)
		}
		return p.after.final(i)
	})
}

// forgetFolders drops the folders that no longer exist from those to be synced. The caller holds
// places.
func (s *Storage) forgetFolders(d Disk) {
	d.Refresh()
	s.disk.Refresh()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renames++
	for dir := range s.dirs {
		if _, err := d.Lstat(dir); kindOf(err) == Vanished {
			delete(s.dirs, dir)
		}
	}
}

// hasRenamedSince reports whether folders may have got other names since there were n renames. It waits for
// a rename in progress, which is counted at its end. The caller does not hold places.
func (s *Storage) hasRenamedSince(n int) bool {
	s.places.RLock()
	defer s.places.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renames > n
}

// finishRename lets symbolic links and folders follow a rename, and makes the new names durable.
// The caller holds renaming.
func (s *Storage) finishRename(d Disk, p *renamePlan) error {
	for i := range s.info.Files {
		if f := &s.info.Files[i]; f.Symlink != nil && !f.Pad && s.isLinkOf(d, &p.before, i, s.final(i)) {
			if target, err := s.linkTarget(i); err != nil || s.isLinkOf(d, &s.layout, i, s.final(i)) {
				continue
			} else if err := d.Remove(s.final(i)); err != nil {
				return wrap("remove", filepath.Join(s.dir, s.final(i)), err)
			} else if err := d.Symlink(target, s.final(i)); err != nil {
				return wrap("link", filepath.Join(s.dir, s.final(i)), err)
			}
		}
	}
	old, now := p.renamedFiles()
	for k, f := range old {
		if fi, err := d.Lstat(f.name); f.kind == fs.ModeDir && err == nil && fi.IsDir() {
			_ = d.MkdirAll(now[k].name) // Finish creates it otherwise
		}
	}
	// Nothing is gone before the new names are on the disk.
	if err := s.syncNames(d, now); err != nil {
		return err
	}
	s.places.Lock()
	removeFolders(d, old)
	s.forgetFolders(d)
	s.places.Unlock()
	return s.syncNames(d, old)
}

// syncNames makes the names in the folders of files durable, from the top.
func (s *Storage) syncNames(d Disk, files []movedFile) error {
	folders := append(foldersOf(files), ".")
	slices.Reverse(folders)
	return eachOf(folders, func(dir string) error {
		if err := d.SyncDir(dir); err != nil && kindOf(err) != Vanished {
			return wrap("sync", filepath.Join(s.dir, dir), err)
		}
		return nil
	})
}

// continueRename completes a rename that was interrupted. A file that cannot get its new name
// keeps the old one.
func (s *Storage) continueRename(r *renaming) error {
	d, err := s.writableDisk()
	if err != nil {
		return err
	}
	p := &renamePlan{before: s.layout, after: s.layout, moves: r.moves}
	p.after.setNames(r.after)
	names, isDone := r.after, true
	for _, m := range r.moves {
		here, err := d.Lstat(m.from)
		if kindOf(err) == Vanished {
			continue
		}
		there, e := d.Lstat(m.to)
		if err == nil && e == nil && d.Same(here, there) && metainfo.FoldName(m.from) != metainfo.FoldName(m.to) {
			_ = d.Remove(m.from) // a power cut left both names
			continue
		}
		isDone = s.moveName(d, m) == nil && isDone
	}
	if !isDone {
		names = s.namesOnDisk(d, p)
	}
	s.setNames(names)
	if err := s.finishRename(d, p); err != nil {
		return err
	}
	return s.recordNames(names, nil)
}

// linkTarget returns where the symbolic link i leads to.
func (l *layout) linkTarget(i int) (string, error) {
	return filepath.Rel(filepath.Dir(l.final(i)), l.nameOf(l.info.Files[i].Symlink))
}
