package storage

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"seedbed/internal/bitset"
)

// Finish gives complete files their final names and creates the empty ones. It waits
// neither for the disk nor for a concurrent Flush.
func (s *Storage) Finish() error {
	if s.o.ReadOnly {
		return nil
	}
	s.renaming.Lock()
	defer s.renaming.Unlock()
	err := s.finishAll()
	s.mu.Lock()
	s.redo.finish = err != nil
	s.mu.Unlock()
	return s.failed(err)
}

// finishAll implements Finish. The caller holds renaming.
func (s *Storage) finishAll() error {
	s.finishBegan.Store(time.Now().UnixNano())
	s.disk.Refresh() // the folder may have been renamed
	if err := s.noteFinish(); err != nil {
		return err
	}
	err := s.finish()
	for i := range s.info.Files {
		switch f := &s.info.Files[i]; {
		case f.Length > 0 || f.Pad || !s.isWanted(i):
		case f.Folder:
			err = firstOf(err, s.makeFolder(i))
		case f.Symlink == nil:
			err = firstOf(err, s.finishFile(i))
		case s.o.Symlinks && len(f.Symlink) > 0:
			err = firstOf(err, s.makeLink(i))
		}
	}
	return err
}

// finishSuffix is the suffix of the note about what Finish renames.
const finishSuffix = ".finish"

// noteFinish records which files are renamed before they are synced. Without the note, a
// file whose contents are lost in a power cut before the next record would look like a
// file of others. The note is not synced, because that would take too long here; changes of
// names usually reach the disk in order.
func (s *Storage) noteFinish() error {
	s.mu.Lock()
	whole := slices.Clone(s.finishable)
	s.noted++
	s.mu.Unlock()
	if s.o.Record == "" || len(whole) == 0 {
		return nil
	}
	n := s.info.NumPieces()
	r := &record{hash: s.info.Hash, dir: recordDir(s.dir), synced: bitset.New(n), written: bitset.New(n),
		files: make([]fileRecord, len(s.info.Files))}
	for _, i := range whole {
		r.files[i].place = inFinal
	}
	if err := writeWhole(s.state, filepath.Base(s.o.Record)+finishSuffix, r.append(nil), false); err != nil {
		return wrap("write", s.o.Record+finishSuffix, err)
	}
	return nil
}

// dropNote removes the note once a record that was begun after the last note contains the
// same information.
func (s *Storage) dropNote(noted int) error {
	s.renaming.Lock()
	defer s.renaming.Unlock()
	s.mu.Lock()
	stale := noted != s.noted
	s.mu.Unlock()
	if stale {
		return nil
	}
	err := s.state.Remove(filepath.Base(s.o.Record) + finishSuffix)
	if kindOf(err) == Vanished {
		return nil
	}
	return err
}

func firstOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// finish renames complete files; files that cannot be renamed stay listed. The caller
// holds renaming.
func (s *Storage) finish() error {
	if s.o.ReadOnly {
		return nil
	}
	s.mu.Lock()
	whole := s.finishable
	s.finishable = nil
	s.mu.Unlock()
	var first error
	for _, i := range whole {
		if err := s.finishFile(i); err != nil {
			s.mu.Lock()
			s.finishable = append(s.finishable, i)
			s.mu.Unlock()
			first = firstOf(first, err)
		}
	}
	return first
}

// finishFile gives a file its final name.
func (s *Storage) finishFile(i int) error {
	s.places.Lock()
	defer s.places.Unlock()
	st := &s.files[i]
	s.mu.Lock()
	left := st.left
	s.mu.Unlock()
	if st.place == inFinal || left > 0 || st.place == absent && !st.wanted {
		return nil
	}
	if st.place == absent {
		if err := s.makeWritable(i); err != nil {
			return err
		}
	}
	if _, err := s.identify(i); err != nil {
		return err
	}
	from, to := s.part(i), s.final(i)
	if err := s.checkNotForeign(i, to); err != nil {
		return err
	}
	if runtime.GOOS == "windows" && st.dirty.Load() {
		// A file under its final name is opened for reading, which is not enough to sync
		// it there.
		h, f, err := s.acquire(i)
		if err == nil {
			err = f.Sync()
			s.handles.put(h)
		}
		if err != nil {
			return wrap("sync", s.path(i), err)
		}
	}
	s.handles.drop(handleKey{owner: s, file: i})
	if err := s.disk.Rename(from, to); err != nil {
		return s.lost("rename", i, 0, err)
	}
	st.place = inFinal
	s.stepped()
	s.markDirDirty(i)
	s.unlockPart(i)
	// Another file may just have taken the name.
	_, err := s.identify(i)
	return err
}

// openLook is how long Complete relies on what Open saw, if nothing has been written
// since.
const openLook = 10 * time.Second

// Complete reports whether all pieces of the wanted files are verified and not doubtful,
// and every wanted file has its final name and is unchanged. The error is an *Error and
// means that another program changed a file; Recheck then determines what is left.
func (s *Storage) Complete() (bool, error) {
	s.places.RLock()
	defer s.places.RUnlock()
	if s.closed {
		return false, wrap("read", s.dir, errClosed)
	}
	since := s.finishBegan.Load()
	if !s.wrote.Load() {
		since = time.Now().Add(-openLook).UnixNano()
	}
	for i := range s.info.Files {
		f, st := &s.info.Files[i], &s.files[i]
		if f.Pad || f.Length == 0 || !st.wanted {
			continue
		}
		s.mu.Lock()
		settled := st.left == 0 && !st.changedByOthers
		s.mu.Unlock()
		switch {
		case !settled, st.place != inFinal && !s.o.ReadOnly:
			return false, nil
		case s.o.ReadOnly, st.checkedAt.Load() >= since:
			continue
		}
		if _, err := s.identify(i); err != nil {
			return false, s.failed(err)
		}
	}
	return true, nil
}

// makeFolder creates an empty folder. If something else has its name, that is left alone,
// because no byte of the torrent is missing.
func (s *Storage) makeFolder(i int) error {
	err := s.disk.MkdirAll(s.final(i))
	if err == nil || kindOf(err) == Exists {
		return nil
	}
	return wrap("make", filepath.Join(s.dir, s.final(i)), err)
}

// makeLink creates a symbolic link (BEP 47). It leads to a place in the torrent, which
// need not exist, along a path within the torrent.
func (s *Storage) makeLink(i int) error {
	name := s.final(i)
	target, err := s.linkTarget(i)
	if err != nil {
		return wrap("link", filepath.Join(s.dir, name), err)
	}
	if dir := filepath.Dir(name); dir != "." {
		if err := s.disk.MkdirAll(dir); err != nil {
			return wrap("make", filepath.Join(s.dir, dir), err)
		}
	}
	err = s.disk.Symlink(target, name)
	if kindOf(err) == Exists {
		if there, e := s.disk.Readlink(name); e == nil && there == target {
			return nil
		}
	}
	if err != nil {
		return wrap("link", filepath.Join(s.dir, name), err)
	}
	return nil
}

// checkNotForeign ensures that the rename does not replace a file of others.
func (s *Storage) checkNotForeign(i int, to string) error {
	fi, err := s.disk.Lstat(to)
	if kindOf(err) == Vanished {
		return nil
	}
	path := filepath.Join(s.dir, to)
	switch {
	case err != nil:
		return wrap("rename", path, err)
	case fi.IsDir():
		return wrap("rename", path, ErrExists)
	case s.o.Overwrite:
		return nil
	case !fi.Mode().IsRegular() || fi.Size() != s.info.Files[i].Length:
		return wrap("rename", path, ErrExists)
	}
	same, err := s.sameContent(i, to)
	if err != nil {
		return wrap("rename", path, err)
	}
	if !same {
		return wrap("rename", path, ErrExists)
	}
	return nil
}

// sameContent reports whether a file of the right size has the content of our file.
func (s *Storage) sameContent(i int, name string) (bool, error) {
	other, err := s.disk.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer other.Close()
	a, b := make([]byte, writeSize), make([]byte, writeSize)
	for at, size := int64(0), s.info.Files[i].Length; at < size; at += writeSize {
		n := min(writeSize, size-at)
		if err := s.readFile(i, a[:n], at); err != nil {
			return false, err
		}
		if _, err := other.ReadAt(b[:n], at); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
	}
	return true, nil
}
