package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"seedbed/internal/bitset"
)

// Flush makes what was written last, gives complete files their final names and
// then writes the record. Pieces that are marked meanwhile are left to the next.
func (s *Storage) Flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	return s.flush(false)
}

// flush is Flush; with closing it also notes the times of incomplete files,
// which change no more.
func (s *Storage) flush(closing bool) error {
	if err := s.gather(); err != nil {
		return s.failed(err)
	}
	s.mu.Lock()
	s.moved.Clear()
	pending := s.written.Clone()
	for p := range s.suspect.All() {
		pending.Remove(p)
	}
	s.mu.Unlock()
	if err := s.syncFiles(); err != nil {
		return s.failed(err)
	}
	s.renaming.Lock()
	err := s.finish()
	s.renaming.Unlock()
	if e := s.syncDirs(); e != nil {
		return s.failed(e)
	}
	s.mu.Lock()
	for p := range pending.All() {
		if s.written.Has(p) && !s.suspect.Has(p) && !s.moved.Has(p) {
			s.written.Remove(p)
			s.synced.Add(p)
			s.changed = true
		}
	}
	s.mu.Unlock()
	if closing {
		s.handles.dropAll(s) // some systems write the times then
	}
	if e := s.writeRecord(closing); e != nil {
		return s.failed(e)
	}
	return s.failed(err)
}

// gather makes those complete files that are in the parts file so far, so that
// they are synced before the record knows them and the parts file may go.
func (s *Storage) gather() error {
	if s.o.ReadOnly {
		return nil
	}
	s.mu.Lock()
	whole := slices.Clone(s.whole)
	s.mu.Unlock()
	s.places.Lock()
	defer s.places.Unlock()
	for _, i := range whole {
		if st := &s.files[i]; st.place == absent && st.wanted {
			if err := s.makeWritable(i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Storage) syncFiles() error {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = nil
	s.mu.Unlock()
	var first error
	for _, i := range dirty {
		s.files[i].dirty.Store(false)
		if err := s.syncFile(i); err != nil {
			s.soil(i)
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// syncFile syncs one file, after a look whether it is still what its name says:
// to sync a file that was deleted would succeed too.
func (s *Storage) syncFile(i int) error {
	s.places.RLock()
	defer func() { s.places.RUnlock() }()
	if s.files[i].place == absent {
		return nil
	}
	h, f, err := s.acquire(i)
	if err != nil {
		return wrap("sync", s.path(i), err)
	}
	defer s.handles.put(h)
	if err := s.identify(i); err != nil {
		return err
	}
	// Syncing takes its time: let files change their places meanwhile.
	s.places.RUnlock()
	err = f.sync()
	s.places.RLock()
	if err != nil {
		// What the disk did not take may now count as clean: no later sync
		// proves it.
		s.mu.Lock()
		for _, p := range s.piecesIn(i) {
			if s.written.Has(p) {
				s.suspect.Add(p)
			}
		}
		s.mu.Unlock()
		return wrap("sync", s.path(i), err)
	}
	return nil
}

// piecesIn are the pieces that have bytes in a file; of the parts file, all
// that may.
func (s *Storage) piecesIn(i int) (list []int) {
	if i == s.parts() {
		for _, p := range s.shared {
			list = append(list, int(p))
		}
		return list
	}
	for p, end := s.info.PiecesOf(i); p < end; p++ {
		list = append(list, p)
	}
	return list
}

// identify checks that a file's name still leads to the file.
func (s *Storage) identify(i int) error {
	d, name := s.where(i)
	fi, err := d.stat(name)
	if err != nil {
		return s.lost("find", i, 0, err)
	}
	s.mu.Lock()
	id := s.files[i].id
	s.mu.Unlock()
	switch {
	case id != nil && !d.same(id, fi):
		return s.lost("find", i, 0, errGone)
	case i < s.parts() && !s.o.ReadOnly && fi.Size() < s.info.Files[i].Length:
		return s.lost("read", i, fi.Size(), errShort)
	}
	return nil
}

func (s *Storage) syncDirs() error {
	s.mu.Lock()
	dirs := slices.Sorted(maps.Keys(s.dirs))
	clear(s.dirs)
	s.mu.Unlock()
	for k, dir := range dirs {
		if err := s.disk.syncDir(dir); err != nil {
			s.mu.Lock()
			for _, d := range dirs[k:] {
				s.dirs[d] = struct{}{}
			}
			s.mu.Unlock()
			return wrap("sync", filepath.Join(s.dir, dir), err)
		}
	}
	return nil
}

// Finish gives complete files their final names and makes the empty ones. It
// does not wait for the disk, nor for a Flush that does.
func (s *Storage) Finish() error {
	if s.o.ReadOnly {
		return nil
	}
	s.renaming.Lock()
	defer s.renaming.Unlock()
	if err := s.noteFinish(); err != nil {
		return s.failed(err)
	}
	err := s.finish()
	for i := range s.info.Files {
		if f := &s.info.Files[i]; f.Length == 0 && !f.Pad && s.isWanted(i) {
			err = firstOf(err, s.finishFile(i))
		}
	}
	return s.failed(err)
}

// finishSuffix names the note of what Finish renames.
const finishSuffix = ".finish"

// noteFinish notes which files are renamed before they are synced. Should the
// power fail before the next record, a file that lost its content would seem to be of others.
// The note is not synced either: names mostly last in the order of their
// change, and to wait here for all the data would cost more than the note is
// worth.
func (s *Storage) noteFinish() error {
	s.mu.Lock()
	whole := slices.Clone(s.whole)
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

// dropNote removes the note when a record says the same: one that was begun
// after the last note.
func (s *Storage) dropNote(noted int) error {
	s.renaming.Lock()
	defer s.renaming.Unlock()
	s.mu.Lock()
	stale := noted != s.noted
	s.mu.Unlock()
	if stale {
		return nil
	}
	err := s.state.remove(filepath.Base(s.o.Record) + finishSuffix)
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

// finish renames what is complete; what it cannot rename stays listed. renaming
// is held.
func (s *Storage) finish() error {
	if s.o.ReadOnly {
		return nil
	}
	s.mu.Lock()
	whole := s.whole
	s.whole = nil
	s.mu.Unlock()
	var first error
	for _, i := range whole {
		if err := s.finishFile(i); err != nil {
			s.mu.Lock()
			s.whole = append(s.whole, i)
			s.mu.Unlock()
			first = firstOf(first, err)
		}
	}
	return first
}

// finishFile gives one file its final name.
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
	if err := s.identify(i); err != nil {
		return err
	}
	from, to := s.part(i), s.final(i)
	if err := s.clearWay(i, to); err != nil {
		return err
	}
	if runtime.GOOS == "windows" && st.dirty.Load() {
		// A file in its final place is opened for reading, and there that is
		// not enough to sync it.
		h, f, err := s.acquire(i)
		if err == nil {
			err = f.sync()
			s.handles.put(h)
		}
		if err != nil {
			return wrap("sync", s.path(i), err)
		}
	}
	s.handles.drop(handleKey{owner: s, file: i})
	if err := s.disk.rename(from, to); err != nil {
		return s.lost("rename", i, 0, err)
	}
	st.place = inFinal
	if fi, err := s.disk.lstat(to); err == nil {
		st.mtime = fi.ModTime().UnixNano()
	}
	s.noteDir(i)
	return nil
}

// clearWay sees to it that nothing of others is replaced by a rename.
func (s *Storage) clearWay(i int, to string) error {
	fi, err := s.disk.lstat(to)
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

// sameContent reports whether a file of the right size has our file's content.
func (s *Storage) sameContent(i int, name string) (bool, error) {
	other, err := s.disk.open(name, os.O_RDONLY, 0)
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

// recordDir is how the record names a folder.
func recordDir(dir string) string {
	if len(dir) > maxRecordDir {
		sum := sha256.Sum256([]byte(dir))
		return hex.EncodeToString(sum[:])
	}
	return dir
}

// writeRecord replaces the record as a whole.
func (s *Storage) writeRecord(closing bool) (err error) {
	s.mu.Lock()
	changed, noted := s.changed, s.noted
	s.changed = false
	s.mu.Unlock()
	if s.o.Record == "" || !changed && (!closing || s.o.ReadOnly) {
		return nil
	}
	defer func() {
		if err != nil {
			s.mu.Lock()
			s.changed = true
			s.mu.Unlock()
			err = wrap("write", s.o.Record, err)
		}
	}()
	r := s.snapshot(closing)
	name := filepath.Base(s.o.Record)
	// The parts file may be new there, and the record relies on it.
	if err := s.state.syncDir("."); err != nil {
		return err
	}
	if err := writeWhole(s.state, name+".new", r.append(nil), true); err != nil {
		return err
	}
	if err := s.state.rename(name+".new", name); err != nil {
		return err
	}
	if err := s.state.syncDir("."); err != nil {
		return err
	}
	return firstOf(s.dropNote(noted), s.dropParts(r))
}

// snapshot is the record of this moment.
func (s *Storage) snapshot(closing bool) *record {
	s.places.RLock()
	defer s.places.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &record{hash: s.info.Hash, dir: recordDir(s.dir), synced: s.synced.Clone(), written: s.written.Clone(),
		files: make([]fileRecord, len(s.info.Files))}
	for p := range s.doubt.All() {
		if !r.synced.Has(p) {
			r.written.Add(p)
		}
	}
	for i := range r.files {
		st := &s.files[i]
		first, end := s.info.PiecesOf(i)
		if st.place == absent || st.candidate || st.place == inFinal && st.left == end-first && end > first {
			continue // of no proven use, so that it is not ours to change later
		}
		f := fileRecord{place: st.place, size: s.info.Files[i].Length}
		if st.place == inFinal {
			f.mtime = st.mtime
		} else if closing {
			d, name := s.where(i)
			if fi, err := d.lstat(name); err == nil {
				f.mtime = fi.ModTime().UnixNano()
			}
		}
		r.files[i] = f
	}
	return r
}

// dropParts removes the parts file once a record that does without is written.
func (s *Storage) dropParts(r *record) error {
	s.places.Lock()
	defer s.places.Unlock()
	parts := &s.files[s.parts()]
	s.mu.Lock()
	unsynced := len(s.dirty) > 0
	s.mu.Unlock()
	if parts.place == absent || unsynced {
		return nil
	}
	for i := range r.files {
		if f := &s.info.Files[i]; f.Length > 0 && !f.Pad && (r.files[i].place == absent || s.files[i].place == absent) {
			return nil
		}
	}
	s.handles.drop(handleKey{owner: s, file: s.parts()})
	d, name := s.where(s.parts())
	if err := d.remove(name); err != nil && kindOf(err) != Vanished {
		return err
	}
	s.mu.Lock()
	parts.place, parts.id = absent, nil
	s.mu.Unlock()
	return nil
}

func writeWhole(d disk, name string, b []byte, sync bool) (err error) {
	f, err := d.open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(b, 0); err != nil || !sync {
		return err
	}
	return f.sync()
}
